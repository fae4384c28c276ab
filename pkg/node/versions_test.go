//go:build linux

package node

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// olderVersions lists the containerds before 2.0 in the directories "containerd-VERSION" of
// the tools. test/matrix runs the others.
func olderVersions(t *testing.T) (versions []string) {
	t.Helper()
	dir, err := nodetest.Tools()
	must(t, err)
	found, err := filepath.Glob(filepath.Join(dir, "containerd-1.*", "containerd"))
	must(t, err)
	for _, f := range found {
		versions = append(versions, strings.TrimPrefix(filepath.Base(filepath.Dir(f)), "containerd-"))
	}
	return versions
}

// TestVersions runs the life of a bundle on every installed containerd.
func TestVersions(t *testing.T) {
	t.Parallel()
	versions := append([]string{""}, olderVersions(t)...)
	if len(versions) == 1 && need.Strict() {
		t.Error("no older containerd beside the usual one; see nodetest.Options.Version")
	}
	s := newShelf(t)
	pause := s.Sandbox()
	for _, v := range versions {
		t.Run("containerd "+v, func(t *testing.T) {
			if v == "" && os.Getenv(nodetest.VersionVariable) == "" {
				t.Log("the usual containerd")
			}
			machine, n := connect(t, nodetest.Options{Version: v, SandboxImage: pause})
			t.Logf("ran on containerd %s", n.server.Version)
			s.T = t
			life(t, machine, n, s, pause)
		})
	}
}

// life does with a bundle everything that may happen to it on a node.
func life(t *testing.T, machine *nodetest.Node, n *Node, s *shelf, pause string) {
	hello := s.Hello("acme/hello", "v1")
	names := append(s.calico(20), hello, pause)
	path := s.File(archive.PlanOptions{}, wantedAll(names)...)
	raw := contentOf(t, path)
	empty := n.take(t)

	// Damaged: nothing is left.
	bad := s.manifest(names[1]).Layers[1].Digest
	bundletest.Flip(t, path, bad)
	if _, err := n.Load(t.Context(), bundletest.Open(t, path), LoadOptions{}); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
	n.take(t).same(t, empty)
	bundletest.Flip(t, path, bad)

	// After a truncated stream nothing is visible; the complete one resumes.
	if _, err := loadAny(t.Context(), t, n, bytes.NewReader(raw[:len(raw)*3/4]), LoadOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}
	if got := n.take(t); len(got.Records) != len(empty.Records) {
		t.Errorf("cut: records %v", got.Records)
	}
	r, err := loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{})
	must(t, err)
	pins := keepsPins(n.server.Version)
	for _, i := range r.Images {
		if i.Status != Loaded || i.CRI != Ready || i.Pinned != pins {
			t.Errorf("report: %+v", i)
		}
	}
	for _, w := range r.Warnings {
		if w.Kind != WarnAdvisory && (w.Kind != WarnNoPin || pins) {
			t.Errorf("warning: %+v", w)
		}
	}

	// Nothing to do, also after a collection and a restart; then a container runs.
	n.collect(t)
	must(t, machine.Restart(t.Context()))
	n = reconnect(t, machine)
	b := bundletest.Open(t, path)
	if r := load(t, n, b, LoadOptions{}); !r.UpToDate() {
		t.Errorf("again: %+v", r)
	}
	for _, ref := range []string{hello, byDigest(hello, s.Added[hello].Digest), hello + "@" + s.Added[hello].Digest.String()} {
		if out, err := machine.RunContainer(t.Context(), ref); err != nil || out != "hello from acme/hello\n" {
			t.Errorf("container of %s: %q, %v", ref, out, err)
		}
	}

	// A newer bundle: the tag moves, the old one's pins go, a differential one
	// without its base is refused.
	s.simple("acme/hello", "v1", 9)
	left := s.manifest(hello).Layers[0].Digest
	omit := archive.PlanOptions{Omit: func(d digest.Digest) bool { return d == left }, Base: dg("base")}
	if _, err := n.Load(t.Context(), s.Pack(omit, bundletest.Wanted{Name: hello}), LoadOptions{}); !errors.Is(err, ErrIncomplete) {
		t.Errorf("without its base: %v", err)
	}
	if r := load(t, n, s.Bundle(hello), LoadOptions{}); r.Images[0].Status != Moved {
		t.Errorf("a tag that moved: %+v", r.Images)
	}
	if _, err := n.Check(t.Context(), b); !errors.Is(err, ErrIncomplete) {
		t.Errorf("check of the older bundle: %v", err)
	}
	if _, err := n.Unpin(t.Context(), nil); err != nil {
		t.Error(err)
	}
	for _, name := range n.pinnedNames(t) {
		if name != pause {
			t.Errorf("%s is still pinned", name)
		}
	}
	if left := n.take(t); len(left.Leases) != len(empty.Leases) || len(left.Ingests) > 0 {
		t.Errorf("left behind: leases %v, ingests %v", left.Leases, left.Ingests)
	}
}
