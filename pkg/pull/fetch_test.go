package pull

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// TestFetchFromFaultyServers: whatever a server does, the bytes of the blob arrive, and the
// numbers reported sum up to its size.
func TestFetchFromFaultyServers(t *testing.T) {
	const size = 300_000
	blobs := registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindBlob}}
	for name, f := range map[string]registrytest.Faults{
		"good":                              {},
		"cuts every 70000 bytes":            {Cut: registrytest.Interrupt{After: 70_000, Times: registrytest.Always}},
		"cuts once, ignores ranges":         {Cut: registrytest.Interrupt{After: 70_000, Times: 1}, Ranges: registrytest.RangesIgnored},
		"cuts once, 400 for ranges":         {Cut: registrytest.Interrupt{After: 70_000, Times: 1}, Ranges: registrytest.RangesBadRequest},
		"cuts once, 403 for ranges":         {Cut: registrytest.Interrupt{After: 70_000, Times: 1}, Ranges: registrytest.RangesForbidden},
		"cuts once, 416 for ranges":         {Cut: registrytest.Interrupt{After: 70_000, Times: 1}, Ranges: registrytest.RangesUnsatisfiable},
		"cuts once, wrong Content-Range":    {Cut: registrytest.Interrupt{After: 70_000, Times: 1}, Ranges: registrytest.RangesWrongHeader},
		"cuts once, wrong bytes in ranges":  {Cut: registrytest.Interrupt{After: 70_000, Times: 1}, Ranges: registrytest.RangesWrongBytes},
		"cuts once, short ranges":           {Cut: registrytest.Interrupt{After: 70_000, Times: 1}, Ranges: registrytest.RangesShort},
		"cuts once, closed ranges only":     {Cut: registrytest.Interrupt{After: 70_000, Times: 1}, Ranges: registrytest.RangesClosedOnly},
		"503 three times":                   {Fail: registrytest.Failure{Times: 3}},
		"no Content-Length":                 {NoLength: true},
		"stalls once":                       {Stall: registrytest.Interrupt{After: 70_000, Times: 1}},
		"abuse limit":                       {TooMany: 2},
		"cuts before any byte, three times": {Cut: registrytest.Interrupt{After: 0, Times: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			h, ref, layer, raw := content(t, registrytest.Options{Policy: registrytest.Policy{Redirect: true, Auth: registrytest.AuthBearer}}, size)
			var counted atomic.Int64
			c := newClient(t, func(o *Options) {
				o.OnBytes = func(host string, blob digest.Digest, n int64) {
					counted.Add(n)
					if blob != layer.Digest {
						t.Errorf("bytes of %s, want %s", blob, layer.Digest)
					}
					if host != h.Host() {
						t.Errorf("bytes of %q, want %q", host, h.Host())
					}
				}
				if f.Stall.Times > 0 { // otherwise a slow machine must not look like a stall
					o.StallTimeout = 200 * time.Millisecond
				}
			})
			resolve(t, c, ref)
			counted.Store(0) // without the config's
			f.Only = blobs
			h.SetFaults(func(faults *registrytest.Faults) { *faults = f })
			s := newSink(layer)
			if err := c.Fetch(t.Context(), layer, s); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.b, raw) {
				t.Error("other bytes")
			}
			if n := counted.Load(); n != layer.Size {
				t.Errorf("%d bytes reported, want %d", n, layer.Size)
			}
		})
	}
}

func TestFetchResumesInsideBlob(t *testing.T) {
	h, ref, layer, raw := content(t, registrytest.Options{}, 300_000)
	c := newClient(t, nil)
	resolve(t, c, ref)
	h.Reset()
	s := newSink(layer)
	s.have = int64(copy(s.b, raw[:200_000]))
	if err := c.Fetch(t.Context(), layer, s); err != nil {
		t.Fatal(err)
	}
	if got, want := h.Counts().BlobBytes, layer.Size-200_000; got != want {
		t.Errorf("%d bytes fetched, want the %d that were missing", got, want)
	}
}

// TestFetchRepairsWrongPrefix checks that a wrong prefix of an earlier run is fetched again.
func TestFetchRepairsWrongPrefix(t *testing.T) {
	_, ref, layer, raw := content(t, registrytest.Options{}, 300_000)
	c := newClient(t, nil)
	resolve(t, c, ref)
	s := newSink(layer)
	s.have = 200_000 // of zeros
	if err := c.Fetch(t.Context(), layer, s); err != nil {
		t.Fatal(err)
	}
	if s.bad != 1 || !bytes.Equal(s.b, raw) {
		t.Errorf("%d refused commits and right bytes %v, want 1 and true", s.bad, bytes.Equal(s.b, raw))
	}
}

func TestFetchNamesSourceOfWrongBytes(t *testing.T) {
	h, ref, layer, _ := content(t, registrytest.Options{}, 1000)
	c := newClient(t, nil)
	resolve(t, c, ref)
	h.SetFaults(func(f *registrytest.Faults) {
		f.Only, f.Corrupt = registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindBlob}}, registrytest.Always
	})
	err := c.Fetch(t.Context(), layer, newSink(layer))
	var wrong *ContentError
	if !errors.As(err, &wrong) || wrong.Host != h.Host() {
		t.Errorf("error %v, want a ContentError that names %s", err, h.Host())
	}
}

// TestFetchAllContinuesAfterFailure checks that a missing blob does not stop the others.
func TestFetchAllContinuesAfterFailure(t *testing.T) {
	h := registrytest.Start(t, registrytest.Options{})
	var layers []*registrytest.Layer
	for i := range 5 {
		layers = append(layers, &registrytest.Layer{Files: []registrytest.File{{Name: "f", Size: int64(1000 * i)}}, Seed: uint64(i)})
	}
	added := registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{Layers: layers}))(t)
	blobs := added.Manifests[0].Layers
	c := newClient(t, nil)
	resolve(t, c, h.Ref("a/b", "v1"))
	if err := h.Delete("a/b", blobs[2].Digest.String()); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var got []digest.Digest
	err := c.FetchAll(t.Context(), blobs, func(d ocispec.Descriptor) (Sink, error) {
		return &reporting{newSink(d), func() { mu.Lock(); defer mu.Unlock(); got = append(got, d.Digest) }}, nil
	})
	var missing *NotFoundError
	if !errors.As(err, &missing) || len(got) != 4 || slices.Contains(got, blobs[2].Digest) {
		t.Errorf("error %v, %d blobs, want a NotFoundError and 4", err, len(got))
	}
}

type reporting struct {
	*sink
	done func()
}

func (r *reporting) Commit() error {
	if err := r.sink.Commit(); err != nil {
		return err
	}
	r.done()
	return nil
}

// TestFullDisk checks that a local fault is returned at once and no other server is asked.
func TestFullDisk(t *testing.T) {
	h, ref, layer, _ := content(t, registrytest.Options{}, 1000)
	c := newClient(t, nil)
	resolve(t, c, ref)
	h.Reset()
	full := errors.New("no space left on device")
	if err := c.Fetch(t.Context(), layer, fullSink{newSink(layer), full}); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	if n := h.Counts().BlobGets; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

type fullSink struct {
	*sink
	err error
}

func (f fullSink) WriteAt([]byte, int64) (int, error) { return 0, f.err }
