//go:build linux

package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// attempt is the part of the registry's log that belongs to one run of bundle.
type attempt struct {
	entries []registrytest.Entry
	failed  bool // it was killed, or its disk was full
	jobs    int
}

// wasted returns an error for a manifest that cost a pull although an earlier attempt or an
// existing bundle had it. Only complete responses count: cut or corrupt ones must be
// requested again. The last responses of a killed attempt may not have reached its disk, so
// as many as it had concurrent requests are excused.
func wasted(attempts []attempt, held map[string]bool) error {
	have := map[string]string{}
	for d := range held {
		have[d] = "a bundle at hand"
	}
	for n, a := range attempts {
		var got []registrytest.Entry
		for _, e := range a.entries {
			if !e.Counted || !strings.Contains(e.Ref, ":") || e.Status != 200 || e.Note != "" {
				continue
			}
			if from := have[e.Ref]; from != "" {
				return fmt.Errorf("attempt %d pulled %s, which counts, although %s has it", n+1, e.Ref, from)
			}
			got = append(got, e)
		}
		if a.failed {
			got = got[:max(0, len(got)-a.jobs)]
		}
		for _, e := range got {
			have[e.Ref] = fmt.Sprintf("attempt %d", n+1)
		}
	}
	return nil
}

// blobsOf returns the digests of a bundle's blobs, read without the product's code.
func blobsOf(file string) (map[string]bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading
	digests := map[string]bool{}
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return digests, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if strings.HasPrefix(h.Name, "blobs/sha256/") && h.Typeflag == tar.TypeReg {
			digests["sha256:"+path.Base(h.Name)] = true
		}
	}
}

// namesIn returns the names of the images in the index of an uncompressed bundle, read
// without the product's code.
func namesIn(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if h.Name != "index.json" {
			continue
		}
		var index ocispec.Index
		if err := json.NewDecoder(t).Decode(&index); err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", h.Name, file, err)
		}
		var names []string
		for _, d := range index.Manifests {
			names = append(names, d.Annotations["io.containerd.image.name"])
		}
		return names, nil
	}
}
