package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/disk"
)

// ingestChunk is how much of a blob is sent in one message, in bytes, as by containerd's own
// client. containerd answers each message before the next. Twice as much makes no measurable
// difference in time and needs 12 MiB more at 4 jobs.
const ingestChunk = 1 << 20

var chunkPool = sync.Pool{New: func() any { return new([ingestChunk]byte) }}

// ingest writes one blob of the bundle into the content store, or only its labels if it is
// there. It resumes an ingest that a killed load has left; if that part turns out to be
// wrong, it sends the complete blob again. It returns the bytes sent.
func (l *loader) ingest(ctx context.Context, w *blobWork) (int64, error) {
	if w.there {
		return 0, l.relabel(ctx, w)
	}
	ref := ingestRef(w.desc.Digest)
	open := func(offset int64) (io.Reader, error) {
		in, err := l.bundle.Open(w.desc.Digest)
		if err == nil {
			_, err = in.Seek(offset, io.SeekStart)
		}
		return in, err
	}
	sent, resumed, err := l.send(ctx, ref, w, open)
	if err != nil && resumed && ctx.Err() == nil && l.verifyBlob(w.desc.Digest) == nil {
		if err := l.node.content.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
			return sent, fmt.Errorf("store blob %s: abort the ingest of an earlier load: %w", w.desc.Digest, err)
		}
		var again int64
		again, _, err = l.send(ctx, ref, w, open)
		sent += again
	}
	if err == nil {
		return sent, nil
	}
	if ctx.Err() != nil { // a cancelled gRPC stream returns EOF and other errors
		return sent, ctx.Err()
	}
	if damage := l.verifyBlob(w.desc.Digest); damage != nil {
		return sent, damage
	}
	return sent, fmt.Errorf("store blob %s: %w", w.desc.Digest, err)
}

// ingestRef returns the ref for the ingest of a blob, by which the next load finds it.
func ingestRef(d digest.Digest) string { return "stowage-" + d.String() }

// send writes one blob, from the offset at which the store has an ingest of it; resumed says
// that this was not 0. open returns the bytes from there on. The store checks size and digest
// in Commit.
func (l *loader) send(ctx context.Context, ref string, w *blobWork, open func(offset int64) (io.Reader, error)) (sent int64, resumed bool, err error) {
	// Cancelling ends the gRPC stream, which unlocks the ref, on every return.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// With size and digest the store answers AlreadyExists for a blob that was added
	// meanwhile, or that another namespace has, and adds it to the lease.
	out, err := l.node.writer(ctx, ctx, content.WithRef(ref), content.WithDescriptor(w.desc))
	if errdefs.IsAlreadyExists(err) {
		return 0, false, l.relabel(ctx, w)
	}
	if err != nil {
		return 0, false, l.node.asNoSpace(err, l.node.contentRoot, w.desc.Size)
	}
	defer out.Close()
	st, err := out.Status()
	if err != nil {
		return 0, false, err
	}
	resumed = st.Offset > 0
	if st.Offset > w.desc.Size {
		return 0, true, fmt.Errorf("the store has %d of %d bytes", st.Offset, w.desc.Size)
	}
	in, err := open(st.Offset)
	if err != nil {
		return 0, resumed, err
	}
	if err := l.blobs.draws().Draw(l.blobs.draws().Files(1, w.desc.Size-st.Offset)); err != nil {
		return 0, resumed, asDiskFull(err)
	}
	l.progress(st.Offset)
	var buf []byte
	if left := w.desc.Size - st.Offset; left < ingestChunk {
		buf = make([]byte, left+1) // one more, to see the end with the last byte
	} else {
		chunk := chunkPool.Get().(*[ingestChunk]byte)
		defer chunkPool.Put(chunk)
		buf = chunk[:]
	}
	// The structs hide ReadFrom and WriteTo, so that io.CopyBuffer uses the buffer.
	sent, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{iox.Report(watched(in, l.blobs.draws()), l.progress)}, buf)
	if err != nil {
		return sent, resumed, l.node.asNoSpace(err, l.node.contentRoot, w.desc.Size-st.Offset-sent)
	}
	err = out.Commit(ctx, w.desc.Size, w.desc.Digest, content.WithLabels(w.labels))
	if errdefs.IsAlreadyExists(err) {
		err = l.relabel(ctx, w)
	}
	return sent, resumed, l.node.asNoSpace(err, l.node.contentRoot, 0)
}

// watched returns a reader of in that fails when others have filled the file system of b.
func watched(in io.Reader, b *disk.Budget) io.Reader {
	return iox.ReaderFunc(func(p []byte) (int, error) {
		if err := b.Draw(disk.Cost{}); err != nil {
			return 0, asDiskFull(err)
		}
		return in.Read(p)
	})
}

// relabel sets labels on a blob that is there.
func (l *loader) relabel(ctx context.Context, w *blobWork) error {
	if len(w.labels) == 0 {
		return nil
	}
	var fields []string
	for _, k := range slices.Sorted(maps.Keys(w.labels)) {
		fields = append(fields, "labels."+k)
	}
	if _, err := l.node.content.Update(ctx, content.Info{Digest: w.desc.Digest, Labels: w.labels}, fields...); err != nil {
		return fmt.Errorf("label blob %s: %w", w.desc.Digest, err)
	}
	return nil
}

// verifyBlob hashes a blob of the bundle again. After a failure this distinguishes a damaged
// bundle from a broken node; the error of the failure may not.
func (l *loader) verifyBlob(d digest.Digest) error {
	in, err := l.bundle.Open(d)
	if errors.Is(err, archive.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v := d.Verifier()
	if _, err := io.Copy(v, in); err != nil {
		return fmt.Errorf("read blob %s: %w", d, err)
	}
	if !v.Verified() {
		return fmt.Errorf("blob %s does not match its digest: %w", d, archive.ErrDamaged)
	}
	return nil
}

// lockPoll is the longest pause between two attempts to open a locked ref.
const lockPoll = 250 * time.Millisecond

// writer opens a writer of the content store whose gRPC stream ends with the context stream.
// While another load has the ref locked, it waits until ctx ends. containerd's own
// content.OpenWriter waits as well, but for ever: it takes a dead daemon for a busy one.
func (n *Node) writer(ctx, stream context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, lockPoll) {
		w, err := n.content.Writer(stream, opts...)
		if err == nil || !errdefs.IsUnavailable(err) {
			return w, err
		}
		// Unavailable means that the ref is locked, or that the daemon is gone.
		if err := answers(ctx, n.client); err != nil && ctx.Err() == nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}
