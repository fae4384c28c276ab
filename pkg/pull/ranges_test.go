package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// pieces is a sink that accepts bytes in any order and knows which are missing. Like a
// bundle, it drops everything when the digest is wrong.
type pieces struct {
	*sink
	have []bool // by byte
}

func newPieces(d ocispec.Descriptor) *pieces {
	return &pieces{sink: newSink(d), have: make([]bool, d.Size)}
}

func (p *pieces) WriteAt(b []byte, off int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range b {
		if !p.have[off+int64(i)] { // the first write of a byte counts
			p.b[off+int64(i)], p.have[off+int64(i)] = b[i], true
		}
	}
	return len(b), nil
}

func (p *pieces) Missing() iter.Seq2[int64, int64] { return yield(p.missing()) }

func (p *pieces) missing() []segment {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []segment
	for i, have := range p.have {
		switch n := len(out); {
		case have:
		case n > 0 && out[n-1].end == int64(i):
			out[n-1].end++
		default:
			out = append(out, segment{int64(i), int64(i) + 1})
		}
	}
	return out
}

func (p *pieces) Commit() error {
	if len(p.missing()) > 0 {
		return errors.New("not all there")
	}
	err := p.sink.Commit()
	if err != nil {
		p.have = make([]bool, p.want.Size)
	}
	return err
}

// fetchPieces fetches a blob with eight workers that split ranges of 128 KiB and more.
func fetchPieces(t *testing.T, c *Client, s *pieces) error {
	t.Helper()
	c.piece = 64 << 10
	return c.FetchAll(t.Context(), []ocispec.Descriptor{s.want}, func(ocispec.Descriptor) (Sink, error) { return s, nil })
}

const mib = 1 << 20

func TestLargeBlobsInRanges(t *testing.T) {
	blobs := registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindBlob}}
	for name, f := range map[string]registrytest.Faults{
		"good":                    {},
		"cuts every 70000 bytes":  {Cut: registrytest.Interrupt{After: 70_000, Times: registrytest.Always}},
		"ignores ranges":          {Ranges: registrytest.RangesIgnored},
		"400 for ranges":          {Ranges: registrytest.RangesBadRequest},
		"403 for ranges":          {Ranges: registrytest.RangesForbidden},
		"416 for ranges":          {Ranges: registrytest.RangesUnsatisfiable},
		"wrong Content-Range":     {Ranges: registrytest.RangesWrongHeader},
		"wrong bytes in ranges":   {Ranges: registrytest.RangesWrongBytes},
		"short ranges":            {Ranges: registrytest.RangesShort},
		"closed ranges only":      {Ranges: registrytest.RangesClosedOnly},
		"503 five times":          {Fail: registrytest.Failure{Times: 5}},
		"stalls three times":      {Stall: registrytest.Interrupt{After: 30_000, Times: 3}},
		"limits the pace":         {TooMany: 6},
		"cuts before any byte":    {Cut: registrytest.Interrupt{After: 0, Times: 4}},
		"ignores ranges and cuts": {Ranges: registrytest.RangesIgnored, Cut: registrytest.Interrupt{After: 600_000, Times: 1}},
		"refuses ranges and cuts": {Ranges: registrytest.RangesBadRequest, Cut: registrytest.Interrupt{After: 600_000, Times: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			h, ref, layer, raw := content(t, registrytest.Options{Policy: registrytest.Policy{Redirect: true, Auth: registrytest.AuthBearer}}, mib)
			c := newClient(t, func(o *Options) {
				if f.Stall.Times > 0 { // otherwise a slow machine must not look like a stall
					o.StallTimeout = 200 * time.Millisecond
				}
			})
			resolve(t, c, ref)
			h.Reset()
			f.Only, f.ConnRate = blobs, 4*mib
			h.SetFaults(func(faults *registrytest.Faults) { *faults = f })
			s := newPieces(layer)
			if err := fetchPieces(t, c, s); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.b, raw) {
				t.Error("other bytes")
			}
			if name == "good" && (h.Peak(registrytest.KindBlob) < 2 || h.Counts().BlobGets > 16) {
				t.Errorf("%d requests at once, %d in all, want several and 16 at most", h.Peak(registrytest.KindBlob), h.Counts().BlobGets)
			}
		})
	}
}

// TestLimitRate fetches a blob with eight workers whose bytes together stay within a limit.
// Waiting for it is no stall: that would be an event.
func TestLimitRate(t *testing.T) {
	h, ref, layer, raw := content(t, registrytest.Options{}, mib)
	var events []Event
	c := newClient(t, func(o *Options) {
		o.LimitRate = mib
		o.OnEvent = func(e Event) { events = append(events, e) }
	})
	start := time.Now()
	resolve(t, c, ref)
	s := newPieces(layer)
	if err := fetchPieces(t, c, s); err != nil || !bytes.Equal(s.b, raw) {
		t.Fatalf("%v, right bytes %v", err, bytes.Equal(s.b, raw))
	}
	if took := time.Since(start); took < 700*time.Millisecond { // a second but for the burst
		t.Errorf("%d bytes took %s", layer.Size, took)
	}
	if len(events) > 0 || h.Peak(registrytest.KindBlob) < 2 {
		t.Errorf("events %v, %d requests at once", events, h.Peak(registrytest.KindBlob))
	}
}

// TestSmallBlobsInOneRequest checks that small blobs are not split: the abuse limit counts
// requests.
func TestSmallBlobsInOneRequest(t *testing.T) {
	h, ref, layer, _ := content(t, registrytest.Options{Faults: registrytest.Faults{ConnRate: 4 * mib}}, mib)
	for name, s := range map[string]Sink{"small": newPieces(layer), "in order only": newSink(layer)} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, nil)
			resolve(t, c, ref)
			h.Reset()
			if name != "small" {
				c.piece = 64 << 10
			}
			if err := c.FetchAll(t.Context(), []ocispec.Descriptor{layer}, func(ocispec.Descriptor) (Sink, error) { return s, nil }); err != nil {
				t.Fatal(err)
			}
			for _, e := range h.Log() {
				if e.Kind == registrytest.KindBlob && e.Range != "" {
					t.Errorf("asked for %s", e.Range)
				}
			}
			if n := h.Counts().BlobGets; n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

// TestHolesAreFilled checks that no byte of an earlier run is fetched again.
func TestHolesAreFilled(t *testing.T) {
	h, ref, layer, raw := content(t, registrytest.Options{}, mib)
	c := newClient(t, nil)
	resolve(t, c, ref)
	h.Reset()
	s := newPieces(layer)
	for _, r := range []segment{{0, 1000}, {300_000, 700_000}, {800_000, layer.Size - 1}} {
		if _, err := s.WriteAt(raw[r.off:r.end], r.off); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Fetch(t.Context(), layer, s); err != nil || !bytes.Equal(s.b, raw) {
		t.Fatalf("%v, right bytes %v", err, bytes.Equal(s.b, raw))
	}
	if got, want := h.Counts().BlobBytes, int64(299_000+100_000+1); got != want {
		t.Errorf("%d bytes fetched, want the %d that were missing", got, want)
	}
}

// TestRangesOnlyAtTheEnd checks that no blob is split while others wait for a worker.
func TestRangesOnlyAtTheEnd(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	var layers []*registrytest.Layer
	for i := range 6 {
		layers = append(layers, &registrytest.Layer{Files: []registrytest.File{{Name: "f", Size: 300_000}}, Compression: registrytest.None, Seed: uint64(i)})
	}
	blobs := registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{Layers: layers}))(t).Manifests[0].Layers
	c := newClient(t, func(o *Options) { o.Jobs = 1 })
	resolve(t, c, h.Ref("a/b", "v1"))
	c.piece = 64 << 10
	h.Reset()
	err := c.FetchAll(t.Context(), blobs, func(d ocispec.Descriptor) (Sink, error) { return newPieces(d), nil })
	if n := h.Counts().BlobGets; err != nil || n != len(blobs) {
		t.Errorf("%v, %d requests for %d blobs", err, n, len(blobs))
	}
}

// TestCancelDuringRanges checks that all workers end when the context ends.
func TestCancelDuringRanges(t *testing.T) {
	h, ref, layer, _ := content(t, registrytest.Options{}, mib)
	c := newClient(t, nil)
	resolve(t, c, ref)
	c.piece = 64 << 10
	h.SetFaults(func(f *registrytest.Faults) {
		f.Only.Kinds = []registrytest.Kind{registrytest.KindBlob}
		f.Stall = registrytest.Interrupt{After: 10_000, Times: registrytest.Always}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for h.Peak(registrytest.KindBlob) < 2 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	err := c.FetchAll(ctx, []ocispec.Descriptor{layer}, func(d ocispec.Descriptor) (Sink, error) { return newPieces(d), nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestFullDiskDuringRanges checks that the fault is returned and no worker hangs.
func TestFullDiskDuringRanges(t *testing.T) {
	h, ref, layer, _ := content(t, registrytest.Options{}, mib)
	c := newClient(t, nil)
	resolve(t, c, ref)
	h.SetFaults(func(f *registrytest.Faults) {
		f.Only.Kinds = []registrytest.Kind{registrytest.KindBlob}
		f.ConnRate = 4 * mib
	})
	c.piece = 64 << 10
	full := errors.New("no space left on device")
	err := c.FetchAll(t.Context(), []ocispec.Descriptor{layer}, func(d ocispec.Descriptor) (Sink, error) {
		return &fillingUp{newPieces(d), full}, nil
	})
	if !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
}

// fillingUp refuses the second half of a blob.
type fillingUp struct {
	*pieces
	err error
}

func (f *fillingUp) WriteAt(b []byte, off int64) (int, error) {
	if off > f.want.Size/2 {
		return 0, f.err
	}
	return f.pieces.WriteAt(b, off)
}

func TestMissing(t *testing.T) {
	for name, c := range map[string]struct {
		missing, want []segment
	}{
		"none missing":       {nil, nil},
		"all missing":        {[]segment{{0, 10}}, []segment{{0, 10}}},
		"holes":              {[]segment{{0, 1}, {5, 10}}, []segment{{0, 1}, {5, 10}}},
		"beyond the end":     {[]segment{{0, 11}}, []segment{{0, 10}}},
		"not in order":       {[]segment{{5, 6}, {1, 2}}, []segment{{0, 10}}},
		"nothing in a range": {[]segment{{5, 5}}, []segment{{0, 10}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := missing(fixedMissing{list: c.missing}, 10); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	for _, prefix := range []int64{-1, 0, 9, 10, 11} {
		want := []segment{{max(0, prefix), 10}}
		switch prefix {
		case 10:
			want = nil
		case 11:
			want = []segment{{0, 10}}
		}
		if got := missing(&sink{have: prefix}, 10); !slices.Equal(got, want) {
			t.Errorf("prefix %d: %v, want %v", prefix, got, want)
		}
	}
}

// fixedMissing is a sink in which fixed ranges are missing.
type fixedMissing struct {
	Sink
	list []segment
}

func (m fixedMissing) Missing() iter.Seq2[int64, int64] { return yield(m.list) }

// yield returns ranges as [Resumer.Missing] does.
func yield(list []segment) iter.Seq2[int64, int64] {
	return func(yield func(off, length int64) bool) {
		for _, s := range list {
			if !yield(s.off, s.left()) {
				return
			}
		}
	}
}

// TestForeignLayers checks that a layer that the registry does not have is fetched from the
// URL in its descriptor, by TLS and without credentials.
func TestForeignLayers(t *testing.T) {
	elsewhere := registrytest.Start(t, registrytest.Options{TLS: true})
	raw := bytes.Repeat([]byte("layer"), 1000)
	d := elsewhere.AddBlob("foreign/layers", raw)
	secure := fmt.Sprintf("%s/v2/foreign/layers/blobs/%s", elsewhere.URL(), d.Digest)
	for name, c := range map[string]struct {
		urls []string
		want string // in the error
	}{
		"https":              {[]string{secure}, ""},
		"the second address": {[]string{"https://127.0.0.1:1/gone", secure}, ""},
		"plain http":         {[]string{strings.Replace(secure, "https", "http", 1)}, "only https"},
		"with a password":    {[]string{strings.Replace(secure, "https://", "https://ann:pw@", 1)}, "only https"},
		"none":               {nil, "does not have it"},
	} {
		t.Run(name, func(t *testing.T) {
			h := registrytest.Start(t, registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer}})
			layer := ocispec.Descriptor{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: d.Digest, Size: d.Size, URLs: c.urls}
			addManifest(t, h, "win/base", "v1", ocispec.Manifest{Layers: []ocispec.Descriptor{layer}})
			client := newClient(t, func(o *Options) { o.CA = elsewhere.CAPEM(); o.Attempts = 2 })
			resolve(t, client, h.Ref("win/base", "v1"))
			s := newSink(layer)
			err := client.Fetch(t.Context(), layer, s)
			if c.want == "" && (err != nil || digest.FromBytes(s.b) != d.Digest) {
				t.Errorf("error %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestEmbeddedBlob checks that embedded content is not requested.
func TestEmbeddedBlob(t *testing.T) {
	h, ref, _, _ := content(t, registrytest.Options{}, 10)
	c := newClient(t, nil)
	resolve(t, c, ref)
	h.Reset()
	d := ocispec.Descriptor{Digest: digest.FromString("hello"), Size: 5, Data: []byte("hello")}
	s := newSink(d)
	if err := c.Fetch(t.Context(), d, s); err != nil || string(s.b) != "hello" || h.Counts().Requests != 0 {
		t.Errorf("%q, %v after %d requests", s.b, err, h.Counts().Requests)
	}
	d.Data = []byte("other")
	if err := c.Fetch(t.Context(), d, newSink(d)); err == nil {
		t.Error("bytes in a descriptor that are not what its digest says were taken")
	}
}
