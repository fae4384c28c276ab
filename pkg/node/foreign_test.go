//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// TestLayersOfAnotherImage loads an image whose manifest has the layer of one image and whose
// config has the diffID of another. The result must not depend on what the node has.
func TestLayersOfAnotherImage(t *testing.T) {
	t.Parallel()
	one, two := tarOf(t, tar.Header{Name: "one", Typeflag: tar.TypeReg}), tarOf(t, tar.Header{Name: "two", Typeflag: tar.TypeReg})
	a := handmade{name: "docker.io/acme/a:v1", layers: [][]byte{one}}.write(t)
	b := handmade{name: "docker.io/acme/b:v1", layers: [][]byte{two}}.write(t)
	foreign := handmade{layers: [][]byte{one}, diffs: []digest.Digest{digest.FromBytes(two)}}.write(t)
	for _, there := range [][]string{nil, {a}, {b}, {a, b}} {
		for _, o := range []LoadOptions{{}, {DiscardLayers: true}} {
			_, n := connect(t)
			for _, path := range there {
				load(t, n, bundletest.Open(t, path), o)
			}
			before := n.take(t)
			_, err := n.Load(t.Context(), bundletest.Open(t, foreign), o)
			_, streamed := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, foreign)), o)
			if !errors.Is(err, archive.ErrDamaged) || !errors.Is(streamed, archive.ErrDamaged) {
				t.Errorf("%d images there, %+v: %v; streamed: %v; want damaged", len(there), o, err, streamed)
			}
			n.take(t).same(t, before)
		}
	}
}

// TestUncompressedLabel checks when a layer gets the label that states its diffID.
func TestUncompressedLabel(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	raw := tarOf(t, tar.Header{Name: "one", Typeflag: tar.TypeReg})
	path := handmade{layers: [][]byte{raw}}.write(t)
	blob := digest.FromBytes(raw)
	label := func() string {
		t.Helper()
		info, err := n.content.Info(n.namespaced(t), blob)
		must(t, err)
		return info.Labels[labelUncompressed]
	}
	set := func(value string) {
		t.Helper()
		l := &loader{node: n}
		w := &blobWork{labels: map[string]string{labelUncompressed: value}}
		w.desc.Digest = blob
		must(t, l.relabel(n.namespaced(t), w))
	}
	load(t, n, bundletest.Open(t, path), LoadOptions{DiscardLayers: true})
	again := func(name string, want string) {
		t.Helper()
		other := handmade{name: name, layers: [][]byte{raw}}.write(t)
		load(t, n, bundletest.Open(t, other), LoadOptions{})
		if d := cmp.Diff(want, label()); d != "" {
			t.Errorf("%s: label (-want +got):\n%s", name, d)
		}
	}
	again("docker.io/acme/unpacked:v1", blob.String())
	set("")
	again("docker.io/acme/unlabelled:v1", blob.String())
	set(dg("wrong").String())
	again("docker.io/acme/wrong:v1", dg("wrong").String()) // another program's label stays
}
