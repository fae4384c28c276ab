//go:build unix

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/clitest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive/writer"
)

const (
	killRounds     = 50
	killRegistries = 4 // concurrent rounds, each with its own registry

	// killRate is the rate of the registry, bytes/s: a run then takes a third of a second, most of
	// it in the middle of blobs.
	killRate = 40 << 20
)

// TestKilled kills the program at any moment from its first request to its last rename: the
// same command then writes the same bytes, requests no manifest that it holds, and leaves no
// other file.
func TestKilled(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("STOWAGE_KILL_SEED"); text != "" {
		seed = registrytest.Must(strconv.ParseUint(text, 10, 64))(t)
	}
	t.Logf("STOWAGE_KILL_SEED=%d", seed)
	clitest.Programs(t)
	rounds := killRounds
	if testing.Short() {
		rounds = killRegistries
	}
	var killed atomic.Int64
	t.Run("rounds", func(t *testing.T) {
		for first := range killRegistries {
			t.Run(fmt.Sprintf("registry %d", first), func(t *testing.T) {
				t.Parallel()
				k := newKiller(t)
				for round := first; round < rounds; round += killRegistries {
					t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
						if k.round(t, float64(round)/float64(rounds), rand.New(rand.NewPCG(seed, uint64(round)))) {
							killed.Add(1)
						}
					})
				}
			})
		}
	})
	// A kill near the end may be too late, and others on a slow machine.
	if t.Logf("%d of %d runs were killed", killed.Load(), rounds); killed.Load() < int64(rounds)/2 {
		t.Error("most runs ended before they were killed")
	}
}

// killer is a registry with images, the digest of their bundle, and the built program.
type killer struct {
	registry  *registrytest.Registry
	refs      []string
	manifests []digest.Digest
	size      int64 // bytes of all blobs
	want      digest.Digest
	binary    string
}

func newKiller(t *testing.T) *killer {
	t.Helper()
	k := &killer{registry: registrytest.Start(t, registrytest.Options{}), binary: filepath.Join(clitest.Programs(t), "bundle")}
	for i := range 3 {
		repo := fmt.Sprintf("app%d", i)
		img := registrytest.Image{Platform: "linux/amd64"}
		for n := range 2 {
			size := int64(1+(i+2*n)%4) << 20 // 1 to 4 MiB
			img.Layers = append(img.Layers, &registrytest.Layer{Seed: uint64(10*i + n), Compression: registrytest.None, Files: []registrytest.File{{Name: "data", Size: size}}})
		}
		added := registrytest.Must(k.registry.AddIndex(repo, "v1", registrytest.Index{Images: []registrytest.Image{img}}))(t)
		k.refs = append(k.refs, k.registry.Ref(repo, "v1"))
		k.manifests = append(k.manifests, added.Digest, added.Manifests[0].Digest)
		k.size += added.Manifests[0].Config.Size
		for _, l := range added.Manifests[0].Layers {
			k.size += l.Size
		}
	}
	k.want = digest.FromBytes(k.finish(t, filepath.Join(t.TempDir(), "right.tar")))
	if k.registry.Counts().BlobBytes != k.size {
		t.Fatalf("%d bytes were sent, want %d", k.registry.Counts().BlobBytes, k.size)
	}
	return k
}

func (k *killer) command(t *testing.T, out string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), k.binary, append(k.refs, "-o", out, "--platform", "linux/amd64", "--progress", "plain")...)
	cmd.Env = clitest.Environ(filepath.Dir(out))
	return cmd
}

// finish runs the program to its end and returns the bytes of the bundle.
func (k *killer) finish(t *testing.T, out string) []byte {
	t.Helper()
	if stderr, err := k.command(t, out).CombinedOutput(); err != nil {
		t.Fatalf("bundle: %v\n%s", err, stderr)
	}
	return registrytest.Must(os.ReadFile(out))(t)
}

// round kills a run and finishes it with the same command. at is the part of the run that is
// over by then, 0 to 1: the first tenth of the rounds is killed before the plan, the last
// fifth when all bytes are sent, the others in between. It reports whether the run was killed
// before its end.
func (k *killer) round(t *testing.T, at float64, random *rand.Rand) bool {
	out := filepath.Join(t.TempDir(), "out.tar")
	k.registry.Reset()
	k.registry.SetFaults(func(f *registrytest.Faults) { f.LinkRate = killRate })
	var due func(registrytest.Counts) bool
	var wait time.Duration // after that
	switch {
	case at < 0.1:
		n := random.IntN(len(k.refs) + len(k.manifests))
		due = func(c registrytest.Counts) bool { return c.Requests >= n }
	case at < 0.8:
		n := random.Int64N(k.size)
		due = func(c registrytest.Counts) bool { return c.BlobBytes > n }
	default:
		due = func(c registrytest.Counts) bool { return c.BlobBytes >= k.size }
		wait = time.Duration(random.Int64N(int64(30 * time.Millisecond)))
	}
	killed := k.kill(t, out, due, wait)
	k.registry.SetFaults(registrytest.NoFaults)
	held := k.held(t, out)
	k.registry.Reset()
	if got := digest.FromBytes(k.finish(t, out)); got != k.want {
		t.Errorf("the bundle has digest %s, want %s as without a kill", got, k.want)
	}
	for _, e := range k.registry.Log() {
		if e.Kind == registrytest.KindManifest && e.Method == "GET" && held[digest.Digest(e.Ref)] {
			t.Errorf("%s %s: pulled again although it was held", e.Method, e.Path)
		}
	}
	left := registrytest.Must(os.ReadDir(filepath.Dir(out)))(t)
	if len(left) != 1 || left[0].Name() != "out.tar" {
		t.Errorf("remains: %v", left)
	}
	return killed
}

// kill starts a run and kills it when it is due. It returns false when the run ended first.
func (k *killer) kill(t *testing.T, out string, due func(registrytest.Counts) bool, wait time.Duration) bool {
	t.Helper()
	cmd := k.command(t, out)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for running := true; running && !due(k.registry.Counts()); {
		select {
		case err := <-ended:
			ended <- err
			running = false
		case <-tick.C:
		}
	}
	time.Sleep(wait)
	_ = cmd.Process.Kill() // it may have ended
	<-ended                // the process state says more
	state := cmd.ProcessState
	if state.Exited() && !state.Success() {
		t.Fatalf("ended before the kill: %v\n%s", state, stderr.String())
	}
	if _, err := os.Stat(out); err == nil {
		if got := digest.FromBytes(registrytest.Must(os.ReadFile(out))(t)); got != k.want {
			t.Errorf("an incomplete bundle has the final name: %s", got)
		}
	}
	return !state.Exited()
}

// held returns the manifests that the killed run has kept.
func (k *killer) held(t *testing.T, out string) map[digest.Digest]bool {
	t.Helper()
	held := map[digest.Digest]bool{}
	if _, err := os.Stat(out); err == nil { // the run was complete
		for _, d := range k.manifests {
			held[d] = true
		}
		return held
	}
	file := registrytest.Must(writer.Open(out))(t)
	defer file.Close()
	for _, d := range k.manifests {
		if _, err := file.Metadata(d); err == nil {
			held[d] = true
		}
	}
	return held
}
