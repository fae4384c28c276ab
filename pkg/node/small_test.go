//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// tappedBlobs counts the bytes of small blobs that pass through containerd's API, and calls
// before with the digest of each.
type tappedBlobs struct {
	contentapi.ContentClient
	sent   atomic.Int64
	mu     sync.Mutex
	before func(digest.Digest)
}

func (b *tappedBlobs) Write(ctx context.Context, opts ...grpc.CallOption) (contentapi.Content_WriteClient, error) {
	s, err := b.ContentClient.Write(ctx, opts...)
	return &tappedBlob{s, b}, err
}

type tappedBlob struct {
	contentapi.Content_WriteClient
	blobs *tappedBlobs
}

func (b *tappedBlob) Send(m *contentapi.WriteContentRequest) error {
	if b.blobs.mu.Lock(); b.blobs.before != nil {
		b.blobs.before(digest.Digest(m.Expected))
	}
	b.blobs.mu.Unlock()
	b.blobs.sent.Add(int64(len(m.Data)))
	return b.Content_WriteClient.Send(m)
}

// tapSmall puts tappedBlobs before the service for blobs of n until the function that it
// returns is called.
func (n *Node) tapSmall(before func(digest.Digest)) (*tappedBlobs, func()) {
	b := &tappedBlobs{ContentClient: n.blobs, before: before}
	n.blobs = b
	return b, func() { n.blobs = b.ContentClient }
}

// tinyImages is the number of images of tinyBundle. They have more blobs than containerd is
// asked for at once.
const tinyImages = 16

// tinyBundle returns a bundle of tiny images and the names of these.
func (s *shelf) tinyBundle() (file string, names []string) {
	var list []bundletest.Wanted
	for i := range tinyImages {
		names = append(names, s.Image(fmt.Sprintf("acme/tiny-%d", i), "v1", registrytest.Image{Layers: []*registrytest.Layer{
			{Seed: uint64(i), Files: []registrytest.File{{Name: "f", Size: 1 << 10}}},
		}}))
		list = append(list, bundletest.Wanted{Name: names[i]})
	}
	return s.File(archive.PlanOptions{}, list...), names
}

// TestPlacedSmallBlobs loads tiny images with every version: containerd takes over the files of
// their blobs, or gets the bytes if it does not share content or a collection removes a file.
func TestPlacedSmallBlobs(t *testing.T) {
	t.Parallel()
	const isolated = "[plugins.\"io.containerd.metadata.v1.bolt\"]\ncontent_sharing_policy = \"isolated\"\n"
	file, _ := newShelf(t).tinyBundle()
	for _, version := range append([]string{""}, olderVersions(t)...) {
		for _, config := range []string{"", isolated} {
			_, n := connect(t, nodetest.Options{Version: version, Config: config, DisableCRI: true})
			n.sharesContent = true // an isolated containerd must be safe also if it does not say so
			for _, collected := range []bool{false, true} {
				all, sent := n.loadSmall(t, file, collected)
				least, most := int64(0), int64(0)
				if config != "" {
					least, most = all, all
				} else if collected {
					least, most = 1, all/2
				}
				if sent < least || sent > most {
					t.Errorf("containerd %s, configuration %q, collected %v: %d of %d bytes passed through the API", version, config, collected, sent, all)
				}
			}
		}
	}
}

// loadSmall loads tiny images, checks their blobs in the store and in containerd, and returns
// the size of the blobs and how many of their bytes have passed through the API. With collected,
// the file of the first blob is removed before containerd looks for it.
func (n *Node) loadSmall(t *testing.T, file string, collected bool) (all, sent int64) {
	t.Helper()
	n.wipe(t)
	removed := false
	tap, untap := n.tapSmall(func(d digest.Digest) {
		if collected && !removed {
			removed = os.Remove(filepath.Join(n.contentRoot, "blobs", "sha256", d.Encoded())) == nil
		}
	})
	r := load(t, n, bundletest.Open(t, file), LoadOptions{})
	untap()
	n.collect(t)
	files, count := n.blobFiles(t), 0
	must(t, n.content.Walk(n.namespaced(t), func(i content.Info) error {
		if !files[i.Digest.Encoded()] {
			t.Errorf("containerd's blob %s has no file", i.Digest)
		}
		delete(files, i.Digest.Encoded())
		count, all = count+1, all+i.Size
		return nil
	}))
	if len(files) > 0 || count != 3*tinyImages || r.Ingested != all || removed != collected {
		t.Errorf("%d blobs of %d bytes, %d reported as sent; files without a blob: %v; removed: %v", count, all, r.Ingested, files, removed)
	}
	return all, tap.sent.Load()
}

// TestPlacedSmallBlobsAfterErrors ends loads when the small blobs are placed and containerd has
// not taken all of them over: nothing is left.
func TestPlacedSmallBlobsAfterErrors(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	before := n.take(t)
	s := newShelf(t)
	file, names := s.tinyBundle()
	ctx, cancel := context.WithCancel(t.Context())
	_, untap := n.tapSmall(func(digest.Digest) { cancel() })
	if _, err := n.Load(ctx, bundletest.Open(t, file), LoadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	untap()
	n.take(t).same(t, before)
	if left := n.blobFiles(t); len(left) > 0 {
		t.Errorf("cancelled: left behind: %v", left)
	}
	n.placeWithoutUse(t, file)
	n.take(t).same(t, before)
	if left := n.blobFiles(t); len(left) > 0 {
		t.Errorf("without use: left behind: %v", left)
	}
	bundletest.Flip(t, file, s.manifest(names[1]).Layers[0].Digest)
	if _, err := n.Load(t.Context(), bundletest.Open(t, file), LoadOptions{}); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
	n.take(t).same(t, before)
	if left := n.blobFiles(t); len(left) > 0 {
		t.Errorf("damaged: left behind: %v", left)
	}
}

// placeWithoutUse places the small blobs of a bundle and ends the transaction before containerd
// was asked for any.
func (n *Node) placeWithoutUse(t *testing.T, file string) {
	t.Helper()
	b := bundletest.Open(t, file)
	l := n.newLoader(b, LoadOptions{})
	tx, ctx, err := n.begin(n.namespaced(t), b.Digest())
	must(t, err)
	l.placer, err = n.newPlacer(ctx, nil)
	must(t, err)
	var all []*blobWork
	for _, blob := range b.Blobs() {
		all = append(all, &blobWork{desc: ocispec.Descriptor{Digest: blob.Digest, Size: blob.Size}})
	}
	for _, batch := range l.smallBatches(all) {
		must(t, l.placeBatch(ctx, batch))
	}
	if placed := n.blobFiles(t); len(placed) != len(all) {
		t.Errorf("%d of %d blobs were placed", len(placed), len(all))
	}
	l.leave(ctx)
	must(t, tx.finish(ctx, nil, false))
}
