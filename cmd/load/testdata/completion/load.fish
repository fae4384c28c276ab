# fish completion for load

# __load_in succeeds when the command is $argv[1]; "" is none.
function __load_in
    set -l words (commandline -opc)
    set -l command ''
    if contains -- "$words[2]" check inventory serve place unpin why completion help version
        set command $words[2]
    end
    test "$command" = "$argv[1]"
end

function __load_first
    test (count (commandline -opc)) -eq 1
end

complete -c load -n '__load_in help; or __load_in version' -f
complete -c load -n '__load_first' -a check -d 'only verify'
complete -c load -n '__load_in help' -a check -d 'only verify'
complete -c load -n '__load_first' -a inventory -d 'print the digests this node holds, for "bundle --have", or its images'
complete -c load -n '__load_in help' -a inventory -d 'print the digests this node holds, for "bundle --have", or its images'
complete -c load -n '__load_first' -a serve -d 'answer pulls on this machine from the node\'s images, or a bundle\'s'
complete -c load -n '__load_in help' -a serve -d 'answer pulls on this machine from the node\'s images, or a bundle\'s'
complete -c load -n '__load_first' -a place -d 'copy to the image directory of k3s, RKE2 or k0s, before the node starts'
complete -c load -n '__load_in help' -a place -d 'copy to the image directory of k3s, RKE2 or k0s, before the node starts'
complete -c load -n '__load_first' -a unpin -d 'let the kubelet\'s garbage collection remove the images again'
complete -c load -n '__load_in help' -a unpin -d 'let the kubelet\'s garbage collection remove the images again'
complete -c load -n '__load_first' -a why -d 'say why pods of this node wait for their images'
complete -c load -n '__load_in help' -a why -d 'say why pods of this node wait for their images'
complete -c load -n '__load_first' -a completion -d 'print completions for bash, zsh or fish'
complete -c load -n '__load_in help' -a completion -d 'print completions for bash, zsh or fish'
complete -c load -n '__load_first' -a help -d 'explain a command'
complete -c load -n '__load_first' -a version -d 'print the version'

complete -c load -n '__load_in ""' -s o -l output -x -a 'text json' -d 'text or json'
complete -c load -n '__load_in ""' -l progress -x -a 'auto plain json none' -d 'auto, plain, json or none'
complete -c load -n '__load_in ""' -s q -l quiet -d 'errors and warnings only'
complete -c load -n '__load_in ""' -s a -l address -r -F -d 'containerd\'s socket'
complete -c load -n '__load_in ""' -s n -l namespace -x -d 'containerd\'s namespace'
complete -c load -n '__load_in ""' -s i -l input -r -F -d 'the same as FILE, as of docker load'
complete -c load -n '__load_in ""' -l name -x -d 'name an image that has none in another program\'s tarball'
complete -c load -n '__load_in ""' -l kubelet-dir -x -a '(__fish_complete_directories)' -d 'root directory of the kubelet'
complete -c load -n '__load_in ""' -l kind -d 'load into the nodes of a kind cluster, which are containers of docker or podman'
complete -c load -n '__load_in ""' -l k3d -d 'the same for k3d'
complete -c load -n '__load_in ""' -l minikube -d 'the same for minikube\'s docker driver'
complete -c load -n '__load_in ""' -l node -x -d 'the same for the node in this container'
complete -c load -n '__load_in ""' -l trust-preloaded -d 'where the kubelet would ask a registry because of its own pull records, record that every pod of this node may use the image, whatever credentials it was pulled with'
complete -c load -n '__load_in ""' -l snapshotter -x -d 'snapshotter to unpack with'
complete -c load -n '__load_in ""' -l no-pin -d 'let the kubelet\'s garbage collection remove the images'
complete -c load -n '__load_in ""' -l no-referrers -d 'leave signatures, attestations and SBOMs in the bundle'
complete -c load -n '__load_in ""' -l no-move -d 'refuse a bundle in which a name is another image than on this node'
complete -c load -n '__load_in ""' -l discard-layers -d 'do not keep the compressed layers'
complete -c load -n '__load_in ""' -l jobs -x -d 'concurrent layers'
complete -c load -n '__load_in ""' -l limit-rate -x -d 'read at most this many bytes a second of standard input or FILE'
complete -c load -n '__load_in ""' -l identity -x -d 'refuse any bundle but the one with this identity'
complete -c load -n '__load_in ""' -l verify-key -r -F -d 'refuse a bundle that no key in this file signed'
complete -c load -n '__load_in ""' -l signature -r -F -d 'the signature'
complete -c load -n '__load_in ""' -s v -l version -d 'print the version and exit'
complete -c load -n '__load_in ""' -s h -l help -d 'print the help'

complete -c load -n '__load_in check' -s o -l output -x -a 'text json' -d 'text or json'
complete -c load -n '__load_in check' -l progress -x -a 'auto plain json none' -d 'auto, plain, json or none'
complete -c load -n '__load_in check' -s q -l quiet -d 'errors and warnings only'
complete -c load -n '__load_in check' -s a -l address -r -F -d 'containerd\'s socket'
complete -c load -n '__load_in check' -s n -l namespace -x -d 'containerd\'s namespace'
complete -c load -n '__load_in check' -s i -l input -r -F -d 'the same as FILE'
complete -c load -n '__load_in check' -l name -x -d 'name an image that has none in another program\'s tarball'
complete -c load -n '__load_in check' -l kubelet-dir -x -a '(__fish_complete_directories)' -d 'root directory of the kubelet'
complete -c load -n '__load_in check' -l kind -d 'check the nodes of a kind cluster'
complete -c load -n '__load_in check' -l k3d -d 'check the nodes of a k3d cluster'
complete -c load -n '__load_in check' -l minikube -d 'check the nodes of a cluster of minikube\'s docker driver'
complete -c load -n '__load_in check' -l node -x -d 'check the node in this container'
complete -c load -n '__load_in check' -s h -l help -d 'print the help'

complete -c load -n '__load_in inventory' -f
complete -c load -n '__load_in inventory' -s a -l address -r -F -d 'containerd\'s socket'
complete -c load -n '__load_in inventory' -s n -l namespace -x -d 'containerd\'s namespace'
complete -c load -n '__load_in inventory' -s o -l output -x -a 'text json' -d 'text or json'
complete -c load -n '__load_in inventory' -l images -d 'print the names of the images instead, each with its digest'
complete -c load -n '__load_in inventory' -s h -l help -d 'print the help'

complete -c load -n '__load_in serve' -s a -l address -r -F -d 'containerd\'s socket'
complete -c load -n '__load_in serve' -s n -l namespace -x -d 'containerd\'s namespace'
complete -c load -n '__load_in serve' -s i -l input -r -F -d 'the same as FILE'
complete -c load -n '__load_in serve' -l listen -x -d 'loopback address and port to listen at'
complete -c load -n '__load_in serve' -l verbose -d 'print each request'
complete -c load -n '__load_in serve' -l install -d 'write and start a socket unit of systemd, and add an entry to the hosts.toml of each registry of the loaded bundles, or of FILE'
complete -c load -n '__load_in serve' -l uninstall -d 'stop and remove the units, and take the entries out again'
complete -c load -n '__load_in serve' -s o -l output -x -a 'text json' -d 'text or json, of --install and --uninstall'
complete -c load -n '__load_in serve' -s h -l help -d 'print the help'

complete -c load -n '__load_in place' -s o -l output -x -a 'text json' -d 'text or json'
complete -c load -n '__load_in place' -l progress -x -a 'auto plain json none' -d 'auto, plain, json or none'
complete -c load -n '__load_in place' -s q -l quiet -d 'errors and warnings only'
complete -c load -n '__load_in place' -l dir -x -a '(__fish_complete_directories)' -d 'the directory'
complete -c load -n '__load_in place' -l identity -x -d 'refuse any bundle but the one with this identity'
complete -c load -n '__load_in place' -l verify-key -r -F -d 'refuse a bundle that no key in this file signed, as load does'
complete -c load -n '__load_in place' -l signature -r -F -d 'the signature'
complete -c load -n '__load_in place' -s h -l help -d 'print the help'

complete -c load -n '__load_in unpin' -s o -l output -x -a 'text json' -d 'text or json'
complete -c load -n '__load_in unpin' -l progress -x -a 'auto plain json none' -d 'auto, plain, json or none'
complete -c load -n '__load_in unpin' -s q -l quiet -d 'errors and warnings only'
complete -c load -n '__load_in unpin' -s a -l address -r -F -d 'containerd\'s socket'
complete -c load -n '__load_in unpin' -s n -l namespace -x -d 'containerd\'s namespace'
complete -c load -n '__load_in unpin' -l all -d 'the images of every bundle'
complete -c load -n '__load_in unpin' -s h -l help -d 'print the help'

complete -c load -n '__load_in why' -f
complete -c load -n '__load_in why' -s a -l address -r -F -d 'containerd\'s socket'
complete -c load -n '__load_in why' -s o -l output -x -a 'text json' -d 'text or json'
complete -c load -n '__load_in why' -l kubelet-dir -x -a '(__fish_complete_directories)' -d 'the kubelet\'s root directory'
complete -c load -n '__load_in why' -l look -x -a '(__fish_complete_directories)' -d 'name bundles below DIR that have the image'
complete -c load -n '__load_in why' -l ask -d 'ask the registries for the images'
complete -c load -n '__load_in why' -s h -l help -d 'print the help'

complete -c load -n '__load_in completion' -f -a 'bash zsh fish'
complete -c load -n '__load_in completion' -l name -x -d 'the name under which the program is installed'
complete -c load -n '__load_in completion' -s h -l help -d 'print the help'
