package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestReaderImages(t *testing.T) {
	s := small()
	r := open(t, s.bundle(t, PlanOptions{}))
	var got []string
	for _, img := range r.Images() {
		line := img.Name
		for _, p := range img.Present {
			platform := "-"
			if p.Platform != nil {
				platform = formatPlatform(p.Platform)
			}
			line += fmt.Sprintf(" %s", platform)
		}
		if img.Target.Digest != img.Present[0].Digest || img.Target.Platform != nil {
			t.Errorf("%s: target %+v", img.Name, img.Target)
		}
		got = append(got, line)
	}
	want := []string{
		"docker.io/library/single:latest linux/amd64", // known from its config
		"registry.test/app:v1 - linux/amd64",
		s.images[1].Name + " - linux/amd64",
		"registry.test/both:v2 - linux/arm64/v8 linux/amd64",
		"registry.test/chart:1 -",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	again, err := NewPlan(r.Images(), r, PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != r.Digest() || again.Size() != r.Size() {
		t.Error("the plan of what was read is another one")
	}
}

func TestReaderBlobs(t *testing.T) {
	s := small()
	raw := s.bundle(t, PlanOptions{})
	r := open(t, raw)
	for _, b := range r.Blobs() {
		section, err := r.Open(b.Digest)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(section)
		if err != nil || !bytes.Equal(got, s.Blobs[b.Digest]) || !bytes.Equal(got, raw[b.Offset:b.Offset+b.Size]) {
			t.Errorf("blob %s: %v", b.Digest, err)
		}
		doc, err := r.Metadata(b.Digest)
		if err != nil || !bytes.Equal(doc, got) || !r.Has(b.Digest) {
			t.Errorf("document %s: %v", b.Digest, err)
		}
	}
	none := digest.FromString("none")
	if _, err := r.Open(none); !errors.Is(err, ErrNotFound) || r.Has(none) {
		t.Errorf("unknown blob: %v", err)
	}
	if _, err := r.Metadata(none); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown document: %v", err)
	}
}

// TestTruncated cuts at every block, and one byte to both sides of it.
func TestTruncated(t *testing.T) {
	raw := small().bundle(t, PlanOptions{})
	for at := 0; at < len(raw); at += block {
		for _, n := range []int{at - 1, at, at + 1} {
			if n < 0 {
				continue
			}
			_, err := NewReader(bytes.NewReader(raw[:n]), int64(n))
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("cut to %d of %d bytes: %v", n, len(raw), err)
			}
		}
	}
}

// TestFlipped spoils each entry's header and content in turn. All but the layers is found
// by opening; those by verifying.
func TestFlipped(t *testing.T) {
	s := small()
	raw := s.bundle(t, PlanOptions{})
	// A flip in this key makes the file one of another program, and is harmless.
	key := bytes.Index(raw, []byte(annotationContents))
	off := 0
	for _, h := range headers(t, raw) {
		data := off + block
		places := []int{off + 3, off + 130, off + 156, off + 257}
		for i := range int(h.Size) {
			if i < 40 || i > int(h.Size)-40 || i%61 == 0 {
				places = append(places, data+i)
			}
		}
		for _, at := range places {
			if at >= key && at < key+len(annotationContents) {
				continue
			}
			bit := byte(1) << (at % 8)
			raw[at] ^= bit
			r, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
			if err == nil {
				err = r.Verify(t.Context(), 1, nil)
			}
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: bit %#x of byte %d (of the file %d): %v", h.Name, bit, at-data, at, err)
			}
			raw[at] ^= bit
		}
		off = data + int(padded(h.Size))
	}
}

// TestFlippedLayer: the message has file, entry and offset.
func TestFlippedLayer(t *testing.T) {
	s := small()
	raw := s.bundle(t, PlanOptions{})
	blobs := open(t, raw).Blobs()
	a, b := blobs[len(blobs)-1], blobs[len(blobs)-3]
	raw[a.Offset] ^= 1
	raw[b.Offset+b.Size-1] ^= 1
	path := filepath.Join(t.TempDir(), "calico.tar")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = r.Verify(t.Context(), 4, nil)
	var de *DigestError
	if !errors.Is(err, ErrDamaged) || !errors.As(err, &de) || de.Want != b.Digest {
		t.Errorf("got %v, want the first in the file first", err)
	}
	for _, want := range []string{path, blobEntry(a.Digest), blobEntry(b.Digest), fmt.Sprint(a.Offset), adviceCopy} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Verify(ctx, 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(t.Context(), filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(t.Context(), dir, nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory that is not a layout: %v", err)
	}
	for _, tc := range []struct{ name, data, want string }{
		{"empty", "", "empty file"},
		{"gzip", "\x1f\x8b\x08\x00....", "gzip -d"},
		{"zstd", "\x28\xb5\x2f\xfd....", "zstd -d"},
		{"text", strings.Repeat("hello world ", 100), "not a tar"},
		{"zeros", strings.Repeat("\x00", 10240), "oci-layout"},
		{"few zeros", strings.Repeat("\x00", 100), "cut"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewReader(strings.NewReader(tc.data), int64(len(tc.data)))
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want something with %q", err, tc.want)
			}
		})
	}
}

// item is an entry of a tarball made by hand.
type item struct {
	name string
	data string
	kind byte
	pax  map[string]string
}

func pack(items ...item) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, it := range items {
		h := &tar.Header{Name: it.name, Size: int64(len(it.data)), Mode: 0o600, Typeflag: it.kind, PAXRecords: it.pax}
		switch it.kind {
		case 0:
			h.Typeflag = tar.TypeReg
		case tar.TypeXGlobalHeader:
			h.Mode = 0
		}
		if it.kind == tar.TypeSymlink || it.kind == tar.TypeLink {
			h.Linkname = "/etc/passwd"
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(w, it.data); err != nil {
			panic(err)
		}
	}
	w.Close()
	return b.Bytes()
}

// layoutOf returns the entries of another program's layout of all blobs of a store, index
// last.
func (s *store) layoutOf(prefix string, tops ...ocispec.Descriptor) []item {
	items := []item{{name: prefix + "oci-layout", data: layoutDoc}}
	for d, raw := range s.Blobs {
		items = append(items, item{name: prefix + blobEntry(d), data: string(raw)})
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.name, b.name) })
	idx, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: tops})
	if err != nil {
		panic(err)
	}
	return append(items, item{name: prefix + "index.json", data: string(idx)})
}

func annotated(d ocispec.Descriptor, pairs ...string) ocispec.Descriptor {
	d.Annotations = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		d.Annotations[pairs[i]] = pairs[i+1]
	}
	return d
}

const (
	byContainerd = "io.containerd.image.name"
	byLayout     = "org.opencontainers.image.ref.name"
)

// TestOthersLayouts reads what other programs write.
func TestOthersLayouts(t *testing.T) {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 100))
	m.Platform = nil
	full := "docker.io/library/a:1"
	named := annotated(m, byContainerd, full, byLayout, "1")
	dirs := []item{{name: "blobs/", kind: tar.TypeDir}, {name: "blobs/sha256/", kind: tar.TypeDir}}
	for _, tc := range []struct {
		name  string
		items []item
		names []string
	}{
		{"ctr export, index last", s.layoutOf("", named), []string{full}},
		{"tar -C layout .", append([]item{{name: "./", kind: tar.TypeDir}}, s.layoutOf("./", named)...), []string{full}},
		{"directories", slices.Concat(dirs, s.layoutOf("", named)), []string{full}},
		{"skopeo with a full name", s.layoutOf("", annotated(m, byLayout, full)), []string{full}},
		{"skopeo with a tag", s.layoutOf("", annotated(m, byLayout, "latest")), nil},
		{"no name", s.layoutOf("", m), nil},
		{"docker save", append(s.layoutOf("", named), item{name: "manifest.json", data: "[]"}, item{name: "repositories", data: "{}"}), []string{full}},
		{"oras", append(s.layoutOf("", named), item{name: "ingest/", kind: tar.TypeDir}), []string{full}},
		{"two names", s.layoutOf("", named, annotated(m, byContainerd, "docker.io/library/a@"+m.Digest.String())), []string{full, "docker.io/library/a@" + m.Digest.String()}},
		{"access times", append(s.layoutOf("", named), item{name: "manifest.json", data: "[]", pax: map[string]string{"atime": "123.5"}}), []string{full}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw := append(pack(tc.items...), make([]byte, 8192)...) // as GNU tar pads
			r := open(t, raw)
			var names []string
			for _, img := range r.Images() {
				names = append(names, img.Name)
			}
			if diff := cmp.Diff(tc.names, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if n := len(r.Unnamed()); (n == 1) != (tc.names == nil) || r.Native() {
				t.Errorf("%d unnamed, native=%t", n, r.Native())
			}
			if err := r.Verify(t.Context(), 1, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOpenReadsHeadersOnly counts what opening costs with layers of many megabytes.
func TestOpenReadsHeadersOnly(t *testing.T) {
	s, _ := big(20 << 20)
	raw := s.bundle(t, PlanOptions{})
	c := &countingReader{r: bytes.NewReader(raw)}
	if _, err := NewReader(c, int64(len(raw))); err != nil {
		t.Fatal(err)
	}
	if c.n > 32<<10 {
		t.Errorf("%d bytes read of %d", c.n, len(raw))
	}
}

type countingReader struct {
	r io.ReaderAt
	n int
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n += n
	return n, err
}

// errReader fails like a bad disk.
type errReader struct{ r io.ReaderAt }

func (e errReader) ReadAt(p []byte, off int64) (int, error) {
	if off > 4096 {
		return 0, errors.New("input/output error")
	}
	return e.r.ReadAt(p, off)
}

// TestDiskError: a failing disk is not a damaged bundle.
func TestDiskError(t *testing.T) {
	raw := small().bundle(t, PlanOptions{})
	_, err := NewReader(errReader{bytes.NewReader(raw)}, int64(len(raw)))
	if err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "input/output") {
		t.Errorf("got %v", err)
	}
	r := open(t, raw)
	r.src = errReader{r.src}
	if err := r.Verify(t.Context(), 2, nil); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("verify: %v", err)
	}
}
