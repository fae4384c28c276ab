#compdef bundle

_bundle() {
  local -a commands=(
    'scan:list the images, without network access'
    'rewrite:prepare manifests for a cluster without a registry'
    'inspect:show what is in a bundle'
    'verify:check every byte of a bundle'
    'diff:show what was added, removed and changed'
    'sign:sign a bundle, for "load --verify-key"'
    'completion:print completions for bash, zsh or fish'
    'help:explain a command'
    'version:print the version'
  )
  if (( CURRENT > 2 )); then
    case $words[2] in
    scan)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '*'{-f+,--filename=}'[manifests]:SRC:_files' \
        '(-R --recursive)'{-R,--recursive}'[also read the directories below a directory]' \
        '--only=[ignore images that only arguments, environment variables, ConfigMaps and custom resources name]:VALUE:(required)' \
        '*--include=[treat doubtful values as images]:PATTERN: ' \
        '*--exclude=[ignore images]:PATTERN: ' \
        '--from-status[take the digests that the status of pods says they run]' \
        '*--values=[values of the chart]:FILE:_files' \
        '*--set=[one value]:KEY=VALUE: ' \
        '--kube-version=[version of Kubernetes to render for]:V: ' \
        '*--api-versions=[an API that the cluster has]:API: ' \
        '--include-crds[render CustomResourceDefinitions too]' \
        '--release-name=[name of the release]:NAME: ' \
        '--namespace=[namespace of the release]:NAME: ' \
        '*--mirror=[ask HOST first for images of REG]:REG=HOST[/PREFIX]: ' \
        '--registries=[mirrors, accounts and certificates of a registries.yaml]:FILE:_files' \
        '--hosts-dir=[mirrors, certificates and headers of containerd'\''s hosts.toml files]:DIR:_files -/' \
        '--resolve-at-origin[resolve tags at REG itself, by a HEAD that costs no pull, and take only bytes by digest from the mirror, which need not be trusted]' \
        '--authfile=[accounts in the format of docker'\''s config.json, before all others]:FILE:_files' \
        '*--creds=[an account]:HOST=USER: ' \
        '*--insecure=[allow plain HTTP and unknown certificates for HOST]:HOST: ' \
        '--ca-file=[certificates]:FILE:_files' \
        '--wait=[wait this long for a pull limit to reset]:DURATION: ' \
        '--jobs=[concurrent requests]:N: ' \
        '--pin[print name:tag@sha256:... for each image]' \
        '--check-lock=[print the images that a lock file does not cover, and exit with 1 if there is one]:FILE:_files' \
        '*--fail-on=[exit with 1 if there is a warning with one of these codes]:LIST:_values -s , LIST pull-policy-always default-pull-always mutable-tag always-pull-images placeholder invalid-reference unclear-reference operands-unwritten cluster-internal-registry local-registry unknown-digest unnamed-image chart-list skipped-file windows-image duplicate-key' \
        '(-o --output)'{-o+,--output=}':FORMAT:(name wide json sarif codequality github)' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    rewrite)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '*'{-f+,--filename=}'[a file, a directory, or - for standard input]:SRC:_files' \
        '(-R --recursive)'{-R,--recursive}'[also read the directories below a directory]' \
        '(-o --output)'{-o+,--output=}'[a file, a directory when SRC is one, or - for standard output]:OUT:_files' \
        '--pin=[a list with a line "name:tag@sha256:..." for each image]:LOCK:_files' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    inspect)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-o --output)'{-o+,--output=}'[text]:FORMAT:(text json html identity)' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    verify)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-o --output)'{-o+,--output=}'[text or json]:FORMAT:(text json)' \
        '--jobs=[blobs read at once]:N: ' \
        '--progress=[auto, plain, json or none]:MODE:(auto plain json none)' \
        '(-q --quiet)'{-q,--quiet}'[errors and warnings only]' \
        '--identity=[fail unless this is the identity of the bundle]:DIGEST: ' \
        '*--verify-key=[fail unless a key in this file signed the bundle]:FILE:_files' \
        '*--signature=[the signature]:FILE:_files' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    diff)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '(-o --output)'{-o+,--output=}'[text]:FORMAT:(text json)' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
      return ;;
    sign)
      shift words; (( CURRENT-- ))
      _arguments -s -S \
        '--key=[private key]:FILE:_files' \
        '--sequence=[number of the bundle in its series]:N: ' \
        '--expires=[when the signature ends]:WHEN: ' \
        '(-h --help)'{-h,--help}'[print the help]' \
        '*:file:_files'
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
    return
  fi
  _arguments -s -S \
    '*'{-f+,--filename=}'[manifests]:SRC:_files' \
    '(-R --recursive)'{-R,--recursive}'[also read the directories below a directory]' \
    '--only=[ignore images that only arguments, environment variables, ConfigMaps and custom resources name]:VALUE:(required)' \
    '*--include=[treat doubtful values as images]:PATTERN: ' \
    '*--exclude=[ignore images]:PATTERN: ' \
    '--from-status[take the digests that the status of pods says they run, for "kubectl get pods -A -o json | bundle -f - --from-status"]' \
    '*--values=[values of the chart]:FILE:_files' \
    '*--set=[one value]:KEY=VALUE: ' \
    '--kube-version=[version of Kubernetes to render for]:V: ' \
    '*--api-versions=[an API that the cluster has]:API: ' \
    '--include-crds[render CustomResourceDefinitions too]' \
    '--release-name=[name of the release]:NAME: ' \
    '--namespace=[namespace of the release]:NAME: ' \
    '*--mirror=[ask HOST first for images of REG]:REG=HOST[/PREFIX]: ' \
    '--registries=[mirrors, accounts and certificates of a registries.yaml]:FILE:_files' \
    '--hosts-dir=[mirrors, certificates and headers of containerd'\''s hosts.toml files]:DIR:_files -/' \
    '--resolve-at-origin[resolve tags at REG itself, by a HEAD that costs no pull, and take only bytes by digest from the mirror, which need not be trusted]' \
    '--authfile=[accounts in the format of docker'\''s config.json, before all others]:FILE:_files' \
    '*--creds=[an account]:HOST=USER: ' \
    '*--insecure=[allow plain HTTP and unknown certificates for HOST]:HOST: ' \
    '--ca-file=[certificates]:FILE:_files' \
    '--wait=[wait this long for a pull limit to reset]:DURATION: ' \
    '--jobs=[concurrent requests]:N: ' \
    '(-o --output)'{-o+,--output=}'[the bundle]:OUT:_files' \
    '--platform=[platforms such as linux/amd64,linux/arm64/v8, or all]:LIST:_values -s , LIST linux/amd64 linux/arm64 linux/arm/v7 linux/ppc64le linux/riscv64 linux/s390x all' \
    '--strict[fail also when the registry does not have an image that only an argument, variable or ConfigMap names, instead of skipping it]' \
    '--keep-going[write the bundle without the images that are not available]' \
    '--dry-run[print what would be pulled, and exit]' \
    '--checksum[write OUT.sha256 beside OUT, for "sha256sum -c"]' \
    '--sign-key=[sign the bundle with this key, as "bundle sign" does]:FILE:_files' \
    '--summary=[write what is in the bundle, what changed, the warnings and the pulls in Markdown]:FILE:_files' \
    '*--first=[put images first in the file and in the load, in the order of the flags]:PATTERN: ' \
    '--flat[list the manifest of each platform directly, without the index, for readers that need every platform of an index]' \
    '*--reuse=[copy what an older bundle has instead of fetching it]:FILE:_files' \
    '*--since=[make a differential bundle]:FILE:_files' \
    '*--have=[the same for a list of digests, as load inventory prints it]:LIST:_files' \
    '--referrers[include signatures, attestations and SBOMs]' \
    '--explain-auth[print which account each image would be pulled with, and exit]' \
    '--max-pulls=[fail before the first pull when more than N are needed]:N: ' \
    '--limit-rate=[fetch at most this many bytes a second from all registries together]:RATE: ' \
    '--progress=[auto, plain, json or none]:MODE:(auto plain json none)' \
    '(-q --quiet)'{-q,--quiet}'[errors and warnings only]' \
    '(-v --version)'{-v,--version}'[print the version and exit]' \
    '(-h --help)'{-h,--help}'[print the help]' \
    '*:file:_files'
}

if [[ $funcstack[1] == _bundle ]]; then
  _bundle "$@"
else
  compdef _bundle bundle
fi
