# bash completion for load

_load() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= commands='check inventory serve place unpin why completion help version'
    local flags words before=
    COMPREPLY=()
    # bash splits --flag=value at "=".
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" && $COMP_CWORD -gt 1 ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    [[ $COMP_CWORD -gt 1 ]] && command=${COMP_WORDS[1]}

    # The value of a flag.
    case $command in
    check)
        case $prev in
        -n|--namespace|--name|--node) compopt +o default 2>/dev/null; return ;;
        -a|--address|-i|--input) return ;;
        --kubelet-dir) _load_directories; return ;;
        -o|--output) _load_values 'text json'; return ;;
        --progress) _load_values 'auto plain json none'; return ;;
        esac
        flags='-o --output --progress -q --quiet -a --address -n --namespace -i --input --name --kubelet-dir --kind --k3d --minikube --node -h --help'
        ;;
    inventory)
        case $prev in
        -n|--namespace) compopt +o default 2>/dev/null; return ;;
        -a|--address) return ;;
        -o|--output) _load_values 'text json'; return ;;
        esac
        flags='-a --address -n --namespace -o --output --images -h --help'
        compopt +o default 2>/dev/null
        ;;
    serve)
        case $prev in
        -n|--namespace|--listen) compopt +o default 2>/dev/null; return ;;
        -a|--address|-i|--input) return ;;
        -o|--output) _load_values 'text json'; return ;;
        esac
        flags='-a --address -n --namespace -i --input --listen --verbose --install --uninstall -o --output -h --help'
        ;;
    place)
        case $prev in
        --identity) compopt +o default 2>/dev/null; return ;;
        --verify-key|--signature) return ;;
        --dir) _load_directories; return ;;
        -o|--output) _load_values 'text json'; return ;;
        --progress) _load_values 'auto plain json none'; return ;;
        esac
        flags='-o --output --progress -q --quiet --dir --identity --verify-key --signature -h --help'
        ;;
    unpin)
        case $prev in
        -n|--namespace) compopt +o default 2>/dev/null; return ;;
        -a|--address) return ;;
        -o|--output) _load_values 'text json'; return ;;
        --progress) _load_values 'auto plain json none'; return ;;
        esac
        flags='-o --output --progress -q --quiet -a --address -n --namespace --all -h --help'
        ;;
    why)
        case $prev in
        -a|--address) return ;;
        --kubelet-dir|--look) _load_directories; return ;;
        -o|--output) _load_values 'text json'; return ;;
        esac
        flags='-a --address -o --output --kubelet-dir --look --ask -h --help'
        compopt +o default 2>/dev/null
        ;;
    completion)
        case $prev in
        --name) compopt +o default 2>/dev/null; return ;;
        esac
        flags='--name -h --help'
        words='bash zsh fish'
        ;;
    help)
        compopt +o default 2>/dev/null
        [[ $COMP_CWORD -eq 2 ]] && COMPREPLY=($(compgen -W "$commands" -- "$cur"))
        return ;;
    version) compopt +o default 2>/dev/null; return ;;
    *)
        case $prev in
        -n|--namespace|--name|--node|--snapshotter|--jobs|--limit-rate|--identity) compopt +o default 2>/dev/null; return ;;
        -a|--address|-i|--input|--verify-key|--signature) return ;;
        --kubelet-dir) _load_directories; return ;;
        -o|--output) _load_values 'text json'; return ;;
        --progress) _load_values 'auto plain json none'; return ;;
        esac
        flags='-o --output --progress -q --quiet -a --address -n --namespace -i --input --name --kubelet-dir --kind --k3d --minikube --node --trust-preloaded --snapshotter --no-pin --no-referrers --no-move --discard-layers --jobs --limit-rate --identity --verify-key --signature -v --version -h --help'
        ;;
    esac

    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
        local IFS=$'\n'
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "$cur"))
    elif [[ -n $words ]]; then
        compopt +o default 2>/dev/null
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}

# _load_values offers the words of $1; with $2, for the last item of a list.
_load_values() {
    compopt +o default 2>/dev/null
    [[ -n $2 && $cur == *,* ]] && before=${cur%,*},
    COMPREPLY=($(compgen -P "$before" -W "$1" -- "${cur##*,}"))
}

_load_directories() {
    local IFS=$'\n'
    compopt +o default -o filenames 2>/dev/null
    COMPREPLY=($(compgen -d -- "$cur"))
}

complete -o default -F _load load
