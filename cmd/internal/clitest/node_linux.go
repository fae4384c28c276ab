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

// NodeCommand returns the command "node" of scripts: a real containerd. All scripts of a
// directory may share it as long as they use different image names.
//
//	node ctr ARG...          runs ctr in the namespace of Kubernetes
//	node run IMAGE [ARG...]  runs a pod with one container, created as a kubelet does
//	[!] node has IMAGE...    checks that CRI has the images and that they are pinned
//	node listed NAME...      checks that ctr images ls has the names
//	node unlisted TEXT...    checks that no name there contains one of the texts
//
// The output of ctr and run can be checked with stdout.
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
			ctx, cancel := context.WithTimeout(stateOf(ts).t.Context(), time.Minute) // some programs do not exit
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

// has calls ImageStatus of CRI, as a kubelet does before it pulls.
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

// list checks for names in the output of ctr.
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
