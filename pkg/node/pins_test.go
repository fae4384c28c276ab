//go:build linux

package node

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// simple puts an image of one small layer on the shelf.
func (s *shelf) simple(repo, tag string, seed uint64) string {
	s.T.Helper()
	return s.Image(repo, tag, registrytest.Image{Layers: []*registrytest.Layer{{Seed: seed, Files: []registrytest.File{{Name: tag, Size: 100}}}}})
}

// pinnedNames lists the pinned records without image IDs.
func (n *Node) pinnedNames(t *testing.T) (names []string) {
	t.Helper()
	all, err := n.images.List(n.namespaced(t))
	must(t, err)
	for _, i := range all {
		if i.Labels[labelPinned] == pinned && digest.Digest(i.Name).Validate() != nil && !strings.Contains(i.Name, "@") {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	return names
}

// shown waits until the CRI plugin shows the image as pinned or not.
func shown(t *testing.T, machine *nodetest.Node, name string, want bool) {
	t.Helper()
	for deadline := time.Now().Add(verifyTimeout); ; time.Sleep(10 * time.Millisecond) {
		resp, err := machine.Images().ImageStatus(t.Context(), &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
		must(t, err)
		if resp.Image != nil && resp.Image.Pinned == want {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: CRI shows %v, want pinned %v", name, resp.Image, want)
			return
		}
	}
}

func TestUnpin(t *testing.T) {
	machine, n := connect(t)
	s := newShelf(t)
	a, b, c := s.simple("acme/a", "v1", 1), s.simple("acme/b", "v1", 2), s.simple("acme/c", "v1", 3)
	first, second := s.Bundle(a, b), s.Bundle(b, c)
	load(t, n, first, LoadOptions{})
	if r := load(t, n, second, LoadOptions{}); len(r.Released) > 0 {
		t.Errorf("the second bundle lacks a repository of the first and released %v", r.Released)
	}
	r, err := n.Unpin(t.Context(), first)
	must(t, err)
	kept := map[string]KeptPin{}
	for _, i := range r.Images {
		kept[i.Name] = i.Kept
	}
	if kept[a] != "" || kept[b] != KeptByBundle {
		t.Errorf("report: %+v", r.Images)
	}
	if d := cmp.Diff([]string{b, c}, n.pinnedNames(t)); d != "" {
		t.Errorf("pinned (-want +got):\n%s", d)
	}
	shown(t, machine, a, false)
	shown(t, machine, b, true)
	if _, err := n.Check(t.Context(), first); err != nil {
		t.Errorf("the images must stay: %v", err)
	}
	if _, err := n.Unpin(t.Context(), nil); err != nil || len(n.pinnedNames(t)) > 0 {
		t.Errorf("still pinned: %v, %v", n.pinnedNames(t), err)
	}
	if r, err := n.Unpin(t.Context(), nil); err != nil || len(r.Images) > 0 {
		t.Errorf("nothing left to unpin: %+v, %v", r, err)
	}
	load(t, n, first, LoadOptions{})
	shown(t, machine, a, true)
}

func TestUnpinKeepsOtherPins(t *testing.T) {
	machine, n := connect(t)
	s := newShelf(t)
	name, pause := s.simple("acme/a", "v1", 1), s.Sandbox()
	b := s.Bundle(name, pause)
	load(t, n, b, LoadOptions{NoPin: true})
	_, err := n.Unpin(t.Context(), nil)
	must(t, err)
	_, err = machine.Ctr("images", "label", name, labelPinned+"="+pinned)
	must(t, err)
	load(t, n, b, LoadOptions{})
	shown(t, machine, pause, true)
	r, err := n.Unpin(t.Context(), b)
	must(t, err)
	for _, i := range r.Images {
		if i.Name == name || i.Name == pause && i.Kept != KeptAsSandbox {
			t.Errorf("report: %+v", i)
		}
	}
	if d := cmp.Diff(sorted([]string{name, pause}), n.pinnedNames(t)); d != "" {
		t.Errorf("pinned (-want +got):\n%s", d)
	}
}

func TestNewerBundleReleasesOlder(t *testing.T) {
	machine, n := connect(t)
	s := newShelf(t)
	a1, b1, a2 := s.simple("acme/a", "v1", 1), s.simple("acme/b", "v1", 2), s.simple("acme/a", "v2", 3)
	old := s.Bundle(a1, b1)
	load(t, n, old, LoadOptions{})
	newer := s.Bundle(a2, b1)
	if r := load(t, n, newer, LoadOptions{NoPin: true}); len(r.Released) > 0 {
		t.Errorf("without pins: %+v", r.Released)
	}
	load(t, n, old, LoadOptions{})
	r := load(t, n, newer, LoadOptions{})
	want := []UnpinnedName{{Name: a1, Bundle: old.Digest()}, {Name: byDigest(a1, s.Added[a1].Digest), Bundle: old.Digest()}}
	if d := cmp.Diff(sortedNames(want), r.Released); d != "" {
		t.Errorf("released (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{a2, b1}, n.pinnedNames(t)); d != "" {
		t.Errorf("pinned (-want +got):\n%s", d)
	}
	shown(t, machine, a1, false)
	if r := load(t, n, newer, LoadOptions{}); !r.UpToDate() || len(r.Released) > 0 {
		t.Errorf("again: %+v", r)
	}
}

func sortedNames(list []UnpinnedName) []UnpinnedName {
	slices.SortFunc(list, func(a, b UnpinnedName) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func TestReplacedRecords(t *testing.T) {
	const x, y = digest.Digest("x"), digest.Digest("y")
	rec := func(name string, by digest.Digest) images.Image {
		return images.Image{Name: name, Labels: map[string]string{labelPinned: pinned, LabelBundle: by.String()}}
	}
	id := dg("config").String()
	for _, row := range []struct {
		name string
		all  []images.Image
		base digest.Digest
		want []string
	}{
		{"nothing there", nil, "", nil},
		{"its own", []images.Image{rec("docker.io/a/a:v1", y)}, "", nil},
		{"an older tag and its id", []images.Image{rec(id, x), rec("docker.io/a/a:v1", x)}, "", []string{"docker.io/a/a:v1", id}},
		{"the same name", []images.Image{rec("docker.io/a/a:v2", x)}, "", nil},
		{"something else too", []images.Image{rec("docker.io/a/a:v1", x), rec("docker.io/a/b:v1", x)}, "", nil},
		{"something else too, but it is the base", []images.Image{rec("docker.io/a/a:v1", x), rec("docker.io/a/b:v1", x)}, x,
			[]string{"docker.io/a/a:v1"}},
		{"nothing but something else, though it is the base", []images.Image{rec(id, x), rec("docker.io/a/b:v1", x)}, x, nil},
		{"an id that something else needs", []images.Image{rec(id, x), rec("docker.io/a/a:v1", x), rec("docker.io/a/b:v1", x)}, x,
			[]string{"docker.io/a/a:v1"}},
		{"of another program", []images.Image{{Name: "docker.io/a/a:v1", Labels: map[string]string{labelPinned: pinned}}}, "", nil},
		{"not pinned", []images.Image{{Name: "docker.io/a/a:v1", Labels: map[string]string{LabelBundle: "x"}}}, "", nil},
	} {
		var got []string
		for _, i := range replacedRecords(row.all, y, row.base, map[string]bool{"docker.io/a/a:v2": true}) {
			got = append(got, i.Name)
		}
		if d := cmp.Diff(row.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, d)
		}
	}
}

func TestBlobs(t *testing.T) {
	_, n := connect(t)
	s := newShelf(t)
	name := s.simple("acme/a", "v1", 1)
	b := s.Bundle(name)
	load(t, n, b, LoadOptions{})
	// An incomplete ingest is no blob.
	tx, ctx, err := n.begin(n.namespaced(t), dg("other"))
	must(t, err)
	defer tx.end(ctx)
	var want []digest.Digest
	for _, blob := range b.Blobs() {
		want = append(want, blob.Digest)
	}
	slices.Sort(want)
	got, err := n.Blobs(t.Context())
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("holdings, %v (-want +got):\n%s", err, d)
	}
}

func TestMissingErrorNamesBase(t *testing.T) {
	_, n := connect(t)
	s := newShelf(t)
	name := s.simple("acme/a", "v1", 1)
	whole := s.Bundle(name)
	left := s.manifest(name).Layers[0].Digest
	b := s.Pack(archive.PlanOptions{Omit: func(d digest.Digest) bool { return d == left }, Base: whole.Digest()}, bundletest.Wanted{Name: name})
	before := n.take(t)
	_, err := n.Load(t.Context(), b, LoadOptions{})
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Base != whole.Digest() || !strings.Contains(err.Error(), whole.Digest().String()) {
		t.Errorf("error: %v, want one that names %s", err, whole.Digest())
	}
	n.take(t).same(t, before)
}
