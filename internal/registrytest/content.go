package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AddImage puts an image of one platform under repo:tag. Its manifest is also there by
// digest.
func (reg *Registry) AddImage(repo, tag string, img Image) (Added, error) {
	m, raw, err := reg.putImage(repo, img)
	if err != nil {
		return Added{}, fmt.Errorf("add %s:%s: %w", repo, tag, err)
	}
	if _, err := reg.AddRaw(repo, tag, m.MediaType, raw); err != nil {
		return Added{}, err
	}
	top := m.Descriptor
	top.Platform = nil
	return Added{Descriptor: top, Repo: repo, Tag: tag, Manifests: []Manifest{m}}, nil
}

// AddIndex puts an image of several platforms under repo:tag. The index and every
// manifest of it are also there by digest.
func (reg *Registry) AddIndex(repo, tag string, idx Index) (Added, error) {
	doc := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: idx.Annotations}
	if idx.Format == Docker {
		doc.MediaType, doc.Annotations = DockerList, nil
	}
	added := Added{Repo: repo, Tag: tag}
	var attestations []ocispec.Descriptor
	for _, img := range idx.Images {
		m, raw, err := reg.putImage(repo, img)
		if err != nil {
			return Added{}, fmt.Errorf("add %s:%s: %w", repo, tag, err)
		}
		if _, err := reg.AddRaw(repo, m.Digest.String(), m.MediaType, raw); err != nil {
			return Added{}, err
		}
		doc.Manifests = append(doc.Manifests, m.Descriptor)
		added.Manifests = append(added.Manifests, m)
		if !idx.Attestation {
			continue
		}
		a, raw, err := reg.attestation(repo, m)
		if err != nil {
			return Added{}, fmt.Errorf("add %s:%s: %w", repo, tag, err)
		}
		if _, err := reg.AddRaw(repo, a.Digest.String(), a.MediaType, raw); err != nil {
			return Added{}, err
		}
		attestations = append(attestations, a)
	}
	// BuildKit lists attestations behind all images.
	doc.Manifests = append(doc.Manifests, attestations...)
	raw, err := json.Marshal(doc)
	if err != nil {
		return Added{}, fmt.Errorf("add %s:%s: %w", repo, tag, err)
	}
	added.Descriptor, err = reg.AddRaw(repo, tag, doc.MediaType, raw)
	return added, err
}

// AddRaw puts any bytes as a manifest under a tag, or under a digest, which need not be
// theirs: a registry may lie. A tag makes the document available by its own digest as well.
// Nothing is checked.
func (reg *Registry) AddRaw(repo, ref, mediaType string, raw []byte) (ocispec.Descriptor, error) {
	reg.store.addRepo(repo)
	if _, err := reg.do(http.MethodPut, "/v2/"+repo+"/manifests/"+ref, mediaType+rawSuffix, raw); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("add %s: %w", reg.Ref(repo, ref), err)
	}
	return describeBytes(mediaType, raw), nil
}

// AddBlob puts a blob into a repository. The descriptor has no media type.
func (reg *Registry) AddBlob(repo string, raw []byte) ocispec.Descriptor {
	d := describeBytes("", raw)
	reg.store.add(repo, d.Digest, bytes.NewReader(bytes.Clone(raw)))
	return d
}

// Document reads a manifest or index by tag or digest, past policy and faults.
func (reg *Registry) Manifest(repo, ref string) ([]byte, error) {
	m, err := reg.do(http.MethodGet, "/v2/"+repo+"/manifests/"+ref, "", nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", reg.Ref(repo, ref), err)
	}
	return m.body.Bytes(), nil
}

// Blob opens a blob of a repository, past policy and faults.
func (reg *Registry) Blob(repo string, d digest.Digest) (*io.SectionReader, error) {
	c, err := reg.store.open(repo, d)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", reg.Ref(repo, d.String()), err)
	}
	return io.NewSectionReader(c, 0, c.Size()), nil
}

// Move lets a tag mean another manifest or index of the same repository from now on.
func (reg *Registry) Move(repo, tag string, to digest.Digest) error {
	m, err := reg.do(http.MethodGet, "/v2/"+repo+"/manifests/"+to.String(), "", nil)
	if err != nil {
		return fmt.Errorf("move %s: %w", reg.Ref(repo, tag), err)
	}
	_, err = reg.AddRaw(repo, tag, m.header.Get("Content-Type"), m.body.Bytes())
	return err
}

// move is a tag that will move.
type move struct {
	to    digest.Digest
	after int // requests of the tag still answered with what it means now
}

// MoveAfter lets a tag move as [Registry.Move] does, but behind the back of whoever is asking:
// after n more HEADs and GETs of its manifest have been answered.
func (reg *Registry) MoveAfter(n int, repo, tag string, to digest.Digest) error {
	if _, err := reg.Manifest(repo, to.String()); err != nil {
		return fmt.Errorf("move %s: %w", reg.Ref(repo, tag), err)
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	reg.moves[reg.Ref(repo, tag)] = &move{to, n}
	return nil
}

// applyMove carries out a move that is due before a manifest is answered.
func (reg *Registry) applyMove(t target) {
	key := reg.Ref(t.repo, t.ref)
	reg.mu.Lock()
	m := reg.moves[key]
	due := m != nil && m.after == 0
	if due {
		delete(reg.moves, key)
	} else if m != nil {
		m.after--
	}
	reg.mu.Unlock()
	if due {
		// It was there when the move was ordered; if it was deleted since, the tag stays.
		_ = reg.Move(t.repo, t.ref, m.to)
	}
}

// Delete removes a tag, a manifest or a blob from a repository. A manifest's tags and
// blobs stay, as do other repositories' copies.
func (reg *Registry) Delete(repo, ref string) error {
	_, err := reg.do(http.MethodDelete, "/v2/"+repo+"/manifests/"+ref, "", nil)
	if isDigest(ref) && reg.store.remove(repo, digest.Digest(ref)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", reg.Ref(repo, ref), registry.ErrNotFound)
	}
	return nil
}
