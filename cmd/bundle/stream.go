package main

import (
	"context"
	"errors"

	"stowage/pkg/archive"
)

// stream writes the bundle to standard output: the same bytes, one blob after the other.
// There is nothing to resume; a failure leaves a tar without an end, which readers refuse.
func (j *job) stream(ctx context.Context, plan *archive.Plan, docs *documents) (err error) {
	out, err := archive.NewStream(j.streams.Out, plan, docs, archive.StreamOptions{})
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
	return j.client.Fetch(ctx, b.Descriptor, sink)
}
