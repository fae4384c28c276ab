package registrytest

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Artifact describes a manifest that is not an image: it has no root file system and an
// empty config (image-spec 1.1, "Guidelines for Artifact Usage").
type Artifact struct {
	Type        string   // artifactType
	BlobType    string   // media type of the blobs; empty: application/octet-stream
	Blobs       [][]byte // nil: the empty blob that the specification requires
	Subject     *ocispec.Descriptor
	Annotations map[string]string
}

// AddArtifact adds an artifact under a tag; with an empty tag it is available only by
// digest, as referrers are. With a Subject the referrers API lists it.
func (reg *Registry) AddArtifact(repo, tag string, a Artifact) (Added, error) {
	doc := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: a.Type, Config: ocispec.DescriptorEmptyJSON, Annotations: a.Annotations,
	}
	if a.Subject != nil {
		doc.Subject = &ocispec.Descriptor{MediaType: a.Subject.MediaType, Digest: a.Subject.Digest, Size: a.Subject.Size}
	}
	reg.AddBlob(repo, ocispec.DescriptorEmptyJSON.Data)
	for _, b := range a.Blobs {
		d := reg.AddBlob(repo, b)
		if d.MediaType = a.BlobType; d.MediaType == "" {
			d.MediaType = "application/octet-stream"
		}
		doc.Layers = append(doc.Layers, d)
	}
	if doc.Layers == nil {
		doc.Layers = []ocispec.Descriptor{ocispec.DescriptorEmptyJSON}
	}
	return reg.addManifest(repo, tag, doc)
}

// addManifest adds a manifest whose parts are in the repository already.
func (reg *Registry) addManifest(repo, tag string, doc ocispec.Manifest) (Added, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return Added{}, fmt.Errorf("add %s:%s: %w", repo, tag, err)
	}
	ref := tag
	if ref == "" {
		ref = digest.FromBytes(raw).String()
	}
	d, err := reg.AddRaw(repo, ref, doc.MediaType, raw)
	if err != nil {
		return Added{}, err
	}
	return Added{Descriptor: d, Repo: repo, Tag: tag, Manifests: []Manifest{{Descriptor: d, Config: doc.Config, Layers: doc.Layers}}}, nil
}

// Media types of signatures.
const (
	SigstoreBundle = "application/vnd.dev.sigstore.bundle.v0.3+json" // cosign 3
	cosignPayload  = "application/vnd.dev.cosign.simplesigning.v1+json"
)

// AddReferrer adds an artifact in the form of a cosign 3 signature of subject, which the
// referrers API lists. It does not verify.
func (reg *Registry) AddReferrer(repo string, subject ocispec.Descriptor) (Added, error) {
	return reg.AddArtifact(repo, "", Artifact{
		Type: SigstoreBundle, BlobType: SigstoreBundle, Subject: &subject,
		Blobs: [][]byte{[]byte(`{"mediaType":"` + SigstoreBundle + `","subject":"` + subject.Digest.String() + `"}`)},
	})
}

// AddCosignTag adds an image in the form of a cosign 2 signature of subject, under the tag
// sha256-HEX.sig. It does not verify.
func (reg *Registry) AddCosignTag(repo string, subject digest.Digest) (Added, error) {
	payload := fmt.Sprintf(`{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, repo, subject)
	layer := reg.AddBlob(repo, []byte(payload))
	layer.MediaType = cosignPayload
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "bm90IGEgc2lnbmF0dXJl"}
	config, err := reg.putJSON(repo, ocispec.MediaTypeImageConfig, configOf(Image{}, ocispec.Platform{}, []digest.Digest{layer.Digest}))
	if err != nil {
		return Added{}, fmt.Errorf("sign %s: %w", subject, err)
	}
	return reg.addManifest(repo, strings.ReplaceAll(subject.String(), ":", "-")+".sig", ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	})
}

// AddSchema1 adds an image in Docker's oldest format (Image Manifest V2, Schema 1) as
// repo:tag, with a signature that does not verify. Its layers are compressed with gzip.
func (reg *Registry) AddSchema1(repo, tag string, layers ...*Layer) (Added, error) {
	type blobSum struct {
		BlobSum digest.Digest `json:"blobSum"`
	}
	type history struct {
		V1 string `json:"v1Compatibility"`
	}
	var sums []blobSum
	var past []history
	m := Manifest{}
	for i, l := range layers {
		b, err := reg.store.layer(l)
		if err != nil {
			return Added{}, fmt.Errorf("add %s:%s: %w", repo, tag, err)
		}
		reg.store.add(repo, b.digest, b.content)
		// The format lists the topmost layer first.
		sums = append([]blobSum{{b.digest}}, sums...)
		past = append([]history{{fmt.Sprintf(`{"id":"%064d","created":"2024-01-01T00:00:00Z"}`, i)}}, past...)
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: dockerLayer + ".gzip", Digest: b.digest, Size: b.content.Size()})
		m.DiffIDs = append(m.DiffIDs, b.diffID)
	}
	raw, err := json.MarshalIndent(map[string]any{
		"schemaVersion": 1, "name": repo, "tag": tag, "architecture": "amd64",
		"fsLayers": sums, "history": past,
		"signatures": []any{map[string]any{"header": map[string]string{"alg": "ES256"}, "signature": "", "protected": ""}},
	}, "", "   ")
	if err != nil {
		return Added{}, fmt.Errorf("add %s:%s: %w", repo, tag, err)
	}
	if m.Descriptor, err = reg.AddRaw(repo, tag, DockerSchema1, raw); err != nil {
		return Added{}, err
	}
	return Added{Descriptor: m.Descriptor, Repo: repo, Tag: tag, Manifests: []Manifest{m}}, nil
}

// OddLayers returns three layers with everything that makes unpacking difficult:
// directories, symbolic and hard links (one to a file of a lower layer), names longer than
// 100 and 255 bytes, extended attributes, set-id and sticky bits, owners, devices and a
// pipe; whiteouts of a file and a directory, an opaque directory with new content, and a
// file that replaces a directory (image-spec 1.1, "Image Layer Filesystem Changeset"). The
// second layer is compressed with zstd, the third not at all.
func OddLayers() []*Layer {
	long := strings.Repeat("long-folder-name/", 18)
	bottom := &Layer{Seed: 1, Files: []File{
		{Name: "etc/"}, {Name: "etc/kept", Body: []byte("kept\n")}, {Name: "etc/gone", Body: []byte("gone\n")},
		{Name: "gone.d/"}, {Name: "gone.d/a", Body: []byte("a\n")},
		{Name: "opaque/"}, {Name: "opaque/old", Body: []byte("old\n")}, {Name: "opaque/sub/"}, {Name: "opaque/sub/deep", Body: []byte("deep\n")},
		{Name: "swap/"}, {Name: "swap/inner", Body: []byte("inner\n")},
		{Name: "etc/link", Type: tar.TypeSymlink, Link: "kept", Mode: 0o777},
		{Name: "etc/outside", Type: tar.TypeSymlink, Link: "../../../../etc/hostname", Mode: 0o777},
		{Name: "etc/hard", Type: tar.TypeLink, Link: "etc/kept"},
		{Name: "dev/"}, {Name: "dev/null", Type: tar.TypeChar, Mode: 0o666, Major: 1, Minor: 3},
		{Name: "dev/loop", Type: tar.TypeBlock, Mode: 0o660, Major: 7},
		{Name: "dev/pipe", Type: tar.TypeFifo},
		{Name: "tmp/", Mode: 0o1777}, {Name: "bin/"}, {Name: "bin/su", Mode: 0o4755, Body: []byte("su\n")},
		{Name: "bin/ping", Mode: 0o755, Body: []byte("ping\n"), Xattrs: map[string]string{"user.note": "kept by tar"}},
		{Name: "home/", UID: 1000, GID: 1000, Mode: 0o700}, {Name: "home/notes", UID: 1000, GID: 1000, Size: 3000, Fill: FillText},
		{Name: "empty", Body: []byte{}}, {Name: "block", Size: 512}, {Name: "more", Size: 513},
		{Name: long + "file", Body: []byte("far away\n")}, {Name: "grüße-世界", Body: []byte("utf-8\n")},
	}}
	middle := &Layer{Seed: 2, Compression: Zstd, Files: []File{
		{Name: "etc/.wh.gone"}, {Name: ".wh.gone.d"},
		{Name: "opaque/"}, {Name: "opaque/.wh..wh..opq"}, {Name: "opaque/new", Body: []byte("new\n")},
		{Name: "swap", Body: []byte("now a file\n")},
	}}
	top := &Layer{Seed: 3, Compression: None, Files: []File{
		{Name: "etc/kept2", Type: tar.TypeLink, Link: "etc/kept"},
		{Name: "gone.d/"}, {Name: "gone.d/back", Body: []byte("back\n")},
	}}
	return []*Layer{bottom, middle, top}
}
