package node

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Labels of an image record. The first two are the CRI plugin's: without the
// second the kubelet's garbage collection may remove the image when the disk
// fills up. The third is ours: the bundle that last pinned the record.
const (
	labelManaged = "io.cri-containerd.image"
	labelPinned  = "io.cri-containerd.pinned"

	managed = "managed"
	pinned  = "pinned"

	// LabelBundle marks the image records of a load; its value is the digest of
	// the bundle that brought or confirmed them last.
	LabelBundle = "dev.stowage.bundle"
)

// recordLabels are the labels that a load wants on every record.
func recordLabels(bundle digest.Digest, pin bool) map[string]string {
	labels := map[string]string{labelManaged: managed, LabelBundle: bundle.String()}
	if pin {
		labels[labelPinned] = pinned
	}
	return labels
}

// addRecords plans the records of an image in the order in which they are made:
// the image id, which CRI links the names to, then digests, then tags.
func (p *planner) addRecords(ip *imagePlan) {
	for _, name := range ip.recordNames() {
		ip.records = append(ip.records, p.planRecord(ip, name))
	}
}

// recordNames are the names of the records of an image, in the order in which
// they are made.
func (img *image) recordNames() []string {
	var names []string
	if !img.artifact {
		names = append(names, img.config.Digest.String())
	}
	for _, name := range img.names {
		if d := byDigest(name, img.target.Digest); !slices.Contains(names, d) {
			names = append(names, d)
		}
	}
	for _, name := range img.names {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// byDigest is the name under which a reference by digest finds the image.
func byDigest(name string, target digest.Digest) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.TrimNamed(ref).String() + "@" + target.String()
}

// planRecord compares one record with what is there. The record of an image id
// may keep another target: several indexes can lead to one config. A pin that
// something else has set stays its own: without our label no unpin takes it away.
func (p *planner) planRecord(ip *imagePlan, name string) record {
	r := record{image: images.Image{Name: name, Target: ip.target, Labels: p.opts.labels}}
	old, there := p.inv.records[name]
	if there && old.Labels[labelPinned] == pinned && old.Labels[LabelBundle] == "" {
		r.image.Labels = maps.Clone(r.image.Labels)
		delete(r.image.Labels, LabelBundle)
	}
	switch {
	case !there:
		r.verdict = recordCreate
	case old.Target.Digest != ip.target.Digest && name != ip.config.Digest.String():
		r.verdict, r.was = recordMove, old.Target.Digest
	case !includes(old.Labels, r.image.Labels):
		r.verdict = recordRelabel
	}
	return r
}

// includes tells whether all pairs of want are in have.
func includes(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// recordJobs is how many images get their records at once.
const recordJobs = 4

// writeRecords brings the records of images into containerd, those of each image in
// their order.
func (n *Node) writeRecords(ctx context.Context, images []*imagePlan) error {
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(recordJobs)
	for _, ip := range images {
		eg.Go(func() error {
			for _, r := range ip.records {
				if err := n.writeRecord(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return eg.Wait()
}

// writeRecord brings one record into containerd. Another loader or the kubelet
// may have made or removed it in the meantime; both are taken as they are.
func (n *Node) writeRecord(ctx context.Context, r record) error {
	if r.verdict == recordRight {
		return nil
	}
	var err error
	if r.verdict == recordCreate {
		if _, err = n.images.Create(ctx, r.image); err == nil {
			return nil
		}
		if !errdefs.IsAlreadyExists(err) {
			return fmt.Errorf("create image %s: %w", r.image.Name, err)
		}
	}
	var fields []string
	for _, k := range slices.Sorted(maps.Keys(r.image.Labels)) {
		fields = append(fields, "labels."+k)
	}
	if r.verdict != recordRelabel {
		fields = append(fields, "target")
	}
	if _, err = n.images.Update(ctx, r.image, fields...); errdefs.IsNotFound(err) {
		_, err = n.images.Create(ctx, r.image)
	}
	if err != nil {
		return fmt.Errorf("update image %s: %w", r.image.Name, err)
	}
	return nil
}
