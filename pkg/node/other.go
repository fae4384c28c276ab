package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/iox"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/disk"
	"stowage/pkg/node/internal/placed"
)

// loadOther is LoadStream for the tarball of another program.
func (n *Node) loadOther(ctx context.Context, s *archive.Stream, o LoadOptions) (_ *Report, err error) {
	tx, lctx, err := n.begin(ctx, s.ID())
	if err != nil {
		return nil, err
	}
	defer func() { err = tx.finish(ctx, err, resumable(ctx, err)) }()
	rc := &receiver{node: n, stream: s, opts: o, sent: map[digest.Digest]int64{}, buf: make([]byte, ingestChunk)}
	if n.local {
		if rc.budget, err = budgetOf(n.contentRoot); err != nil {
			return nil, err
		}
	}
	if rc.placer, err = n.newPlacer(lctx, rc.budget); err != nil {
		return nil, err
	}
	if err := rc.receive(lctx); err != nil {
		return nil, err
	}
	r, err := s.Reader()
	if err != nil {
		return nil, err
	}
	if err := r.AddNames(o.Names); err != nil {
		return nil, err
	}
	l := n.newLoader(receivedBundle{streamBundle{r}}, o)
	l.sent, l.window = rc.sent, s.Window()
	return l.load(ctx)
}

// receivedBundle is a bundle whose layers are on the node if they were received.
type receivedBundle struct{ streamBundle }

// Has reports whether the blob can be opened.
func (b receivedBundle) Has(d digest.Digest) bool {
	_, err := b.Open(d)
	return err == nil
}

// receiver writes the entries of another program's tarball into the content store.
type receiver struct {
	node   *Node
	stream *archive.Stream
	opts   LoadOptions
	sent   map[digest.Digest]int64 // bytes sent of each blob
	buf    []byte
	budget *disk.Budget // of the content store
	placer *placer
}

// receive receives all entries.
func (rc *receiver) receive(ctx context.Context) error {
	if rc.opts.OnReceive != nil {
		rc.opts.OnReceive()
	}
	for {
		e, err := rc.stream.Next()
		switch {
		case err == io.EOF:
			return nil
		case err == nil:
			err = rc.store(ctx, e)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// store receives one entry. If the node has the blob already it only checks its digest.
func (rc *receiver) store(ctx context.Context, e *archive.Entry) error {
	there, err := rc.send(ctx, e)
	if err != nil || !there || e.Checked() {
		return err
	}
	// The stream does not check the bytes of this entry, and containerd has not seen them.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, e, rc.buf); err != nil {
		return err
	}
	if e.Sum() != e.Digest {
		return fmt.Errorf("entry %q has digest %s: %w", e.Name, e.Sum(), archive.ErrDamaged)
	}
	return nil
}

// send writes an entry into the content store. there means that the node has the blob that
// the name of the entry states, and that nothing was read. If an earlier load has left an
// ingest of the blob, send resumes it; the digest in Commit is still that of all bytes.
func (rc *receiver) send(ctx context.Context, e *archive.Entry) (there bool, err error) {
	ref, err := rc.ref(ctx, e)
	if err != nil {
		return false, err
	}
	in := iox.NewMonitor(e)
	file, err := rc.placer.place(ctx, ref, placed.Blob{
		Digest: e.Digest, Size: e.Size, In: rc.counted(in),
		Sum: func() (digest.Digest, error) { return e.Sum(), nil },
	})
	var resumed bool
	if err == nil {
		defer file.Close()
		there, resumed, err = rc.write(ctx, ref, e, file, in)
	}
	switch {
	case err == nil, ctx.Err() != nil:
		return there, err
	case in.Err() != nil:
		return false, in.Err()
	case resumed:
		err = errors.Join(err, rc.node.content.Abort(ctx, ref)) // see loader.receive
	}
	return false, fmt.Errorf("store entry %q: %w", e.Name, err)
}

// write writes an entry, which was placed if there is a file, through containerd; see
// loader.send.
func (rc *receiver) write(ctx context.Context, ref string, e *archive.Entry, file *placed.File, in *iox.Monitor) (there, resumed bool, err error) {
	var opts []content.WriterOpt
	if known := cmp.Or(e.Sum(), e.Digest); known != "" {
		opts = append(opts, content.WithDescriptor(ocispec.Descriptor{Digest: known, Size: e.Size}))
	}
	out, end, err := rc.node.openIngest(ctx, file, ref, opts...)
	defer end()
	if errdefs.IsAlreadyExists(err) {
		if file != nil {
			rc.sent[file.Digest()] = file.Size()
		}
		return file == nil, false, nil
	}
	if err != nil {
		return false, false, err
	}
	defer out.Close()
	st, err := out.Status()
	if err != nil {
		return false, false, err
	}
	from, sent := rc.counted(in), e.Size
	if file != nil {
		if from, err = file.Open(0); err != nil {
			return false, false, err
		}
	}
	if file == nil || st.Offset < e.Size {
		if sent, err = rc.copy(out, from, file, min(st.Offset, e.Size), e.Size); err != nil {
			return false, st.Offset > 0, err
		}
	}
	err = out.Commit(ctx, e.Size, e.Sum())
	if err == nil || errdefs.IsAlreadyExists(err) {
		rc.sent[e.Sum()] = sent
		return false, false, nil
	}
	return false, st.Offset > 0 && file == nil, rc.node.asNoSpace(err, rc.node.contentRoot, 0)
}

// ref returns the ref for the ingest of an entry. An entry without a digest cannot be
// resumed, so ref aborts the ingest that an earlier load has left.
func (rc *receiver) ref(ctx context.Context, e *archive.Entry) (string, error) {
	if e.Digest != "" {
		return ingestRef(e.Digest), nil
	}
	ref := ingestRef(digest.FromString(rc.stream.ID().String() + e.Name))
	if err := rc.node.content.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
		return "", fmt.Errorf("store entry %q: abort the ingest of an earlier load: %w", e.Name, err)
	}
	return ref, nil
}

// copy reads all of r and sends what follows offset.
func (rc *receiver) copy(out io.Writer, r io.Reader, file *placed.File, offset, size int64) (int64, error) {
	if err := rc.budget.Draw(rc.budget.Files(1, size-offset)); err != nil {
		return 0, asDiskFull(err)
	}
	defer file.Refused()
	r = watched(r, rc.budget)
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return 0, err
	}
	sent, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{r}, rc.buf)
	return sent, rc.node.asNoSpace(err, rc.node.contentRoot, size-offset-sent)
}

// counted returns a reader of r that reports what was received.
func (rc *receiver) counted(r io.Reader) io.Reader {
	return iox.Report(r, func(n int64) {
		if rc.opts.OnBytes != nil && n > 0 {
			rc.opts.OnBytes(n)
		}
	})
}
