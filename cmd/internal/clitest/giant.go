package clitest

import (
	"fmt"
	"testing"

	"stowage/internal/registrytest"
)

// The sizes of the tests that hold memory flat.
const (
	GiantLayer = 2 << 30  // bytes of content in one layer
	MaxRSS     = 64 << 20 // bytes a program may have resident
)

// Giants puts an image with a layer of [GiantLayer] into a registry for each of the
// compressions and gives their references. Nothing of them is kept where the registry can make
// every byte when it is asked for: registrytest.None and registrytest.GzipStored.
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
