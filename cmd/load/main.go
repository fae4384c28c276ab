//go:build linux

// Command load imports a bundle's images into this node's containerd and then asks the node
// for each of them, as the kubelet would. See its --help and docs/.
package main

import (
	"os"
	"runtime/debug"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/completion"
)

// program returns the command with its jobs.
func program() *cli.Program {
	return &cli.Program{
		Name: "load",
		Main: runLoad,
		Jobs: map[string]cli.Job{
			"check":      runCheck,
			"inventory":  runInventory,
			"place":      runPlace,
			"serve":      runServe,
			"unpin":      runUnpin,
			"why":        runWhy,
			"completion": completion.Job(program),
		},
		Guesses: map[string][]string{
			"list": {"load check FILE", "crictl images"}, "ls": {"load check FILE", "crictl images"}, "ps": {"load check FILE", "crictl images"},
			"images": {"load check FILE", "crictl images"}, "image": {"load check FILE", "crictl images"}, "status": {"load check FILE"}, "test": {"load check FILE"},
			"import": {"load"}, "load": {"load"}, "add": {"load"}, "push": {"load"}, "run": {"load"}, "file": {"load"},
			"blobs": {"load inventory"}, "digests": {"load inventory"}, "have": {"load inventory"},
			"copy": {"load place FILE"}, "cp": {"load place FILE"}, "install": {"load place FILE"}, "stage": {"load place FILE"},
			"remove": {"load unpin FILE"}, "rm": {"load unpin FILE"}, "delete": {"load unpin FILE"}, "rmi": {"load unpin FILE"},
			"unload": {"load unpin FILE"}, "prune": {"load unpin FILE"}, "gc": {"load unpin FILE"},
			"explain": {"load why"}, "describe": {"load why"}, "doctor": {"load why"}, "diagnose": {"load why"}, "debug": {"load why"}, "logs": {"load why"},
			"verify": {"bundle verify FILE"}, "inspect": {"bundle inspect FILE"}, "show": {"bundle inspect FILE"}, "info": {"bundle inspect FILE"},
			"diff": {"bundle diff OLD NEW"}, "scan": {"bundle scan -f FILE"}, "rewrite": {"bundle rewrite -f FILE"},
			"pull": {"bundle -f FILE -o OUT"}, "save": {"bundle -f FILE -o OUT"}, "bundle": {"bundle -f FILE -o OUT"},
		},
		Interrupted: interrupted,
	}
}

// guesses are flags of docker, ctr and nerdctl, with those that load has instead.
var guesses = map[string]string{
	"f": "-i FILE", "file": "-i FILE", "filename": "-i FILE", "bundle": "-i FILE",
	"dry-run": "load check FILE", "dryrun": "load check FILE", "verify": "load check FILE",
	"socket": "--address SOCKET", "sock": "--address SOCKET", "host": "--address SOCKET", "H": "--address SOCKET",
	"dest": "--dir DIR", "directory": "--dir DIR", "d": "--dir DIR",
	"verbose": "--progress plain", "debug": "--progress plain", "no-progress": "--progress none", "silent": "--quiet", "json": "--output json",
	"discard-unpacked-layers": "--discard-layers", "j": "--jobs N", "parallel": "--jobs N",
	"cluster": "--kind=NAME", "container": "--node CONTAINER", "nodes": "--node CONTAINER",
	"unpin": "load unpin FILE", "A": "--all",
}

// interrupted is the message of a run that a signal ended before any image became visible.
const interrupted = "interrupted: no image was made visible"

// memory is what the garbage collector tries not to exceed, in bytes. It is above what a
// load needs, and keeps the peak of one that needs more near to what it holds.
const memory = 64 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
	program().Exit()
}
