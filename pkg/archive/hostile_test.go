package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hostile is a sound layout, for others to spoil.
type hostile struct {
	*store
	m    ocispec.Descriptor // its one image
	good []item
}

func newHostile() *hostile {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 100))
	m.Platform = nil
	return &hostile{s, m, s.layoutOf("", annotated(m, byContainerd, "docker.io/library/a:1"))}
}

func (h *hostile) with(extra ...item) []item { return slices.Concat(h.good, extra) }

func (h *hostile) swap(entry, data string) []item {
	items := slices.Clone(h.good)
	for i := range items {
		if items[i].name == entry {
			items[i].data = data
		}
	}
	return items
}

func (h *hostile) without(entry string) []item {
	return slices.DeleteFunc(slices.Clone(h.good), func(it item) bool { return it.name == entry })
}

// refused packs entries and wants them refused as damaged with a reason.
func refused(t *testing.T, name string, items []item, want string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		raw := pack(items...)
		_, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something with %q", err, want)
		}
		// As a stream it is refused as well, at the latest when it has ended.
		if _, err := drain(t.Context(), bytes.NewReader(raw)); !errors.Is(err, ErrDamaged) {
			t.Errorf("as a stream: got %v, want a damaged bundle", err)
		}
	})
}

// TestHostileEntries: what does not belong into the tarball of a layout.
func TestHostileEntries(t *testing.T) {
	h := newHostile()
	open(t, pack(h.good...))
	hexName := blobEntry(digest.FromString("x"))
	for _, tc := range []struct {
		name, want string
		items      []item
	}{
		{"symlink", "only files and directories", h.with(item{name: "repositories", kind: tar.TypeSymlink})},
		{"hard link", "only files and directories", h.with(item{name: hexName, kind: tar.TypeLink})},
		{"device", "only files and directories", h.with(item{name: hexName, kind: tar.TypeChar})},
		{"pipe", "only files and directories", h.with(item{name: hexName, kind: tar.TypeFifo})},
		{"global header", "only files and directories", h.with(item{kind: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "x"}})},
		{"absolute", "not a clean path", h.with(item{name: "/etc/passwd"})},
		{"up", "not a clean path", h.with(item{name: "blobs/../../x"})},
		{"dot twice", "not a clean path", h.with(item{name: "././oci-layout"})},
		{"unknown file", "does not belong", h.with(item{name: "evil.sh"})},
		{"unknown directory", "does not belong", h.with(item{name: "home/", kind: tar.TypeDir})},
		{"long name", "does not belong", h.with(item{name: strings.Repeat("x", 3000)})},
		{"blob in a directory", "digest", h.with(item{name: "blobs/sha256/x/" + hexName})},
		{"sha512", "does not belong", h.with(item{name: "blobs/sha512/" + strings.Repeat("a", 128)})},
		{"short digest", "digest", h.with(item{name: "blobs/sha256/abc"})},
		{"upper-case digest", "does not belong", h.with(item{name: strings.ToUpper(hexName)})},
		{"blob twice", "appears twice", h.with(item{name: blobEntry(h.m.Digest), data: "x"})},
		{"index twice", "appears twice", h.with(item{name: "index.json", data: "{}"})},
		{"layout twice", "appears twice", h.with(item{name: "./oci-layout", data: layoutDoc})},
		{"no layout", "oci-layout", h.without(entryLayout)},
		{"no index", "index.json", h.without(entryIndex)},
		{"layout version", "2.0.0", h.swap(entryLayout, `{"imageLayoutVersion":"2.0.0"}`)},
		{"layout not JSON", "layout version", h.swap(entryLayout, `{`)},
		{"index not JSON", "unexpected end", h.swap(entryIndex, `{"schemaVersion":`)},
		{"index of another kind", "not an OCI image index", h.swap(entryIndex, `{"schemaVersion":1}`)},
		{"index not a list", "not a list", h.swap(entryIndex, `{"schemaVersion":2,"manifests":{}}`)},
		{"manifest.json not JSON", "not JSON", h.with(item{name: entryDocker, data: "["})},
	} {
		refused(t, tc.name, tc.items, tc.want)
	}
}

// TestHostileContents: names, manifests and blobs that do not fit together.
func TestHostileContents(t *testing.T) {
	h := newHostile()
	other := h.Manifest(amd64, h.Layer(2, 50))
	other.Platform = nil
	missing := h.Artifact("application/x", "", ocispec.Descriptor{Digest: digest.FromString("gone"), Size: 5})
	short := h.Layer(1, 100)
	short.Size--
	liar := h.Manifest(amd64, short)
	gone := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("gone"), Size: 5}
	wrongType, wrongSize := h.m, h.m
	wrongType.MediaType = ocispec.MediaTypeImageIndex
	wrongSize.Size++
	name := func(d ocispec.Descriptor, n string) []item { return h.layoutOf("", annotated(d, byContainerd, n)) }
	a := func(d ocispec.Descriptor) []item { return name(d, "docker.io/library/a:1") }
	for _, tc := range []struct {
		name, want string
		items      []item
	}{
		{"empty digest", "digest", a(ocispec.Descriptor{})},
		{"manifest missing", "missing", a(gone)},
		{"manifest altered", "digest", h.swap(blobEntry(h.m.Digest), strings.Repeat(" ", int(h.m.Size)))},
		{"manifest of another size", "its descriptor says", h.swap(blobEntry(h.m.Digest), "{}")},
		{"descriptor of another size", "its descriptor says", a(wrongSize)},
		{"descriptor of another type", "its descriptor", a(wrongType)},
		{"two descriptors", "do not agree", h.layoutOf("", annotated(h.m, byContainerd, "a.test/a:1"), annotated(wrongSize, byContainerd, "a.test/b:1"))},
		{"layer as manifest", "parse manifest", a(h.Layer(1, 100))},
		{"layer missing", "missing", a(missing)},
		{"layer of another size", "its descriptor says 99", a(liar)},
		{"index without children", "none of the manifests", a(h.Index(gone))},
		{"name not a name", "name", name(h.m, "../../etc")},
		{"name of another digest", "leads to", name(h.m, "docker.io/library/a@"+other.Digest.String())},
		{"name twice", "appears twice", h.layoutOf("", annotated(h.m, byContainerd, "a.test/a:1"), annotated(other, byContainerd, "a.test/a:1"))},
	} {
		refused(t, tc.name, tc.items, tc.want)
	}
}

// TestTail: what may follow the end of a tar.
func TestTail(t *testing.T) {
	raw := small().bundle(t, PlanOptions{})
	for _, tc := range []struct {
		name string
		tail []byte
		ok   bool
	}{
		{"zeros", make([]byte, 9216), true},
		{"limit", make([]byte, maxTail), true},
		{"limit+1", make([]byte, maxTail+1), false},
		{"garbage", []byte("x"), false},
		{"garbage after zeros", append(make([]byte, 5000), 'x'), false},
		{"another tar", raw, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := slices.Concat(raw, tc.tail)
			_, err := NewReader(bytes.NewReader(b), int64(len(b)))
			if (err == nil) != tc.ok || (err != nil && !errors.Is(err, ErrDamaged)) {
				t.Error(err)
			}
		})
	}
}

// TestSparse: a sparse file's bytes are not where its header says.
func TestSparse(t *testing.T) {
	h, err := header("repositories", 4)
	if err != nil {
		t.Fatal(err)
	}
	var pax bytes.Buffer
	w := tar.NewWriter(&pax)
	if err := w.WriteHeader(&tar.Header{Name: "repositories", Typeflag: tar.TypeReg, Size: 4, PAXRecords: map[string]string{"comment": "zzzzzzzzzzzzzzzzzz"}}); err != nil {
		t.Fatal(err)
	}
	// The record's key is changed in place; its length stays.
	raw := bytes.Replace(pax.Bytes(), []byte("comment=zzzzzzzzzzzzzzzzzz"), []byte("GNU.sparse.map=0,4,0,0,4,0"), 1)
	raw = append(raw[:len(raw)-len(h)], append(h, make([]byte, 512+endBlocks)...)...)
	_, err = NewReader(bytes.NewReader(raw), int64(len(raw)))
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}
