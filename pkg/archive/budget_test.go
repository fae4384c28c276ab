package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// door is a way to open a bundle.
type door struct {
	name string
	open func(limits) (*Reader, error)
}

// doors returns all ways to open one image with two layers.
func doors(t *testing.T) []door {
	t.Helper()
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 3000), s.Layer(2, 2000))
	s.name("docker.io/library/a:1", m)
	native := s.bundle(t, PlanOptions{})
	items := s.layoutOf("", annotated(m, byContainerd, "docker.io/library/a:1"))
	other, dir := pack(items...), unpackTo(t, items)
	saved, err := os.ReadFile(dockerTar(t, "l.tar", "one", "x.json", dockerConfig(t, "one"),
		"manifest.json", `[{"Config":"x.json","RepoTags":["a:1","b:1"],"Layers":["l.tar"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	file := func(raw []byte) func(limits) (*Reader, error) {
		return func(lim limits) (*Reader, error) {
			return newReader(bytes.NewReader(raw), int64(len(raw)), "", lim)
		}
	}
	compressed := func(raw []byte) func(limits) (*Reader, error) {
		raw = packed(t, Zstd, raw)
		return func(lim limits) (*Reader, error) {
			p := &compressedFile{src: bytes.NewReader(raw), size: int64(len(raw)), kind: Zstd, lim: lim, stop: t.Context().Err}
			return p.open(&OpenOptions{Metadata: true})
		}
	}
	stream := func(raw []byte) func(limits) (*Reader, error) {
		return func(lim limits) (*Reader, error) { return drainWithin(t.Context(), bytes.NewReader(raw), lim) }
	}
	return []door{
		{"native file", file(native)},
		{"file of another program", file(other)},
		{"directory", func(lim limits) (*Reader, error) { return openDir(dir, lim) }},
		{"compressed native file", compressed(native)},
		{"compressed file of another program", compressed(other)},
		{"native stream", stream(native)},
		{"stream of another program", stream(other)},
		{"docker's file", func(lim limits) (*Reader, error) {
			return readDocker(bytes.NewReader(saved), int64(len(saved)), "", lim)
		}},
		{"docker's stream", stream(saved)},
	}
}

// TestBudget lowers both limits of the budget to what a bundle needs, and below, for each
// way to open it.
func TestBudget(t *testing.T) {
	ownTemp(t)
	for _, d := range doors(t) {
		t.Run(d.name, func(t *testing.T) {
			r, err := d.open(defaultLimits)
			if err != nil {
				t.Fatal(err)
			}
			read, held := r.budget.read.Load(), r.budget.held.Load()
			r.Close()
			if least := int64(costBlob * len(r.Blobs())); read < 200 || held < least {
				t.Errorf("%d bytes read and %d held, want at least 200 and %d", read, held, least)
			}
			for _, tc := range []struct {
				read, held int64
				ok         bool
			}{{read, held, true}, {read - 1, held, false}, {read, held - 1, false}, {0, held, false}, {read, 0, false}} {
				lim := defaultLimits
				lim.read, lim.held = tc.read, tc.held
				r, err := d.open(lim)
				if err == nil {
					r.Close()
				}
				if tc.ok != (err == nil) || err != nil && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), adviceLimit)) {
					t.Errorf("%d of %d bytes read, %d of %d held: %v", tc.read, read, tc.held, held, err)
				}
			}
		})
	}
}

// withinBudget opens a tarball with low limits. It must be damaged, or have taken no more.
func withinBudget(t *testing.T, raw []byte, read, held uint16, open func(io.ReaderAt, int64, string, limits) (*Reader, error)) {
	t.Helper()
	lim := defaultLimits
	lim.read, lim.held = int64(read), int64(held)
	r, err := open(bytes.NewReader(raw), int64(len(raw)), "", lim)
	switch {
	case err == nil && (r.budget.read.Load() > lim.read || r.budget.held.Load() > lim.held):
		t.Fatalf("%d of %d bytes read, %d of %d held", r.budget.read.Load(), read, r.budget.held.Load(), held)
	case err != nil && !errors.Is(err, ErrDamaged):
		t.Fatalf("not ErrDamaged: %v", err)
	}
}

// FuzzBudget: whatever index.json and a manifest say, opening them stays within the budget.
// DIGEST and 777 in the index stand for those of the manifest.
func FuzzBudget(f *testing.F) {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 3))
	index := `{"schemaVersion":2,"manifests":[{"digest":"DIGEST","size":777,"annotations":{"io.containerd.image.name":"docker.io/library/a:1"}}]}`
	for _, doc := range [][]byte{s.Blobs[m.Digest], s.Blobs[s.Index(m).Digest], s.Blobs[s.Artifact("a/b", m.Digest).Digest]} {
		f.Add(index, doc, uint16(1<<16-1), uint16(1<<16-1))
		f.Add(index, doc, uint16(900), uint16(2000))
	}
	f.Fuzz(func(t *testing.T, index string, doc []byte, read, held uint16) {
		s := &store{Store: s.Clone()}
		d := s.Put("", doc)
		index = strings.ReplaceAll(strings.ReplaceAll(index, "DIGEST", d.Digest.String()), "777", strconv.FormatInt(d.Size, 10))
		items := s.layoutOf("")
		items[len(items)-1].data = index
		raw := pack(items...)
		withinBudget(t, raw, read, held, newReader)
	})
}

// FuzzDockerManifest: whatever manifest.json and the config that it names say, opening them
// stays within the budget.
func FuzzDockerManifest(f *testing.F) {
	config := `{"os":"linux","rootfs":{"diff_ids":["` + digest.FromString("one").String() + `"]}}`
	for _, list := range []string{
		`[{"Config":"x.json","RepoTags":["a:1"],"Layers":["l.tar"]}]`,
		`[{"Config":"x.json","RepoTags":null,"Layers":["l.tar"]},{"Config":"./x.json","RepoTags":["a:1","b.test/c:2"],"Layers":["to/l"]}]`,
		`[{"Config":"manifest.json","Layers":[]}]`,
		`[{"Config":"x.json","Layers":["../l.tar"]}]`,
		`[` + strings.Repeat(`{"Config":"x.json","Layers":["l.tar"]},`, 50) + `null]`,
	} {
		f.Add(list, config, uint16(1<<16-1), uint16(1<<16-1))
		f.Add(list, config, uint16(300), uint16(2500))
	}
	f.Fuzz(func(t *testing.T, list, config string, read, held uint16) {
		raw := pack(item{name: "l.tar", data: "one"}, item{name: "x.json", data: config}, item{name: "manifest.json", data: list})
		withinBudget(t, raw, read, held, readDocker)
	})
}
