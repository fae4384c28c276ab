//go:build unix

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
	"stowage/internal/registrytest"
)

// interruptions is a registry with an image that takes a while to download, and the built
// program.
type interruptions struct {
	t        *testing.T
	registry *registrytest.Registry
	ref      string
	size     int64 // bytes of its blobs
	binary   string
}

func newInterruptions(t *testing.T) *interruptions {
	t.Helper()
	in := &interruptions{t: t, registry: registrytest.Start(t, registrytest.Options{}), binary: filepath.Join(clitest.Programs(t), "bundle")}
	img := registrytest.Image{}
	for i := range 12 {
		img.Layers = append(img.Layers, &registrytest.Layer{Seed: uint64(i), Files: []registrytest.File{{Name: fmt.Sprintf("part%d", i), Size: 700_000}}})
	}
	// One layer that is larger than the distance of the journal's checkpoints.
	img.Layers = append(img.Layers, &registrytest.Layer{Seed: 99, Compression: registrytest.None, Files: []registrytest.File{{Name: "big", Size: 20 << 20}}})
	added := registrytest.Must(in.registry.AddImage("app", "v1", img))(t)
	for _, l := range added.Manifests[0].Layers {
		in.size += l.Size
	}
	in.ref = in.registry.Ref("app", "v1")
	return in
}

// command returns the main job, with the output out.
func (in *interruptions) command(out string) *exec.Cmd {
	cmd := exec.CommandContext(in.t.Context(), in.binary, in.ref, "-o", out, "--platform", "linux/amd64", "--progress", "plain")
	cmd.Env = clitest.Environ(in.t.TempDir())
	return cmd
}

// run runs the main job without interruption and returns the bytes of the bundle.
func (in *interruptions) run(out string) []byte {
	in.t.Helper()
	if stderr, err := in.command(out).CombinedOutput(); err != nil {
		in.t.Fatalf("bundle: %v\n%s", err, stderr)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		in.t.Fatal(err)
	}
	return raw
}

// interrupt runs the main job and sends it a signal when the registry has sent after bytes. It
// returns the standard error and the final state of the process.
func (in *interruptions) interrupt(out string, signal syscall.Signal, after int64) (string, *os.ProcessState) {
	in.t.Helper()
	cmd := in.command(out)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for in.registry.Counts().BlobBytes < after {
		select {
		case err := <-ended:
			in.t.Fatalf("ended before it was interrupted: %v\n%s", err, stderr.String())
		case <-tick.C:
		}
	}
	if err := cmd.Process.Signal(signal); err != nil {
		in.t.Fatal(err)
	}
	<-ended // an error in any case
	return stderr.String(), cmd.ProcessState
}

// TestInterrupted: after a signal in the middle of a download the same command resumes and
// writes the same bytes as a run without interruption.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	in := newInterruptions(t)
	want := in.run(filepath.Join(t.TempDir(), "right.tar"))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 5 {
		signal := []syscall.Signal{syscall.SIGINT, syscall.SIGKILL, syscall.SIGTERM}[round%3]
		// Late enough for some layers to be complete, and early enough to come before the end.
		after := in.size/2 + random.Int64N(in.size/4)
		t.Run(fmt.Sprintf("%s after %d of %d bytes", signal, after, in.size), func(t *testing.T) {
			in.t = t
			in.round(signal, after, want)
		})
	}
}

func (in *interruptions) round(signal syscall.Signal, after int64, want []byte) {
	t := in.t
	out := filepath.Join(t.TempDir(), "out.tar")
	in.registry.Reset()
	in.registry.SetFaults(func(f *registrytest.Faults) { f.LinkRate = 40 << 20 }) // slow enough to interrupt it
	stderr, state := in.interrupt(out, signal, after)
	in.registry.SetFaults(registrytest.NoFaults)
	if signal != syscall.SIGKILL {
		kept := regexp.MustCompile(`(?m)^bundle: error: interrupted: [0-9.]+ MB of [0-9.]+ MB are kept in .*out\.tar\.partial$`)
		if state.ExitCode() != cli.Signalled || !kept.MatchString(stderr) || !strings.Contains(stderr, "bundle: hint: run the same command again to resume\n") {
			t.Errorf("%v, standard error:\n%s", state, stderr)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Fatal("an incomplete bundle has the final name")
	}
	if _, err := os.Stat(out + ".partial"); err != nil {
		t.Errorf("nothing was kept: %v", err)
	}
	first := in.registry.Counts()
	in.registry.Reset()
	got := in.run(out)
	if !bytes.Equal(got, want) {
		t.Error("the bundle differs from that of a run without interruption")
	}
	second := in.registry.Counts()
	t.Logf("%d bytes sent before, %d after, %d in total", first.BlobBytes, second.BlobBytes, in.size)
	// Bytes that the registry sent need not have arrived, and a kill may cost 4 MiB of each layer
	// in progress: how much is kept varies, but it is never nothing.
	if second.BlobBytes >= in.size {
		t.Errorf("%d bytes were fetched again, of %d: nothing was kept", second.BlobBytes, in.size)
	}
	if second.ManifestGets > 0 {
		t.Errorf("%d manifests were pulled again", second.ManifestGets)
	}
	for _, end := range []string{".partial", ".partial.journal"} {
		if _, err := os.Stat(out + end); err == nil {
			t.Errorf("%s remains", end)
		}
	}
}
