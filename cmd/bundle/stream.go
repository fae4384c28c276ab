package main

import (
	"context"
	"errors"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// stream writes the bundle to standard output: the same bytes, one blob after the other.
// There is nothing to resume; a failure leaves a tar without an end, which readers refuse.
func (j *job) stream(ctx context.Context, plan *archive.Plan) (err error) {
	out, err := archive.NewStream(j.streams.Out, plan, j.docs, archive.StreamOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	missing := out.Missing()
	var total int64
	for _, b := range missing {
		total += b.Size
	}
	j.display.Start("fetch", total)
	defer j.display.Finish()
	for _, b := range missing {
		if err := j.streamBlob(ctx, out, b); err != nil {
			return err
		}
	}
	return out.Commit()
}

func (j *job) streamBlob(ctx context.Context, out *archive.Stream, b archive.Blob) (err error) {
	sink, err := out.Blob(b.Digest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	if done, err := j.older.copyTo(ctx, b, sink); done {
		return err
	}
	if err := j.client.Fetch(ctx, b.Descriptor, oneWay{sink}); err != nil {
		return &pull.FetchError{Blobs: []pull.BlobError{{Digest: b.Digest, Err: err}}}
	}
	return nil
}

// oneWay shows a blob of a stream to the client. That its bytes are wrong turns out when
// the last of them is written; it is the registry's fault and not this side's, so it is
// told by Commit, as for a file.
type oneWay struct{ *archive.BlobWriter }

// WriteAt implements [io.WriterAt].
func (o oneWay) WriteAt(p []byte, off int64) (int, error) {
	n, err := o.BlobWriter.WriteAt(p, off)
	if wrong := (*archive.DigestError)(nil); errors.As(err, &wrong) {
		return len(p), nil
	}
	return n, err
}
