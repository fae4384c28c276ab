package archive

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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

// otherName returns the name that another program's name for a manifest stands for, as the
// kubelet requests it: the digest of one with tag and digest is its own, a short one is
// Docker's. It returns "" for the ID of an image, a name that only containerd uses, and for
// refName, which may be a bare tag, unless it is a reference.
func otherName(imageName, refName string) (string, error) {
	name := imageName
	if digest.Digest(name).Validate() == nil {
		name = ""
	}
	if name == "" {
		if name = refName; !strings.ContainsAny(name, "/:") {
			return "", nil
		}
	}
	names, err := Names(name)
	if err != nil && imageName == "" {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("name %q: %w", name, err)
	}
	return names[len(names)-1], nil
}

// A Nameless is an image of another program's tarball without a name that a node could
// request.
type Nameless struct {
	Target ocispec.Descriptor
	Tag    string // what index.json has in place of a name, or ""

	present []ocispec.Descriptor
}

// A NameError says that [Reader.AddNames] was called with a name that it cannot use.
type NameError struct {
	Name   string
	Reason string
}

func (e *NameError) Error() string { return fmt.Sprintf("name %q: %s", e.Name, e.Reason) }

// AddNames names images of [Reader.Nameless], by the digests of their targets; they
// are then listed by [Reader.Images]. The name under the empty digest is for the only image
// without a name; without a tag or a digest, it is for all that have one in index.json. The
// error is a [*NameError]. AddNames must not be called while other methods run.
func (r *Reader) AddNames(names map[digest.Digest]string) error {
	left := maps.Clone(names)
	var images []Image
	var still []Nameless
	for _, n := range r.nameless {
		ref, err := n.choose(names, len(r.nameless))
		if err != nil {
			return err
		}
		if ref == "" {
			still = append(still, n)
			continue
		}
		delete(left, "")
		delete(left, n.Target.Digest)
		list, err := Names(ref)
		if err != nil {
			return &NameError{ref, err.Error()}
		}
		for _, name := range list {
			taken := func(i Image) bool { return i.Name == name }
			if slices.ContainsFunc(r.images, taken) || slices.ContainsFunc(images, taken) {
				return &NameError{name, "the file has an image of this name already"}
			}
			if d, err := checkName(name); err != nil || d != "" && d != n.Target.Digest {
				return &NameError{name, fmt.Sprintf("the image is %s", n.Target.Digest)}
			}
			images = append(images, Image{Name: name, Target: n.Target, Present: n.present})
		}
	}
	for d, name := range left {
		if d == "" {
			return &NameError{name, "the file has no image without a name"}
		}
		return &NameError{name, fmt.Sprintf("the file has no image %s without a name", d)}
	}
	r.images, r.nameless = append(r.images, images...), still
	return nil
}

// choose returns the name for one of count images, or "".
func (n *Nameless) choose(names map[digest.Digest]string, count int) (string, error) {
	if ref := names[n.Target.Digest]; ref != "" {
		return ref, nil
	}
	ref := names[""]
	if ref == "" {
		return "", nil
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", &NameError{ref, err.Error()}
	}
	if tagged, err := reference.WithTag(named, n.Tag); err == nil && reference.IsNameOnly(named) {
		return tagged.String(), nil
	}
	if count > 1 {
		return "", &NameError{ref, fmt.Sprintf("the file has %d images without a name; write DIGEST=NAME for each", count)}
	}
	return ref, nil
}
