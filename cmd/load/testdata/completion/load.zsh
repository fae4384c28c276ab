#compdef load

_load() {
  local -a commands=(
    'check:only verify'
    'inventory:print the digests this node holds, for "bundle --have", or its images'
    'serve:answer pulls on this machine from the node'\''s images, or a bundle'\''s'
    'place:copy to the image directory of k3s, RKE2 or k0s, before the node starts'
    'unpin:let the kubelet'\''s garbage collection remove the images again'
    'why:say why pods of this node wait for their images'
    'completion:print completions for bash, zsh or fish'
    'help:explain a command'
    'version:print the version'
  )
  if (( CURRENT > 2 )); then
    case $words[2] in
    check)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-o --output)'{-o+,--output=}'[text or json]:FORMAT:(text json)' \
        '--progress=[auto, plain, json or none]:MODE:(auto plain json none)' \
        '(-q --quiet)'{-q,--quiet}'[errors and warnings only]' \
        '(-a --address)'{-a+,--address=}'[containerd'\''s socket]:SOCKET:_files' \
        '(-n --namespace)'{-n+,--namespace=}'[containerd'\''s namespace]:NAME: ' \
        '*'{-i+,--input=}'[the same as FILE]:FILE:_files' \
        '*--name=[name an image that has none in another program'\''s tarball]:[DIGEST=]NAME: ' \
        '--kubelet-dir=[root directory of the kubelet]:DIR:_files -/' \
        '--kind[check the nodes of a kind cluster]' \
        '--k3d[check the nodes of a k3d cluster]' \
        '--minikube[check the nodes of a cluster of minikube'\''s docker driver]' \
        '*--node=[check the node in this container]:CONTAINER: ' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    inventory)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-a --address)'{-a+,--address=}'[containerd'\''s socket]:SOCKET:_files' \
        '(-n --namespace)'{-n+,--namespace=}'[containerd'\''s namespace]:NAME: ' \
        '(-o --output)'{-o+,--output=}'[text or json]:FORMAT:(text json)' \
        '--images[print the names of the images instead, each with its digest]' \
        '(-h --help)'{-h,--help}'[print the help]'
      return ;;
    serve)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-a --address)'{-a+,--address=}'[containerd'\''s socket]:SOCKET:_files' \
        '(-n --namespace)'{-n+,--namespace=}'[containerd'\''s namespace]:NAME: ' \
        '*'{-i+,--input=}'[the same as FILE]:FILE:_files' \
        '--listen=[loopback address and port to listen at]:ADDRESS: ' \
        '--verbose[print each request]' \
        '--install[write and start a socket unit of systemd, and add an entry to the hosts.toml of each registry of the loaded bundles, or of FILE]' \
        '--uninstall[stop and remove the units, and take the entries out again]' \
        '(-o --output)'{-o+,--output=}'[text or json, of --install and --uninstall]:FORMAT:(text json)' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    place)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-o --output)'{-o+,--output=}'[text or json]:FORMAT:(text json)' \
        '--progress=[auto, plain, json or none]:MODE:(auto plain json none)' \
        '(-q --quiet)'{-q,--quiet}'[errors and warnings only]' \
        '--dir=[the directory]:DIR:_files -/' \
        '--identity=[refuse any bundle but the one with this identity]:DIGEST: ' \
        '*--verify-key=[refuse a bundle that no key in this file signed, as load does]:FILE:_files' \
        '*--signature=[the signature]:FILE:_files' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    unpin)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-o --output)'{-o+,--output=}'[text or json]:FORMAT:(text json)' \
        '--progress=[auto, plain, json or none]:MODE:(auto plain json none)' \
        '(-q --quiet)'{-q,--quiet}'[errors and warnings only]' \
        '(-a --address)'{-a+,--address=}'[containerd'\''s socket]:SOCKET:_files' \
        '(-n --namespace)'{-n+,--namespace=}'[containerd'\''s namespace]:NAME: ' \
        '--all[the images of every bundle]' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    why)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-a --address)'{-a+,--address=}'[containerd'\''s socket]:SOCKET:_files' \
        '(-o --output)'{-o+,--output=}'[text or json]:FORMAT:(text json)' \
        '--kubelet-dir=[the kubelet'\''s root directory]:DIR:_files -/' \
        '*--look=[name bundles below DIR that have the image]:DIR:_files -/' \
        '--ask[ask the registries for the images]' \
        '(-h --help)'{-h,--help}'[print the help]'
      return ;;
    completion)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '--name=[the name under which the program is installed]:NAME: ' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '1: :(bash zsh fish)'
      return ;;
    help) (( CURRENT == 3 )) && _describe -t commands command commands; return ;;
    version) return ;;
    esac
  fi
  if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
    _describe -t commands command commands
    _files
    return
  fi
  _arguments -s -S \
    '(-o --output)'{-o+,--output=}'[text or json]:FORMAT:(text json)' \
    '--progress=[auto, plain, json or none]:MODE:(auto plain json none)' \
    '(-q --quiet)'{-q,--quiet}'[errors and warnings only]' \
    '(-a --address)'{-a+,--address=}'[containerd'\''s socket]:SOCKET:_files' \
    '(-n --namespace)'{-n+,--namespace=}'[containerd'\''s namespace]:NAME: ' \
    '*'{-i+,--input=}'[the same as FILE, as of docker load]:FILE:_files' \
    '*--name=[name an image that has none in another program'\''s tarball]:[DIGEST=]NAME: ' \
    '--kubelet-dir=[root directory of the kubelet]:DIR:_files -/' \
    '--kind[load into the nodes of a kind cluster, which are containers of docker or podman]' \
    '--k3d[the same for k3d]' \
    '--minikube[the same for minikube'\''s docker driver]' \
    '*--node=[the same for the node in this container]:CONTAINER: ' \
    '--trust-preloaded[where the kubelet would ask a registry because of its own pull records, record that every pod of this node may use the image, whatever credentials it was pulled with]' \
    '--snapshotter=[snapshotter to unpack with]:NAME: ' \
    '--no-pin[let the kubelet'\''s garbage collection remove the images]' \
    '--no-referrers[leave signatures, attestations and SBOMs in the bundle]' \
    '--no-move[refuse a bundle in which a name is another image than on this node]' \
    '--discard-layers[do not keep the compressed layers]' \
    '--jobs=[concurrent layers]:N: ' \
    '--limit-rate=[read at most this many bytes a second of standard input or FILE]:RATE: ' \
    '--identity=[refuse any bundle but the one with this identity]:DIGEST: ' \
    '*--verify-key=[refuse a bundle that no key in this file signed]:FILE:_files' \
    '*--signature=[the signature]:FILE:_files' \
    '(-v --version)'{-v,--version}'[print the version and exit]' \
    '(-h --help)'{-h,--help}'[print the help]' \
    '*:file:_files'
}

if [[ $funcstack[1] == _load ]]; then
  _load "$@"
else
  compdef _load load
fi
