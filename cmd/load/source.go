//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"os"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// source is an opened bundle: a file, or a stream.
type source struct {
	*archive.Reader                 // of a plain file
	stream          *archive.Stream // standard input, or a compressed file
	file            *os.File        // of a compressed file
}

// openSource opens FILE, or standard input for "-". A compressed file is read as a stream:
// then it needs no space to be decompressed to.
// limit is how many bytes a second are read, 0 for any number.
func openSource(ctx context.Context, file string, in io.Reader, limit int64) (*source, error) {
	rate := iox.NewRate(limit)
	if file == "-" {
		s, err := archive.OpenStream(ctx, rate.Reader(ctx, in))
		if err != nil {
			return nil, err
		}
		return &source{stream: s}, nil
	}
	if c, err := archive.CompressionOfFile(file); err != nil || c == archive.Plain {
		r, err := archive.Open(ctx, file, &archive.OpenOptions{Docker: true, LimitRate: limit})
		return &source{Reader: r}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	all := io.NewSectionReader(f, 0, info.Size())
	s, err := archive.OpenStream(ctx, namedFile{all, rate.Reader(ctx, all), file})
	if err != nil {
		f.Close()
		return nil, err
	}
	return &source{stream: s, file: f}, nil
}

// namedFile is a file for [archive.OpenStream]. Messages have its name.
type namedFile struct {
	*io.SectionReader
	limited io.Reader // of all of it
	name    string
}

// Read implements [io.Reader].
func (f namedFile) Read(p []byte) (int, error) { return f.limited.Read(p) }

// Name returns the name of the file.
func (f namedFile) Name() string { return f.name }

// metadata returns the bundle without its layers. Unless the stream is native, it first
// reads it to its end.
func (s *source) metadata() (*archive.Reader, error) {
	if s.stream == nil {
		return s.Reader, nil
	}
	for !s.stream.Native() {
		if _, err := s.stream.Next(); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
	}
	return s.stream.Reader()
}

// identified returns the bundle if its identity is known before its layers are read, or nil.
func (s *source) identified() (*archive.Reader, error) {
	if s.stream != nil && !s.stream.Native() {
		return nil, nil
	}
	return s.metadata()
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
