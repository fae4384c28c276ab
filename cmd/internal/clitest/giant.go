package clitest

import (
	"fmt"
	"testing"

	"stowage/internal/registrytest"
)

// The sizes of the tests of constant memory.
const (
	GiantLayer = 2 << 30  // bytes of content in one layer
	MaxRSS     = 64 << 20 // limit of a program's resident memory in bytes
)

// Giants adds an image with a layer of [GiantLayer] bytes to a registry for each
// compression and returns their references. With registrytest.None and
// registrytest.GzipStored the registry generates the bytes on demand and stores nothing.
func Giants(t testing.TB, h *registrytest.Registry, compressions ...registrytest.Compression) []string {
	t.Helper()
	var refs []string
	for _, c := range compressions {
		repo := fmt.Sprintf("giant/kind%d", c)
		layer := &registrytest.Layer{
			Seed: 1, Compression: c,
			Files: []registrytest.File{{Name: "data/"}, {Name: "data/" + repo, Size: GiantLayer, Fill: registrytest.FillSparse}},
		}
		registrytest.Must(h.AddImage(repo, "v1", registrytest.Image{Layers: []*registrytest.Layer{layer}}))(t)
		refs = append(refs, h.Ref(repo, "v1"))
	}
	return refs
}
