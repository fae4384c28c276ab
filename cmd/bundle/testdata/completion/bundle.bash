# bash completion for bundle

_bundle() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= commands='scan rewrite inspect verify diff sign completion help version'
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
    scan)
        case $prev in
        --include|--exclude|--set|--kube-version|--api-versions|--release-name|--namespace|--mirror|--creds|--insecure|--wait|--jobs) compopt +o default 2>/dev/null; return ;;
        -f|--filename|--values|--registries|--authfile|--ca-file|--check-lock) return ;;
        --hosts-dir) _bundle_directories; return ;;
        --only) _bundle_values 'required'; return ;;
        --fail-on) _bundle_values 'pull-policy-always default-pull-always mutable-tag always-pull-images placeholder invalid-reference unclear-reference operands-unwritten cluster-internal-registry local-registry unknown-digest unnamed-image chart-list skipped-file windows-image duplicate-key' list; return ;;
        -o|--output) _bundle_values 'name wide json sarif codequality github'; return ;;
        esac
        flags='-f --filename -R --recursive --only --include --exclude --from-status --values --set --kube-version --api-versions --include-crds --release-name --namespace --mirror --registries --hosts-dir --resolve-at-origin --authfile --creds --insecure --ca-file --wait --jobs --pin --check-lock --fail-on -o --output -h --help'
        ;;
    rewrite)
        case $prev in
        -f|--filename|-o|--output|--pin) return ;;
        esac
        flags='-f --filename -R --recursive -o --output --pin -h --help'
        ;;
    inspect)
        case $prev in
        -o|--output) _bundle_values 'text json html identity'; return ;;
        esac
        flags='-o --output -h --help'
        ;;
    verify)
        case $prev in
        --jobs|--identity) compopt +o default 2>/dev/null; return ;;
        --verify-key|--signature) return ;;
        -o|--output) _bundle_values 'text json'; return ;;
        --progress) _bundle_values 'auto plain json none'; return ;;
        esac
        flags='-o --output --jobs --progress -q --quiet --identity --verify-key --signature -h --help'
        ;;
    diff)
        case $prev in
        -o|--output) _bundle_values 'text json'; return ;;
        esac
        flags='-o --output -h --help'
        ;;
    sign)
        case $prev in
        --sequence|--expires) compopt +o default 2>/dev/null; return ;;
        --key) return ;;
        esac
        flags='--key --sequence --expires -h --help'
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
        --include|--exclude|--set|--kube-version|--api-versions|--release-name|--namespace|--mirror|--creds|--insecure|--wait|--jobs|--first|--max-pulls|--limit-rate) compopt +o default 2>/dev/null; return ;;
        -f|--filename|--values|--registries|--authfile|--ca-file|-o|--output|--sign-key|--summary|--reuse|--since|--have) return ;;
        --hosts-dir) _bundle_directories; return ;;
        --only) _bundle_values 'required'; return ;;
        --platform) _bundle_values 'linux/amd64 linux/arm64 linux/arm/v7 linux/ppc64le linux/riscv64 linux/s390x all' list; return ;;
        --progress) _bundle_values 'auto plain json none'; return ;;
        esac
        flags='-f --filename -R --recursive --only --include --exclude --from-status --values --set --kube-version --api-versions --include-crds --release-name --namespace --mirror --registries --hosts-dir --resolve-at-origin --authfile --creds --insecure --ca-file --wait --jobs -o --output --platform --strict --keep-going --dry-run --checksum --sign-key --summary --first --flat --reuse --since --have --referrers --explain-auth --max-pulls --limit-rate --progress -q --quiet -v --version -h --help'
        ;;
    esac

    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    elif [[ -n $words ]]; then
        compopt +o default 2>/dev/null
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}

# _bundle_values offers the words of $1; with $2, for the last item of a list.
_bundle_values() {
    compopt +o default 2>/dev/null
    [[ -n $2 && $cur == *,* ]] && before=${cur%,*},
    COMPREPLY=($(compgen -P "$before" -W "$1" -- "${cur##*,}"))
}

_bundle_directories() {
    local IFS=$'\n'
    compopt +o default -o filenames 2>/dev/null
    COMPREPLY=($(compgen -d -- "$cur"))
}

complete -o default -F _bundle bundle
