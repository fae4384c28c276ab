package archive

import (
	"fmt"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// Names returns the names under which a bundle stores a reference: its normalised form as
// the kubelet will request it, e.g. "docker.io/library/busybox:latest" for "busybox". A
// reference with both tag and digest has two, "repo:tag" and "repo@digest", because
// containerd looks them up separately.
func Names(ref string) ([]string, error) {
	if digest.Digest(ref).Validate() == nil {
		return nil, fmt.Errorf("parse reference %q: the ID of an image, which no registry knows", ref)
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, fmt.Errorf("parse reference %q: %w", ref, err)
	}
	named = reference.TagNameOnly(named)
	repo := reference.TrimNamed(named)
	var names []string
	if tagged, ok := named.(reference.Tagged); ok {
		names = append(names, repo.Name()+":"+tagged.Tag())
	}
	if digested, ok := named.(reference.Digested); ok {
		names = append(names, repo.Name()+"@"+digested.Digest().String())
	}
	return names, nil
}

// checkName accepts exactly what [Names] returns: a normalised name with either a tag or a
// digest. Names like "sha256:<hex>", which containerd uses internally, have no repository
// and are refused. It returns the digest of a name that has one.
func checkName(name string) (dgst digest.Digest, err error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("name %q: %w", name, err)
	}
	_, tagged := named.(reference.Tagged)
	digested, isDigested := named.(reference.Digested)
	switch {
	case named.String() != name:
		return "", fmt.Errorf("name %q is not normalised, want %q", name, named.String())
	case tagged && isDigested:
		return "", fmt.Errorf("name %q has both tag and digest, want two names", name)
	case !tagged && !isDigested:
		return "", fmt.Errorf("name %q has neither tag nor digest", name)
	case isDigested:
		return digested.Digest(), nil
	}
	return "", nil
}
