package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// entrySize is about the size of a descriptor in index.json, bytes.
const entrySize = 320

// indexEntry is a descriptor of index.json.
type indexEntry struct {
	name string // "" for a referrer
	use  string // of an artifact, see Image.Artifact
	desc ocispec.Descriptor
}

// marshalIndex returns index.json: named descriptors in the order of the plan, which is by
// name, then referrers by digest and tag. Both annotations have the full name: containerd
// reads the first, skopeo and podman the second.
func (p *planner) marshalIndex(plan *Plan) ([]byte, error) {
	slices.SortStableFunc(p.entries, func(x, y indexEntry) int {
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
	annotations, err := p.annotations(plan)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(len(p.entries) * entrySize)
	fmt.Fprintf(&b, `{"schemaVersion":2,"mediaType":%q,"manifests":[`, ocispec.MediaTypeImageIndex)
	for i := range p.entries {
		if i > 0 {
			b.WriteByte(',')
		}
		desc := p.entries[i].desc
		if name := p.entries[i].name; name != "" {
			desc.Annotations = map[string]string{annotationImageName: name, ocispec.AnnotationRefName: name}
			if use := p.entries[i].use; use != "" {
				desc.Annotations[annotationArtifact] = use
			}
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
	sum := contents([]byte(layoutDoc), index, plan.docker, plan.blobs)
	copy(index[bytes.Index(index, []byte(unsealed)):], sum)
	return index, nil
}
