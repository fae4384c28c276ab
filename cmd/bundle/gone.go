package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// neededError is that a blob cannot be had, told for an image that needs it.
type neededError struct {
	image string
	err   error
}

func (e *neededError) Error() string { return fmt.Sprintf("%s needs %v", e.image, e.err) }
func (e *neededError) Unwrap() error { return e.err }

// without plans the bundle anew when blobs cannot be had and the job may do without the
// images that need them; otherwise it is an error that names these. What has been fetched
// stays in the draft, and goes to its new place in the next one.
func (j *job) without(plan *archive.Plan, cause error) (*archive.Plan, error) {
	images, err := j.planned(plan)
	if err != nil {
		return nil, err
	}
	failures, names, err := j.unfetched(images, cause)
	if err != nil {
		return nil, err
	}
	if err := j.judge(failures); err != nil {
		return nil, err
	}
	if err := j.draft.Close(); err != nil {
		return nil, err
	}
	if j.draft, err = archive.OpenDraft(j.out); err != nil {
		return nil, err
	}
	j.docs.draft = j.draft
	return j.lay(slices.DeleteFunc(images, func(img archive.Image) bool { return names[img.Name] }))
}

// planned gives the images of a plan as they went into it.
func (j *job) planned(plan *archive.Plan) ([]archive.Image, error) {
	if j.flat {
		return named(j.resolved)
	}
	return slices.Clone(plan.Images()), nil
}

// unfetched lists the images that need a blob that nobody has, and under which names they
// are in the bundle. Where anything else went wrong, that is the error: the next run may
// have better luck.
func (j *job) unfetched(images []archive.Image, cause error) ([]pull.Failure, map[string]bool, error) {
	var fetch *pull.FetchError
	if !errors.As(cause, &fetch) {
		return nil, nil, cause
	}
	gone := map[digest.Digest]error{}
	var errs []error
	for _, b := range fetch.Blobs {
		if onlyMissing(b.Err) {
			gone[b.Digest] = b.Err
		} else {
			errs = append(errs, b.Err)
		}
	}
	why := map[string]error{} // by name
	for _, img := range images {
		for _, d := range j.needs(&img) {
			if gone[d] != nil && why[img.Name] == nil {
				why[img.Name] = gone[d]
			}
		}
	}
	failures, names, err := j.wantedFor(why)
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

// wantedFor goes back from names in the bundle to the references that were asked for. One with
// a tag and a digest has two names, and neither is left without the other.
func (j *job) wantedFor(why map[string]error) ([]pull.Failure, map[string]bool, error) {
	var failures []pull.Failure
	all := map[string]bool{}
	for _, w := range j.wanted {
		names, err := archive.Names(w.name)
		if err != nil {
			return nil, nil, err
		}
		for _, name := range names {
			if err := why[name]; err != nil {
				failures = append(failures, pull.Failure{Name: w.name, Err: &neededError{w.name, err}})
				for _, n := range names {
					all[n] = true
				}
				break
			}
		}
	}
	return failures, all, nil
}

// needs lists the blobs of an image and of what is attached to it.
func (j *job) needs(img *archive.Image) []digest.Digest {
	var out []digest.Digest
	for _, d := range slices.Concat(img.Present, img.Referrers) {
		raw, err := j.docs.Document(d.Digest)
		var m ocispec.Manifest
		if err != nil || json.Unmarshal(raw, &m) != nil { // the plan was made of it
			continue
		}
		out = append(out, m.Config.Digest)
		for _, l := range m.Layers {
			out = append(out, l.Digest)
		}
	}
	return out
}

// lay plans the bundle of images.
func (j *job) lay(images []archive.Image) (*archive.Plan, error) {
	if len(images) == 0 {
		return nil, cli.Errorf(cli.Incomplete, "no image can be had of %d", len(j.wanted))
	}
	opts := j.layout
	opts.Skipped, opts.Flat = j.skipped, j.flat
	return archive.NewPlan(images, j.docs, opts)
}
