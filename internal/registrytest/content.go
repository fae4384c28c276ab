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

// AddImage adds an image of one platform as repo:tag. Its manifest is also available by
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

// AddIndex adds an image of several platforms as repo:tag. The index and each of its
// manifests are also available by digest.
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
	// BuildKit lists attestations after all images.
	doc.Manifests = append(doc.Manifests, attestations...)
	raw, err := json.Marshal(doc)
	if err != nil {
		return Added{}, fmt.Errorf("add %s:%s: %w", repo, tag, err)
	}
	added.Descriptor, err = reg.AddRaw(repo, tag, doc.MediaType, raw)
	return added, err
}

// AddRaw adds any bytes as a manifest under a tag, or under a digest, which need not be
// theirs: a registry may lie. A manifest added under a tag is also available by its own
// digest. Nothing is checked.
func (reg *Registry) AddRaw(repo, ref, mediaType string, raw []byte) (ocispec.Descriptor, error) {
	reg.store.addRepo(repo)
	if _, err := reg.do(http.MethodPut, "/v2/"+repo+"/manifests/"+ref, mediaType+rawSuffix, raw); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("add %s: %w", reg.Ref(repo, ref), err)
	}
	return describeBytes(mediaType, raw), nil
}

// AddBlob adds a blob to a repository. The descriptor has no media type.
func (reg *Registry) AddBlob(repo string, raw []byte) ocispec.Descriptor {
	d := describeBytes("", raw)
	reg.store.add(repo, d.Digest, bytes.NewReader(bytes.Clone(raw)))
	return d
}

// Manifest returns a manifest or index by tag or digest, ignoring policy and faults.
func (reg *Registry) Manifest(repo, ref string) ([]byte, error) {
	m, err := reg.do(http.MethodGet, "/v2/"+repo+"/manifests/"+ref, "", nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", reg.Ref(repo, ref), err)
	}
	return m.body.Bytes(), nil
}

// Blob opens a blob of a repository, ignoring policy and faults.
func (reg *Registry) Blob(repo string, d digest.Digest) (*io.SectionReader, error) {
	c, err := reg.store.open(repo, d)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", reg.Ref(repo, d.String()), err)
	}
	return io.NewSectionReader(c, 0, c.Size()), nil
}

// Move points a tag at another manifest or index of the same repository.
func (reg *Registry) Move(repo, tag string, to digest.Digest) error {
	m, err := reg.do(http.MethodGet, "/v2/"+repo+"/manifests/"+to.String(), "", nil)
	if err != nil {
		return fmt.Errorf("move %s: %w", reg.Ref(repo, tag), err)
	}
	_, err = reg.AddRaw(repo, tag, m.header.Get("Content-Type"), m.body.Bytes())
	return err
}

// move is a pending move of a tag.
type move struct {
	to    digest.Digest
	after int // requests of the tag to answer before the move
}

// MoveAfter moves a tag as [Registry.Move] does, but between requests of a client: after n
// more HEADs and GETs of its manifest have been answered.
func (reg *Registry) MoveAfter(n int, repo, tag string, to digest.Digest) error {
	if _, err := reg.Manifest(repo, to.String()); err != nil {
		return fmt.Errorf("move %s: %w", reg.Ref(repo, tag), err)
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	reg.moves[reg.Ref(repo, tag)] = &move{to, n}
	return nil
}

// applyMove carries out a due move before a manifest is answered.
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
		// The manifest existed when the move was ordered; if it was deleted since, the tag
		// stays.
		_ = reg.Move(t.repo, t.ref, m.to)
	}
}

// Delete removes a tag, a manifest or a blob from a repository. The tags and blobs of a
// manifest stay, as do the copies in other repositories.
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
