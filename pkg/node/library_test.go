//go:build linux

package node_test

import (
	"strings"
	"testing"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// TestMakeAndLoad runs the package's example.
func TestMakeAndLoad(t *testing.T) {
	machine := nodetest.Start(t)
	registry := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(registry.AddCalico(registrytest.CalicoOptions{}))(t)
	var out strings.Builder
	if err := makeAndLoad(t.Context(), &out, "docker.io/calico/cni:v3.28.0", registry.Host(), machine.Address(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if want := "docker.io/calico/cni:v3.28.0 loaded ready\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
