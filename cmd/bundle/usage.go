package main

import "stowage/cmd/internal/cli"

// help is what bundle --help prints: what people need first comes first.
const help = `bundle writes the container images that Kubernetes manifests need into one file.

Usage:
  bundle -f SRC... [IMAGE...] -o OUT    write a bundle
  bundle scan -f SRC...                 list the images, without any network
  bundle rewrite -f SRC -o OUT          make manifests ready for the gap
  bundle inspect FILE                   what is in a bundle
  bundle verify FILE                    check every byte of a bundle
  bundle diff OLD NEW                   what came, went and changed

Each has its own --help. Carry the file over and run "load FILE" on each node.

What goes in:
  -f, --filename SRC      manifests: a file, a directory, an http(s) address, or - for
                          standard input; YAML, JSON, or a plain list of images
  -R, --recursive         look into the directories below a directory too
      --only required     leave out images that only arguments, environment variables,
                          ConfigMaps and custom resources name
      --include PATTERN   take doubtful values as images (the scan warns of each)
      --exclude PATTERN   leave out images; * stands for any characters, ? for one
      --platform LIST     platforms such as linux/amd64,linux/arm64/v8, or all
                          (default: linux on this machine's architecture)
      --strict            an image that only an argument, variable or ConfigMap names and
                          that the registry does not have is an error too

What comes out:
  -o, --output OUT        the bundle; - for standard output; a name that ends in .tar.zst
                          or .tar.gz makes a compressed one
      --reuse FILE        take what an older bundle has instead of fetching it; the
                          bundle that is replaced is used by itself
      --since FILE        a differential bundle: leave out the layers of an older bundle
                          that every node has loaded
      --have LIST         the same for a list of digests
      --flat              list each platform's manifest by itself and leave the index out,
                          for readers that want every platform of an index (kind, oras)
      --keep-going        write the bundle without the images that cannot be had; they are
                          listed in the output and in the bundle, and the exit code is 3
      --dry-run           say what would be pulled, and end

Registries and accounts:
      --mirror REG=HOST[/PREFIX]  ask HOST first for images of REG, such as docker.io
      --registries FILE   mirrors, accounts and certificates of a registries.yaml (k3s, RKE2)
      --hosts-dir DIR     mirrors, certificates and headers of containerd's hosts.toml files,
                          such as /etc/containerd/certs.d
      --resolve-at-origin ask REG itself what a tag means, by a HEAD that costs no pull, and
                          take only bytes by digest from the mirror: it need not be trusted
      --authfile FILE     accounts in the form of docker's config.json, before all others
      --creds HOST=USER   an account; its password is the next line of standard input,
                          or the file's content with --creds HOST=USER:@FILE
      --explain-auth      say which account each image would be pulled with, and end
      --insecure HOST     plain HTTP or an unknown certificate is allowed for HOST
      --ca-file FILE      certificates (PEM) to trust beside the system's
      --max-pulls N       refuse before the first pull when more than N are needed
      --wait DURATION     sit out a pull limit for so long, such as 6h, instead of ending
      --referrers         take signatures, attestations and SBOMs along
      --jobs N            requests at once (default 8)

Accounts are taken from the flags above, from secrets of type dockerconfigjson or
dockercfg in the manifests, from --registries, from DOCKER_AUTH_CONFIG,
REGISTRY_AUTH_FILE, docker's config.json with its helpers, and podman's auth.json, in
this order. One that is refused is an error; nothing is tried without it.

Saying how it goes:
      --progress MODE     auto, plain, json or none (default auto)
      --version           print the version and end
  -h, --help              this text

A run that ends early leaves OUT.partial beside OUT: the same command goes on from there.

` + cli.ExitCodes + `
Example:
  bundle -f https://raw.githubusercontent.com/projectcalico/calico/v3.28.0/manifests/calico.yaml -o calico.tar
`

const scanHelp = `bundle scan lists the images that Kubernetes manifests need. It pulls nothing and, without
--pin, asks nobody.

Usage:
  bundle scan -f SRC... [--output wide|json] [--pin]

  -f, --filename SRC      manifests: a file, a directory, an http(s) address, or - for
                          standard input; YAML, JSON, or a plain list of images
  -R, --recursive         look into the directories below a directory too
      --pin               print name:tag@sha256:... for each image, asking the registries by
                          HEAD, which costs no pulls: a lock file, which -f takes; the flags
                          --mirror, --registries, --hosts-dir, --resolve-at-origin,
                          --authfile, --creds, --insecure, --ca-file, --wait and --jobs are
                          those of bundle
  -o, --output FORMAT     name: one name a line, no repeats (default)
                          wide: a line for each place, with class, place, object and field
                          json: an object for each place and each warning, one a line
      --only required     leave out images that only arguments, environment variables,
                          ConfigMaps and custom resources name
      --include PATTERN   take doubtful values as images (the scan warns of each)
      --exclude PATTERN   leave out images; * stands for any characters, ? for one

Warnings go to standard error. A document that cannot be read is an error with its place;
the others are listed all the same, and the exit code is 1.

` + cli.ExitCodes + `
Example:
  kubectl kustomize ./overlay | bundle scan -f - --output wide
`

const rewriteHelp = `bundle rewrite gives manifests back ready for a place without a registry, byte for byte the
same but for what must change: imagePullPolicy: Always becomes IfNotPresent, and with --pin
tags become tag@digest.

Usage:
  bundle rewrite -f SRC -o OUT [--pin LOCK]

  -f, --filename SRC      a file, a directory, or - for standard input
  -R, --recursive         look into the directories below a directory too
  -o, --output OUT        a file, a directory when SRC is one, or - for standard output
      --pin LOCK          a list with a line "name:tag@sha256:..." for each image

What cannot be edited safely is left as it was and named on standard error.

` + cli.ExitCodes + `
Example:
  bundle rewrite -f calico.yaml -o calico-gap.yaml && diff -u calico.yaml calico-gap.yaml
`

const inspectHelp = `bundle inspect tells what is in a bundle, reading no more of it than that takes.

Usage:
  bundle inspect [--output text|json] FILE

` + cli.ExitCodes + `
Example:
  bundle inspect calico.tar
`

const verifyHelp = `bundle verify reads a whole bundle and checks every digest.

Usage:
  bundle verify [--jobs N] [--output text|json] FILE

` + cli.ExitCodes + `
Example:
  bundle verify calico.tar && scp calico.tar node:
`

const diffHelp = `bundle diff tells which images came, went and changed from one bundle to another, and how
many bytes the new one has that the old one has not.

Usage:
  bundle diff [--output text|json] OLD NEW

` + cli.ExitCodes + `
Example:
  bundle diff calico-v3.28.0.tar calico-v3.28.1.tar
`
