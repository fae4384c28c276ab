package node

import (
	"context"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// Check reports whether the kubelet would find every image of the bundle. It writes
// nothing. A name is [Present] when its record has the bundle's target and the root file
// system is there, unpacked or as layers that the CRI plugin can unpack. Check asks the
// CRI plugin once. When something is missing it returns the report with an
// [*IncompleteError].
func (n *Node) Check(ctx context.Context, b *archive.Reader) (*Report, error) {
	ctx = n.in(ctx)
	s, err := selectImages(b, n.server.Platform)
	if err != nil {
		return nil, err
	}
	imgs := s.images
	inv, err := n.takeInventory(ctx, imgs)
	if err != nil {
		return nil, err
	}
	inBundle := func(digest.Digest) bool { return true } // a check plans no transfer
	p, err := newPlan(imgs, inv, inBundle, planOptions{snapshotter: n.snapshotter.name, discard: true})
	if err != nil {
		return nil, err
	}
	report := newReport(n.server, b.Digest(), p, inv)
	complete := map[string]bool{}
	for _, img := range imgs {
		for _, name := range img.names {
			complete[name] = inv.complete(img)
		}
	}
	for i := range report.Images {
		out := &report.Images[i]
		rec, there := inv.records[out.Name]
		if out.Status = Present; !there || rec.Target.Digest != out.Target || !complete[out.Name] {
			out.Status = Missing
		}
	}
	if err := n.verify(ctx, imgs, report, verifyOptions{}); err != nil {
		return nil, err
	}
	return report, n.conclude(ctx, report, b, s, inv, nil)
}

// complete reports whether the node has everything it needs to run the image.
func (inv *inventory) complete(img *image) bool {
	for _, d := range img.manifests {
		if !inv.has(d.Digest) {
			return false
		}
	}
	if !inv.has(img.config.Digest) {
		return false
	}
	for _, d := range img.blobs {
		if !inv.has(d.Digest) {
			return false
		}
	}
	if inv.chains[img.top()] {
		return true
	}
	for _, l := range img.layers {
		if !inv.has(l.Digest) {
			return false
		}
	}
	return true
}
