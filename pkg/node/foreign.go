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
)

// LoadForeign is [Node.LoadStream] for a tarball of another program. Nothing can be said
// of what arrives before the end of it has come: all that may be a layer goes into the
// content store, under a lease of its own, and what no image of this node needs leaves it
// when the load ends. Then the whole is checked as a file is, and unpacked from the store.
//
// Each entry is compared with the free space before it is taken in; a tenth of that stays
// free until the whole is checked. OnStart is called twice: with -1 when the stream
// begins, as nobody knows its length, then as by Load.
//
// A stream that ends early is an [archive.ErrDamaged] with [io.ErrUnexpectedEOF]: nothing
// becomes visible, and what had arrived is kept for 24 hours, or until the next load of
// the same stream has used it. So it is when ctx ends.
func (n *Node) LoadForeign(ctx context.Context, s *archive.Stream, o LoadOptions) (_ *Report, err error) {
	ctx = n.in(ctx)
	tx, lctx, err := n.begin(ctx, s.ID())
	if err != nil {
		return nil, err
	}
	defer func() {
		err = tx.finish(ctx, err, err != nil && (ctx.Err() != nil || cutShort(err)))
	}()
	in := &intake{node: n, stream: s, opts: o, sent: map[digest.Digest]int64{}, buf: make([]byte, ingestChunk)}
	if err := in.all(lctx); err != nil {
		return nil, err
	}
	b, err := s.Reader()
	if err != nil {
		return nil, err
	}
	l := n.newLoader(foreignBundle{streamBundle{b}}, o)
	l.sent = in.sent
	r, err := l.load(ctx)
	return r, n.withBase(ctx, err, b)
}

// foreignBundle is a bundle whose layers are on the node, or nowhere.
type foreignBundle struct{ streamBundle }

// Has tells whether the blob can be opened.
func (b foreignBundle) Has(d digest.Digest) bool {
	_, err := b.Open(d)
	return err == nil
}

// intake brings the entries of a foreign stream into the content store.
type intake struct {
	node   *Node
	stream *archive.Stream
	opts   LoadOptions
	sent   map[digest.Digest]int64 // bytes sent of each blob
	buf    []byte
}

// all takes in the entries up to the end of the tar.
func (in *intake) all(ctx context.Context) error {
	if in.opts.OnStart != nil {
		in.opts.OnStart(-1)
	}
	for {
		b, err := in.stream.Next()
		switch {
		case err == io.EOF:
			return nil
		case err == nil:
			err = in.one(ctx, b)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// one takes in an entry, unless the node has it.
func (in *intake) one(ctx context.Context, b *archive.Entry) error {
	there, err := in.send(ctx, b)
	if err != nil || !there || b.Checked() {
		return err
	}
	// The name alone is no proof, and these bytes are not sent.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, b, in.buf); err != nil {
		return err
	}
	if b.Sum() != b.Digest {
		return fmt.Errorf("entry %q has digest %s: %w", b.Name, b.Sum(), archive.ErrDamaged)
	}
	return nil
}

// send writes an entry into the content store; there says that nothing was written, as
// the node has the blob that its name promises. What an earlier load has left of a blob
// with a digest is taken up; the digest at the end is that of all its bytes.
func (in *intake) send(ctx context.Context, b *archive.Entry) (there bool, err error) {
	ctx, cancel := context.WithCancel(ctx) // see loader.send
	defer cancel()
	ref := ingestRef(b.Digest)
	if b.Digest == "" {
		ref = ingestRef(digest.FromString(in.stream.ID().String() + b.Name))
		if err := in.node.content.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
			return false, fmt.Errorf("store entry %q: drop what an earlier load left: %w", b.Name, err)
		}
	}
	opts := []content.WriterOpt{content.WithRef(ref)}
	if b.Digest != "" {
		opts = append(opts, content.WithDescriptor(ocispec.Descriptor{Digest: b.Digest, Size: b.Size}))
	}
	out, err := in.node.writer(ctx, ctx, opts...)
	if errdefs.IsAlreadyExists(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("store entry %q: %w", b.Name, err)
	}
	defer out.Close()
	st, err := out.Status()
	if err == nil {
		err = in.room(b, st.Offset)
	}
	if err != nil {
		return false, err
	}
	failed := iox.NewMonitor(b)
	sent, err := in.copy(out, failed, min(st.Offset, b.Size))
	if err == nil {
		err = out.Commit(ctx, b.Size, b.Sum())
	}
	switch {
	case err == nil || errdefs.IsAlreadyExists(err):
		in.sent[b.Sum()] = sent
		return false, nil
	case failed.Err() == nil:
		err = in.node.asNoSpace(err, in.node.contentRoot, b.Size-st.Offset-sent)
	}
	switch {
	case ctx.Err() != nil:
		return false, err
	case failed.Err() != nil:
		return false, failed.Err()
	case st.Offset > 0:
		err = errors.Join(err, in.node.content.Abort(ctx, ref)) // see loader.receive
	}
	return false, fmt.Errorf("store entry %q: %w", b.Name, err)
}

// copy sends what comes after offset.
func (in *intake) copy(out io.Writer, r io.Reader, offset int64) (int64, error) {
	count := iox.Report(r, func(n int64) {
		if in.opts.OnBytes != nil && n > 0 {
			in.opts.OnBytes(n)
		}
	})
	if _, err := io.CopyN(io.Discard, count, offset); err != nil {
		return 0, err
	}
	return io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{count}, in.buf)
}

// room refuses an entry that does not fit. A stream tells no total, and nobody vouches
// for it yet: a tenth of what is free stays free, so that the pods of a node do not pay
// for a tarball that goes on for ever.
func (in *intake) room(b *archive.Entry, there int64) error {
	if !in.node.local {
		return nil
	}
	disk, err := usage(in.node.contentRoot)
	if err != nil {
		return fmt.Errorf("check the space of %s: %w", in.node.contentRoot, err)
	}
	free := disk.Free - disk.Free/10
	if need := b.Size - there; need > free {
		return &DiskFullError{Path: in.node.contentRoot, Need: need, Free: free}
	}
	return nil
}
