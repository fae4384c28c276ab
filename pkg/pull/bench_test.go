package pull

import (
	"fmt"
	"iter"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// BenchmarkResolve measures resolving 100 images of two platforms at a registry on this
// machine with tokens, with no manifest held ("first") and all of them ("again").
func BenchmarkResolve(b *testing.B) {
	h := registrytest.Start(b, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
	var names []string
	for i := range 100 {
		repo := fmt.Sprintf("team/image%d", i)
		layer := &registrytest.Layer{Files: []registrytest.File{{Name: "f", Size: int64(i)}}}
		registrytest.Must(h.AddIndex(repo, "v1", registrytest.Index{Images: []registrytest.Image{{Layers: []*registrytest.Layer{layer}}, {Platform: "linux/arm64", Layers: []*registrytest.Layer{layer}}}}))(b)
		names = append(names, h.Ref(repo, "v1"))
	}
	held := &memory{}
	run := func(b *testing.B, docs MetadataStore) {
		c, err := New(Options{Platforms: []ocispec.Platform{amd64}, Metadata: docs})
		if err != nil {
			b.Fatal(err)
		}
		images, _, err := c.Resolve(b.Context(), refs(names...))
		if err != nil || len(images) != len(names) {
			b.Fatalf("%d images, %v", len(images), err)
		}
	}
	run(b, held)
	for name, docs := range map[string]func() MetadataStore{"first": func() MetadataStore { return &memory{} }, "again": func() MetadataStore { return held }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run(b, docs())
			}
			b.ReportMetric(float64(b.N*len(names))/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// nothing discards the bytes of a blob.
type nothing struct{ size int64 }

func (nothing) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nothing) Prefix() int64                          { return 0 }
func (nothing) Commit() error                          { return nil }
func (nothing) Close() error                           { return nil }
func (n nothing) Missing() iter.Seq2[int64, int64]     { return yield([]segment{{0, n.size}}) }

// BenchmarkFetch measures fetching a blob of 256 MiB, without a limit and from a server that
// limits each connection to 50 MB/s.
func BenchmarkFetch(b *testing.B) {
	const size = 256 << 20
	h := registrytest.Start(b, registrytest.Options{})
	layer := &registrytest.Layer{Files: []registrytest.File{{Name: "f", Size: size, Fill: registrytest.FillSparse}}, Compression: registrytest.None}
	blob := registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{Layers: []*registrytest.Layer{layer}}))(b).Manifests[0].Layers[0]
	c, err := New(Options{Platforms: []ocispec.Platform{amd64}})
	if err != nil {
		b.Fatal(err)
	}
	if _, failures, err := c.Resolve(b.Context(), refs(h.Ref("a/b", "v1"))); err != nil || len(failures) > 0 {
		b.Fatal(err, failures)
	}
	for _, run := range []struct {
		name string
		rate int64
		sink Sink
	}{
		{"unlimited/stream", 0, struct{ Sink }{nothing{blob.Size}}},
		{"unlimited/ranges", 0, nothing{blob.Size}},
		{"50MBps/stream", 50e6, struct{ Sink }{nothing{blob.Size}}},
		{"50MBps/ranges", 50e6, nothing{blob.Size}},
	} {
		b.Run(run.name, func(b *testing.B) {
			h.SetFaults(func(f *registrytest.Faults) { f.ConnRate = run.rate })
			h.Reset()
			b.ReportAllocs()
			for b.Loop() {
				if err := c.FetchAll(b.Context(), []ocispec.Descriptor{blob}, func(ocispec.Descriptor) (Sink, error) { return run.sink, nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(blob.Size)/(1<<20)/b.Elapsed().Seconds(), "MiB/s")
			b.ReportMetric(float64(h.Counts().BlobGets)/float64(b.N), "requests/op")
		})
	}
}
