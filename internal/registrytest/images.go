package registrytest

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Format is the family of media types that an image uses.
type Format int

// The formats.
const (
	OCI    Format = iota // image-spec 1.1
	Docker               // Docker Image Manifest V2, Schema 2
)

// Media types of Docker's schema 2 and schema 1.
const (
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerSchema1  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
)

// Image describes an image of one platform.
type Image struct {
	Platform    string // such as "linux/arm64/v8"; empty: linux/amd64
	Format      Format
	Layers      []*Layer
	Config      ocispec.ImageConfig // entrypoint, command, environment, etc.
	Annotations map[string]string   // of the manifest; OCI only
}

// Index describes an image of several platforms: an OCI index or a Docker manifest list.
// Its images may have other formats.
type Index struct {
	Format      Format
	Images      []Image
	Attestation bool              // add an attestation manifest for each image, as BuildKit does
	Annotations map[string]string // of the index; OCI only
}

// Manifest is an image manifest that was added.
type Manifest struct {
	ocispec.Descriptor                      // with its platform
	Config             ocispec.Descriptor   // empty for schema 1
	Layers             []ocispec.Descriptor // from the base upwards
	DiffIDs            []digest.Digest      // of the layers
}

// Added describes what was added under a tag.
type Added struct {
	ocispec.Descriptor // without platform
	Repo, Tag          string
	Manifests          []Manifest // in the order of the index; one for a single image
}

// Bytes returns the number of bytes that a client has to fetch for one platform of the
// image: the manifests, the config and each layer once. For an unknown platform it returns
// the size of the top manifest alone.
func (a Added) Bytes(platform string) int64 {
	n := a.Size
	for _, m := range a.Manifests {
		if m.Platform == nil || platforms.Format(*m.Platform) != platform {
			continue
		}
		sizes := map[digest.Digest]int64{m.Config.Digest: m.Config.Size}
		if m.Digest != a.Digest {
			sizes[m.Digest] = m.Size
		}
		for _, l := range m.Layers {
			sizes[l.Digest] = l.Size
		}
		for size := range maps.Values(sizes) {
			n += size
		}
	}
	return n
}

// layerType returns the media type of a layer.
func layerType(f Format, c Compression) string {
	suffix := map[Compression]string{Gzip: "+gzip", GzipStored: "+gzip", Zstd: "+zstd", None: ""}[c]
	if f == OCI {
		return ocispec.MediaTypeImageLayer + suffix
	}
	switch c {
	case Gzip, GzipStored:
		return dockerLayer + ".gzip"
	case Zstd:
		return dockerLayer + ".zstd"
	default:
		return dockerLayer
	}
}

// types returns the media types of manifest and config.
func (f Format) types() (manifest, config string) {
	if f == Docker {
		return DockerManifest, dockerConfig
	}
	return ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig
}

// putImage builds an image, adds all its parts to the repository, and returns the manifest
// without adding it.
func (reg *Registry) putImage(repo string, img Image) (Manifest, []byte, error) {
	name := img.Platform
	if name == "" {
		name = "linux/amd64"
	}
	platform, err := platforms.Parse(name)
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("platform %q: %w", name, err)
	}
	var m Manifest
	for _, l := range img.Layers {
		b, err := reg.store.layer(l)
		if err != nil {
			return Manifest{}, nil, err
		}
		reg.store.add(repo, b.digest, b.content)
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: layerType(img.Format, l.Compression), Digest: b.digest, Size: b.content.Size(),
		})
		m.DiffIDs = append(m.DiffIDs, b.diffID)
	}
	manifestType, configType := img.Format.types()
	if m.Config, err = reg.putJSON(repo, configType, configOf(img, platform, m.DiffIDs)); err != nil {
		return Manifest{}, nil, err
	}
	doc := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifestType,
		Config: m.Config, Layers: m.Layers,
	}
	if img.Format == OCI {
		doc.Annotations = img.Annotations
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("manifest: %w", err)
	}
	m.Descriptor = describeBytes(manifestType, raw)
	m.Platform = &platform
	return m, raw, nil
}

// configOf returns the config of an image (image-spec 1.1, "Image Configuration").
func configOf(img Image, platform ocispec.Platform, diffIDs []digest.Digest) ocispec.Image {
	created := Epoch
	doc := ocispec.Image{
		Created: &created, Platform: platform, Config: img.Config,
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffIDs},
	}
	for i := range diffIDs {
		doc.History = append(doc.History, ocispec.History{Created: &created, CreatedBy: fmt.Sprintf("layer %d", i+1)})
	}
	return doc
}

// putJSON adds v to the repository as a blob.
func (reg *Registry) putJSON(repo, mediaType string, v any) (ocispec.Descriptor, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("marshal %s: %w", mediaType, err)
	}
	d := reg.AddBlob(repo, raw)
	d.MediaType = mediaType
	return d, nil
}

// describeBytes returns the descriptor of raw.
func describeBytes(mediaType string, raw []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
}

// attestation returns an image manifest like those that BuildKit adds for provenance: it
// has no platform and names the manifest that it describes (BuildKit docs, "Attestation
// storage").
func (reg *Registry) attestation(repo string, of Manifest) (ocispec.Descriptor, []byte, error) {
	statement, err := reg.putJSON(repo, "application/vnd.in-toto+json", map[string]any{
		"_type":         "https://in-toto.io/Statement/v0.1",
		"predicateType": "https://slsa.dev/provenance/v0.2",
		"subject":       []map[string]any{{"name": repo, "digest": map[string]string{"sha256": of.Digest.Encoded()}}},
		"predicate":     map[string]any{},
	})
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	nowhere := ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	config, err := reg.putJSON(repo, ocispec.MediaTypeImageConfig, configOf(Image{}, nowhere, []digest.Digest{statement.Digest}))
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	statement.Annotations = map[string]string{"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{statement},
	})
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("attestation: %w", err)
	}
	d := describeBytes(ocispec.MediaTypeImageManifest, raw)
	d.Platform = &nowhere
	d.Annotations = map[string]string{
		"vnd.docker.reference.type":   "attestation-manifest",
		"vnd.docker.reference.digest": of.Digest.String(),
	}
	return d, raw, nil
}
