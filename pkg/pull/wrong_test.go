package pull

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// lies is a mirror, and an origin with two repositories that share a layer.
type lies struct {
	mirror, origin *registrytest.Registry
	client         *Client
	layer          ocispec.Descriptor
	raw            []byte
	events         *strings.Builder
}

func newLies(t *testing.T) *lies {
	t.Helper()
	w := &lies{mirror: registrytest.Start(t, registrytest.Options{}), origin: registrytest.Start(t, registrytest.Options{}), events: &strings.Builder{}}
	shared := &registrytest.Layer{Files: []registrytest.File{{Name: "data", Size: 300_000}}, Compression: registrytest.None, Seed: 1}
	for _, h := range []*registrytest.Registry{w.mirror, w.origin} {
		w.layer = registrytest.Must(h.AddImage("a/one", "v1", registrytest.Image{Layers: []*registrytest.Layer{shared}}))(t).Manifests[0].Layers[0]
		registrytest.Must(h.AddImage("b/two", "v1", registrytest.Image{Layers: []*registrytest.Layer{shared, {Seed: 2}}}))(t)
	}
	r := registrytest.Must(w.origin.Blob("a/one", w.layer.Digest))(t)
	w.raw = registrytest.Must(io.ReadAll(r))(t)
	w.client = newClient(t, func(o *Options) {
		o.Jobs = 1 // the repositories in this order
		o.Mirrors = map[string][]Mirror{w.origin.Host(): {{Host: w.mirror.Host()}}}
		o.OnEvent = func(n Event) { w.events.WriteString(n.Host + ": " + n.Text + "\n") }
	})
	resolve(t, w.client, w.origin.Ref("a/one", "v1"), w.origin.Ref("b/two", "v1"))
	w.mirror.Reset()
	w.origin.Reset()
	return w
}

// TestWrongBytes checks that wrong bytes are dropped and fetched once more from the same
// source, and then from every other one, without pulling a manifest.
func TestWrongBytes(t *testing.T) {
	blob := func(path string, times registrytest.Times) registrytest.Faults {
		return registrytest.Faults{Only: registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindBlob}, Path: path}, Corrupt: times}
	}
	for _, c := range []struct {
		name           string
		mirror, origin []registrytest.Faults
		gets           [2]int // of blobs, at the mirror and at the origin
		events         string // in an event
	}{
		{"nothing wrong", nil, nil, [2]int{1, 0}, ""},
		{"once", []registrytest.Faults{blob("", 1)}, nil, [2]int{2, 0}, "wrong bytes, fetching it again"},
		{"twice, then the origin", []registrytest.Faults{blob("", 2)}, nil, [2]int{2, 1}, "mirror failed"},
		{"the origin once, too", []registrytest.Faults{blob("", 2)}, []registrytest.Faults{blob("", 1)}, [2]int{2, 2}, "wrong bytes, fetching it again"},
		{"one repository everywhere", []registrytest.Faults{blob("a/one", registrytest.Always)}, []registrytest.Faults{blob("a/one", registrytest.Always)}, [2]int{3, 2}, "used another source: "},
		{"gone at the mirror, wrong once at the origin", []registrytest.Faults{{Only: blob("", 0).Only, Fail: registrytest.Failure{Status: 404, Times: registrytest.Always}}}, []registrytest.Faults{blob("", 1)}, [2]int{0, 2}, "wrong bytes, fetching it again"},
		{"always", []registrytest.Faults{blob("", registrytest.Always)}, []registrytest.Faults{blob("", registrytest.Always)}, [2]int{4, 4}, "wrong bytes, fetching it again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newLies(t)
			for _, f := range c.mirror {
				w.mirror.AddFaults(f)
			}
			for _, f := range c.origin {
				w.origin.AddFaults(f)
			}
			s := newPieces(w.layer)
			err := w.client.Fetch(t.Context(), w.layer, s)
			if c.name == "always" {
				var wrong *ContentError
				if !errors.As(err, &wrong) || strings.Count(err.Error(), w.mirror.Host()+" sent wrong") != 2 || strings.Count(err.Error(), w.origin.Host()+" sent wrong") != 2 {
					t.Errorf("error %v, want ContentErrors that name %s and %s for both repositories", err, w.mirror.Host(), w.origin.Host())
				}
				if strings.Contains(w.events.String(), "failed: ") || strings.Contains(w.events.String(), "another source") {
					t.Errorf("reported twice: %s", w.events)
				}
				if len(s.missing()) != 1 || s.missing()[0] != (segment{0, w.layer.Size}) {
					t.Errorf("kept: all but %v", s.missing())
				}
			} else if err != nil || !bytes.Equal(s.b, w.raw) {
				t.Errorf("%v, right bytes %v", err, bytes.Equal(s.b, w.raw))
			}
			got := [2]int{w.mirror.Counts().BlobGets, w.origin.Counts().BlobGets}
			if got != c.gets {
				t.Errorf("%v requests at mirror and origin, want %v", got, c.gets)
			}
			if n := w.mirror.Counts().ManifestGets + w.origin.Counts().ManifestGets; n != 0 {
				t.Errorf("%d manifests pulled", n)
			}
			if !strings.Contains(w.events.String(), c.events) || c.events == "" && w.events.Len() > 0 {
				t.Errorf("events %q, want %q", w.events, c.events)
			}
			for _, e := range append(w.mirror.Log(), w.origin.Log()...) {
				if e.Range != "" {
					t.Errorf("asked for %s, want the whole", e.Range)
				}
			}
		})
	}
}

// TestRefetchWithoutRanges checks that after wrong ranges a blob is fetched without ranges,
// also when the connection breaks.
func TestRefetchWithoutRanges(t *testing.T) {
	w := newLies(t)
	w.mirror.SetFaults(func(f *registrytest.Faults) {
		f.Only.Kinds = []registrytest.Kind{registrytest.KindBlob}
		f.Ranges = registrytest.RangesWrongBytes
		f.Cut = registrytest.Interrupt{After: 100_000, Times: 4} // all of it, two ranges of it, all of it again
	})
	s := newPieces(w.layer)
	if err := w.client.Fetch(t.Context(), w.layer, s); err != nil || !bytes.Equal(s.b, w.raw) {
		t.Errorf("%v, right bytes %v", err, bytes.Equal(s.b, w.raw))
	}
	var asked []bool
	for _, e := range w.mirror.Log() {
		asked = append(asked, e.Range != "")
	}
	if want := []bool{false, true, true, true, false, false}; !slices.Equal(asked, want) || w.origin.Counts().BlobGets > 0 {
		t.Errorf("ranges asked for: %v, want %v and none at the origin", asked, want)
	}
}

// TestWrongBytesInPipe checks that no other source is asked when the bytes written cannot be
// replaced.
func TestWrongBytesInPipe(t *testing.T) {
	w := newLies(t)
	w.mirror.SetFaults(func(f *registrytest.Faults) { f.Corrupt = registrytest.Always })
	err := w.client.Fetch(t.Context(), w.layer, &pipe{newSink(w.layer)})
	var wrong *ContentError
	if !errors.As(err, &wrong) || wrong.Host != w.mirror.Host() || strings.Contains(err.Error(), w.origin.Host()+" sent wrong") {
		t.Errorf("error %v, want a ContentError that names %s alone", err, w.mirror.Host())
	}
	if n, m := w.mirror.Counts().BlobGets, w.origin.Counts().BlobGets; n != 1 || m != 0 {
		t.Errorf("%d and %d requests, want 1 and none", n, m)
	}
}

// pipe cannot take bytes back after a commit, whether they are right or not.
type pipe struct{ *sink }

func (p *pipe) Commit() error {
	err := p.sink.Commit()
	p.have = p.want.Size
	return err
}

// TestWrongLength checks that an answer of another length is refused before its bytes are
// used.
func TestWrongLength(t *testing.T) {
	for name, c := range map[string]struct {
		pages int // answers that are an HTML page
		right bool
		gets  int
	}{
		"once":   {1, true, 2},
		"always": {1000, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, ref, layer, raw := content(t, registrytest.Options{}, 1000)
			gets := 0
			client := newClient(t, func(o *Options) {
				o.Transport = wire(func(req *http.Request) (*http.Response, error) {
					resp, err := http.DefaultTransport.RoundTrip(req)
					if err == nil && strings.Contains(req.URL.Path, "/blobs/"+layer.Digest.String()) {
						if gets++; gets <= c.pages {
							resp.Body.Close()
							resp.Body, resp.ContentLength = bodyOf("<html>please log in</html>"), 26
						}
					}
					return resp, err
				})
			})
			resolve(t, client, ref)
			s := newSink(layer)
			err := client.Fetch(t.Context(), layer, s)
			var wrong *ContentError
			if c.right && (err != nil || !bytes.Equal(s.b, raw)) || !c.right && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), "26 bytes, want ")) {
				t.Errorf("error %v", err)
			}
			if gets != c.gets {
				t.Errorf("%d requests, want %d", gets, c.gets)
			}
			if !c.right && digest.FromBytes(s.b) != digest.FromBytes(make([]byte, layer.Size)) {
				t.Error("something of the page was kept")
			}
		})
	}
}
