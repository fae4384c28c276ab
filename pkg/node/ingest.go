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

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/iox"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/disk"
	"stowage/pkg/node/internal/placed"
)

// ingestChunk is how much of a blob is sent in one message, in bytes, as by containerd's own
// client. containerd answers each message before the next. Twice as much makes no measurable
// difference in time and needs 12 MiB more at 4 jobs.
const ingestChunk = 1 << 20

var chunkPool = sync.Pool{New: func() any { return new([ingestChunk]byte) }}

// ingest writes one blob of the bundle into the content store, or only its labels if it is
// there. It resumes an ingest that an earlier load has left; if that part turns out to be
// wrong, it sends the complete blob again. It returns the bytes written.
func (l *loader) ingest(ctx context.Context, w *blobWork) (int64, error) {
	if w.there {
		return 0, l.relabel(ctx, w)
	}
	if l.adopt(ctx, w) || l.sendAtOnce(ctx, w) {
		return w.desc.Size, nil
	}
	ref := ingestRef(w.desc.Digest)
	open := func(offset int64) (io.Reader, error) {
		in, err := l.bundle.Open(w.desc.Digest)
		if err == nil {
			_, err = in.Seek(offset, io.SeekStart)
		}
		return in, err
	}
	var sent int64
	var resumed bool
	file, err := l.placeFromBundle(ctx, w, open)
	if err == nil {
		sent, resumed, err = l.send(ctx, ref, w, file, open)
		file.Close()
	}
	if err != nil && resumed && ctx.Err() == nil && l.verifyBlob(w.desc.Digest) == nil {
		if err := l.node.content.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
			return sent, fmt.Errorf("store blob %s: abort the ingest of an earlier load: %w", w.desc.Digest, err)
		}
		var again int64
		again, _, err = l.send(ctx, ref, w, nil, open)
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

// placer writes blobs into the directory of the content store. A nil placer writes none.
type placer struct {
	node       *Node
	store      *placed.Store
	unfinished map[string]bool // refs of the ingests that earlier loads have left

	mu    sync.Mutex
	small map[digest.Digest]int64 // sizes of the small blobs that containerd has to adopt
}

// newPlacer returns the placer of a load, which writes within the budget.
func (n *Node) newPlacer(ctx context.Context, budget *disk.Budget) (*placer, error) {
	if !n.local || !n.sharesContent {
		return nil, nil
	}
	all, err := n.content.ListStatuses(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the ingests of earlier loads: %w", err)
	}
	p := &placer{node: n, store: placed.New(n.contentRoot, budget), unfinished: map[string]bool{}, small: map[digest.Digest]int64{}}
	for _, st := range all {
		p.unfinished[st.Ref] = true
	}
	return p, nil
}

// place writes a blob, whose ingest would have the given ref, for containerd to take over. It
// returns nil, and has read nothing, if the blob has to be sent: an ingest that is there is
// resumed, and what is small is placed before, or sent with one message.
func (p *placer) place(ctx context.Context, ref string, b placed.Blob) (*placed.File, error) {
	if p == nil || p.unfinished[ref] || b.Size <= lightWork {
		return nil, nil
	}
	file, err := p.store.Place(ctx, b)
	return file, p.node.asNoSpace(asDiskFull(err), p.node.contentRoot, b.Size)
}

// placeFromBundle is place for a blob that open reads.
func (l *loader) placeFromBundle(ctx context.Context, w *blobWork, open func(int64) (io.Reader, error)) (*placed.File, error) {
	in, err := open(0)
	if err != nil {
		return nil, nil // send reports it, unless containerd has the blob
	}
	return l.placer.place(ctx, ingestRef(w.desc.Digest), verified(w, iox.Report(in, l.progress)))
}

// verified returns a blob to be placed whose bytes must have its digest.
func verified(w *blobWork, in io.Reader) placed.Blob {
	v := w.desc.Digest.Verifier()
	return placed.Blob{Digest: w.desc.Digest, Size: w.desc.Size, In: io.TeeReader(in, v), Sum: func() (digest.Digest, error) {
		if !v.Verified() {
			return "", mismatch(w.desc.Digest)
		}
		return w.desc.Digest, nil
	}}
}

// Small blobs are placed smallBatch at a time, with one sync, if there are minSmall of them:
// the sync may have to write what else is dirty. containerd then adopts each with one message.
// Without its bytes that takes 5 syncs less a blob.
const (
	minSmall   = 8
	smallBatch = 128
)

// smallBatches returns the small blobs to place, in batches.
func (l *loader) smallBatches(all []*blobWork) [][]*blobWork {
	var small []*blobWork
	for _, w := range all {
		if s := w.desc.Size; !w.there && s > 0 && s <= lightWork && !l.stream.has(w.desc.Digest) && !l.placer.unfinished[ingestRef(w.desc.Digest)] {
			small = append(small, w)
		}
	}
	if len(small) < minSmall {
		return nil
	}
	return slices.Collect(slices.Chunk(small, smallBatch))
}

// placeBatch places small blobs.
func (l *loader) placeBatch(ctx context.Context, batch []*blobWork) error {
	var blobs []placed.Blob
	var size int64
	for _, w := range batch {
		if in, err := l.bundle.Open(w.desc.Digest); err == nil { // else send reports it
			blobs, size = append(blobs, verified(w, in)), size+w.desc.Size
		}
	}
	names, err := l.placer.store.PlaceAll(ctx, blobs)
	l.placer.mu.Lock()
	defer l.placer.mu.Unlock()
	for _, w := range batch {
		if slices.Contains(names, w.desc.Digest) {
			l.placer.small[w.desc.Digest] = w.desc.Size
		}
	}
	return l.node.asNoSpace(asDiskFull(err), l.node.contentRoot, size)
}

// adopt lets containerd take over a small blob that was placed. It reports false when the
// caller has to send the blob, or to find out what the error was.
func (l *loader) adopt(ctx context.Context, w *blobWork) bool {
	if l.placer == nil {
		return false
	}
	l.placer.mu.Lock()
	size, placed := l.placer.small[w.desc.Digest]
	delete(l.placer.small, w.desc.Digest)
	l.placer.mu.Unlock()
	if !placed {
		return false
	}
	if err := l.node.writeAtOnce(ctx, w, size, nil); err != nil {
		l.blobs.draws().Return(l.blobs.draws().Files(1, size))
		return false
	}
	l.progress(size)
	return true
}

// leave lets containerd take over a blob that was placed and has no use after an error. When
// the lease is deleted, the collection removes that one, and with it every file of the content
// store that no namespace has.
func (l *loader) leave(ctx context.Context) {
	if l.placer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	for d, size := range l.placer.small {
		if l.node.writeAtOnce(ctx, &blobWork{desc: ocispec.Descriptor{Digest: d, Size: size}}, size, nil) == nil {
			return
		}
	}
}

// mismatch is the error of a blob with wrong bytes.
func mismatch(d digest.Digest) error {
	return fmt.Errorf("blob %s does not match its digest: %w", d, archive.ErrDamaged)
}

// openIngest opens the ingest of a blob. The gRPC stream, and with it containerd's lock of the
// ref, ends with ctx and when the caller calls the function that openIngest returns.
//
// For a file that was placed, an ended ctx takes effect only when containerd has answered, or
// is overdue: containerd removes the file with the ingest that it then has, when the lease is
// deleted.
func (n *Node) openIngest(ctx context.Context, file *placed.File, ref string, opts ...content.WriterOpt) (content.Writer, func(), error) {
	stream, cancel := context.WithCancel(context.WithoutCancel(ctx))
	end := cancel
	if file != nil {
		end = func() { time.AfterFunc(answerTimeout, cancel) }
	}
	stop := context.AfterFunc(ctx, end)
	w, err := n.writer(ctx, stream, append(opts, content.WithRef(ref))...)
	stop()
	stop = context.AfterFunc(ctx, cancel)
	return w, func() { stop(); cancel() }, err
}

// sendAtOnce writes a small blob with one message, where the writer of containerd's client
// needs four round trips: to open, for the offset, for the bytes, and to commit. What an
// earlier load has left of the blob is overwritten. It reports false when the caller has to
// send the blob: because it is larger, or after an error, which send meets again and handles.
func (l *loader) sendAtOnce(ctx context.Context, w *blobWork) (sent bool) {
	if w.desc.Size > lightWork {
		return false
	}
	in, err := l.bundle.Open(w.desc.Digest)
	if err != nil {
		return false
	}
	data, err := io.ReadAll(in)
	if err != nil || int64(len(data)) != w.desc.Size {
		return false
	}
	budget := l.blobs.draws()
	cost := budget.Files(1, w.desc.Size)
	if budget.Draw(cost) != nil {
		return false
	}
	if err := l.node.writeAtOnce(ctx, w, 0, data); err != nil {
		budget.Return(cost)
		return false
	}
	l.progress(w.desc.Size)
	return true
}

// writeAtOnce asks containerd to create a blob of data, and to check its size and digest; or,
// with the size as the offset and no data, to take over the file of a blob that was placed. If
// there is none, that fails: an ingest begins at offset 0. See openIngest for the end of ctx.
func (n *Node) writeAtOnce(ctx context.Context, w *blobWork, offset int64, data []byte) error {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx)) // unlocks the ref, as in send
	defer cancel()
	end := cancel
	if offset > 0 {
		end = func() { time.AfterFunc(answerTimeout, cancel) }
	}
	defer context.AfterFunc(ctx, end)()
	stream, err := n.blobs.Write(lasting)
	if err != nil {
		return err
	}
	if err := stream.Send(&contentapi.WriteContentRequest{
		Action: contentapi.WriteAction_COMMIT, Ref: ingestRef(w.desc.Digest), Labels: w.labels,
		Total: w.desc.Size, Expected: w.desc.Digest.String(), Offset: offset, Data: data,
	}); err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// send writes one blob, from the offset at which the store has an ingest of it; resumed says
// that this was not 0. open returns the bytes from there on. The store checks size and digest
// in Commit. If the blob was placed, containerd takes over its file or gets the bytes from it.
func (l *loader) send(ctx context.Context, ref string, w *blobWork, file *placed.File, open func(offset int64) (io.Reader, error)) (sent int64, resumed bool, err error) {
	// With size and digest the store answers AlreadyExists for a blob that was added
	// meanwhile, and adds it to the lease.
	out, end, err := l.node.openIngest(ctx, file, ref, content.WithDescriptor(w.desc))
	defer end()
	if errdefs.IsAlreadyExists(err) {
		return file.Size(), false, l.relabel(ctx, w)
	}
	if err != nil {
		return 0, false, l.node.asNoSpace(err, l.node.contentRoot, w.desc.Size)
	}
	defer out.Close()
	st, err := out.Status()
	if err != nil {
		return 0, false, err
	}
	resumed = st.Offset > 0 && file == nil
	if st.Offset > w.desc.Size {
		return 0, true, fmt.Errorf("the store has %d of %d bytes", st.Offset, w.desc.Size)
	}
	report := l.progress
	if file != nil {
		sent, open, report = file.Size(), file.Open, func(int64) {}
	}
	if file == nil || st.Offset < w.desc.Size {
		n, err := l.transmit(out, file, w.desc.Size, st.Offset, open, report)
		if sent = max(sent, n); err != nil {
			return sent, resumed, err
		}
	}
	err = out.Commit(ctx, w.desc.Size, w.desc.Digest, content.WithLabels(w.labels))
	if errdefs.IsAlreadyExists(err) {
		err = l.relabel(ctx, w)
	}
	return sent, resumed, l.node.asNoSpace(err, l.node.contentRoot, 0)
}

// transmit sends the bytes of a blob from offset on, those of a file that containerd did not
// take over as well, and returns their number.
func (l *loader) transmit(out io.Writer, file *placed.File, size, offset int64, open func(int64) (io.Reader, error), report func(int64)) (int64, error) {
	in, err := open(offset)
	if err != nil {
		return 0, err
	}
	budget := l.blobs.draws()
	if err := budget.Draw(budget.Files(1, size-offset)); err != nil {
		return 0, asDiskFull(err)
	}
	defer file.Refused()
	report(offset)
	var buf []byte
	if left := size - offset; left < ingestChunk {
		buf = make([]byte, left+1) // one more, to see the end with the last byte
	} else {
		chunk := chunkPool.Get().(*[ingestChunk]byte)
		defer chunkPool.Put(chunk)
		buf = chunk[:]
	}
	// The structs hide ReadFrom and WriteTo, so that io.CopyBuffer uses the buffer.
	sent, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{iox.Report(watched(in, budget), report)}, buf)
	return sent, l.node.asNoSpace(err, l.node.contentRoot, size-offset-sent)
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
		return mismatch(d)
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
