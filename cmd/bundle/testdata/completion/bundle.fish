# fish completion for bundle

# _bundle_in succeeds when the command is $argv[1]; "" is none.
function __bundle_in
    set -l words (commandline -opc)
    set -l command ''
    if contains -- "$words[2]" scan rewrite inspect verify diff completion help version
        set command $words[2]
    end
    test "$command" = "$argv[1]"
end

function __bundle_first
    test (count (commandline -opc)) -eq 1
end

complete -c bundle -n '__bundle_in help; or __bundle_in version' -f
complete -c bundle -n '__bundle_first' -f
complete -c bundle -n '__bundle_first' -a scan -d 'list the images, without network access'
complete -c bundle -n '__bundle_in help' -a scan -d 'list the images, without network access'
complete -c bundle -n '__bundle_first' -a rewrite -d 'prepare manifests for a cluster without a registry'
complete -c bundle -n '__bundle_in help' -a rewrite -d 'prepare manifests for a cluster without a registry'
complete -c bundle -n '__bundle_first' -a inspect -d 'show what is in a bundle'
complete -c bundle -n '__bundle_in help' -a inspect -d 'show what is in a bundle'
complete -c bundle -n '__bundle_first' -a verify -d 'check every byte of a bundle'
complete -c bundle -n '__bundle_in help' -a verify -d 'check every byte of a bundle'
complete -c bundle -n '__bundle_first' -a diff -d 'show what was added, removed and changed'
complete -c bundle -n '__bundle_in help' -a diff -d 'show what was added, removed and changed'
complete -c bundle -n '__bundle_first' -a completion -d 'print completions for bash, zsh or fish'
complete -c bundle -n '__bundle_in help' -a completion -d 'print completions for bash, zsh or fish'
complete -c bundle -n '__bundle_first' -a help -d 'explain a command'
complete -c bundle -n '__bundle_first' -a version -d 'print the version'

complete -c bundle -n '__bundle_in ""' -s f -l filename -r -F -d 'manifests'
complete -c bundle -n '__bundle_in ""' -s R -l recursive -d 'also read the directories below a directory'
complete -c bundle -n '__bundle_in ""' -l only -x -a 'required' -d 'ignore images that only arguments, environment variables, ConfigMaps and custom resources name'
complete -c bundle -n '__bundle_in ""' -l include -x -d 'treat doubtful values as images'
complete -c bundle -n '__bundle_in ""' -l exclude -x -d 'ignore images'
complete -c bundle -n '__bundle_in ""' -l from-status -d 'take the digests that the status of pods says they run, for "kubectl get pods -A -o json | bundle -f - --from-status"'
complete -c bundle -n '__bundle_in ""' -l mirror -x -d 'ask HOST first for images of REG'
complete -c bundle -n '__bundle_in ""' -l registries -r -F -d 'mirrors, accounts and certificates of a registries.yaml'
complete -c bundle -n '__bundle_in ""' -l hosts-dir -x -a '(__fish_complete_directories)' -d 'mirrors, certificates and headers of containerd\'s hosts.toml files'
complete -c bundle -n '__bundle_in ""' -l resolve-at-origin -d 'resolve tags at REG itself, by a HEAD that costs no pull, and take only bytes by digest from the mirror, which need not be trusted'
complete -c bundle -n '__bundle_in ""' -l authfile -r -F -d 'accounts in the format of docker\'s config.json, before all others'
complete -c bundle -n '__bundle_in ""' -l creds -x -d 'an account'
complete -c bundle -n '__bundle_in ""' -l insecure -x -d 'allow plain HTTP and unknown certificates for HOST'
complete -c bundle -n '__bundle_in ""' -l ca-file -r -F -d 'certificates'
complete -c bundle -n '__bundle_in ""' -l wait -x -d 'wait this long for a pull limit to reset'
complete -c bundle -n '__bundle_in ""' -l jobs -x -d 'concurrent requests'
complete -c bundle -n '__bundle_in ""' -s o -l output -r -F -d 'the bundle'
complete -c bundle -n '__bundle_in ""' -l platform -x -a '(__fish_append , linux/amd64 linux/arm64 linux/arm/v7 linux/ppc64le linux/riscv64 linux/s390x all)' -d 'platforms such as linux/amd64,linux/arm64/v8, or all'
complete -c bundle -n '__bundle_in ""' -l strict -d 'fail also when the registry does not have an image that only an argument, variable or ConfigMap names, instead of skipping it'
complete -c bundle -n '__bundle_in ""' -l keep-going -d 'write the bundle without the images that are not available'
complete -c bundle -n '__bundle_in ""' -l dry-run -d 'print what would be pulled, and exit'
complete -c bundle -n '__bundle_in ""' -l checksum -d 'write OUT.sha256 beside OUT, for "sha256sum -c"'
complete -c bundle -n '__bundle_in ""' -l summary -r -F -d 'write what is in the bundle, what changed, the warnings and the pulls in Markdown'
complete -c bundle -n '__bundle_in ""' -l flat -d 'list the manifest of each platform directly, without the index, for readers that need every platform of an index'
complete -c bundle -n '__bundle_in ""' -l reuse -r -F -d 'copy what an older bundle has instead of fetching it'
complete -c bundle -n '__bundle_in ""' -l since -r -F -d 'make a differential bundle'
complete -c bundle -n '__bundle_in ""' -l have -r -F -d 'the same for a list of digests, as load inventory prints it'
complete -c bundle -n '__bundle_in ""' -l referrers -d 'include signatures, attestations and SBOMs'
complete -c bundle -n '__bundle_in ""' -l explain-auth -d 'print which account each image would be pulled with, and exit'
complete -c bundle -n '__bundle_in ""' -l max-pulls -x -d 'fail before the first pull when more than N are needed'
complete -c bundle -n '__bundle_in ""' -l limit-rate -x -d 'fetch at most this many bytes a second from all registries together'
complete -c bundle -n '__bundle_in ""' -l progress -x -a 'auto plain json none' -d 'auto, plain, json or none'
complete -c bundle -n '__bundle_in ""' -s q -l quiet -d 'errors and warnings only'
complete -c bundle -n '__bundle_in ""' -s v -l version -d 'print the version and exit'
complete -c bundle -n '__bundle_in ""' -s h -l help -d 'print the help'

complete -c bundle -n '__bundle_in scan' -s f -l filename -r -F -d 'manifests'
complete -c bundle -n '__bundle_in scan' -s R -l recursive -d 'also read the directories below a directory'
complete -c bundle -n '__bundle_in scan' -l only -x -a 'required' -d 'ignore images that only arguments, environment variables, ConfigMaps and custom resources name'
complete -c bundle -n '__bundle_in scan' -l include -x -d 'treat doubtful values as images'
complete -c bundle -n '__bundle_in scan' -l exclude -x -d 'ignore images'
complete -c bundle -n '__bundle_in scan' -l from-status -d 'take the digests that the status of pods says they run'
complete -c bundle -n '__bundle_in scan' -l mirror -x -d 'ask HOST first for images of REG'
complete -c bundle -n '__bundle_in scan' -l registries -r -F -d 'mirrors, accounts and certificates of a registries.yaml'
complete -c bundle -n '__bundle_in scan' -l hosts-dir -x -a '(__fish_complete_directories)' -d 'mirrors, certificates and headers of containerd\'s hosts.toml files'
complete -c bundle -n '__bundle_in scan' -l resolve-at-origin -d 'resolve tags at REG itself, by a HEAD that costs no pull, and take only bytes by digest from the mirror, which need not be trusted'
complete -c bundle -n '__bundle_in scan' -l authfile -r -F -d 'accounts in the format of docker\'s config.json, before all others'
complete -c bundle -n '__bundle_in scan' -l creds -x -d 'an account'
complete -c bundle -n '__bundle_in scan' -l insecure -x -d 'allow plain HTTP and unknown certificates for HOST'
complete -c bundle -n '__bundle_in scan' -l ca-file -r -F -d 'certificates'
complete -c bundle -n '__bundle_in scan' -l wait -x -d 'wait this long for a pull limit to reset'
complete -c bundle -n '__bundle_in scan' -l jobs -x -d 'concurrent requests'
complete -c bundle -n '__bundle_in scan' -l pin -d 'print name:tag@sha256:... for each image'
complete -c bundle -n '__bundle_in scan' -l check-lock -r -F -d 'print the images that a lock file does not cover, and exit with 1 if there is one'
complete -c bundle -n '__bundle_in scan' -l fail-on -x -a '(__fish_append , pull-policy-always default-pull-always mutable-tag always-pull-images placeholder invalid-reference unclear-reference operands-unwritten cluster-internal-registry local-registry unknown-digest unnamed-image skipped-file windows-image duplicate-key)' -d 'exit with 1 if there is a warning with one of these codes'
complete -c bundle -n '__bundle_in scan' -s o -l output -x -a 'name wide json sarif codequality github'
complete -c bundle -n '__bundle_in scan' -s h -l help -d 'print the help'

complete -c bundle -n '__bundle_in rewrite' -s f -l filename -r -F -d 'a file, a directory, or - for standard input'
complete -c bundle -n '__bundle_in rewrite' -s R -l recursive -d 'also read the directories below a directory'
complete -c bundle -n '__bundle_in rewrite' -s o -l output -r -F -d 'a file, a directory when SRC is one, or - for standard output'
complete -c bundle -n '__bundle_in rewrite' -l pin -r -F -d 'a list with a line "name:tag@sha256:..." for each image'
complete -c bundle -n '__bundle_in rewrite' -s h -l help -d 'print the help'

complete -c bundle -n '__bundle_in inspect' -s o -l output -x -a 'text json html' -d 'text'
complete -c bundle -n '__bundle_in inspect' -s h -l help -d 'print the help'

complete -c bundle -n '__bundle_in verify' -s o -l output -x -a 'text json' -d 'text or json'
complete -c bundle -n '__bundle_in verify' -l jobs -x -d 'blobs read at once'
complete -c bundle -n '__bundle_in verify' -l progress -x -a 'auto plain json none' -d 'auto, plain, json or none'
complete -c bundle -n '__bundle_in verify' -s q -l quiet -d 'errors and warnings only'
complete -c bundle -n '__bundle_in verify' -s h -l help -d 'print the help'

complete -c bundle -n '__bundle_in diff' -s o -l output -x -a 'text json'
complete -c bundle -n '__bundle_in diff' -s h -l help -d 'print the help'

complete -c bundle -n '__bundle_in completion' -f -a 'bash zsh fish'
complete -c bundle -n '__bundle_in completion' -l name -x -d 'the name under which the program is installed'
complete -c bundle -n '__bundle_in completion' -s h -l help -d 'print the help'
