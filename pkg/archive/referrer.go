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

	"stowage/internal/manifest"
)

// attachment is a referrer in index.json. The same manifest may be under the tags of
// several images: an SBOM of two builds that do not differ in what it lists.
type attachment struct {
	digest digest.Digest
	tag    string // "" where the manifest's subject says what it is about
}

func attachmentOf(d ocispec.Descriptor) attachment {
	return attachment{d.Digest, d.Annotations[AnnotationTag]}
}

func compareReferrers(a, b ocispec.Descriptor) int {
	return cmp.Or(strings.Compare(string(a.Digest), string(b.Digest)), strings.Compare(a.Annotations[AnnotationTag], b.Annotations[AnnotationTag]))
}

// digestTag is the tag that belongs to a digest: distribution-spec v1.1 "Referrers Tag
// Schema", and with a suffix what cosign makes of it (.sig, .att, .sbom).
var digestTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})(\.[0-9A-Za-z_.-]+)?$`)

// tagDigest gives the digest that the tag of an [AnnotationTag] belongs to.
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

// tagged gives a descriptor the tag that ties it to its image, if there is one.
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

// nameless adds a referrer to index.json, once.
func (a *arranger) nameless(desc ocispec.Descriptor) {
	if key := attachmentOf(desc); !a.refs[key] {
		a.refs[key] = true
		a.tops = append(a.tops, topEntry{desc: desc})
	}
}

// referrers takes up manifests about this image, sorted by digest and tag. In index.json
// they stand without a name.
func (w *imageWalk) referrers(list []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	list = slices.Clone(list)
	slices.SortFunc(list, compareReferrers) // the order of the blobs, too
	for _, desc := range list {
		kept, err := w.referrer(desc)
		if err != nil {
			return nil, fmt.Errorf("referrer %s: %w", desc.Digest, err)
		}
		out = append(out, kept)
	}
	return distinct(out), nil
}

// distinct sorts referrers by digest and tag and takes each once.
func distinct(list []ocispec.Descriptor) []ocispec.Descriptor {
	slices.SortFunc(list, compareReferrers)
	return slices.CompactFunc(list, func(a, b ocispec.Descriptor) bool { return compareReferrers(a, b) == 0 })
}

// referrer takes up one of them. Its tag is kept only where its subject does not say the
// same: how somebody found it must not change the bundle.
func (w *imageWalk) referrer(desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	tag := desc.Annotations[AnnotationTag]
	doc, err := w.load(&desc)
	if err != nil {
		return desc, err
	}
	about := doc.Subject
	if w.met[about] {
		tag = ""
	} else if tag != "" {
		if about, err = tagDigest(tag); err != nil {
			return desc, err
		}
	}
	if !w.met[about] || doc.Index {
		return desc, errors.New("not a manifest about this image")
	}
	if err := w.put(desc, classDocument); err != nil {
		return desc, err
	}
	kept, err := tagged(plain(desc), tag)
	if err != nil {
		return desc, err
	}
	kept.ArtifactType = cmp.Or(doc.ArtifactType, doc.Config.MediaType)
	sub := imageWalk{arranger: w.arranger}
	if err := sub.manifest(kept, doc); err != nil {
		return desc, err
	}
	w.nameless(kept)
	return kept, nil
}

// attach gives nameless manifests to the images they are about.
func (g *graph) attach(loose []ocispec.Descriptor) error {
	about := map[digest.Digest][]ocispec.Descriptor{}
	for _, d := range loose {
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
	taken := map[attachment]bool{}
	for i := range g.r.images {
		img := &g.r.images[i]
		for _, p := range img.Present {
			for _, d := range about[p.Digest] {
				if err := g.link(1); err != nil {
					return err
				}
				img.Referrers = append(img.Referrers, d)
				taken[attachmentOf(d)] = true
			}
		}
		img.Referrers = distinct(img.Referrers)
	}
	for _, d := range loose {
		if !taken[attachmentOf(d)] {
			g.r.unnamed = append(g.r.unnamed, d)
		}
	}
	return nil
}

// below lets what is about an index be about its manifests too where these have the names:
// a flat bundle holds the index, and lists it nowhere.
func (g *graph) below(about map[digest.Digest][]ocispec.Descriptor) error {
	for _, s := range slices.Sorted(maps.Keys(about)) {
		if g.trees[s] != nil || !g.r.Has(s) {
			continue
		}
		raw, err := g.r.Document(s)
		if err != nil {
			continue // not a document, or cut: then [Reader.Verify] says so
		}
		doc, err := manifest.Parse(raw, g.r.lim.manifest())
		if err != nil {
			continue
		}
		for _, c := range doc.Children {
			if err := g.link(len(about[s])); err != nil {
				return err
			}
			about[c.Digest] = append(about[c.Digest], about[s]...)
		}
	}
	return nil
}

// link counts manifests of images.
func (g *graph) link(n int) error {
	if g.links += n; g.links > g.r.lim.link {
		return fmt.Errorf("more than %d manifests", g.r.lim.link)
	}
	return nil
}

// about is what a nameless manifest belongs to, "" when nothing says so.
func (g *graph) about(d ocispec.Descriptor) (digest.Digest, error) {
	if tag := d.Annotations[AnnotationTag]; tag != "" {
		return tagDigest(tag)
	}
	return g.trees[d.Digest].subject, nil
}
