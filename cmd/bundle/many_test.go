//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/internal/registrytest"
)

const (
	// manyMemory is the limit on the memory of the program for manyImages, bytes.
	manyMemory = 32 << 20
	manyImages = 2000
	fewImages  = 200
)

// TestManyImages: the memory of the built program stays below a limit for many images, each
// an index with a manifest, a config and a layer.
func TestManyImages(t *testing.T) {
	if testing.Short() {
		t.Skip("makes and pulls 2000 images: not with -short")
	}
	t.Parallel()
	h := registrytest.Start(t, registrytest.Options{})
	var list strings.Builder
	peaks := map[int]int64{}
	for i := range manyImages {
		repo := fmt.Sprintf("team%d/app%d", i%20, i)
		img := registrytest.Image{Platform: "linux/amd64", Layers: []*registrytest.Layer{{Seed: uint64(i), Files: []registrytest.File{{Name: "app", Size: 3000}}}}}
		registrytest.Must(h.AddIndex(repo, "v1", registrytest.Index{Images: []registrytest.Image{img}}))(t)
		fmt.Fprintln(&list, h.Ref(repo, "v1"))
		if n := i + 1; n == fewImages || n == manyImages {
			// On a busy machine the collector comes late now and then, and adds up to 8 MiB.
			peaks[n] = peakOf(t, list.String())
			for try := 1; try < 3 && peaks[n] > manyMemory; try++ {
				peaks[n] = min(peaks[n], peakOf(t, list.String()))
			}
			t.Logf("%d images: %.1f MiB", n, float64(peaks[n])/(1<<20))
		}
	}
	if peaks[manyImages] > manyMemory {
		t.Errorf("%d images took %.1f MiB, want at most %d", manyImages, float64(peaks[manyImages])/(1<<20), manyMemory>>20)
	}
}

// peakOf returns the peak memory of the program for a list of images, bytes.
func peakOf(t *testing.T, list string) int64 {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "list")
	if err := os.WriteFile(file, []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), "bundle"), "-f", file, "-o", filepath.Join(dir, "out.tar"), "--platform", "linux/amd64", "--progress", "none")
	cmd.Env = clitest.Environ(dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	peak, err := clitest.Peak(cmd)
	if err != nil {
		t.Fatalf("bundle: %v\n%s", err, stderr.String())
	}
	return peak
}
