#compdef docker-netcheck
# Completion of `docker-netcheck` for zsh; `docker netcheck` has the docker CLI's own.
_docker_netcheck() {
    local line
    local -a all
    for line in ${(f)"$(docker-netcheck __complete "${(@)words[2,CURRENT]}" 2> /dev/null)"}; do
        [[ $line == :* ]] && continue
        all+=("${${line%%$'\t'*}//:/\\:}:${${line#*$'\t'}:-}")
    done
    _describe 'docker-netcheck' all || _files
}
compdef _docker_netcheck docker-netcheck
