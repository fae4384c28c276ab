package bundle

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// errNoOutput refuses a request without an output.
var errNoOutput = errors.New("bundle: neither Output nor Writer is set")

// errDryRun ends a dry run before the first request that counts.
var errDryRun = errors.New("dry run")

// before reports the cost of the run and decides whether it may go on.
func (m *maker) before(e pull.Estimate) error {
	m.event(EventEstimate{e})
	if !m.opts.KeepGoing {
		if err := m.judge(slices.DeleteFunc(e.Failed, m.mayPass)); err != nil {
			return err
		}
	}
	if limit := m.opts.MaxPulls; limit != nil && e.Pulls > *limit {
		return &MaxPullsError{Need: e.Pulls, Max: *limit}
	}
	if m.opts.DryRun {
		return errDryRun
	}
	return nil
}

// mayPass reports whether a failure may mean something else once the other images were
// fetched: it is no refusal, or whether the login is valid is not known yet.
func (m *maker) mayPass(f pull.Failure) bool {
	if err := hidden(f.Name, f.Err); IsMissing(err) {
		return false
	}
	var refused *pull.AuthError
	return !errors.As(f.Err, &refused) || !m.isRequired(f.Name)
}

// isRequired reports whether an image of the request is required.
func (m *maker) isRequired(name string) bool {
	return slices.ContainsFunc(m.images, func(img Image) bool { return img.Name == name && img.Required })
}

// plan resolves every image and plans the bundle.
func (m *maker) plan(ctx context.Context) (*archive.Plan, error) {
	m.layout = archive.PlanOptions{Flat: m.req.Flat}
	m.layout.Omit, m.layout.Base = m.omit()
	m.event(EventResolve{Images: len(m.images)})
	resolved, failures, err := m.resolve(ctx)
	if errors.Is(err, errDryRun) { // missing images are a part of its answer
		if err := m.judge(failures); err != nil {
			return nil, err
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	m.resolved = resolved
	for _, r := range resolved {
		if r.Artifact {
			m.event(EventArtifact{m.image(r.Name)})
		}
		if r.Missing != nil {
			failures = append(failures, pull.Failure{Name: r.Name, Err: &partialError{r.Missing}})
		}
	}
	images, err := m.named(resolved)
	if err != nil {
		return nil, err
	}
	if m.req.Rank != nil {
		m.layout.Rank = func(name string) int { return m.ranks[name] }
	}
	if err := m.judge(failures); err != nil {
		if limit := (*pull.RateLimitError)(nil); errors.As(err, &limit) && len(images) > 0 {
			m.keep(ctx, images)
		}
		return nil, err
	}
	return m.lay(images)
}

// image returns the image of the request that has a name.
func (m *maker) image(name string) Image {
	i := slices.IndexFunc(m.images, func(img Image) bool { return img.Name == name })
	return m.images[i]
}

// named returns each resolved image under the names by which a node looks it up.
func (m *maker) named(resolved []pull.Resolved) ([]archive.Image, error) {
	var images []archive.Image
	for _, r := range resolved {
		referrers := slices.Clone(r.Referrers)
		for i, d := range referrers {
			// The tag of a signature is not a name: a node must not take it for an image.
			if tag := d.Annotations[ocispec.AnnotationRefName]; tag != "" {
				referrers[i].Annotations = map[string]string{archive.AnnotationTag: tag}
			}
		}
		use := ""
		if r.Artifact && m.image(r.Name).Volume {
			use = archive.ArtifactVolume
		}
		names, err := m.names(r.Name)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			m.rank(name, r.Name)
			images = append(images, archive.Image{Name: name, Target: r.Target, Present: r.Present, Referrers: referrers, Artifact: use})
		}
	}
	return images, nil
}

// rank ranks a name of the bundle as the image of the request, the first of several.
func (m *maker) rank(name, image string) {
	if m.req.Rank == nil {
		return
	}
	rank := m.req.Rank(m.image(image))
	if old, known := m.ranks[name]; !known || rank < old {
		m.ranks[name] = rank
	}
}

// keep fetches the blobs of the images that did resolve when a pull limit ends the run: they
// cost no pulls, and the next run has less to fetch.
func (m *maker) keep(ctx context.Context, images []archive.Image) {
	if m.file == nil {
		return
	}
	plan, err := archive.NewPlan(images, m.manifests, archive.PlanOptions{})
	if err == nil {
		err = m.fetch(ctx, plan)
	}
	if ctx.Err() == nil {
		m.event(EventKept{Images: len(m.resolved), Of: len(m.images), Err: err})
	}
}

// judge decides what a failure means. An image that is not required and that the registry
// does not have may be an outdated reference and is skipped. Anything else fails the run.
func (m *maker) judge(failures []pull.Failure) error {
	var errs []error
	for _, f := range failures {
		f.Err = hidden(f.Name, f.Err)
		switch {
		case m.isSkipped(f.Name):
		case !m.isRequired(f.Name) && !m.opts.Strict && IsMissing(f.Err):
			m.skip(skipped(f))
		case m.opts.KeepGoing && IsMissing(f.Err):
			m.skip(skipped(f))
			m.incomplete = true
		default:
			errs = append(errs, &ImageError{Name: f.Name, Err: f.Err})
		}
	}
	return errors.Join(errs...)
}

// isSkipped reports whether an image is known not to be in the bundle.
func (m *maker) isSkipped(name string) bool {
	return slices.ContainsFunc(m.skipped, func(s archive.Skipped) bool { return s.Name == name && s.Platforms == "" })
}

// skipped returns the record of an image that is skipped.
func skipped(f pull.Failure) archive.Skipped {
	s := archive.Skipped{Name: f.Name, Reason: f.Err.Error()}
	if partial := (*partialError)(nil); errors.As(f.Err, &partial) {
		s.Platforms = strings.Join(partial.Want, ",")
	}
	return s
}

// lay plans the bundle of images.
func (m *maker) lay(images []archive.Image) (*archive.Plan, error) {
	if len(images) == 0 {
		return nil, &IncompleteError{Images: m.requested, Skipped: m.skipped}
	}
	opts := m.layout
	opts.Skipped = m.skipped
	return archive.NewPlan(images, m.manifests, opts)
}

// omit returns which layers a differential bundle omits, nil for a full bundle, and the
// bundle it builds on when that is a single one.
func (m *maker) omit() (omit func(digest.Digest) bool, base digest.Digest) {
	if len(m.req.Since)+len(m.req.Have) == 0 {
		return nil, ""
	}
	held := map[digest.Digest]bool{}
	for _, d := range m.req.Have {
		held[d] = true
	}
	for _, b := range m.reuse.since {
		for _, blob := range b.Blobs() {
			held[blob.Digest] = true
		}
		for _, d := range b.Omitted() { // a node that loaded it has these too
			held[d.Digest] = true
		}
		base = b.Digest()
	}
	if len(m.req.Since) != 1 || len(m.req.Have) > 0 {
		base = ""
	}
	return func(d digest.Digest) bool { return held[d] }, base
}
