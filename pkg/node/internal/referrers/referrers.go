// Package referrers decides which referrers of a bundle a node keeps, and how containerd's
// content store leads to them.
//
// A referrer is a manifest about an image: a signature, an attestation, an SBOM. It has no
// name, so it gets no image record, and CRI does not list it. The manifest that it is about,
// or that stands for it on the node, gets a label by which containerd's garbage collection
// keeps the referrer as long as that manifest, and removes it with the image. containerd uses
// the same label (since 2.2, core/images/handlers.go, SetChildrenMappedLabels):
//
//	containerd.io/gc.ref.content.referrer.sha256.0123456789ab = sha256:0123456789ab…
//
// A referrer that only a tag ties to its image has a second label there:
//
//	dev.stowage.tag.docker.io/library/busybox:sha256-<hex>.sig = sha256:…
package referrers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

const (
	labelRef = "containerd.io/gc.ref.content.referrer."
	labelTag = "dev.stowage.tag."

	// shortDigest is how many hex digits of a digest containerd's label has.
	shortDigest = 12
)

// Most is how many referrers of one image a node keeps: as many as "bundle" includes.
const Most = 1000

// costBlob is what a blob of a referrer takes in memory while it is planned and loaded, in
// bytes.
const costBlob = 1 << 10

// A Referrer is one that the node keeps with an image.
type Referrer struct {
	Holder   digest.Digest // the manifest of the image that leads to it
	Tag      string        // that ties it to the image, "" if its subject does
	Manifest ocispec.Descriptor
	Config   ocispec.Descriptor
	Layers   []ocispec.Descriptor
}

// Blobs returns the blobs of the referrer, its manifest first.
func (r *Referrer) Blobs() []ocispec.Descriptor {
	return append([]ocispec.Descriptor{r.Manifest, r.Config}, r.Layers...)
}

// Left counts referrers that the node does not keep.
type Left struct {
	N   int
	Err error // of the first
}

// Add counts one.
func (l *Left) Add(err error) {
	l.N++
	l.Err = cmp.Or(l.Err, err)
}

// Join counts those of other.
func (l *Left) Join(other Left) {
	l.N += other.N
	l.Err = cmp.Or(l.Err, other.Err)
}

// Bundle is the part of [archive.Reader] that the choice needs.
type Bundle interface {
	Manifest(digest.Digest) (*archive.Manifest, error)
	About(referrer ocispec.Descriptor) digest.Digest
	Hold(int64) error
}

// Of returns the referrers of an image whose manifests on the node are kept, from the target
// down. It leaves out those of manifests for other platforms without a word, and counts those
// that cannot be kept: a fault of a referrer is none of its image.
func Of(b Bundle, img *archive.Image, kept []ocispec.Descriptor) (out []Referrer, left Left) {
	for _, d := range img.Referrers {
		holder := holderOf(b.About(d), img, kept)
		if holder == "" {
			continue
		}
		if len(out) == Most {
			left.Add(fmt.Errorf("referrer %s: more than %d of %s", d.Digest, Most, img.Name))
			continue
		}
		r, err := read(b, d)
		if err != nil {
			left.Add(fmt.Errorf("referrer %s of %s: %w", d.Digest, img.Name, err))
			continue
		}
		r.Holder = holder
		out = append(out, *r)
	}
	return out, left
}

// holderOf returns the manifest on the node that leads to a referrer, "" for none: the one that
// it is about. A flat bundle has referrers of an index that is not in it; the target stands for
// that.
func holderOf(about digest.Digest, img *archive.Image, kept []ocispec.Descriptor) digest.Digest {
	is := func(d ocispec.Descriptor) bool { return d.Digest == about }
	switch {
	case slices.ContainsFunc(kept, is):
		return about
	case slices.ContainsFunc(img.Present, is):
		return ""
	}
	return img.Target.Digest
}

var errIndex = errors.New("an index, not a manifest")

// read returns a referrer of the bundle. What it takes in memory is counted.
func read(b Bundle, d ocispec.Descriptor) (*Referrer, error) {
	m, err := b.Manifest(d.Digest)
	if err != nil {
		return nil, err
	}
	if m.Index {
		return nil, errIndex
	}
	if size := costBlob * int64(2+len(m.Layers)); b.Hold(size) != nil {
		return nil, errors.Join(errors.New("its manifest takes too much memory"), b.Hold(-size))
	}
	r := &Referrer{Tag: d.Annotations[archive.AnnotationTag], Config: m.Config, Layers: m.Layers}
	r.Manifest = ocispec.Descriptor{MediaType: m.MediaType, Digest: d.Digest, Size: d.Size}
	return r, nil
}

// AddLabels adds to want the labels that lead from a manifest to its referrer and that are not
// in have, those that the manifest has. It changes none of them but a tag, which leads to the
// referrer of the newest bundle.
func AddLabels(want, have map[string]string, r *Referrer) {
	value := r.Manifest.Digest.String()
	if r.Tag != "" && have[labelTag+r.Tag] != value {
		want[labelTag+r.Tag] = value
	}
	if leads(have, value) || leads(want, value) {
		return
	}
	key := labelRef + "sha256." + r.Manifest.Digest.Encoded()
	if short := key[:len(labelRef)+len("sha256.")+shortDigest]; have[short] == "" && want[short] == "" {
		key = short // else two digests begin with the same digits
	}
	want[key] = value
}

// leads reports whether one of the labels of a manifest leads to a referrer.
func leads(labels map[string]string, referrer string) bool {
	for k, v := range labels {
		if v == referrer && strings.HasPrefix(k, labelRef) {
			return true
		}
	}
	return false
}

// List returns the digests of the referrers to which the labels of a manifest lead, sorted.
func List(labels map[string]string) []digest.Digest {
	var out []digest.Digest
	for k, v := range labels {
		if strings.HasPrefix(k, labelRef) {
			out = append(out, digest.Digest(v))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Tags returns the tags to which the labels of a manifest lead, with their digests.
func Tags(labels map[string]string) map[string]digest.Digest {
	out := map[string]digest.Digest{}
	for k, v := range labels {
		if tag, ok := strings.CutPrefix(k, labelTag); ok {
			out[tag] = digest.Digest(v)
		}
	}
	return out
}
