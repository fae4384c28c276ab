package bundle

import (
	"errors"
	"math"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/fsutil"
	"stowage/internal/manifest"
	"stowage/pkg/archive"
	"stowage/pkg/archive/writer"
	"stowage/pkg/pull"
)

// without plans the bundle again when blobs are missing from the registries and the images
// that need them may be skipped; otherwise it returns an error that names these images.
// Blobs that are fetched stay in the partial file and move to their new places.
func (m *maker) without(plan *archive.Plan, cause error) (*archive.Plan, error) {
	images, err := m.planned(plan)
	if err != nil {
		return nil, err
	}
	failures, names, err := m.missing(images, cause)
	if err != nil {
		return nil, err
	}
	if err := m.judge(failures); err != nil {
		return nil, err
	}
	if err := m.file.Close(); err != nil {
		return nil, err
	}
	if m.file, err = writer.Open(m.req.Output); err != nil {
		return nil, err
	}
	m.manifests.file = m.file
	return m.lay(slices.DeleteFunc(images, func(img archive.Image) bool { return names[img.Name] }))
}

// planned returns the images of a plan as they went into it. A flat plan no longer has them.
func (m *maker) planned(plan *archive.Plan) ([]archive.Image, error) {
	if m.req.Flat {
		return m.named(m.resolved)
	}
	return slices.Clone(plan.Images()), nil
}

// missing returns the images that need a blob which no registry has, and their names in the
// bundle. When anything else failed it returns that error: the next run may succeed.
func (m *maker) missing(images []archive.Image, cause error) ([]pull.Failure, map[string]bool, error) {
	if space := (*archive.SpaceError)(nil); errors.As(cause, &space) && space.Path == filepath.Dir(m.req.Output) {
		return m.tooLarge(images, space, cause)
	}
	var fetch *pull.FetchError
	if !errors.As(cause, &fetch) {
		return nil, nil, cause
	}
	missing := map[digest.Digest]error{}
	var errs []error
	for _, b := range fetch.Blobs {
		if IsMissing(b.Err) {
			missing[b.Digest] = b.Err
		} else {
			errs = append(errs, b.Err)
		}
	}
	why := map[string]error{} // by name in the bundle
	for _, img := range images {
		for _, d := range m.needs(&img) {
			if missing[d.Digest] != nil && why[img.Name] == nil {
				why[img.Name] = missing[d.Digest]
			}
		}
	}
	failures, names, err := m.references(why)
	switch {
	case err != nil:
		return nil, nil, err
	case len(errs) > 0:
		return nil, nil, errors.Join(append(errs, causes(failures))...)
	case len(failures) == 0:
		return nil, nil, cause
	}
	return failures, names, nil
}

// tooLarge returns the images that would not fit on the disk even if it were empty, such as
// one that states a layer of a terabyte. When there are none, it is the disk that is too full
// or too small, and tooLarge returns cause.
func (m *maker) tooLarge(images []archive.Image, space *archive.SpaceError, cause error) ([]pull.Failure, map[string]bool, error) {
	disk := space.Free // where the system does not tell its size
	if usage, err := fsutil.Stat(space.Path); err == nil {
		disk = usage.Size
	}
	why := map[string]error{}
	for _, img := range images {
		size := int64(0)
		for _, d := range m.needs(&img) {
			size += min(d.Size, math.MaxInt64-size)
		}
		if size > disk {
			why[img.Name] = &tooLargeError{image: img.Name, size: size, disk: disk, path: space.Path}
		}
	}
	failures, names, err := m.references(why)
	if err == nil && len(failures) == 0 {
		err = cause
	}
	return failures, names, err
}

// references maps names in the bundle back to the references of the request. One with a tag
// and a digest has two names, which are kept or skipped together.
func (m *maker) references(why map[string]error) ([]pull.Failure, map[string]bool, error) {
	var failures []pull.Failure
	all := map[string]bool{}
	for _, img := range m.images {
		names, err := m.names(img.Name)
		if err != nil {
			return nil, nil, err
		}
		for _, name := range names {
			if err := why[name]; err != nil {
				if _, ok := err.(*tooLargeError); !ok {
					err = &neededError{img.Name, err}
				}
				failures = append(failures, pull.Failure{Name: img.Name, Err: err})
				for _, n := range names {
					all[n] = true
				}
				break
			}
		}
	}
	return failures, all, nil
}

// needs returns the blobs of an image and of its referrers.
func (m *maker) needs(img *archive.Image) []ocispec.Descriptor {
	var out []ocispec.Descriptor
	for _, d := range slices.Concat(img.Present, img.Referrers) {
		raw, err := m.manifests.Metadata(d.Digest)
		if err != nil {
			continue // unreachable: the plan was made of it
		}
		parsed, err := manifest.Parse(raw, manifest.Limits{})
		if err != nil || parsed.Index {
			continue
		}
		out = append(append(out, parsed.Config), parsed.Layers...)
	}
	return out
}
