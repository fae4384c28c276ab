package pull

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// trap is a store of metadata that panics for one digest.
type trap struct {
	MetadataStore
	at digest.Digest
}

func (s *trap) Metadata(d digest.Digest) ([]byte, error) {
	if d == s.at {
		var none []int
		_ = none[len(s.at)]
	}
	return s.MetadataStore.Metadata(d)
}

// TestPanicIsOneImage: a panic in the work on one image or blob is the failure of that one,
// which names the place.
func TestPanicIsOneImage(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	one := registrytest.Must(h.AddImage("a/one", "v1", registrytest.Image{}))(t)
	two := registrytest.Must(h.AddImage("b/two", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 2}}}))(t)
	for name, at := range map[string]digest.Digest{"manifest": one.Digest, "config": one.Manifests[0].Config.Digest} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, func(o *Options) { o.Metadata = &trap{&memory{}, at} })
			images, failures, err := c.Resolve(t.Context(), refs(h.Ref("a/one", "v1"), h.Ref("b/two", "v1")))
			var panicked *PanicError
			if err != nil || len(images) != 1 || len(failures) != 1 || !errors.As(failures[0].Err, &panicked) {
				t.Fatalf("Resolve = %v, %v, %v", images, failures, err)
			}
			if images[0].Target.Digest != two.Digest || failures[0].Name != h.Ref("a/one", "v1") || !strings.HasPrefix(panicked.At, "panic_test.go:") {
				t.Errorf("%s, %v: %v", images[0].Name, failures[0].Name, panicked)
			}
		})
	}
	t.Run("blob", func(t *testing.T) {
		c := newClient(t, nil)
		blobs := blobsOf(t, c, resolve(t, c, h.Ref("a/one", "v1"), h.Ref("b/two", "v1")))
		err := c.FetchAll(t.Context(), blobs, func(d ocispec.Descriptor) (Sink, error) {
			if d.Digest == blobs[0].Digest {
				panic("sink")
			}
			return newPieces(d), nil
		})
		var failed *FetchError
		var panicked *PanicError
		if !errors.As(err, &failed) || len(failed.Blobs) != 1 || failed.Blobs[0].Digest != blobs[0].Digest || !errors.As(err, &panicked) {
			t.Errorf("FetchAll = %v", err)
		}
	})
}
