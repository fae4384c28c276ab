//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"stowage/internal/registrytest"
)

// TestLimitRate reads a bundle within a limit, with the clock of synctest.
func TestLimitRate(t *testing.T) {
	t.Parallel()
	h := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(h.AddImage("a/b", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: 1 << 20}}}}}))(t)
	plain := filepath.Join(t.TempDir(), "a.tar")
	bundle(t, h.Ref("a/b", "v1"), "-o", plain)
	bundle(t, h.Ref("a/b", "v1"), "-o", plain+".gz")
	const rate = 64 << 10
	for _, file := range []string{"-", plain, plain + ".gz"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(map[bool]string{true: plain, false: file}[file == "-"])
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s, err := openSource(t.Context(), file, bytes.NewReader(raw), rate)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if err := drain(s); err != nil {
					t.Fatal(err)
				}
				// The headers of a plain file are read twice, which is some KiB.
				want := time.Duration(float64(len(raw)-rate/4) / rate * float64(time.Second))
				if took := time.Since(start); took < want*98/100 || took > want*105/100 {
					t.Errorf("%d bytes took %s, want %s", len(raw), took, want)
				}
			})
		})
	}
}

// drain reads all layers.
func drain(s *source) error {
	if s.stream == nil {
		for _, b := range s.Blobs() {
			r, err := s.Reader.Open(b.Digest)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		e, err := s.stream.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, e); err != nil {
			return err
		}
	}
}
