//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	api "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/services/content/contentserver"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/node/internal/placed"
	"stowage/pkg/node/internal/system"
)

// tappedStore counts the bytes that pass through containerd's API, and calls before with the
// digest of each large blob before its writer is opened.
type tappedStore struct {
	content.Store
	sent   atomic.Int64
	mu     sync.Mutex
	before func(digest.Digest)
}

func (s *tappedStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if s.mu.Lock(); o.Desc.Size > lightWork && s.before != nil {
		s.before(o.Desc.Digest)
	}
	s.mu.Unlock()
	w, err := s.Store.Writer(ctx, opts...)
	if err == nil {
		w = &tappedWriter{w, s}
	}
	return w, err
}

type tappedWriter struct {
	content.Writer
	store *tappedStore
}

func (w *tappedWriter) Write(p []byte) (int, error) {
	w.store.sent.Add(int64(len(p)))
	return w.Writer.Write(p)
}

// tap puts a tappedStore before the content store of n.
func (n *Node) tap(before func(digest.Digest)) *tappedStore {
	s := &tappedStore{Store: n.content, before: before}
	n.content = s
	return s
}

// blobFiles returns the names of the files in the directory of the blobs. Each is checked: its
// bytes, its rights, and its owner.
func (n *Node) blobFiles(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	dir := filepath.Join(n.contentRoot, "blobs", "sha256")
	all, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range all {
		raw := contentOf(t, filepath.Join(dir, e.Name()))
		info, err := e.Info()
		must(t, err)
		// containerd names a blob of its own before it takes the right to write away.
		for end := time.Now().Add(5 * time.Second); info.Mode() == 0o644 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			info, err = os.Stat(filepath.Join(dir, e.Name()))
			must(t, err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if digest.FromBytes(raw).Encoded() != e.Name() || info.Mode() != 0o444 || st.Uid != 0 || st.Gid != 0 || st.Nlink != 1 {
			t.Errorf("blob %s: digest %s, mode %v, owner %d:%d, %d links", e.Name(), digest.FromBytes(raw), info.Mode(), st.Uid, st.Gid, st.Nlink)
		}
		names[e.Name()] = true
	}
	return names
}

// largeBundle returns a bundle of an image with three layers that are placed, as a file and as
// the tarball of another program, and the image.
func (s *shelf) largeBundle() (ours, other, name string) {
	var layers []*registrytest.Layer
	for seed := range uint64(3) {
		layers = append(layers, &registrytest.Layer{Seed: seed, Files: []registrytest.File{{Name: "f", Size: 1 << 20}}})
	}
	name = s.Image("acme/placed", "v1", registrytest.Image{Layers: layers})
	for _, f := range forms {
		if f.name == "docker save before 25" { // without digests
			other = s.other(f, name)
		}
	}
	return s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name}), other, name
}

// loading is a way into a node.
type loading func(context.Context, *Node, LoadOptions) (*Report, error)

// placedLoads returns the ways into a node, each with three layers that are placed.
func (s *shelf) placedLoads(t *testing.T) map[string]loading {
	ours, other, _ := s.largeBundle()
	return loadsOf(t, ours, other)
}

// loadsOf returns the ways into a node for a bundle and for a tarball of another program.
func loadsOf(t *testing.T, ours, other string) map[string]loading {
	stream := func(path string) loading {
		return func(ctx context.Context, n *Node, o LoadOptions) (*Report, error) {
			return loadAny(ctx, t, n, bytes.NewReader(contentOf(t, path)), o)
		}
	}
	return map[string]loading{
		"file": func(ctx context.Context, n *Node, o LoadOptions) (*Report, error) {
			return n.Load(ctx, bundletest.Open(t, ours), o)
		},
		"stream":                    stream(ours),
		"stream of another program": stream(other),
	}
}

// TestPlacedBlobs loads with every version: containerd takes over the files of large blobs, or
// gets their bytes if it does not share content or a collection removes the file.
func TestPlacedBlobs(t *testing.T) {
	t.Parallel()
	const isolated = "[plugins.\"io.containerd.metadata.v1.bolt\"]\ncontent_sharing_policy = \"isolated\"\n"
	s := newShelf(t)
	loads := s.placedLoads(t)
	for _, version := range append([]string{""}, olderVersions(t)...) {
		for _, config := range []string{"", isolated} {
			_, n := connect(t, nodetest.Options{Version: version, Config: config, DisableCRI: true})
			if n.sharesContent != (config == "") {
				t.Errorf("containerd %s, configuration %q: shares content: %v", version, config, n.sharesContent)
			}
			n.sharesContent = true // an isolated containerd must be safe also if it does not say so
			for from, load := range loads {
				for _, collected := range []bool{false, true} {
					switch sent := n.loadPlaced(t, load, collected); {
					case config != "":
						if sent < 3<<20 {
							t.Errorf("containerd %s, isolated, %s: %d bytes passed through the API, want all", version, from, sent)
						}
					case collected:
						if sent < 1<<20 || sent > 2<<20 {
							t.Errorf("containerd %s, %s: %d bytes passed through the API after a collection, want one blob", version, from, sent)
						}
					case sent > lightWork:
						t.Errorf("containerd %s, %s: %d bytes passed through the API", version, from, sent)
					}
				}
			}
		}
	}
}

// loadPlaced loads the three large blobs, checks them in the store and in containerd, and
// returns how many bytes have passed through the API. With collected, the file of the first
// blob is removed before containerd looks for it, as a collection of garbage does.
func (n *Node) loadPlaced(t *testing.T, load loading, collected bool) int64 {
	t.Helper()
	n.wipe(t)
	real, removed := n.content, false
	tap := n.tap(func(d digest.Digest) {
		removed = removed || collected && os.Remove(filepath.Join(n.contentRoot, "blobs", "sha256", d.Encoded())) == nil
	})
	r, err := load(t.Context(), n, LoadOptions{})
	n.content = real
	must(t, err)
	if r.Ingested < 3<<20 || removed != collected {
		t.Errorf("reported as sent: %d bytes; removed: %v", r.Ingested, removed)
	}
	n.collect(t)
	files, large := n.blobFiles(t), 0
	must(t, real.Walk(n.namespaced(t), func(i content.Info) error {
		if !files[i.Digest.Encoded()] {
			t.Errorf("containerd's blob %s has no file", i.Digest)
		}
		delete(files, i.Digest.Encoded())
		if i.Size > lightWork {
			large++
		}
		return nil
	}))
	if len(files) > 0 || large != 3 {
		t.Errorf("%d large blobs; files without a blob: %v", large, files)
	}
	return tap.sent.Load()
}

// TestPlacedBlobWithoutWriter ends a load between the name of a file and its writer.
func TestPlacedBlobWithoutWriter(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	for from, load := range s.placedLoads(t) {
		real := n.content
		ctx, cancel := context.WithCancel(t.Context())
		n.tap(func(digest.Digest) { cancel() })
		if _, err := load(ctx, n, LoadOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the context's error", from, err)
		}
		n.content = real
		if strings.HasPrefix(from, "stream") {
			_, err := load(t.Context(), n, LoadOptions{}) // of what was kept for it
			must(t, err)
			n.wipe(t)
			n.collect(t)
		}
		if left := n.blobFiles(t); len(left) > 0 {
			t.Errorf("%s: left behind: %v", from, left)
		}
	}
}

// TestBlobsThatCannotBePlaced loads where the directory of the blobs is a link.
func TestBlobsThatCannotBePlaced(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	elsewhere := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(n.contentRoot, "blobs"), 0o755))
	must(t, os.Symlink(elsewhere, filepath.Join(n.contentRoot, "blobs", "sha256")))
	s := newShelf(t)
	ours, _, name := s.largeBundle()
	tap := n.tap(nil)
	load(t, n, bundletest.Open(t, ours), LoadOptions{})
	if sent := tap.sent.Load(); sent < 3<<20 {
		t.Errorf("%d bytes passed through the API, want all", sent)
	}
	for _, l := range s.manifest(name).Layers {
		if digest.FromBytes(contentOf(t, filepath.Join(elsewhere, l.Digest.Encoded()))) != l.Digest {
			t.Errorf("layer %s is wrong", l.Digest)
		}
	}
}

// TestDamagedBlobIsNotPlaced loads bundles with a wrong byte.
func TestDamagedBlobIsNotPlaced(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	ours, other, name := s.largeBundle()
	bad := s.manifest(name).Layers[1].Digest
	bundletest.Flip(t, ours, bad)
	raw := contentOf(t, other)
	raw[len(raw)/2] ^= 1
	must(t, os.WriteFile(other, raw, 0o600))
	for from, load := range loadsOf(t, ours, other) {
		n.tap(func(d digest.Digest) {
			if d == bad {
				t.Errorf("%s: containerd was asked to take over %s", from, d)
			}
		})
		if _, err := load(t.Context(), n, LoadOptions{}); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: error: %v", from, err)
		}
		if left := n.blobFiles(t); len(left) > 0 {
			t.Errorf("%s: left behind: %v", from, left)
		}
	}
}

// TestFullDiskWhilePlacing fills the disk while a blob is written.
func TestFullDiskWhilePlacing(t *testing.T) {
	t.Parallel()
	machine, n := connect(t, nodetest.Options{Dir: smallDisk(t, 64<<20), DisableCRI: true})
	rest := filepath.Join(machine.Dir(), "rest")
	before := n.take(t)
	for from, load := range newShelf(t).placedLoads(t) {
		var passed atomic.Int64
		_, err := load(t.Context(), n, LoadOptions{OnBytes: func(size int64) {
			if now := passed.Add(size); now >= 1<<19 && now-size < 1<<19 {
				disk, _ := system.Usage(machine.Dir())
				os.WriteFile(rest, make([]byte, max(disk.Free-(256<<10), 0)), 0o600) // fails if others write
			}
		}})
		if _, ok := errors.AsType[*DiskFullError](err); !ok {
			t.Errorf("%s: error: %v, want a DiskFullError", from, err)
		}
		must(t, os.Remove(rest))
		n.take(t).same(t, before)
		if left := n.blobFiles(t); len(left) > 0 {
			t.Errorf("%s: left behind: %v", from, left)
		}
		_, err = load(t.Context(), n, LoadOptions{})
		must(t, err)
		n.wipe(t)
	}
}

// TestRemoteContentStore loads into a containerd that keeps its blobs behind a socket.
func TestRemoteContentStore(t *testing.T) {
	t.Parallel()
	need.Root(t, "run containerd")
	dir := t.TempDir()
	remote, err := local.NewStore(filepath.Join(dir, "remote"))
	must(t, err)
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	server := grpc.NewServer()
	api.RegisterContentServer(server, contentserver.New(remote))
	go server.Serve(socket)
	t.Cleanup(server.Stop)
	off := filepath.Join(dir, "off.toml")
	must(t, os.WriteFile(off, []byte("version = 3\ndisabled_plugins = [\"io.containerd.content.v1.content\"]\n"), 0o600))
	decoy := filepath.Join(dir, "decoy")
	must(t, os.Mkdir(decoy, 0o755))
	_, n := connect(t, nodetest.Options{Imports: strconv.Quote(off), Config: fmt.Sprintf(`
[proxy_plugins.remote]
type = "content"
address = %q
[proxy_plugins.remote.exports]
root = %q
`, socket.Addr(), decoy)})
	if n.sharesContent || !n.local || n.contentRoot != decoy {
		t.Fatalf("shares content: %v, local: %v, content in %s", n.sharesContent, n.local, n.contentRoot)
	}
	for from, load := range newShelf(t).placedLoads(t) {
		for _, n.sharesContent = range []bool{false, true} { // also if it did not say so
			tap := n.tap(nil)
			_, err := load(t.Context(), n, LoadOptions{})
			must(t, err)
			if sent := tap.sent.Load(); sent < 3<<20 {
				t.Errorf("%s: %d bytes passed through the API, want all", from, sent)
			}
			if _, err := os.Stat(filepath.Join(decoy, "blobs")); (err == nil) != n.sharesContent {
				t.Errorf("%s: %v", from, err)
			}
			n.content = tap.Store
			must(t, os.RemoveAll(filepath.Join(decoy, "blobs")))
			n.wipe(t)
		}
	}
}

// TestKilledWhilePlacing kills loads at many points: each blob is complete or missing.
func TestKilledWhilePlacing(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	s := newShelf(t)
	ours, _, _ := s.largeBundle()
	points := 12
	if testing.Short() {
		points = 4
	}
	for i := range points {
		order{Address: machine.Address(), Bundle: ours, After: int64(1+i) * (6 << 20) / int64(points)}.run()
		n.blobFiles(t)
		load(t, n, bundletest.Open(t, ours), LoadOptions{})
		n.wipe(t)
		n.collect(t)
		if left := n.blobFiles(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// TestOrphan leaves a file as a load does that dies before it has asked containerd to take it
// over: the next load uses it, or else containerd removes it with the next content.
func TestOrphan(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	ours, _, name := s.largeBundle()
	desc := s.manifest(name).Layers[0]
	b, small := bundletest.Open(t, ours), s.Bundle(s.Image("acme/small", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 9, Files: []registrytest.File{{Name: "o", Size: 1 << 10}}}}}))
	for _, version := range append([]string{""}, olderVersions(t)...) {
		_, n := connect(t, nodetest.Options{Version: version, DisableCRI: true})
		load(t, n, small, LoadOptions{}) // makes the directories
		orphan := func() {
			in, err := b.Open(desc.Digest)
			must(t, err)
			f, err := placed.New(n.contentRoot, nil).Place(t.Context(), placed.Blob{Digest: desc.Digest, Size: desc.Size, In: in, Sum: func() (digest.Digest, error) { return desc.Digest, nil }})
			must(t, err)
			must(t, f.Close())
			n.collect(t)
			if !n.blobFiles(t)[desc.Digest.Encoded()] {
				t.Errorf("containerd %s: removed by a collection that removes no content", version)
			}
		}
		orphan()
		tap := n.tap(nil)
		load(t, n, b, LoadOptions{})
		if sent := tap.sent.Load(); sent > lightWork {
			t.Errorf("containerd %s: %d bytes passed through the API", version, sent)
		}
		n.wipe(t)
		load(t, n, small, LoadOptions{})
		orphan()
		n.wipe(t)
		if left := n.blobFiles(t); len(left) > 0 {
			t.Errorf("containerd %s: left behind: %v", version, left)
		}
	}
}
