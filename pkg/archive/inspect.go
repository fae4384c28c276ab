package archive

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Summary describes a bundle. Sizes are those of blobs as stored, in bytes, without the
// tar around them.
type Summary struct {
	Digest    digest.Digest  `json:"identity"`       // digest of its index.json
	Base      digest.Digest  `json:"base,omitempty"` // identity of the bundle that a differential one needs
	Size      int64          `json:"size"`           // of the tarball
	Blobs     int            `json:"blobCount"`
	BlobSize  int64          `json:"blobSize"`               // of all blobs
	SavedSize int64          `json:"savedSize"`              // how much larger images that share blobs would be without sharing
	Omitted   int            `json:"omittedCount,omitempty"` // blobs that a differential bundle names and does not store
	OmitSize  int64          `json:"omittedSize,omitempty"`  // of these blobs
	Images    []ImageSummary `json:"images"`
	Skipped   []Skipped      `json:"skipped,omitempty"`      // names that are not in the bundle, or not for all platforms
	Unnamed   int            `json:"unnamedCount,omitempty"` // images of another program's tarball without a name
}

// An ImageSummary is one target with all its names, in the order of index.json.
type ImageSummary struct {
	Names     []string          `json:"names"`
	Digest    digest.Digest     `json:"digest"`
	MediaType string            `json:"mediaType"`
	Size      int64             `json:"size"`    // of all its blobs, each counted once, omitted ones too
	OwnSize   int64             `json:"ownSize"` // of the blobs no other image here uses
	Manifests []ManifestSummary `json:"manifests"`
	Referrers []ReferrerSummary `json:"referrers,omitempty"`
}

// A ReferrerSummary is a signature, an attestation, an SBOM or the like of an image.
type ReferrerSummary struct {
	Digest       digest.Digest `json:"digest"`
	ArtifactType string        `json:"artifactType,omitempty"`
	Tag          string        `json:"tag,omitempty"` // under which cosign stores it, see [AnnotationTag]
	Size         int64         `json:"size"`          // manifest, config and layers
}

// A ManifestSummary is one platform of an image.
type ManifestSummary struct {
	Platform     string         `json:"platform,omitempty"` // "linux/arm64/v8"
	ArtifactType string         `json:"artifactType,omitempty"`
	Digest       digest.Digest  `json:"digest"`
	Config       digest.Digest  `json:"config"`
	Size         int64          `json:"size"` // manifest, config and layers
	Layers       []LayerSummary `json:"layers"`
}

// A LayerSummary is one layer of a manifest.
type LayerSummary struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`
	Images    int           `json:"imageCount"`        // images of the bundle that use it
	Omitted   bool          `json:"omitted,omitempty"` // named but not stored
}

// Inspect returns a summary. Its size grows with the layers of all manifests, and one that
// takes more memory than the metadata of a bundle may is an [ErrDamaged].
func (r *Reader) Inspect() (*Summary, error) {
	s := &inspection{r: r, budget: newBudget(r.lim), uses: map[digest.Digest]int{}}
	s.out = Summary{
		Digest: r.id, Base: r.base, Size: r.size, Blobs: len(r.blobs),
		Omitted: len(r.omitted), Skipped: r.skipped, Unnamed: len(r.unnamed), Images: []ImageSummary{},
	}
	for i := range r.blobs {
		s.out.BlobSize += r.blobs[i].Size
	}
	for i := range r.omitted {
		s.out.OmitSize += r.omitted[i].Size
	}
	at := map[digest.Digest]int{}
	for i := range r.images {
		img := &r.images[i]
		if k, ok := at[img.Target.Digest]; ok {
			s.out.Images[k].Names = append(s.out.Images[k].Names, img.Name)
			continue
		}
		at[img.Target.Digest] = len(s.out.Images)
		if err := s.image(img); err != nil {
			return nil, err
		}
	}
	s.shares()
	return &s.out, nil
}

// inspection is the work of Inspect.
type inspection struct {
	r      *Reader
	budget *budget
	out    Summary
	uses   map[digest.Digest]int // images that use a blob
	sets   []map[digest.Digest]int64
}

// image adds the summary of one target.
func (s *inspection) image(img *Image) error {
	sum := ImageSummary{
		Names: []string{img.Name}, Digest: img.Target.Digest, MediaType: img.Target.MediaType,
		Manifests: []ManifestSummary{},
	}
	set := map[digest.Digest]int64{}
	for i := range img.Present {
		m, err := s.manifest(&img.Present[i], set)
		if err != nil {
			return err
		}
		if m != nil {
			sum.Manifests = append(sum.Manifests, *m)
		}
	}
	for i := range img.Referrers {
		d := &img.Referrers[i]
		m, err := s.manifest(d, set)
		if err != nil {
			return err
		}
		if m != nil {
			sum.Referrers = append(sum.Referrers, ReferrerSummary{
				Digest: d.Digest, ArtifactType: d.ArtifactType, Tag: d.Annotations[AnnotationTag], Size: m.Size,
			})
		}
	}
	for d, size := range set {
		sum.Size += size
		s.uses[d]++
	}
	s.sets = append(s.sets, set)
	s.out.Images = append(s.out.Images, sum)
	return nil
}

// manifest returns the summary of one manifest and adds its blobs to set; nil for an index.
func (s *inspection) manifest(desc *ocispec.Descriptor, set map[digest.Digest]int64) (*ManifestSummary, error) {
	doc := s.r.docs.manifests[desc.Digest]
	set[desc.Digest] = desc.Size
	if doc.index {
		return nil, nil
	}
	if err := s.budget.hold(costDocument + costChild*int64(len(doc.list))); err != nil {
		return nil, s.r.damaged(&s.r.blobs[s.r.at[desc.Digest]], adviceLimit, err)
	}
	m := &ManifestSummary{
		ArtifactType: desc.ArtifactType, Digest: desc.Digest, Config: doc.config.digest,
		Size: desc.Size + doc.config.size, Layers: make([]LayerSummary, len(doc.list)),
	}
	if desc.Platform != nil {
		m.Platform = formatPlatform(desc.Platform)
	}
	set[doc.config.digest] = doc.config.size
	for i := range doc.list {
		l := &doc.list[i]
		set[l.digest] = l.size
		m.Size += l.size
		m.Layers[i] = LayerSummary{Digest: l.digest, MediaType: l.mediaType, Size: l.size, Omitted: !s.r.Has(l.digest)}
	}
	return m, nil
}

// shares sets the fields that depend on all images.
func (s *inspection) shares() {
	for i := range s.out.Images {
		img := &s.out.Images[i]
		for d, size := range s.sets[i] {
			if s.uses[d] == 1 {
				img.OwnSize += size
			}
		}
		for k := range img.Manifests {
			for n := range img.Manifests[k].Layers {
				l := &img.Manifests[k].Layers[n]
				l.Images = s.uses[l.Digest]
			}
		}
	}
	counted := map[digest.Digest]bool{}
	for _, set := range s.sets {
		for d, size := range set {
			if !counted[d] {
				counted[d] = true
				s.out.SavedSize += int64(s.uses[d]-1) * size
			}
		}
	}
}
