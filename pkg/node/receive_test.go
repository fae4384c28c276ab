//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// contentOf returns the content of a file.
func contentOf(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func TestStreamedImageRuns(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	name := s.Hello("acme/hello", "v1")
	names := append(s.calico(5), name, s.Sandbox())
	plain := s.File(archive.PlanOptions{}, wantedAll(names)...)
	inputs := map[string]string{"plain": plain, "gzip": bundletest.Compress(t, plain, archive.Gzip), "zstd": bundletest.Compress(t, plain, archive.Zstd)}
	machine, n := connect(t)
	for _, way := range ways {
		for kind, path := range inputs {
			for _, discard := range []bool{false, true} {
				if discard != (kind == "zstd") && way.name != "side by side" {
					continue // these do not depend on each other
				}
				wiped(t, n, way.name+" "+kind, func(t *testing.T, n *Node) {
					way.set(n)
					raw := contentOf(t, path)
					r, err := loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{DiscardLayers: discard})
					must(t, err)
					for _, i := range r.Images {
						if i.Status != Loaded || i.CRI != Ready || !i.Pinned {
							t.Errorf("report: %+v", i)
						}
					}
					n.collect(t)
					streamed := n.take(t)
					if out, err := machine.RunContainer(t.Context(), name); err != nil || out != "hello from acme/hello\n" {
						t.Errorf("container: %q, %v", out, err)
					}
					r, err = loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{DiscardLayers: discard})
					if err != nil || !r.UpToDate() {
						t.Errorf("again: %+v, %v", r, err)
					}
					if !discard {
						return
					}
					for _, l := range s.manifest(name).Layers {
						if slices.ContainsFunc(streamed.Blobs, func(b string) bool { return strings.HasPrefix(b, l.Digest.String()) }) {
							t.Errorf("layer %s was kept", l.Digest)
						}
					}
				})
			}
		}
	}
}

// TestStreamStateEqualsFileState compares what a stream and a file leave on a node.
func TestStreamStateEqualsFileState(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	path := s.File(archive.PlanOptions{}, wantedAll(s.calico(5))...)
	var states []state
	_, n := connect(t)
	for _, streamed := range []bool{false, true} {
		n.wipe(t)
		if streamed {
			_, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, path)), LoadOptions{})
			must(t, err)
		} else {
			load(t, n, bundletest.Open(t, path), LoadOptions{})
		}
		st := n.take(t)
		for _, list := range [][]string{st.Records, st.Blobs, st.Snapshots} {
			for i, line := range list { // the time is last
				list[i] = line[:max(strings.LastIndex(line, " 20"), 0)]
			}
		}
		states = append(states, st)
	}
	if d := cmp.Diff(states[0], states[1]); d != "" {
		t.Errorf("state (-file +stream):\n%s", d)
	}
}

func TestStreamResumes(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	raw := contentOf(t, s.File(archive.PlanOptions{}, wantedAll(s.calico(20))...))
	for _, discard := range []bool{false, true} {
		n.wipe(t)
		before := n.take(t)
		o := LoadOptions{DiscardLayers: discard}
		_, err := loadAny(t.Context(), t, n, bytes.NewReader(raw[:len(raw)*3/4]), o)
		if !errors.Is(err, archive.ErrDamaged) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error: %v, want that of a bundle cut short", err)
		}
		n.collect(t)
		after := n.take(t)
		if d := cmp.Diff(before.Records, after.Records); d != "" {
			t.Errorf("records (-before +after):\n%s", d)
		}
		if slices.ContainsFunc(after.Snapshots, func(s string) bool { return strings.HasPrefix(s, "Active") }) || len(after.Leases) != len(before.Leases)+1 {
			t.Errorf("left behind: %v, leases %v", after.Snapshots, after.Leases)
		}
		if len(after.Blobs) == 0 {
			t.Error("nothing was kept for the next load")
		}
		r, err := loadAny(t.Context(), t, n, bytes.NewReader(raw), o)
		must(t, err)
		if r.Ingested > int64(len(raw))/2 {
			t.Errorf("sent again: %d of %d bytes", r.Ingested, len(raw))
		}
		if left := n.take(t); len(left.Leases) != len(before.Leases) || len(left.Ingests) > 0 {
			t.Errorf("left behind: leases %v, ingests %v", left.Leases, left.Ingests)
		}
	}
}

func TestStreamDamagedLayerLeavesNothing(t *testing.T) {
	_, n := connect(t)
	s := newShelf(t)
	names := s.calico(5)
	path := s.File(archive.PlanOptions{}, wantedAll(names)...)
	bad := s.manifest(names[1]).Layers[1].Digest
	bundletest.Flip(t, path, bad)
	before := n.take(t)
	_, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, path)), LoadOptions{})
	if !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), bad.String()) {
		t.Errorf("error: %v, want one about %s", err, bad)
	}
	n.take(t).same(t, before)
}

func TestStreamCancelled(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	raw := contentOf(t, s.File(archive.PlanOptions{}, wantedAll(s.calico(20))...))
	before := n.take(t)
	pr, pw := io.Pipe() // the sender stalls before the end
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		pw.Write(raw[:len(raw)-4096])
		cancel()
	}()
	defer pw.Close()
	if _, err := loadAny(ctx, t, n, pr, LoadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v, want a cancelled context", err)
	}
	if d := cmp.Diff(before.Records, n.take(t).Records); d != "" {
		t.Errorf("records (-before +after):\n%s", d)
	}
	_, err := loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{})
	must(t, err)
}
