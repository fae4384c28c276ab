//go:build linux

package main

import "stowage/cmd/internal/cli"

const help = `load puts the images of a bundle into this node's containerd, so that the kubelet needs no
registry for them, and then asks the node for each of them as the kubelet would.

Usage:
  load FILE...       import, unpack, pin and verify; FILE may be compressed with gzip or zstd
  load -             the same from standard input, without a copy on disk; also reads
                     tarballs of docker save, ctr, skopeo and others
  load check FILE    only verify; writes nothing
  load inventory     print the digests this node holds, for "bundle --have", or its images
  load serve [FILE]  answer pulls on this machine from the node's images, or a bundle's
  load place FILE    copy to the image directory of k3s, RKE2 or k0s, before the node starts
  load unpin FILE    let the kubelet's garbage collection remove the images again
  load why [POD]     say why pods of this node wait for their images
  load completion SHELL    print completions for bash, zsh or fish

  -i, --input FILE         the same as FILE, as of docker load
  -a, --address SOCKET     containerd's socket (default: CONTAINERD_ADDRESS, else the usual
                           sockets of k3s, RKE2, k0s, microk8s and containerd itself)
  -n, --namespace NAME     containerd's namespace (default k8s.io, the kubelet's)
      --snapshotter NAME   snapshotter to unpack with (default: the one of the node's CRI)
      --name [DIGEST=]NAME name an image that has none in another program's tarball; NAME
                           without a tag takes the tag in the tarball; repeat with DIGEST=
                           for several
      --kubelet-dir DIR    root directory of the kubelet (default: the running kubelet's, else
                           the usual places of kubeadm, k3s, RKE2, k0s and microk8s)
      --kind[=NAME]        load into the nodes of a kind cluster, which are containers of docker
                           or podman: copy this program into each and run it there; without
                           =NAME, the cluster that was made without a name
      --k3d[=NAME]         the same for k3d
      --minikube[=NAME]    the same for minikube's docker driver
      --node CONTAINER     the same for the node in this container; repeatable
      --trust-preloaded    where the kubelet would ask a registry because of its own pull
                           records, record that every pod of this node may use the image,
                           whatever credentials it was pulled with; restart the kubelet then
      --no-pin             let the kubelet's garbage collection remove the images
      --no-move            refuse a bundle in which a name is another image than on this
                           node (exit code 6), before anything is written
      --no-referrers       leave signatures, attestations and SBOMs in the bundle: without it
                           this node keeps those of its images, as long as it has them
      --identity DIGEST    refuse any bundle but the one with this identity
      --verify-key FILE    refuse a bundle that no key in this file signed: a public key of
                           openssl or ssh-keygen, or an allowed_signers file; repeat for
                           several. /etc/stowage/policy.yaml demands it for every load
      --signature FILE     the signature (default: the files beside FILE that "bundle sign"
                           writes)
      --discard-layers     do not keep the compressed layers: saves disk and time, but this
                           node cannot export or push the images, pass them on to other
                           nodes, or use them with another snapshotter
      --jobs N             concurrent layers (default: twice the cores, at most 4)
      --limit-rate RATE    read at most this many bytes a second of standard input or FILE,
                           such as 500k, 2M or 1G (k is 1024, as for curl; 0: no limit)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
  -q, --quiet              errors and warnings only: --progress none
  -v, --version            print the version and exit
  -h, --help               print this text

load needs root. It neither reads nor sends what is there already. Names become visible
last, when their content is complete and on disk: a run that fails leaves no incomplete
image, and the same command resumes.

` + cli.ExitCodes + `
Example:
  sudo load calico.tar
  ssh node sudo load - < calico.tar
  load --kind calico.tar
`

const checkHelp = `load check asks the node for each image of a bundle, as the kubelet would. It writes nothing.

Usage:
  load check FILE...

  -i, --input FILE         the same as FILE
  -a, --address SOCKET     containerd's socket (default: as for load)
  -n, --namespace NAME     containerd's namespace (default k8s.io)
      --name [DIGEST=]NAME name an image that has none in another program's tarball
      --kubelet-dir DIR    root directory of the kubelet (default: as for load)
      --kind[=NAME]        check the nodes of a kind cluster (as for load)
      --k3d[=NAME]         check the nodes of a k3d cluster
      --minikube[=NAME]    check the nodes of a cluster of minikube's docker driver
      --node CONTAINER     check the node in this container; repeatable
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
  -q, --quiet              errors and warnings only: --progress none
  -h, --help               print this text

` + cli.ExitCodes + `
Example:
  load check calico.tar && echo "the kubelet needs no registry for these"
`

const placeHelp = `load place copies a bundle into the directory from which the distribution imports images,
for a node whose containerd does not run yet:

  k3s   /var/lib/rancher/k3s/agent/images
  RKE2  /var/lib/rancher/rke2/agent/images
  k0s   /var/lib/k0s/images (plain tarballs only)

Exactly one of them must exist, or --dir selects one. The distribution does not see the copy
until every digest in it is checked. k3s and RKE2 do not unpack what they import: the first
pod of each image does.

Usage:
  load place FILE

      --dir DIR            the directory (default: the one above that exists)
      --identity DIGEST    refuse any bundle but the one with this identity
      --verify-key FILE    refuse a bundle that no key in this file signed, as load does
      --signature FILE     the signature (default: the files beside FILE)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
  -q, --quiet              errors and warnings only: --progress none
  -h, --help               print this text

` + cli.ExitCodes + `
Example:
  sudo mkdir -p /var/lib/rancher/k3s/agent/images
  sudo load place calico.tar
`

const unpinHelp = `load unpin lets the kubelet's garbage collection remove images again: those that the bundle
FILE has pinned or, with --all, all that any bundle has pinned on this node. The images
stay until the kubelet needs the space. Names that another bundle has pinned since, and pins
of other programs, stay as they are.

Usage:
  load unpin FILE
  load unpin --all

      --all                the images of every bundle
  -a, --address SOCKET     containerd's socket (default: as for load)
  -n, --namespace NAME     containerd's namespace (default k8s.io)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
  -q, --quiet              errors and warnings only: --progress none
  -h, --help               print this text

` + cli.ExitCodes + `
Example:
  sudo load unpin calico-v3.27.tar
`

const inventoryHelp = `load inventory prints the digests of the blobs that this node holds, one a line, sorted.
"bundle --have" with this list makes a bundle that omits those layers.

Usage:
  load inventory
  load inventory --images

      --images             print the names of the images instead, each with its digest: a list
                           from which "bundle -f" makes a bundle of them
  -a, --address SOCKET     containerd's socket (default: as for load)
  -n, --namespace NAME     containerd's namespace (default k8s.io)
  -o, --output FORMAT      text or json (default text)
  -h, --help               print this text

` + cli.ExitCodes + `
Example:
  ssh node sudo load inventory > node.list
  bundle -f calico.yaml --have node.list -o calico.tar
`

const serveHelp = `load serve is a read-only registry for this machine. It answers pulls from the images in this
node's containerd, or from those of bundles, and any other pull with 404 at once. It copies
nothing and needs no network.

Usage:
  load serve           the images of containerd, as they are at the time of each request
  load serve FILE...   the images of bundles, without containerd; FILE is not compressed
  load serve --install [FILE...]    make it a service that containerd asks first
  load serve --uninstall            remove the service, and restore what --install changed

      --listen ADDRESS     loopback address and port to listen at (default 127.0.0.1:5480)
      --verbose            print each request
      --install            write and start a socket unit of systemd, and add an entry to the
                           hosts.toml of each registry of the loaded bundles, or of FILE; for
                           k3s and RKE2, to registries.yaml
      --uninstall          stop and remove the units, and take the entries out again
  -o, --output FORMAT      text or json, of --install and --uninstall (default text)
  -i, --input FILE         the same as FILE
  -a, --address SOCKET     containerd's socket (default: as for load)
  -n, --namespace NAME     containerd's namespace (default k8s.io)
  -h, --help               print this text

It serves until SIGINT or SIGTERM ends it; transfers that run then have 10 seconds to end.
Every process that can reach the address can read every image, without an account.

` + cli.ExitCodes + `
Example:
  sudo load calico.tar && sudo load serve --install
  load serve calico.tar &
  crane manifest 127.0.0.1:5480/docker.io/calico/node:v3.28.0
`

const whyHelp = `load why says why pods of this node wait for their images: for each image the likely causes,
the most likely first, each with its cure. It writes nothing.

Usage:
  load why           all pods of this node
  load why POD       one pod; POD is its name or NAMESPACE/NAME

      --look DIR           name bundles below DIR that have the image; repeatable
      --ask                ask the registries for the images: HEAD requests without an account,
                           which count as no pull
      --kubelet-dir DIR    the kubelet's root directory (default: that of the running kubelet,
                           else /var/lib/kubelet and those of k3s, RKE2, k0s and microk8s)
  -a, --address SOCKET     containerd's socket (default: as for load)
  -o, --output FORMAT      text or json (default text)
  -h, --help               print this text

The pods are those that the kubelet lists: at its read-only port, at its port for the client
certificates of this node, or through the API server with the kubelet's account. Without
them they are the static pods, and what CRI has of others.

` + cli.ExitCodes + `
A pod that waits for an image is exit code 3.

Example:
  sudo load why --look /media/usb
`
