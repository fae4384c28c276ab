//go:build linux

package node_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"stowage/pkg/archive"
	"stowage/pkg/node"
)

// Load a bundle into the containerd that serves the kubelet. (Not run: it needs one.)
func ExampleNode_Load() {
	ctx := context.Background()
	b, err := archive.Open(ctx, "calico.tar", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	n, err := node.Connect(ctx, node.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	report, err := n.Load(ctx, b, node.LoadOptions{})
	if errors.Is(err, node.ErrIncomplete) && report != nil {
		log.Fatalf("a pod would still have to pull %q", report.Missing())
	}
	if err != nil {
		log.Fatal(err)
	}
	for _, i := range report.Images {
		fmt.Println(i.Name, i.Status)
	}
}
