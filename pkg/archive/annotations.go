package archive

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// Annotations of index.json; see the package comment.
const (
	annotationContents = "dev.stowage.bundle.contents"
	annotationBase     = "dev.stowage.bundle.base"
	annotationOmitted  = "dev.stowage.bundle.omitted"
	annotationSkipped  = "dev.stowage.bundle.skipped"

	// annotationLeftOut is the former name of annotationSkipped. It is read and not written.
	annotationLeftOut = "dev.stowage.bundle.left-out"

	// AnnotationTag is an annotation of a descriptor without a name: the tag that ties it to
	// its image, "repo:sha256-<hex>.sig", where its manifest has no subject that does. It is
	// not a name: no reader makes an image of it.
	AnnotationTag = "dev.stowage.bundle.tag"

	// annotationArtifact is an annotation of the descriptor of a name: Image.Artifact.
	annotationArtifact = "dev.stowage.bundle.artifact"

	// annotationImageName is the annotation from which containerd's importer takes the name.
	annotationImageName = "io.containerd.image.name"
)

// bundleAnnotations are the annotations of index.json that are specific to bundles.
var bundleAnnotations = []string{annotationContents, annotationBase, annotationOmitted, annotationSkipped, annotationLeftOut}

// unsealed is in index.json in place of the digest of the contents while that is computed.
const unsealed = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// contents returns the value of [annotationContents]. index is index.json with [unsealed] in
// its place; docker may be nil.
func contents(layout, index, docker []byte, blobs []Blob) digest.Digest {
	d := digest.SHA256.Digester()
	line := func(name string, dg digest.Digest, size int64) {
		fmt.Fprintf(d.Hash(), "%s %s %d\n", name, dg, size)
	}
	for _, e := range []fileEntry{{entryLayout, layout}, {entryIndex, index}, {entryDocker, docker}} {
		if e.data != nil {
			line(e.name, digest.FromBytes(e.data), int64(len(e.data)))
		}
	}
	for i := range blobs {
		line(blobEntry(blobs[i].Digest), blobs[i].Digest, blobs[i].Size)
	}
	return d.Digest()
}

// marshalSkipped returns the value of [annotationSkipped], sorted, or "" for no names.
func marshalSkipped(list []Skipped) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b Skipped) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Reason, b.Reason), strings.Compare(a.Platforms, b.Platforms))
	})
	raw, err := json.Marshal(slices.Compact(sorted))
	return string(raw), err
}

// annotations returns those of index.json.
func (p *planner) annotations(plan *Plan) (map[string]string, error) {
	out := map[string]string{annotationContents: unsealed}
	if p.opts.Base != "" {
		if err := manifest.CheckDigest(p.opts.Base); err != nil || p.opts.Base == unsealed {
			return nil, fmt.Errorf("plan base %q: %w", p.opts.Base, errors.Join(err, errors.New("not the identity of a bundle")))
		}
		out[annotationBase] = p.opts.Base.String()
	}
	if len(plan.omitted) > 0 {
		lines := make([]string, len(plan.omitted))
		for i, d := range plan.omitted {
			lines[i] = fmt.Sprintf("%s %d", d.Digest, d.Size)
		}
		out[annotationOmitted] = strings.Join(lines, "\n")
	}
	skipped, err := marshalSkipped(p.opts.Skipped)
	if err != nil {
		return nil, fmt.Errorf("plan skipped names: %w", err)
	}
	if skipped != "" {
		out[annotationSkipped] = skipped
	}
	return out, nil
}

var errContents = errors.New("entries were lost, added, altered or moved since the bundle was made")

// readAnnotations checks the annotations of index.json.
func (r *Reader) readAnnotations(m map[string]string, layout, docker []byte) error {
	if sum := m[annotationContents]; sum != "" {
		r.native = true
		if bytes.Count(r.index, []byte(sum)) != 1 {
			return errors.New("the digest of the contents is not in its place")
		}
		index := bytes.Replace(r.index, []byte(sum), []byte(unsealed), 1)
		if !r.dir && string(contents(layout, index, docker, r.blobs)) != sum {
			return errContents
		}
	}
	if r.base = digest.Digest(m[annotationBase]); r.base != "" {
		if err := manifest.CheckDigest(r.base); err != nil {
			return fmt.Errorf("base: %w", err)
		}
	}
	if m[annotationSkipped] != "" && m[annotationLeftOut] != "" {
		return fmt.Errorf("both %s and %s are set", annotationSkipped, annotationLeftOut)
	}
	if err := r.parseSkipped(cmp.Or(m[annotationSkipped], m[annotationLeftOut])); err != nil {
		return err
	}
	return r.parseOmitted(m[annotationOmitted])
}

// parseSkipped reads the value of [annotationSkipped].
func (r *Reader) parseSkipped(text string) error {
	if text == "" {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(text))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		return errors.New("skipped names are not a list")
	}
	for dec.More() {
		var s Skipped
		if err := dec.Decode(&s); err != nil {
			return fmt.Errorf("skipped names: %w", err)
		}
		if err := r.budget.hold(costChild + int64(len(s.Name)+len(s.Reason)+len(s.Platforms))); err != nil {
			return err
		}
		r.skipped = append(r.skipped, s)
	}
	return nil
}

// parseOmitted reads "sha256:… size" lines.
func (r *Reader) parseOmitted(text string) error {
	if text == "" {
		return nil
	}
	seen := map[digest.Digest]bool{}
	if err := r.budget.hold(int64(strings.Count(text, "\n")+1) * costBlob); err != nil {
		return err
	}
	for line := range strings.SplitSeq(text, "\n") {
		name, num, _ := strings.Cut(line, " ")
		d := ocispec.Descriptor{Digest: digest.Digest(name)}
		size, err := strconv.ParseInt(num, 10, 64)
		if err := errors.Join(err, manifest.CheckDigest(d.Digest)); err != nil {
			return fmt.Errorf("omitted blob %q: %w", line, err)
		}
		if d.Size = size; size < 0 || r.Has(d.Digest) || seen[d.Digest] {
			return fmt.Errorf("invalid omitted blob %q", line)
		}
		seen[d.Digest] = true
		r.omitted = append(r.omitted, d)
	}
	return nil
}
