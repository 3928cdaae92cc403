# Completion of `docker-netcheck` for fish; `docker netcheck` has the docker CLI's own.
complete -c docker-netcheck -f -a '(docker-netcheck __complete (commandline -opc)[2..] (commandline -ct) 2> /dev/null | string match -v -r "^:")'
