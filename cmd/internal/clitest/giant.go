package clitest

import (
	"fmt"
	"testing"

	"stowage/internal/hub"
	"stowage/internal/hub/hubtest"
)

// The sizes of the tests that hold memory flat.
const (
	GiantLayer = 2 << 30  // bytes of content in one layer
	MaxRSS     = 64 << 20 // bytes a program may have resident
)

// Giants puts an image with a layer of [GiantLayer] into a hub for each of the
// compressions and gives their references. Nothing of them is kept where the hub can make
// every byte when it is asked for: hub.None and hub.GzipStored.
func Giants(t testing.TB, h *hub.Hub, compressions ...hub.Compression) []string {
	t.Helper()
	var refs []string
	for _, c := range compressions {
		repo := fmt.Sprintf("giant/kind%d", c)
		layer := &hub.Layer{
			Seed: 1, Compression: c,
			Files: []hub.File{{Name: "data/"}, {Name: "data/" + repo, Size: GiantLayer, Fill: hub.FillSparse}},
		}
		hubtest.Must(h.AddImage(repo, "v1", hub.Image{Layers: []*hub.Layer{layer}}))(t)
		refs = append(refs, h.Ref(repo, "v1"))
	}
	return refs
}
