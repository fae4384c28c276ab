//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"stowage/cmd/internal/clitest"
	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// seedVariable is the environment variable that repeats a run of TestKilledStream.
const seedVariable = "STOWAGE_TEST_SEED"

// TestKilledStream kills load at random places of a stream, of a bundle and of tarballs of
// other programs. The same load again, from the pipe or from the file, completes it; its
// images run, and nothing is left on the node that they do not need.
func TestKilledStream(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	n := nodetest.Start(t, nodetest.Options{SandboxTar: sandbox(t)})
	streams := brokenStreams(t)
	kills := 0
	for round := range rounds {
		s := streams[round%len(streams)]
		again := []string{"-", s.file}[random.IntN(2)]
		// Beyond the end of the stream, the kill comes while load unpacks.
		at := random.IntN(len(s.raw) * 5 / 4)
		if !t.Run(fmt.Sprintf("%d %s at %d of %d then %s", round, s.name, at, len(s.raw), filepath.Base(again)), func(t *testing.T) {
			killed := s.kill(t, n, at)
			if killed {
				kills++
			}
			s.load(t, n, again)
			for _, name := range s.images {
				if out, err := n.RunContainer(t.Context(), name); err != nil || !strings.HasPrefix(out, "hello from") {
					t.Errorf("container of %s: %q, %v", name, out, err)
				}
			}
			left, err := n.Leftovers(t.Context())
			if err != nil || len(left) > 0 {
				t.Errorf("remains (killed: %v): %v\n%s", killed, err, strings.Join(left, "\n"))
			}
			if err := n.Wipe(t.Context(), nodetest.DefaultSandboxImage); err != nil {
				t.Fatal(err)
			}
		}) {
			return
		}
	}
	if kills < rounds/2 {
		t.Errorf("only %d of %d loads were killed before their end", kills, rounds)
	}
}

// brokenStream is a stream that a test interrupts.
type brokenStream struct {
	name   string
	file   string
	raw    []byte
	images []string
}

// brokenStreams returns bundles, plain and compressed, and two tarballs of skopeo.
func brokenStreams(t *testing.T) []brokenStream {
	t.Helper()
	skopeo, err := exec.LookPath("skopeo")
	need.Part(t, "skopeo", err)
	program, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := registrytest.Start(t, registrytest.Options{})
	dir := t.TempDir()
	pack := func(name string, repos ...string) brokenStream {
		var images, refs []string
		for i, repo := range repos {
			img := registrytest.Hello(repo, runtime.GOARCH, program)
			img.Layers = append(img.Layers,
				&registrytest.Layer{Seed: uint64(i), Files: []registrytest.File{{Name: "large", Size: 3 << 20}}},
				&registrytest.Layer{Seed: 7, Files: []registrytest.File{{Name: "text", Size: 3 << 20, Fill: registrytest.FillText}}})
			registrytest.Must(h.AddImage(repo, "v1", img))(t)
			images = append(images, h.Host()+"/"+repo+":v1")
			refs = append(refs, h.Host()+"/"+repo+":v1")
		}
		file := filepath.Join(dir, name)
		bundle(t, append(refs, "-o", file, "--insecure", h.Host())...)
		return brokenStream{name: name, file: file, images: images}
	}
	ours, packed := pack("ours.tar", "kill/a", "kill/b"), pack("packed.tar.zst", "kill/c", "kill/d")
	one := pack("one.tar", "kill/e")
	convert := func(name, form string) brokenStream {
		out := one
		out.name, out.file = name, filepath.Join(dir, name)
		ref := ":" + one.images[0]
		cmd := exec.CommandContext(t.Context(), skopeo, "copy", "--insecure-policy", "-q", "oci-archive:"+one.file+ref, form+":"+out.file+ref)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("skopeo: %v\n%s", err, said)
		}
		return out
	}
	all := []brokenStream{ours, convert("docker.tar", "docker-archive"), packed, convert("oci.tar", "oci-archive")}
	for i := range all {
		raw, err := os.ReadFile(all[i].file)
		if err != nil {
			t.Fatal(err)
		}
		all[i].raw = raw
	}
	return all
}

// kill loads from a pipe and kills the process after at bytes, or for an at beyond the end some
// time after the last byte. It reports whether the process was still running.
func (s *brokenStream) kill(t *testing.T, n *nodetest.Node, at int) bool {
	t.Helper()
	cmd := s.command(t, n, "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Write(s.raw[:min(at, len(s.raw))]) // it may have ended
	if rest := at - len(s.raw); rest > 0 {
		in.Close()
		time.Sleep(time.Duration(rest) * 400 * time.Millisecond / time.Duration(len(s.raw)/4))
	}
	cmd.Process.Kill()
	err = cmd.Wait()
	in.Close()
	return err != nil
}

// load loads from the pipe or from the file.
func (s *brokenStream) load(t *testing.T, n *nodetest.Node, from string) {
	t.Helper()
	cmd := s.command(t, n, from)
	cmd.Stdin = struct{ io.Reader }{bytes.NewReader(s.raw)}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("load %s: %v\n%s", from, err, out)
	}
}

func (s *brokenStream) command(t *testing.T, n *nodetest.Node, from string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), "load"), "--address", n.Address(), from)
	cmd.Env = clitest.Environ(t.TempDir())
	return cmd
}
