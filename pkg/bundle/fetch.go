package bundle

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/archive/writer"
	"stowage/pkg/pull"
)

// fill writes the bundle to its file.
func (m *maker) fill(ctx context.Context, plan *archive.Plan) error {
	if err := m.fetch(ctx, plan); err != nil {
		return err
	}
	c := archive.CompressionOf(m.req.Output)
	if c == archive.Plain {
		return m.file.Commit()
	}
	m.event(EventStart{Stage: Compress, Bytes: plan.Size()})
	defer m.event(EventFinish{Compress})
	return m.file.CommitAs(ctx, c, func(n int64) { m.event(EventBytes{N: n}) })
}

// fetch fetches every blob of the plan into the output's partial file.
func (m *maker) fetch(ctx context.Context, plan *archive.Plan) (err error) {
	if err := m.file.Start(ctx, plan, nil); err != nil {
		return err
	}
	kept := m.file.Resumed()
	if err := m.reuse.fill(ctx, m.file); err != nil {
		return err
	}
	missing := m.file.Missing()
	if len(missing) == 0 {
		return nil
	}
	blobs := make([]ocispec.Descriptor, len(missing))
	for i, b := range missing {
		blobs[i] = b.Descriptor
	}
	start := EventStart{Stage: Fetch, Bytes: kept, Kept: kept, Blobs: len(missing)}
	for _, b := range missing {
		start.Bytes += m.file.Lacks(b.Digest)
	}
	if start.Parts, err = m.parts(plan, missing, m.file.Lacks); err != nil {
		return err
	}
	m.event(start)
	defer m.event(EventFinish{Fetch})
	return m.client.FetchAll(ctx, blobs, func(d ocispec.Descriptor) (pull.Sink, error) {
		w, err := m.file.Blob(d.Digest)
		if err != nil {
			return nil, err
		}
		return sink{w}, nil
	})
}

// parts returns the images whose blobs are missing, in the order of the plan. lacks returns
// how many bytes of a blob are missing; nil stands for all of them. It returns none unless the
// caller asked for them.
func (m *maker) parts(plan *archive.Plan, missing []archive.Blob, lacks func(digest.Digest) int64) ([]Part, error) {
	if !m.opts.Parts {
		return nil, nil
	}
	images, err := m.planned(plan)
	if err != nil {
		return nil, err
	}
	left := map[digest.Digest]int64{}
	for _, b := range missing {
		left[b.Digest] = b.Size
	}
	var parts []Part
	for i := range images {
		p := Part{Name: images[i].Name}
		for _, d := range m.needs(&images[i]) {
			size, ok := left[d.Digest]
			if !ok {
				continue
			}
			delete(left, d.Digest)
			p.Bytes += size
			if lacks != nil {
				p.Kept += size - lacks(d.Digest)
			}
			p.Blobs = append(p.Blobs, d.Digest)
		}
		if len(p.Blobs) > 0 {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// stream writes the bundle to the request's writer: the same bytes, one blob after the
// other. Nothing can be resumed.
func (m *maker) stream(ctx context.Context, plan *archive.Plan) (err error) {
	out, err := writer.NewStream(m.req.Writer, plan, m.manifests, writer.StreamOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	missing := out.Missing()
	start := EventStart{Stage: Fetch, Blobs: len(missing)}
	for _, b := range missing {
		start.Bytes += b.Size
	}
	if start.Parts, err = m.parts(plan, missing, nil); err != nil {
		return err
	}
	m.event(start)
	defer m.event(EventFinish{Fetch})
	for _, b := range missing {
		if err := m.streamBlob(ctx, out, b); err != nil {
			return err
		}
	}
	return out.Commit()
}

func (m *maker) streamBlob(ctx context.Context, out *writer.Stream, b archive.Blob) (err error) {
	w, err := out.Blob(b.Digest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if done, err := m.reuse.copyTo(ctx, b, w); done {
		m.event(EventBytes{N: b.Size, Blob: b.Digest})
		return err
	}
	// Hidden behind a plain Sink, so that the blob comes in order over one connection: ranges
	// ahead of the stream would only wait in its window.
	if err := m.client.Fetch(ctx, b.Descriptor, struct{ pull.Sink }{sink{w}}); err != nil {
		return &pull.FetchError{Blobs: []pull.BlobError{{Digest: b.Digest, Err: err}}}
	}
	return nil
}

// sink is a blob of the bundle as the client writes it. A wrong digest is the registry's
// fault and any other error of the writer this side's.
type sink struct{ *writer.Blob }

// WriteAt implements [io.WriterAt]. The writer of a stream checks the digest with the last
// byte and returns the same error from Commit, where the client expects it.
func (s sink) WriteAt(p []byte, off int64) (int, error) {
	n, err := s.Blob.WriteAt(p, off)
	if isWrong(err) {
		return len(p), nil
	}
	return n, err
}

// Commit implements [pull.Sink].
func (s sink) Commit() error {
	err := s.Blob.Commit()
	if err == nil || isWrong(err) {
		return err
	}
	return &pull.LocalError{Err: err}
}

func isWrong(err error) bool {
	var wrong *archive.DigestError
	return errors.As(err, &wrong)
}
