package main

import "stowage/cmd/internal/cli"

// help is what bundle --help prints, what people need first at the top.
const help = `bundle writes the container images that Kubernetes manifests need into one file.

Usage:
  bundle -f SRC... [IMAGE...] -o OUT    write a bundle
  bundle scan -f SRC...                 list the images, without network access
  bundle rewrite -f SRC -o OUT          prepare manifests for a cluster without a registry
  bundle inspect FILE                   show what is in a bundle
  bundle verify FILE                    check every byte of a bundle
  bundle diff OLD NEW                   show what was added, removed and changed
  bundle sign FILE                      sign a bundle, for "load --verify-key"
  bundle completion SHELL               print completions for bash, zsh or fish

"bundle help COMMAND" explains each command. Copy the file to each node and run "load FILE" there.

Input:
  -f, --filename SRC      manifests: a file, a directory, an http(s) address, or - for
                          standard input; also a list a.yaml,b.yaml, a pattern 'm/*.yaml',
                          and files behind it; YAML, JSON, or a plain list of images; a
                          directory with a Chart.yaml or a kustomization.yaml is rendered by
                          helm, or by kustomize or kubectl
  -R, --recursive         also read the directories below a directory
      --only required     ignore images that only arguments, environment variables,
                          ConfigMaps and custom resources name
      --include PATTERN   treat doubtful values as images (scan warns about each)
      --exclude PATTERN   ignore images; * matches any characters, ? one character
      --from-status       take the digests that the status of pods says they run, for
                          "kubectl get pods -A -o json | bundle -f - --from-status"
      --platform LIST     platforms such as linux/amd64,linux/arm64/v8, or all
                          (default: linux on this machine's architecture)
      --strict            fail also when the registry does not have an image that only an
                          argument, variable or ConfigMap names, instead of skipping it

Charts (handed to helm template; --values, --set and --api-versions may be repeated):
      --values FILE       values of the chart
      --set KEY=VALUE     one value
      --kube-version V    version of Kubernetes to render for
      --api-versions API  an API that the cluster has, such as monitoring.coreos.com/v1
      --include-crds      render CustomResourceDefinitions too
      --release-name NAME name of the release
      --namespace NAME    namespace of the release

Output:
  -o, --output OUT        the bundle; - for standard output; a name that ends in .tar.zst
                          or .tar.gz makes a compressed bundle
      --checksum          write OUT.sha256 beside OUT, for "sha256sum -c"
      --sign-key FILE     sign the bundle with this key, as "bundle sign" does
      --summary FILE      write what is in the bundle, what changed, the warnings and the pulls
                          in Markdown, such as for "$GITHUB_STEP_SUMMARY"
      --reuse FILE        copy what an older bundle has instead of fetching it; the bundle
                          that is replaced is always reused
      --since FILE        make a differential bundle: omit the layers of an older bundle
                          that every node has loaded
      --have LIST         the same for a list of digests, as load inventory prints it; of
                          the lists of several nodes, for what all of them have
      --first PATTERN     put images first in the file and in the load, in the order of the
                          flags; the sandbox image and the images of DaemonSets in kube-system
                          follow, then the others by name
      --flat              list the manifest of each platform directly, without the index,
                          for readers that need every platform of an index (kind, oras)
      --keep-going        write the bundle without the images that are not available; they
                          are listed in the output and in the bundle, and the exit code is 3
      --dry-run           print what would be pulled, and exit

Registries and accounts:
      --mirror REG=HOST[/PREFIX]  ask HOST first for images of REG, such as docker.io
      --registries FILE   mirrors, accounts and certificates of a registries.yaml (k3s, RKE2)
      --hosts-dir DIR     mirrors, certificates and headers of containerd's hosts.toml files,
                          such as /etc/containerd/certs.d
      --resolve-at-origin resolve tags at REG itself, by a HEAD that costs no pull, and take
                          only bytes by digest from the mirror, which need not be trusted
      --authfile FILE     accounts in the format of docker's config.json, before all others
      --creds HOST=USER   an account; bundle asks for its password on a terminal and reads
                          it from the next line of standard input otherwise, or from a file
                          with --creds HOST=USER:@FILE
      --explain-auth      print which account each image would be pulled with, and exit
      --insecure HOST     allow plain HTTP and unknown certificates for HOST
      --ca-file FILE      certificates (PEM) to trust besides those of the system
      --max-pulls N       fail before the first pull when more than N are needed
      --wait DURATION     wait this long for a pull limit to reset, such as 6h, before failing
      --referrers         include signatures, attestations and SBOMs
      --jobs N            concurrent requests (default 8)
      --limit-rate RATE   fetch at most this many bytes a second from all registries together,
                          such as 500k, 2M or 1G (k is 1024, as for curl; 0: no limit)

Accounts are taken from the flags above, from secrets in the manifests that the image's
pods name (type dockerconfigjson or dockercfg), from --registries, DOCKER_AUTH_CONFIG,
REGISTRY_AUTH_FILE, docker's config.json with its helpers, podman's auth.json, and other
secrets in the manifests, in this order. A refused account is an error: bundle never falls back to anonymous access.

Messages:
      --progress MODE     auto, plain, json or none (default auto)
  -q, --quiet             errors and warnings only: --progress none
  -v, --version           print the version and exit
  -h, --help              print this text

A run that fails leaves OUT.partial beside OUT; the same command resumes from it.

` + cli.ExitCodes + `
Example:
  bundle -f https://raw.githubusercontent.com/projectcalico/calico/v3.28.0/manifests/calico.yaml -o calico.tar
`

const scanHelp = `bundle scan lists the images that Kubernetes manifests need. It pulls nothing and, without
--pin, sends no request to a registry.

Usage:
  bundle scan -f SRC... [--output FORMAT] [--fail-on LIST]
  bundle scan -f SRC... --pin > images.lock
  bundle scan -f SRC... --check-lock images.lock

  -f, --filename SRC      manifests: a file, a directory, an http(s) address, or - for
                          standard input; YAML, JSON, or a plain list of images; a
                          directory with a Chart.yaml or a kustomization.yaml is rendered by
                          helm, or by kustomize or kubectl; --values FILE, --set KEY=VALUE,
                          --kube-version V, --api-versions API, --include-crds,
                          --release-name NAME and --namespace NAME are handed to helm
  -R, --recursive         also read the directories below a directory
      --pin               print name:tag@sha256:... for each image: a lock file, from which
                          bundle -f makes the same bundle as from the manifests today;
                          resolves tags by HEAD, which costs no pulls; the flags
                          --mirror, --registries, --hosts-dir, --resolve-at-origin,
                          --authfile, --creds, --insecure, --ca-file, --wait and --jobs are
                          those of bundle
      --check-lock FILE   print the images that a lock file does not cover, and exit with 1
                          if there is one; sends no request to a registry; the reports of
                          --output have them beside the warnings
      --fail-on LIST      exit with 1 if there is a warning with one of these codes, such as
                          placeholder,invalid-reference,pull-policy-always
  -o, --output FORMAT     name: one name a line, each once (default)
                          wide: a line for each place, with class, place, object and field
                          json: an object for each place and each warning, one a line
                          sarif: the warnings as SARIF 2.1.0, for GitHub and editors
                          codequality: the warnings as a Code Quality report, for GitLab
                          github: the warnings as annotations of a GitHub workflow
      --only required     ignore images that only arguments, environment variables,
                          ConfigMaps and custom resources name
      --include PATTERN   treat doubtful values as images (scan warns about each)
      --exclude PATTERN   ignore images; * matches any characters, ? one character
      --from-status       take the digests that the status of pods says they run

Warnings go to standard error, with json and the reports to standard output. A manifest
that cannot be read is an error with its place; the images of the others are listed, and
the exit code is 1.

` + cli.ExitCodes + `
Example:
  kubectl kustomize ./overlay | bundle scan -f - --output wide
`

const rewriteHelp = `bundle rewrite prepares manifests for a cluster without a registry. It changes
imagePullPolicy: Always to IfNotPresent and, with --pin, tags to tag@digest; every other
byte stays the same.

Usage:
  bundle rewrite -f SRC -o OUT [--pin LOCK]

  -f, --filename SRC      a file, a directory, or - for standard input
  -R, --recursive         also read the directories below a directory
  -o, --output OUT        a file, a directory when SRC is one, or - for standard output
      --pin LOCK          a list with a line "name:tag@sha256:..." for each image

A place that cannot be changed safely stays as it is and is named on standard error.

` + cli.ExitCodes + `
Example:
  bundle rewrite -f calico.yaml -o calico-gap.yaml && diff -u calico.yaml calico-gap.yaml
`

const inspectHelp = `bundle inspect shows what is in a bundle. It reads no layer.

Usage:
  bundle inspect [--output text|json|html|identity] FILE

  -o, --output FORMAT  text (default), json, or html: one page without scripts, with a
                       picture of what takes the space, for screens, phones and paper;
                       identity is the digest that names the bundle, alone

` + cli.ExitCodes + `
Example:
  bundle inspect calico.tar
  bundle inspect calico.tar --output html > calico.html
`

const verifyHelp = `bundle verify reads a complete bundle and checks every digest.

Usage:
  bundle verify [flags] FILE

      --identity DIGEST  fail unless this is the identity of the bundle
      --verify-key FILE  fail unless a key in this file signed the bundle: a public key of
                         openssl or ssh-keygen, or an allowed_signers file; repeat for several
      --signature FILE   the signature (default: the files beside FILE that bundle sign writes)
      --jobs N           blobs read at once (default: one for each processor)
  -o, --output FORMAT    text or json (default text)
      --progress MODE    auto, plain, json or none (default auto)
  -q, --quiet            errors and warnings only: --progress none

` + cli.ExitCodes + `
Example:
  bundle verify calico.tar && scp calico.tar node:
`

const signHelp = `bundle sign signs the identity of a bundle, and by it every byte, and prints the name of the
signature. It does not read the layers: "bundle verify" does.

Usage:
  bundle sign --key KEY FILE

      --key FILE      private key: of ssh-keygen, or PEM (PKCS #8; Ed25519 or ECDSA) without a
                      passphrase. For an SSH key in an agent or on a FIDO token, its .pub file
      --sequence N    number of the bundle in its series: a node whose policy demands a higher
                      one refuses it
      --expires WHEN  when the signature ends: a number of days, such as 90d, or a date, such
                      as 2027-01-31 (default: never)

A PEM key writes FILE.sigstore.json, which "cosign verify-blob-attestation" reads; an SSH key
writes FILE.intoto.json and its signature FILE.intoto.json.sig, which "ssh-keygen -Y verify"
reads, in the namespace stowage. Copy the files along with the bundle.

` + cli.ExitCodes + `
Example:
  bundle sign --key ~/.ssh/id_ed25519 calico.tar
`

const diffHelp = `bundle diff shows which images were added, removed and changed between two bundles, and how
many bytes only the new bundle has.

Usage:
  bundle diff [--output text|json] OLD NEW

  -o, --output FORMAT  text (default) or json

` + cli.ExitCodes + `
Example:
  bundle diff calico-v3.28.0.tar calico-v3.28.1.tar
`
