//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/node/internal/system"
)

// TestOtherStreamRuns loads the tarballs of other programs from a pipe, plain and compressed,
// and then from the file, which changes nothing.
func TestOtherStreamRuns(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	pause := s.Bundle(s.Sandbox())
	machine, n := connect(t)
	for _, f := range forms {
		name := s.Hello("acme/hello", "v1")
		path := s.other(f, name)
		inputs := map[string]string{"plain": path, "gzip": bundletest.Compress(t, path, archive.Gzip), "zstd": bundletest.Compress(t, path, archive.Zstd)}
		for kind, path := range inputs {
			discard := kind == "zstd"
			wiped(t, n, f.name+" "+kind, func(t *testing.T, n *Node) {
				load(t, n, pause, LoadOptions{})
				raw := contentOf(t, path)
				o := LoadOptions{DiscardLayers: discard}
				r, err := loadAny(t.Context(), t, n, bytes.NewReader(raw), o)
				must(t, err)
				if i := r.Images[0]; i.Name != name || i.Status != Loaded || i.CRI != Ready || !i.Pinned || i.Image != s.manifest(name).Config.Digest {
					t.Errorf("report: %+v", i)
				}
				if r.Ingested == 0 || r.Skipped != 0 || r.Layers == 0 {
					t.Errorf("sent %d, there %d, unpacked %d layers", r.Ingested, r.Skipped, r.Layers)
				}
				n.collect(t)
				st := n.take(t)
				if len(st.Leases)+len(st.Ingests) > 0 {
					t.Errorf("left behind: leases %v, ingests %v", st.Leases, st.Ingests)
				}
				// Manifest and config alone, or with the one layer; and the sandbox image.
				if want := map[bool]int{true: 2, false: 3}[discard] + len(pause.Blobs()); len(st.Blobs) != want {
					t.Errorf("%d blobs, want %d: %v", len(st.Blobs), want, st.Blobs)
				}
				if out, err := machine.RunContainer(t.Context(), name); err != nil || out != "hello from acme/hello\n" {
					t.Errorf("container: %q, %v", out, err)
				}
				if r, err = loadAny(t.Context(), t, n, bytes.NewReader(raw), o); err != nil || !r.UpToDate() {
					t.Errorf("again: %+v, %v", r, err)
				}
				if r := load(t, n, openOther(t, inputs["plain"]), o); !r.UpToDate() {
					t.Errorf("the file: %+v", r)
				}
				if d := cmp.Diff(st.Records, n.take(t).Records); d != "" {
					t.Errorf("records changed (-before +after):\n%s", d)
				}
			})
		}
	}
}

// TestOtherStreamSkipsPresentBlobs counts the bytes sent of a blob that the node has.
func TestOtherStreamSkipsPresentBlobs(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	layers := []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 3 << 20}}}, {Seed: 2, Files: []registrytest.File{{Name: "b", Size: 100 << 10}}}}
	first := s.Image("acme/base", "v1", registrytest.Image{Layers: layers[:1]})
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: layers})
	for _, f := range forms {
		wiped(t, n, f.name, func(t *testing.T, n *Node) {
			_, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, s.other(f, first))), LoadOptions{})
			must(t, err)
			r, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, s.other(f, name))), LoadOptions{})
			must(t, err)
			// The names of docker save before 25 do not state digests.
			if sent := r.Ingested < 1<<20; sent == (f.name == "docker save before 25") {
				t.Errorf("sent %d bytes", r.Ingested)
			}
		})
	}
}

// TestOtherStreamResumes loads a truncated stream: what was received is kept, nothing is
// visible, and the next load resumes.
func TestOtherStreamResumes(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/large", "v1", registrytest.Image{Layers: []*registrytest.Layer{
		{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 3 << 20}}},
		{Seed: 2, Files: []registrytest.File{{Name: "b", Size: 3 << 20}}},
	}})
	for _, f := range forms {
		path := s.other(f, name)
		for _, from := range []string{"pipe", "file"} {
			wiped(t, n, f.name+", then from a "+from, func(t *testing.T, n *Node) {
				raw := contentOf(t, path)
				_, err := loadAny(t.Context(), t, n, bytes.NewReader(raw[:len(raw)*3/4]), LoadOptions{})
				if !errors.Is(err, archive.ErrDamaged) || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("error: %v, want that of a tarball cut short", err)
				}
				n.collect(t)
				left := n.take(t)
				if len(left.Records) > 0 || len(left.Snapshots) > 0 || len(left.Leases) != 1 || len(left.Blobs) == 0 {
					t.Errorf("left behind: %+v", left)
				}
				var r *Report
				if from == "pipe" {
					r, err = loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{})
					must(t, err)
				} else {
					r = load(t, n, openOther(t, path), LoadOptions{})
				}
				if r.Ingested > 4<<20 && f.name != "docker save before 25" {
					t.Errorf("sent again: %d of %d bytes", r.Ingested, len(raw))
				}
				n.collect(t)
				if left := n.take(t); len(left.Leases)+len(left.Ingests) > 0 || len(left.Blobs) != 4 {
					t.Errorf("left behind: leases %v, ingests %v, blobs %v", left.Leases, left.Ingests, left.Blobs)
				}
			})
		}
	}
}

// TestOtherStreamDamaged checks that a damaged stream leaves nothing on the node.
func TestOtherStreamDamaged(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 1 << 20}}}}})
	for _, f := range forms {
		raw := contentOf(t, s.other(f, name))
		flipped := bytes.Clone(raw)
		flipped[len(raw)/2] ^= 0x20
		lost := bytes.Replace(raw, []byte(`"RepoTags":["`), []byte(`"RepoTags":["x `), 1)
		for kind, raw := range map[string][]byte{"a bit of a layer": flipped, "no end": raw[:len(raw)-1024-512], "more behind the end": append(bytes.Clone(raw), "more"...), "a name": lost} {
			if kind == "a name" && (bytes.Equal(raw, contentOf(t, s.other(f, name))) || f.name == "docker save since 25") {
				continue
			}
			wiped(t, n, f.name+", "+kind, func(t *testing.T, n *Node) {
				before := n.take(t)
				_, err := loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{})
				if !errors.Is(err, archive.ErrDamaged) {
					t.Errorf("error: %v, want a damaged bundle", err)
				}
				if kind != "no end" {
					n.take(t).same(t, before)
				}
			})
		}
	}
}

// TestOtherStreamCancelled checks that what was received is kept when the context ends.
func TestOtherStreamCancelled(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/large", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 3 << 20}}}}})
	raw := contentOf(t, s.other(forms[0], name))
	pr, pw := io.Pipe()
	defer pw.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		pw.Write(raw[:len(raw)-4096])
		cancel()
	}()
	if _, err := loadAny(ctx, t, n, pr, LoadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v, want a cancelled context", err)
	}
	if left := n.take(t); len(left.Records) > 0 || len(left.Leases) != 1 {
		t.Errorf("left behind: %+v", left)
	}
	_, err := loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{})
	must(t, err)
	if left := n.take(t); len(left.Leases)+len(left.Ingests) > 0 {
		t.Errorf("left behind: %+v", left)
	}
}

// TestOtherStreamOnFullDisk checks that an entry is refused before any byte of it is sent.
func TestOtherStreamOnFullDisk(t *testing.T) {
	_, n := connect(t)
	disk, err := system.Usage(n.contentRoot)
	must(t, err)
	var head bytes.Buffer
	w := &tarWriter{t: t, tw: newTar(&head)}
	must(t, w.tw.WriteHeader(fileHeader("blobs/sha256/"+dg("x").Encoded(), disk.Free)))
	before := n.take(t)
	_, err = loadAny(t.Context(), t, n, io.MultiReader(&head, bytes.NewReader(make([]byte, 1<<20))), LoadOptions{})
	var short *DiskFullError
	if !errors.As(err, &short) || short.Need < disk.Free || !strings.Contains(err.Error(), n.contentRoot) {
		t.Errorf("error: %v, want a DiskFullError", err)
	}
	after := n.take(t)
	after.Ingests = slices.DeleteFunc(after.Ingests, func(s string) bool { return strings.HasSuffix(s, " 0") })
	after.same(t, before)
}
