package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/disk"
	"stowage/pkg/node/internal/layer/extract"
)

// Blob is a layer as it is stored, compressed or not.
type Blob interface {
	io.ReaderAt
	Size() int64
}

// Target is a directory that a layer is written into.
type Target = extract.Target

// ErrNeedsParent says that a layer must be written on top of the layers below it.
var ErrNeedsParent = extract.ErrNeedsParent

// Options are the options of [Apply].
type Options struct {
	// Budget is that of the target's file system. What is written is drawn from it before,
	// also when Apply fails later. Nil means no limit.
	Budget *disk.Budget
	// Memory is shared by all layers at work. Nil means windows of at most 128 MiB, and no
	// other limit.
	Memory *Memory
	// OnRead, if set, is called with the number of bytes of every read of the blob.
	OnRead func(int64)
}

// Result is what Apply learns about a layer.
type Result struct {
	DiffID digest.Digest // of the tar stream
	Size   int64         // of the tar stream, in bytes
	Drawn  disk.Cost     // from the budget, also after an error
}

// Apply unpacks a layer into target, or with a nil target only reads it. It reads the blob
// from its start to its end, once. After an error the directory may have part of the layer.
//
// The error is an [archive.ErrDamaged] when the blob is no valid layer, a [*SizeError] when
// it unpacks to more than any real layer of its size, a [*disk.FullError] when it unpacks to
// more than there is space for, [ErrNeedsParent], [ErrMemory], or that of ctx, of reading
// the blob or of writing files.
func Apply(ctx context.Context, blob Blob, target *Target, o Options) (Result, error) {
	in := iox.NewMonitor(io.NewSectionReader(blob, 0, blob.Size()))
	limits := newLimits(blob, o.Budget)
	if target != nil {
		limits.memory, limits.root = o.Memory, len(target.Dir)
		defer func() { limits.memory.release(limits.names) }()
	}
	var r io.Reader = in
	if o.OnRead != nil {
		r = iox.Report(in, o.OnRead)
	}
	res, err := apply(ctx, r, target, limits, o.Memory)
	failed := Result{Drawn: limits.drawn}
	switch {
	case limits.exceeded():
		return failed, limits.err(in.N())
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return failed, ctx.Err()
	case errors.Is(err, ErrNeedsParent), errors.Is(err, ErrMemory), in.Err() != nil:
		return failed, err
	}
	return failed, asDamaged(err)
}

// apply connects the stages: decoder, hash and extraction.
func apply(ctx context.Context, blob io.Reader, target *Target, limits *limits, memory *Memory) (Result, error) {
	decoder, err := decode(ctx, blob, memory)
	if err != nil {
		return Result{}, err
	}
	defer decoder.Close()
	digester := digest.Canonical.Digester()
	p := newPipeline(ctx, decoder, digester.Hash(), limits.part, &buffers)
	defer p.Close() // before decoder.Close: its goroutine uses the decoder
	if target != nil {
		err = extract.Layer(ctx, p, target, limits.file)
	} else {
		err = skip(extract.NewReader(p), limits.file)
	}
	if err == nil {
		err = p.skipRest()
	}
	if err != nil {
		return Result{}, err
	}
	return Result{digester.Digest(), limits.tar.n, limits.drawn}, nil
}

// skip reads the entries of a tar stream.
func skip(r io.Reader, check func(*tar.Header) error) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = check(h)
		}
		if err != nil {
			return err
		}
	}
}

// asDamaged adds [archive.ErrDamaged] to an error of unpacking a blob that has the right
// digest, unless the system is at fault.
func asDamaged(err error) error {
	var errno syscall.Errno
	var link *os.LinkError
	if errors.As(err, &errno) && (errno != syscall.EPERM || !errors.As(err, &link)) { // EPERM: a link to a directory
		switch errno {
		case syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.EEXIST,
			syscall.EINVAL, syscall.ENOENT, syscall.ENOTEMPTY, syscall.EXDEV:
		default:
			return err
		}
	}
	return fmt.Errorf("%w: %w", err, archive.ErrDamaged)
}
