package bundle

import (
	"github.com/distribution/reference"

	"stowage/pkg/archive"
)

// tags maps each tag of the request, as "repo:tag", to the reference that decides what it
// means in the bundle: the one without a digest if there is one, else the one with the digest
// of a lock file, else those with a digest when they agree, and "" when they do not.
//
// A node looks up a reference with tag and digest by its digest only, so two of them may
// have the same tag. The tag is added for the sake of lock files, which are made of
// references that have a tag only.
func tags(images []Image) map[string]string {
	means := map[string]string{}
	pinned := map[string]bool{} // by references with a digest only
	for _, img := range images {
		named, err := reference.ParseNormalizedNamed(img.Name)
		tagged, ok := named.(reference.Tagged)
		if err != nil || !ok {
			continue
		}
		tag := named.Name() + ":" + tagged.Tag()
		_, hasDigest := named.(reference.Digested)
		_, known := means[tag]
		switch {
		case !hasDigest, img.Locked && (!known || pinned[tag]):
			means[tag], pinned[tag] = img.Name, false
		case !known:
			means[tag], pinned[tag] = img.Name, true
		case pinned[tag]: // Select lists each reference once: this is another digest
			means[tag] = ""
		}
	}
	return means
}

// names returns the names in the bundle of a reference of the request. They are those of
// [archive.Names], without a tag that means something else and without the digest of a lock
// file.
func (m *maker) names(ref string) ([]string, error) {
	names, err := archive.Names(ref)
	switch {
	case err != nil || len(names) < 2:
		return names, err
	case m.tags[names[0]] != ref:
		return names[1:], nil
	case m.locked[ref]:
		return names[:1], nil
	}
	return names, nil
}
