package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/internal/fsutil"
	"stowage/internal/iox"
)

// sum is the size and the SHA-256 of the written bytes: those of the file, which may be
// compressed, and not those of the bundle's identity.
type sum struct {
	hash hash.Hash
	size int64
}

func newSum() *sum { return &sum{hash: sha256.New()} }

// Write implements [io.Writer].
func (s *sum) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	return s.hash.Write(p)
}

func (s *sum) String() string { return hex.EncodeToString(s.hash.Sum(nil)) }

// readSum reads a file that was written out of order.
func readSum(ctx context.Context, path string, display *progress.Display) (*sum, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	display.Start(progress.Phase{Name: "checksum", Total: info.Size()})
	defer display.Finish()
	s := newSum()
	in := iox.WithContext(ctx, f)
	for buf := make([]byte, iox.BufferSize); ; {
		n, err := in.Read(buf)
		_, _ = s.Write(buf[:n]) // a hash takes everything
		display.Add(int64(n))
		switch {
		case errors.Is(err, io.EOF):
			return s, nil
		case err != nil:
			return nil, err
		}
	}
}

// writeSum writes the file that sha256sum -c reads, beside the bundle.
func writeSum(path string, s *sum) error {
	return fsutil.Replace(path+".sha256", fsutil.ReplaceOptions{}, func(f *os.File) error {
		_, err := f.WriteString(s.String() + "  " + filepath.Base(path) + "\n")
		return err
	})
}

// sizes returns the size of what was written, with that of the tarball when it is compressed.
func (s *sum) sizes(tarball int64) string {
	if s.size == tarball {
		return cli.Bytes(tarball)
	}
	return fmt.Sprintf("%s (%s decompressed)", cli.Bytes(s.size), cli.Bytes(tarball))
}
