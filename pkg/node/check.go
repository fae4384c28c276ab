package node

import (
	"context"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// Check reports whether the kubelet would find every image of the bundle. It writes
// nothing. A name is [Present] when its record has the bundle's target and the root file
// system is there, unpacked or as layers that the CRI plugin can unpack. Check asks the
// CRI plugin once. When something is missing it returns the report with [ErrIncomplete].
func (n *Node) Check(ctx context.Context, b *archive.Reader) (*Report, error) {
	ctx = n.in(ctx)
	r, err := n.check(ctx, b)
	return r, n.withBase(ctx, err, b)
}

func (n *Node) check(ctx context.Context, b bundle) (*Report, error) {
	imgs, err := selectImages(ctx, b, n.server.Platform)
	if err != nil {
		return nil, err
	}
	inv, err := n.takeInventory(ctx, imgs)
	if err != nil {
		return nil, err
	}
	anywhere := func(digest.Digest) bool { return true }
	p, err := newPlan(imgs, inv, anywhere, planOptions{snapshotter: n.snapshotter.name, discard: true})
	if err != nil {
		return nil, err
	}
	report := n.newReport(b.Digest(), p, inv)
	held := map[string]bool{}
	for _, img := range imgs {
		for _, name := range img.names {
			held[name] = inv.holds(img)
		}
	}
	for i := range report.Images {
		out := &report.Images[i]
		rec, there := inv.records[out.Name]
		if out.Status = Present; !there || rec.Target.Digest != out.Target || !held[out.Name] {
			out.Status = Missing
		}
	}
	if err := n.verify(ctx, imgs, report, verifyOptions{}); err != nil {
		return nil, err
	}
	n.warn(ctx, report, inv, nil)
	return report, report.err()
}

// holds reports whether the node has everything it needs to run the image.
func (inv *inventory) holds(img *image) bool {
	for _, d := range img.manifests {
		if !inv.has(d.Digest) {
			return false
		}
	}
	if !inv.has(img.config.Digest) {
		return false
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
