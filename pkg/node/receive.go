package node

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/placed"
)

// LoadStream is [Node.Load] for a bundle that is read while it is loaded: from a pipe, or
// from a compressed file. It reads the stream once.
//
// Of a native stream, layers that the node lacks go into its content store as they arrive,
// and are unpacked from there while the next ones arrive. With DiscardLayers they are removed
// when the load ends. Image records are written after the end of the stream.
//
// The tarball of another program shows only at its end which images it has. So every entry
// that may be a layer goes into the content store, under a separate lease, and what no image
// of this node needs is removed when the load ends. Each entry is drawn from the budget of the
// disk before it is received. Then the tarball is checked as a file is,
// and unpacked from the store.
//
// A stream that ends early is an [archive.ErrDamaged] with [io.ErrUnexpectedEOF]. Then, and
// when ctx ends, no image becomes visible, and what was received is kept for 24 hours, or
// until the next load of the same stream has used it.
func (n *Node) LoadStream(ctx context.Context, s *archive.Stream, o LoadOptions) (*Report, error) {
	ctx = n.in(ctx)
	if !s.Native() {
		return n.loadOther(ctx, s, o)
	}
	r, err := s.Reader()
	if err != nil {
		return nil, err
	}
	if err := r.AddNames(o.Names); err != nil {
		return nil, err
	}
	b := streamBundle{r}
	l := n.newLoader(b, o)
	l.stream, l.window = newLayerStream(s, b), s.Window()
	return l.load(ctx)
}

// streamBundle is a bundle whose layers cannot be opened.
type streamBundle struct{ *archive.Reader }

// Open opens metadata. For a layer it returns [archive.ErrNotFound], so that the loader looks
// for it on the node.
func (b streamBundle) Open(d digest.Digest) (*io.SectionReader, error) {
	r, err := b.Reader.Open(d)
	if errors.Is(err, archive.ErrMetadataOnly) {
		return nil, fmt.Errorf("blob %s is in the stream: %w", d, archive.ErrNotFound)
	}
	return r, err
}

// layerStream is the sequence of layers in a native stream. Tasks receive them in order, one
// task at a time.
type layerStream struct {
	stream   *archive.Stream
	position map[digest.Digest]int // of each layer
}

func newLayerStream(s *archive.Stream, bundle streamBundle) *layerStream {
	ls := &layerStream{stream: s, position: map[digest.Digest]int{}}
	for i, b := range bundle.Blobs() {
		if _, err := bundle.Open(b.Digest); err != nil {
			ls.position[b.Digest] = i
		}
	}
	return ls
}

// has reports whether the blob is a layer of the stream. A nil stream has none.
func (ls *layerStream) has(d digest.Digest) bool {
	if ls == nil {
		return false
	}
	_, ok := ls.position[d]
	return ok
}

// skipTo skips layers up to the given one.
func (ls *layerStream) skipTo(d digest.Digest) (*archive.Entry, error) {
	for {
		e, err := ls.stream.Next()
		switch {
		case err == io.EOF:
			return nil, fmt.Errorf("stream ended before layer %s", d)
		case err != nil:
			return nil, err
		case e.Digest == d:
			return e, nil
		}
	}
}

// endStream skips the rest of the stream and checks its end.
func (l *loader) endStream() error {
	if l.stream == nil {
		return nil
	}
	for {
		if _, err := l.stream.stream.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// receive is ingest for a layer of the stream. What an earlier load had received is not sent
// again, but hashed. The stream computes the digest of what is placed.
func (l *loader) receive(ctx context.Context, w *blobWork) (sent int64, err error) {
	e, err := l.stream.skipTo(w.desc.Digest)
	if err != nil {
		return 0, err
	}
	in := iox.NewMonitor(e)
	ref := ingestRef(w.desc.Digest)
	var resumed bool
	file, err := l.placer.place(ctx, ref, placed.Blob{
		Digest: w.desc.Digest, Size: w.desc.Size, In: iox.Report(in, l.progress),
		Sum: func() (digest.Digest, error) { return e.Sum(), nil },
	})
	if err == nil {
		defer file.Close()
		sent, resumed, err = l.send(ctx, ref, w, file, func(offset int64) (io.Reader, error) {
			_, err := io.CopyN(io.Discard, in, offset)
			return in, err
		})
	}
	switch {
	case err == nil, ctx.Err() != nil:
		return sent, err
	case in.Err() != nil:
		return sent, in.Err() // without containerd's error about the incomplete blob
	case resumed:
		// The ingest that was there was not the start of this layer. The next load must
		// not resume it.
		err = errors.Join(err, l.node.content.Abort(ctx, ref))
	}
	return sent, fmt.Errorf("store blob %s: %w", w.desc.Digest, err)
}

// resumable reports whether what a failed load has received should be kept for the next one:
// ctx has ended, or the stream has ended early. A truncated layer in a complete stream is no
// such error; it is truncated the next time as well.
func resumable(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	d, ok := errors.AsType[*archive.DamagedError](err)
	return ctx.Err() != nil || ok && errors.Is(d, io.ErrUnexpectedEOF)
}
