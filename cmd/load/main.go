//go:build linux

// Command load puts a bundle's images into this node's containerd and asks the node, as the
// kubelet would, whether each is there. See its --help and docs/.
package main

import "stowage/cmd/internal/cli"

var program = cli.Program{
	Name: "load",
	Main: runLoad,
	Jobs: map[string]cli.Job{
		"check":     runCheck,
		"inventory": runInventory,
		"place":     runPlace,
		"unpin":     runUnpin,
	},
	Interrupted: "interrupted: no image was made visible",
}

func main() { program.Exit() }

const help = `load puts the images of a bundle into this node's containerd, so that the kubelet needs no
registry for them, and then asks the node for each of them as the kubelet would.

Usage:
  load FILE          import, unpack, pin, and prove; FILE may be packed with gzip or zstd
  load -             the same from standard input, as it arrives: nothing is stored twice;
                     tarballs of docker save, ctr, skopeo and others, too
  load check FILE    the proof alone; writes nothing
  load inventory     the digests this node holds, for "bundle --have"
  load place FILE    for a node that is not up yet: into the image folder of k3s, RKE2 or k0s
  load unpin [FILE]  let the kubelet's garbage collection have the images again

  -a, --address SOCKET     containerd's socket (default: CONTAINERD_ADDRESS, else the usual
                           places of k3s, RKE2, k0s, microk8s and containerd itself)
  -n, --namespace NAME     containerd's namespace (default k8s.io, the kubelet's)
      --snapshotter NAME   where to unpack (default: what the node's CRI uses)
      --no-pin             let the kubelet's garbage collection remove the images
      --discard-layers     do not keep the compressed layers: less disk and time, but then
                           the images cannot be exported, pushed, or given to other nodes
                           by this one, nor used with another snapshotter
      --jobs N             layers at once (default: twice the cores, at most 4)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
      --version            print the version and end
  -h, --help               this text

It needs root. What is there already is neither read nor sent again. Names become visible
last, when everything below them is complete and on disk: a run that ends early leaves no
image that is not whole, and the same command goes on from there.

` + cli.ExitCodes + `
Example:
  sudo load calico.tar
  ssh node sudo load - < calico.tar
`

const checkHelp = `load check asks the node for each image of a bundle, as the kubelet would. It writes nothing.

Usage:
  load check FILE

  -a, --address SOCKET     containerd's socket (default: as for load)
  -n, --namespace NAME     containerd's namespace (default k8s.io)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
  -h, --help               this text

` + cli.ExitCodes + `
Example:
  load check calico.tar && echo "the kubelet needs no registry for these"
`
