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

// LabelBundle is the label of image records that a load created or confirmed. Its value is
// the digest of the bundle that did so last.
const LabelBundle = "dev.stowage.bundle"

// Labels of the CRI plugin on image records. Without labelPinned the kubelet's garbage
// collection may remove the image when the disk fills up.
const (
	labelManaged = "io.cri-containerd.image"
	labelPinned  = "io.cri-containerd.pinned"

	managed = "managed"
	pinned  = "pinned"
)

// recordLabels returns the labels that a load sets on every record.
func recordLabels(bundle digest.Digest, pin bool) map[string]string {
	labels := map[string]string{labelManaged: managed, LabelBundle: bundle.String()}
	if pin {
		labels[labelPinned] = pinned
	}
	return labels
}

// addRecords plans the records of an image in the order in which they are created: the
// image ID, to which the CRI plugin links the names, then digests, then tags.
func (p *planner) addRecords(ip *imagePlan) {
	for _, name := range ip.recordNames() {
		ip.records = append(ip.records, p.planRecord(ip, name))
	}
}

// recordNames returns the names of the records of an image, in the order in which they
// are created.
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

// byDigest returns the name under which a reference by digest finds the image.
func byDigest(name string, target digest.Digest) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.TrimNamed(ref).String() + "@" + target.String()
}

// planRecord compares one record with what is there. The record of an image ID may keep
// another target: several indexes can lead to the same config. A record that something
// else has pinned does not get LabelBundle, so that [Node.Unpin] leaves its pin alone.
func (p *planner) planRecord(ip *imagePlan, name string) record {
	r := record{image: images.Image{Name: name, Target: ip.target, Labels: p.opts.labels}}
	old, there := p.inv.records[name]
	if there && old.Labels[labelPinned] == pinned && old.Labels[LabelBundle] == "" {
		r.image.Labels = maps.Clone(r.image.Labels)
		delete(r.image.Labels, LabelBundle)
	}
	switch {
	case !there:
		r.action = recordCreate
	case old.Target.Digest != ip.target.Digest && name != ip.config.Digest.String():
		r.action, r.was = recordMove, old.Target.Digest
	case !includes(old.Labels, r.image.Labels):
		r.action = recordRelabel
	}
	return r
}

// includes reports whether have contains all pairs of want.
func includes(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// recordJobs is for how many images records are written at once.
const recordJobs = 4

// writeRecords writes the records of images into containerd, those of each image in order.
func writeRecords(ctx context.Context, store images.Store, plans []*imagePlan) error {
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(recordJobs)
	for _, ip := range plans {
		eg.Go(func() error {
			for _, r := range ip.records {
				if err := writeRecord(ctx, store, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return eg.Wait()
}

// writeRecord writes one record into containerd. Another loader or the kubelet may have
// created or deleted it meanwhile; neither is an error.
func writeRecord(ctx context.Context, store images.Store, r record) error {
	if r.action == recordKeep {
		return nil
	}
	var err error
	if r.action == recordCreate {
		if _, err = store.Create(ctx, r.image); err == nil {
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
	if r.action != recordRelabel {
		fields = append(fields, "target")
	}
	if _, err = store.Update(ctx, r.image, fields...); errdefs.IsNotFound(err) {
		_, err = store.Create(ctx, r.image)
	}
	if err != nil {
		return fmt.Errorf("update image %s: %w", r.image.Name, err)
	}
	return nil
}
