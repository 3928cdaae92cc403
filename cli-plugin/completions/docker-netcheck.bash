# Completion of `docker-netcheck` for bash; `docker netcheck` has the docker CLI's own.
_docker_netcheck() {
    local words current value
    # By blanks alone: bash would also split at the colon of NAME:PORT.
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    COMPREPLY=()
    while IFS= read -r value; do
        [[ $value == :* ]] && continue
        # What bash takes for words before the cursor is not inserted again.
        case $current in
            *[:=]*) value=${value#"${current%"${current##*[:=]}"}"} ;;
        esac
        COMPREPLY+=("$value")
    done < <(docker-netcheck __completeNoDesc "${words[@]:1}" 2> /dev/null)
}
complete -o default -F _docker_netcheck docker-netcheck
