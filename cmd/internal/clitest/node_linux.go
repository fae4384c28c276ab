package clitest

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/nodetest"
)

// NodeCommand is the node of scripts, a real containerd that all scripts of a folder may
// share as long as each has image names of its own.
//
//	node ctr ARG...          runs ctr in the namespace of Kubernetes
//	node run IMAGE [ARG...]  a pod with one container of it, made as a kubelet makes it
//	[!] node has IMAGE...    what CRI answers; an image that it has must be pinned
//	node listed NAME...      wants the names in ctr images ls
//	node unlisted TEXT...    wants no name there that holds one of these
//
// What ctr and run print can be looked at with stdout.
func NodeCommand(n *nodetest.Node) Cmd {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) < 2 || neg && args[0] != "has" {
			ts.Fatalf("usage: node ctr|run|has|listed|unlisted ARG...")
		}
		switch args[0] {
		case "ctr":
			out, err := n.Ctr(args[1:]...)
			printed(ts, out, err)
		case "run":
			ctx, cancel := context.WithTimeout(stateOf(ts).t.Context(), time.Minute) // some programs stay
			defer cancel()
			out, err := n.RunContainer(ctx, args[1], args[2:]...)
			printed(ts, out, err)
		case "has":
			for _, name := range args[1:] {
				has(ts, n, name, !neg)
			}
		case "listed", "unlisted":
			list(ts, n, args[0] == "listed", args[1:])
		default:
			ts.Fatalf("node %s: no such command", args[0])
		}
	}
}

func printed(ts *testscript.TestScript, out string, err error) {
	_, werr := io.WriteString(ts.Stdout(), out)
	ts.Check(werr)
	if err != nil {
		ts.Fatalf("%v\n%s", err, out)
	}
}

// has asks CRI as a kubelet does before it would pull.
func has(ts *testscript.TestScript, n *nodetest.Node, name string, want bool) {
	resp, err := n.Images().ImageStatus(stateOf(ts).t.Context(), &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	ts.Check(err)
	if got := resp.Image != nil; got != want {
		ts.Fatalf("CRI has %s: %v", name, got)
	}
	if want && !resp.Image.Pinned {
		ts.Fatalf("CRI has %s, but not pinned", name)
	}
}

// list looks for names in what ctr lists.
func list(ts *testscript.TestScript, n *nodetest.Node, want bool, names []string) {
	out, err := n.Ctr("images", "ls", "-q")
	ts.Check(err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, name := range names {
		there := slices.Contains(lines, name)
		if !want {
			there = strings.Contains(out, name)
		}
		if there != want {
			ts.Fatalf("ctr lists %s: %v\n%s", name, there, out)
		}
	}
}
