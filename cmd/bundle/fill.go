package main

import (
	"context"
	"errors"
	"iter"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// fill writes the bundle to its file.
func (j *job) fill(ctx context.Context, plan *archive.Plan) error {
	if err := j.fetch(ctx, plan); err != nil {
		return err
	}
	c := archive.CompressionOf(j.out)
	if c == archive.Plain {
		return j.draft.Commit()
	}
	j.display.Start("compress", plan.Size())
	defer j.display.Finish()
	return j.draft.CommitAs(ctx, c, j.display.Add)
}

// fetch brings every blob of the plan into the draft.
func (j *job) fetch(ctx context.Context, plan *archive.Plan) error {
	if err := j.draft.Begin(ctx, plan, nil); err != nil {
		return err
	}
	if err := j.older.reuse(ctx, j.draft); err != nil {
		return err
	}
	var blobs []ocispec.Descriptor
	var total int64
	for _, b := range j.draft.Missing() {
		blobs = append(blobs, b.Descriptor)
		total += b.Size
	}
	if len(blobs) == 0 {
		return nil
	}
	j.display.Message("fetching %s in %s", cli.Bytes(total), cli.Count(len(blobs), "blob"))
	j.display.Start("fetch", total)
	defer j.display.Finish()
	return j.client.FetchAll(ctx, blobs, func(d ocispec.Descriptor) (pull.Sink, error) {
		w, err := j.draft.Blob(d.Digest)
		if err != nil {
			return nil, err
		}
		return resumer{w}, nil
	})
}

// resumer shows a blob of the bundle to the client as one whose ranges may come in any order.
type resumer struct{ *archive.BlobWriter }

// Commit tells bytes that are wrong, which is the registry's fault, from a disk that is.
func (r resumer) Commit() error {
	err := r.BlobWriter.Commit()
	if wrong := (*archive.DigestError)(nil); err == nil || errors.As(err, &wrong) {
		return err
	}
	return &pull.LocalError{Err: err}
}

func (r resumer) Missing() iter.Seq2[int64, int64] {
	return func(yield func(offset, length int64) bool) {
		for _, h := range r.Holes() {
			if !yield(h.Start, h.End-h.Start) {
				return
			}
		}
	}
}
