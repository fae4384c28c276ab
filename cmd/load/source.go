//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"os"

	"stowage/pkg/archive"
)

// source is a bundle: one that can be read anywhere, or one that is read once.
type source struct {
	*archive.Reader                       // without its layers when stream is set
	stream          *archive.StreamReader // standard input, or a compressed file
	file            io.Closer             // of a compressed file
}

// openSource opens FILE, or standard input for "-". A compressed bundle is a stream, too:
// it needs no place to be unpacked to first.
func openSource(ctx context.Context, file string, in io.Reader) (*source, error) {
	if file == "-" {
		s, err := archive.OpenStream(ctx, in)
		if err != nil {
			return nil, err
		}
		return &source{Reader: s.Head(), stream: s}, nil
	}
	r, err := archive.OpenHead(file)
	if errors.Is(err, archive.ErrNoHead) { // another program's, compressed
		r, err = archive.OpenContext(ctx, file, nil)
	}
	if errors.Is(err, archive.ErrDamaged) {
		// Perhaps one of docker save before 25. A tarball with an OCI layout is not taken as
		// such, so no check is got round.
		if saved, derr := archive.OpenDocker(file); derr == nil {
			return &source{Reader: saved}, nil
		}
	}
	if err != nil || !r.HeadOnly() {
		return &source{Reader: r}, err
	}
	r.Close() // the stream reads its own
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	s, err := archive.OpenStream(ctx, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &source{Reader: s.Head(), stream: s, file: f}, nil
}

// Close frees what the source holds. Standard input stays open.
func (s *source) Close() error {
	if s.stream == nil {
		return s.Reader.Close()
	}
	err := s.stream.Close()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	return err
}
