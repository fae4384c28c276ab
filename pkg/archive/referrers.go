package archive

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// attachment identifies a referrer in index.json. The same manifest may have the tags of
// several images, as the SBOM of two builds with the same contents.
type attachment struct {
	digest digest.Digest
	tag    string // "" if the manifest has a subject
}

func attachmentOf(d ocispec.Descriptor) attachment {
	return attachment{d.Digest, d.Annotations[AnnotationTag]}
}

func compareReferrers(a, b ocispec.Descriptor) int {
	return cmp.Or(strings.Compare(string(a.Digest), string(b.Digest)), strings.Compare(a.Annotations[AnnotationTag], b.Annotations[AnnotationTag]))
}

// digestTag matches the tag of a digest: distribution-spec v1.1 "Referrers Tag Schema", or
// with a suffix what cosign makes of it (.sig, .att, .sbom).
var digestTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})(\.[0-9A-Za-z_.-]+)?$`)

// tagDigest returns the digest that the tag of an [AnnotationTag] belongs to.
func tagDigest(name string) (digest.Digest, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("tag %q of a referrer: %w", name, err)
	}
	tagged, ok := named.(reference.NamedTagged)
	if !ok || reference.TrimNamed(named).Name()+":"+tagged.Tag() != name {
		return "", fmt.Errorf("tag %q of a referrer: want repository:tag, normalised", name)
	}
	part := digestTag.FindStringSubmatch(tagged.Tag())
	if part == nil {
		return "", fmt.Errorf("tag %q of a referrer belongs to no digest", name)
	}
	return digest.NewDigestFromEncoded(digest.SHA256, part[1]), nil
}

// tagged returns d with the tag that ties it to its image, if there is one.
func tagged(d ocispec.Descriptor, tag string) (ocispec.Descriptor, error) {
	if tag == "" {
		return d, nil
	}
	if _, err := tagDigest(tag); err != nil {
		return d, err
	}
	d.Annotations = map[string]string{AnnotationTag: tag}
	return d, nil
}

// distinct sorts referrers by digest and tag and removes duplicates.
func distinct(list []ocispec.Descriptor) []ocispec.Descriptor {
	slices.SortFunc(list, compareReferrers)
	return slices.CompactFunc(list, func(a, b ocispec.Descriptor) bool { return compareReferrers(a, b) == 0 })
}

// attach adds unnamed manifests to the images that they are about.
func (g *graph) attach(unnamed []ocispec.Descriptor) error {
	about := map[digest.Digest][]ocispec.Descriptor{}
	for _, d := range unnamed {
		s, err := g.about(d)
		if err != nil {
			return err
		}
		if s != "" {
			about[s] = append(about[s], d)
		}
	}
	if err := g.below(about); err != nil {
		return err
	}
	attached := map[attachment]bool{}
	for i := range g.r.images {
		img := &g.r.images[i]
		for _, p := range img.Present {
			for _, d := range about[p.Digest] {
				if err := errors.Join(g.link(1), g.r.budget.hold(costPresent)); err != nil {
					return err
				}
				img.Referrers = append(img.Referrers, d)
				attached[attachmentOf(d)] = true
			}
		}
		img.Referrers = distinct(img.Referrers)
	}
	for _, d := range unnamed {
		if !attached[attachmentOf(d)] {
			g.r.unnamed = append(g.r.unnamed, d)
		}
	}
	return nil
}

// below makes what is about an unlisted index be about its manifests too: in a flat bundle
// the manifests have the names, and index.json does not list the index.
func (g *graph) below(about map[digest.Digest][]ocispec.Descriptor) error {
	for _, s := range slices.Sorted(maps.Keys(about)) {
		if g.trees[s] != nil || !g.r.Has(s) {
			continue
		}
		b, err := g.r.blob(s)
		if err != nil {
			return err
		}
		doc, err := g.r.document(b)
		if isBudget(err) {
			return err
		}
		if err != nil || !doc.index {
			continue // not an index, or damaged: [Reader.Verify] reports that
		}
		for i := range doc.list {
			if err := g.link(len(about[s])); err != nil {
				return err
			}
			if err := g.r.budget.hold(costPresent * int64(len(about[s]))); err != nil {
				return err
			}
			c := doc.list[i].digest
			about[c] = append(about[c], about[s]...)
		}
	}
	return nil
}

// link counts the manifests of images.
func (g *graph) link(n int) error {
	if g.links += n; g.links > g.r.lim.link {
		return fmt.Errorf("more than %d manifests", g.r.lim.link)
	}
	return nil
}

// about returns the digest that an unnamed manifest is about, or "".
func (g *graph) about(d ocispec.Descriptor) (digest.Digest, error) {
	if tag := d.Annotations[AnnotationTag]; tag != "" {
		return tagDigest(tag)
	}
	return g.trees[d.Digest].subject, nil
}
