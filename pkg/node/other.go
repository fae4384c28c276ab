package node

import (
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
	ctx, cancel := context.WithCancel(ctx) // see loader.send
	defer cancel()
	ref, err := rc.ref(ctx, e)
	if err != nil {
		return false, err
	}
	opts := []content.WriterOpt{content.WithRef(ref)}
	if e.Digest != "" {
		opts = append(opts, content.WithDescriptor(ocispec.Descriptor{Digest: e.Digest, Size: e.Size}))
	}
	out, err := rc.node.writer(ctx, ctx, opts...)
	if errdefs.IsAlreadyExists(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("store entry %q: %w", e.Name, err)
	}
	defer out.Close()
	st, err := out.Status()
	if err == nil {
		err = asDiskFull(rc.budget.Draw(rc.budget.Files(1, max(e.Size-st.Offset, 0))))
	}
	if err != nil {
		return false, err
	}
	in := iox.NewMonitor(e)
	sent, err := rc.copy(out, watched(in, rc.budget), min(st.Offset, e.Size))
	if err == nil {
		err = out.Commit(ctx, e.Size, e.Sum())
	}
	switch {
	case err == nil || errdefs.IsAlreadyExists(err):
		rc.sent[e.Sum()] = sent
		return false, nil
	case in.Err() == nil:
		err = rc.node.asNoSpace(err, rc.node.contentRoot, e.Size-st.Offset-sent)
	}
	switch {
	case ctx.Err() != nil:
		return false, err
	case in.Err() != nil:
		return false, in.Err()
	case st.Offset > 0:
		err = errors.Join(err, rc.node.content.Abort(ctx, ref)) // see loader.receive
	}
	return false, fmt.Errorf("store entry %q: %w", e.Name, err)
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
func (rc *receiver) copy(out io.Writer, r io.Reader, offset int64) (int64, error) {
	count := iox.Report(r, func(n int64) {
		if rc.opts.OnBytes != nil && n > 0 {
			rc.opts.OnBytes(n)
		}
	})
	if _, err := io.CopyN(io.Discard, count, offset); err != nil {
		return 0, err
	}
	return io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{count}, rc.buf)
}
