//go:build linux

package node

import (
	"testing"
)

// wipe removes everything from a node, so that tests can share it: starting a containerd takes
// longer than most tests.
func (n *Node) wipe(t testing.TB) {
	t.Helper()
	ctx := n.namespaced(t)
	list, err := n.images.List(ctx)
	must(t, err)
	for _, i := range list {
		must(t, n.images.Delete(ctx, i.Name))
	}
	held, err := n.client.LeasesService().List(ctx)
	must(t, err)
	for _, l := range held {
		must(t, n.client.LeasesService().Delete(ctx, l))
	}
	n.collect(t)
	if left := n.take(t); len(left.Records)+len(left.Blobs)+len(left.Ingests)+len(left.Snapshots)+len(left.Leases) > 0 {
		t.Fatalf("the node is not empty: %+v", left)
	}
}

// wiped runs a test on a node and empties that before and after it.
func wiped(t *testing.T, n *Node, name string, run func(*testing.T, *Node)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		n.wipe(t)
		m := *n // the test may change its fields
		run(t, &m)
	})
}
