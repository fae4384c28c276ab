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

// attempt is the part of the registry's log that belongs to one call of bundle.
type attempt struct {
	entries []registrytest.Entry
	hurt    bool // it was killed, or its disk was full
	jobs    int
}

// wasted names the manifests that cost a pull although an earlier attempt, or a bundle that
// was at hand, had them: whole answers alone, for what was cut or altered has to be asked for
// again. What a killed attempt asked for last may not have reached its disk: as many answers
// as it had requests at once are not held against it.
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
		if a.hurt {
			got = got[:max(0, len(got)-a.jobs)]
		}
		for _, e := range got {
			have[e.Ref] = fmt.Sprintf("attempt %d", n+1)
		}
	}
	return nil
}

// blobsOf are the digests of a bundle's blobs, read without any help of the product.
func blobsOf(file string) (map[string]bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
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

// namesIn are the names of the images in the index of a plain bundle, read without any help of
// the product.
func namesIn(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
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
