package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// Annotations of index.json; see the package comment.
const (
	AnnotationContents = "dev.stowage.bundle.contents"
	AnnotationBase     = "dev.stowage.bundle.base"
	AnnotationOmitted  = "dev.stowage.bundle.omitted"
	AnnotationSkipped  = "dev.stowage.bundle.skipped"

	// annotationLeftOut is the former name of AnnotationSkipped. It is read and not written.
	annotationLeftOut = "dev.stowage.bundle.left-out"

	// AnnotationTag is one of a descriptor without a name: the tag that ties it to its
	// image, "repo:sha256-<hex>.sig", where its manifest has no subject that does. It is
	// no name: no reader makes an image of it.
	AnnotationTag = "dev.stowage.bundle.tag"

	// annotationImageName is containerd's; its importer takes the name from there.
	annotationImageName = "io.containerd.image.name"
)

// entrySize is about what a descriptor of index.json takes, bytes.
const entrySize = 320

// topEntry is a descriptor of index.json.
type topEntry struct {
	name string // "" for a referrer
	desc ocispec.Descriptor
}

// marshalIndex gives index.json: named descriptors in the order of the plan, which is
// by name, then referrers by digest and tag. Both annotations carry the full name: containerd
// reads the first, skopeo and podman the second.
func (a *arranger) marshalIndex(p *Plan) ([]byte, error) {
	slices.SortStableFunc(a.tops, func(x, y topEntry) int {
		switch {
		case x.name == "" && y.name == "":
			return compareReferrers(x.desc, y.desc)
		case x.name == "":
			return 1
		case y.name == "":
			return -1
		}
		return 0
	})
	annotations, err := a.annotations(p)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(len(a.tops) * entrySize)
	fmt.Fprintf(&b, `{"schemaVersion":2,"mediaType":%q,"manifests":[`, ocispec.MediaTypeImageIndex)
	for i := range a.tops {
		if i > 0 {
			b.WriteByte(',')
		}
		desc := a.tops[i].desc
		if name := a.tops[i].name; name != "" {
			desc.Annotations = map[string]string{annotationImageName: name, ocispec.AnnotationRefName: name}
		}
		raw, err := json.Marshal(desc)
		if err != nil {
			return nil, fmt.Errorf("plan index.json: %w", err)
		}
		b.Write(raw)
	}
	raw, err := json.Marshal(annotations)
	if err != nil {
		return nil, fmt.Errorf("plan index.json: %w", err)
	}
	fmt.Fprintf(&b, `],"annotations":%s}`, raw)
	index := b.Bytes()
	sum := contents([]byte(layoutDoc), index, p.docker, p.blobs)
	copy(index[bytes.Index(index, []byte(unsealed)):], sum)
	return index, nil
}

// annotations of index.json as a whole.
func (a *arranger) annotations(p *Plan) (map[string]string, error) {
	out := map[string]string{AnnotationContents: unsealed}
	if a.opts.Base != "" {
		if err := manifest.CheckDigest(a.opts.Base); err != nil || a.opts.Base == unsealed {
			return nil, fmt.Errorf("plan base %q: %w", a.opts.Base, errors.Join(err, errors.New("not the identity of a bundle")))
		}
		out[AnnotationBase] = a.opts.Base.String()
	}
	if len(p.omitted) > 0 {
		lines := make([]string, len(p.omitted))
		for i, d := range p.omitted {
			lines[i] = fmt.Sprintf("%s %d", d.Digest, d.Size)
		}
		out[AnnotationOmitted] = strings.Join(lines, "\n")
	}
	left, err := marshalSkipped(a.opts.Skipped)
	if err != nil {
		return nil, fmt.Errorf("plan skipped names: %w", err)
	}
	if left != "" {
		out[AnnotationSkipped] = left
	}
	return out, nil
}
