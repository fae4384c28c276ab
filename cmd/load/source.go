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
	*archive.Reader                        // without its layers when it is a stream; nil for a foreign one
	stream          *archive.StreamReader  // standard input, or a compressed file
	foreign         *archive.ForeignStream // the same of another program
	file            io.Closer              // of a compressed file
}

// openSource opens FILE, or standard input for "-". A compressed bundle is a stream, too:
// it needs no place to be unpacked to first.
func openSource(ctx context.Context, file string, in io.Reader) (*source, error) {
	if file == "-" {
		return openStream(ctx, in)
	}
	r, err := archive.OpenHead(file)
	packed := archive.Plain
	if errors.Is(err, archive.ErrDamaged) || errors.Is(err, archive.ErrNoHead) {
		var perr error
		if packed, perr = archive.Packed(file); perr != nil {
			return nil, perr
		}
	}
	switch {
	case packed == archive.Plain && errors.Is(err, archive.ErrDamaged):
		// Perhaps one of docker save before 25. A tarball with an OCI layout is not taken as
		// such, so no check is got round.
		if saved, derr := archive.OpenDocker(file); derr == nil {
			return &source{Reader: saved}, nil
		}
		return nil, err
	case packed != archive.Plain: // another program's, or damaged
	case err != nil || !r.HeadOnly():
		return &source{Reader: r}, err
	default:
		r.Close() // the stream reads its own
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	s, serr := openStream(ctx, f)
	if serr != nil {
		f.Close()
		return nil, serr
	}
	s.file = f
	if errors.Is(err, archive.ErrDamaged) && s.foreign == nil {
		s.Close() // a bundle, and more is known of it than the stream would tell now
		return nil, err
	}
	return s, nil
}

// openStream opens what is read once.
func openStream(ctx context.Context, in io.Reader) (*source, error) {
	s, foreign, err := archive.OpenAnyStream(ctx, in)
	switch {
	case err != nil:
		return nil, err
	case foreign != nil:
		return &source{foreign: foreign}, nil
	}
	return &source{Reader: s.Head(), stream: s}, nil
}

// documents reads a foreign stream to its end for what it says of itself.
func (s *source) documents() (*archive.Reader, error) {
	if s.foreign == nil {
		return s.Reader, nil
	}
	for {
		if _, err := s.foreign.Next(); err == io.EOF {
			return s.foreign.Bundle()
		} else if err != nil {
			return nil, err
		}
	}
}

// skipped returns the names that could not be included in the bundle, once it is loaded.
func (s *source) skipped() []archive.Skipped {
	r, err := s.documents()
	if err != nil {
		return nil // it was not loaded
	}
	return r.Skipped()
}

// Close frees what the source holds. Standard input stays open.
func (s *source) Close() error {
	var err error
	switch {
	case s.foreign != nil:
		err = s.foreign.Close()
	case s.stream != nil:
		err = s.stream.Close()
	default:
		return s.Reader.Close()
	}
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	return err
}
