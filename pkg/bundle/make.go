package bundle

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/archive/writer"
	"stowage/pkg/pull"
)

// Make writes the bundle that req describes. It resolves every image, plans the file,
// fetches the blobs that neither the previous output nor an earlier run has, and renames the
// complete file to its name.
//
// Make returns a result without Images, Digest and Size after a dry run, and beside the error
// of a run that may have sent requests. When ctx ends, the error wraps ctx.Err().
func Make(ctx context.Context, req Request, opts Options) (result *Result, err error) {
	m := &maker{req: req, opts: opts}
	if err := m.read(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.open(ctx); err != nil {
		return nil, err
	}
	plan, err := m.plan(ctx)
	switch {
	case errors.Is(err, errDryRun):
		return m.result(nil), nil
	case err != nil:
		return m.result(nil), err
	}
	if plan, err = m.write(ctx, plan); err != nil {
		return m.result(nil), err
	}
	if m.incomplete {
		err = &IncompleteError{Images: m.requested, Skipped: m.skipped, Written: true}
	}
	return m.result(plan), err
}

// maker is one run of Make.
type maker struct {
	req  Request
	opts Options

	requested  int               // images of the request, each counted once
	images     []Image           // those that registries are asked for
	tags       map[string]string // see the function tags
	locked     map[string]bool   // by name of the image
	ranks      map[string]int    // by name in the bundle
	skipped    []archive.Skipped
	incomplete bool // required images are skipped
	upToDate   bool

	client    *pull.Client
	file      *writer.File // nil for a stream
	reuse     *reuse
	manifests *manifests
	digests   *digestGuard

	resolved []pull.Resolved
	layout   archive.PlanOptions // of every plan of the run
}

// read checks the request and selects its images.
func (m *maker) read() error {
	if m.req.Output == "" && m.req.Writer == nil && !m.opts.DryRun {
		return errNoOutput
	}
	if err := m.req.check(); err != nil {
		return err
	}
	images, skipped, err := m.req.Select()
	if err != nil {
		return err
	}
	skipped = append(skipped, m.req.Skipped...)
	m.images, m.requested = images, len(images)+len(skipped)
	m.tags, m.locked, m.ranks = tags(images), map[string]bool{}, map[string]int{}
	for _, img := range images {
		m.locked[img.Name] = img.Locked
	}
	for _, s := range skipped {
		m.skip(s)
	}
	if m.opts.Strict && len(m.skipped) > 0 {
		return &IncompleteError{Images: m.requested, Skipped: m.skipped}
	}
	return nil
}

// open opens the output, the bundles to reuse, and the client.
func (m *maker) open(ctx context.Context) (err error) {
	output := m.req.Output
	if m.req.Writer != nil {
		output = ""
	}
	if output != "" { // a dry run needs none
		if m.file, err = writer.Open(output); err != nil {
			return err
		}
	}
	if m.reuse, err = openReuse(ctx, output, m.opts.Reuse, m.req.Since); err != nil {
		return err
	}
	m.manifests = &manifests{file: m.file, reuse: m.reuse}
	m.digests = newDigestGuard(&m.req, m.manifests, m.images)
	opts := m.opts.Pull
	opts.Platforms, opts.All, opts.Referrers = m.req.Platforms, m.req.All, m.req.Referrers
	opts.Metadata, opts.Before = m.digests, m.before
	opts.OnBytes = func(host string, blob digest.Digest, n int64) { m.event(EventBytes{N: n, Host: host, Blob: blob}) }
	m.client, err = pull.New(opts)
	return err
}

func (m *maker) close() error {
	m.reuse.close()
	if m.file == nil {
		return nil
	}
	return m.file.Close()
}

// write writes the bundle and returns the plan it follows: blobs that turn out to be
// missing may change it.
func (m *maker) write(ctx context.Context, plan *archive.Plan) (*archive.Plan, error) {
	if m.file == nil {
		if err := m.stream(ctx, plan); err != nil {
			failures, _, err := m.missing(plan.Images(), err)
			return nil, errors.Join(err, causes(failures)) // bytes that are out cannot be planned again
		}
		return plan, nil
	}
	for {
		if same, err := m.reuse.same(ctx, plan, m.file); err != nil {
			return nil, err
		} else if same {
			m.upToDate = true
			return plan, m.file.Discard() // what a killed run left is useless now
		}
		err := m.fill(ctx, plan)
		if err == nil {
			return plan, nil
		}
		if plan, err = m.without(plan, err); err != nil {
			return nil, err
		}
	}
}

func (m *maker) result(plan *archive.Plan) *Result {
	r := &Result{Requested: m.requested, Skipped: slices.Clone(m.skipped), Missing: wholly(m.skipped), UpToDate: m.upToDate, Stats: m.client.Stats(), Quotas: m.client.Quotas()}
	if plan != nil {
		r.Images, r.Digest, r.Size = plan.Images(), plan.Digest(), plan.Size()
	}
	return r
}

// skip records an image that will not be in the bundle, or not for all platforms: an event,
// the result and the bundle name it.
func (m *maker) skip(s archive.Skipped) {
	if s.Class == "" && !m.isRequired(s.Name) {
		s.Class = archive.ClassIndirect
	}
	if s.Platforms == "" { // a layer of the platforms that it has may be lost as well
		m.skipped = slices.DeleteFunc(m.skipped, func(old archive.Skipped) bool { return old.Name == s.Name })
	}
	m.skipped = append(m.skipped, s)
	m.event(EventSkip{s})
}

func (m *maker) event(e Event) {
	if m.opts.Events != nil {
		m.opts.Events(e)
	}
}
