package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/internal/fsutil"
	"stowage/internal/iox"
)

// file is what was written: the bytes of the output, which may be compressed.
type file struct {
	size   int64
	sha256 string // in hex, and only with --checksum: not that of the bundle's identity
}

// Write counts what goes to standard output. It implements [io.Writer].
func (f *file) Write(p []byte) (int, error) {
	f.size += int64(len(p))
	return len(p), nil
}

// written returns what is at the output now.
func (j *job) written(ctx context.Context) (*file, error) {
	f, err := os.Open(j.request.Output)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	out := &file{size: info.Size()}
	if !j.checksum { // it costs as much as reading all of the bundle once more
		return out, nil
	}
	j.display.Start(progress.Phase{Name: "checksum", Total: info.Size()})
	defer j.display.Finish()
	h, buf := sha256.New(), iox.Buffer()
	defer iox.Release(buf)
	in := iox.Report(iox.WithContext(ctx, f), j.display.Add)
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{in}, *buf); err != nil {
		return nil, err
	}
	out.sha256 = hex.EncodeToString(h.Sum(nil))
	return out, writeSum(j.request.Output, out.sha256)
}

// writeSum writes the file that sha256sum -c reads, beside the bundle.
func writeSum(path, sum string) error {
	return fsutil.Replace(path+".sha256", fsutil.ReplaceOptions{}, func(f *os.File) error {
		_, err := f.WriteString(sum + "  " + filepath.Base(path) + "\n")
		return err
	})
}

// sizes returns the size of what was written, with that of the tarball when it is compressed.
func (f *file) sizes(tarball int64) string {
	if f.size == tarball {
		return cli.Bytes(tarball)
	}
	return fmt.Sprintf("%s (%s decompressed)", cli.Bytes(f.size), cli.Bytes(tarball))
}
