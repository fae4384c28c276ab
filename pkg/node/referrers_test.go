//go:build linux

package node

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/serve"
)

// blobsOf returns the digests of all blobs of a referrer.
func blobsOf(a bundletest.Attached) []digest.Digest {
	out := []digest.Digest{a.Descriptor.Digest}
	for _, m := range a.Manifests {
		out = append(out, m.Config.Digest)
		for _, l := range m.Layers {
			out = append(out, l.Digest)
		}
	}
	return out
}

// hasAll reports whether the node has all or none of the blobs.
func (n *Node) hasAll(t *testing.T, blobs []digest.Digest) string {
	t.Helper()
	have, err := n.Blobs(t.Context())
	must(t, err)
	found := 0
	for _, d := range blobs {
		if slices.Contains(have, d) {
			found++
		}
	}
	switch found {
	case 0:
		return "none"
	case len(blobs):
		return "all"
	}
	return fmt.Sprintf("%d of %d", found, len(blobs))
}

// TestReferrers loads referrers in every way on every installed containerd. They stay with the
// image over a collection, CRI does not list them, they go with the image, and a second load
// changes nothing.
func TestReferrers(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	index := s.Index("acme/multi", "v1", registrytest.Index{Images: []registrytest.Image{
		{Platform: "linux/amd64", Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 100}}}}},
		{Platform: "linux/arm64", Layers: []*registrytest.Layer{{Seed: 2, Files: []registrytest.File{{Name: "a", Size: 100}}}}},
	}})
	plain := s.simple("acme/plain", "v1", 3)
	var blobs []digest.Digest
	for _, a := range []bundletest.Attached{s.Refer(index), s.Sign(index), s.Refer(plain), s.Sign(plain)} {
		blobs = append(blobs, blobsOf(a)...)
	}
	path := s.File(archive.PlanOptions{}, wantedAll([]string{index, plain})...)
	for _, v := range append([]string{""}, olderVersions(t)...) {
		machine, n := connect(t, nodetest.Options{Version: v})
		for i, way := range append(ways, struct {
			name string
			set  func(*Node)
		}{"stream", nil}) {
			if v != "" && i%len(ways) > 0 {
				continue
			}
			wiped(t, n, "containerd "+v+" "+way.name, func(t *testing.T, n *Node) {
				get := func(o LoadOptions) *Report {
					if way.set != nil {
						way.set(n)
						return load(t, n, bundletest.Open(t, path), o)
					}
					r, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, path)), o)
					must(t, err)
					return r
				}
				get(LoadOptions{NoReferrers: true})
				if got := n.hasAll(t, blobs); got != "none" {
					t.Errorf("with NoReferrers: %s", got)
				}
				r := get(LoadOptions{})
				if slices.Contains(kinds(r.Warnings), WarnReferrers) || r.Layers > 0 || r.UpToDate() {
					t.Errorf("second load: %+v", r)
				}
				n.collect(t)
				if got := n.hasAll(t, blobs); got != "all" {
					t.Errorf("after a collection: %s", got)
				}
				n.servesReferrers(t, s, index, plain)
				before := n.take(t)
				for _, o := range []LoadOptions{{}, {NoReferrers: true}} {
					if r := get(o); !r.UpToDate() {
						t.Errorf("again: %+v", r)
					}
					n.take(t).same(t, before)
				}
				list, err := machine.Images().ListImages(t.Context(), &cri.ListImagesRequest{})
				must(t, err)
				if len(list.Images) != 2 {
					t.Errorf("CRI lists %v", list.Images)
				}
				n.removeAll(t)
				n.collect(t)
				if got := n.hasAll(t, blobs); got != "none" {
					t.Errorf("after the removal of the images: %s", got)
				}
			})
		}
		must(t, machine.Stop())
	}
}

// servesReferrers asks for the referrers of images and for the tags of their signatures as a
// client of a registry does.
func (n *Node) servesReferrers(t *testing.T, s *shelf, names ...string) {
	t.Helper()
	registry := serve.New(n.Source(), serve.Options{})
	get := func(path string) string {
		w := httptest.NewRecorder()
		registry.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return fmt.Sprint(w.Code, " ", w.Body)
	}
	for _, name := range names {
		for _, a := range s.Attached[name] {
			want, path := a.Descriptor.Digest.String(), "/v2/"+a.Repo+"/referrers/"+s.Added[name].Descriptor.Digest.String()
			if a.Tag != "" {
				path, want = "/v2/"+a.Repo+"/manifests/"+a.Tag+"?ns=docker.io", "simplesigning"
			}
			if got := get(path); !strings.HasPrefix(got, "200 ") || strings.Count(got, want) != 1 {
				t.Errorf("%s: %s\nwant one %s", path, got, want)
			}
		}
	}
	if got := get("/v2/acme/plain/manifests/sha256-" + dg("x").Encoded() + ".sig"); !strings.HasPrefix(got, "404 ") {
		t.Errorf("an unknown tag: %s", got)
	}
}

// removeAll removes the images of a node as the kubelet's garbage collection does.
func (n *Node) removeAll(t *testing.T) {
	t.Helper()
	list, err := n.criImages.ListImages(t.Context(), &cri.ListImagesRequest{})
	must(t, err)
	for _, i := range list.Images {
		_, err := n.criImages.RemoveImage(t.Context(), &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: i.Id}})
		must(t, err)
	}
}

// TestReferrersLeftOut loads a differential bundle without a blob of a referrer: that is a
// warning and no fault of the image, and the blob counts once it is there.
func TestReferrersLeftOut(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	name := s.simple("acme/app", "v1", 1)
	sig := s.Refer(name)
	omit := sig.Manifests[0].Layers[0].Digest
	part := s.Pack(archive.PlanOptions{Omit: func(d digest.Digest) bool { return d == omit }, Base: dg("base")}, bundletest.Wanted{Name: name})
	_, n := connect(t)
	want := fmt.Sprintf("signatures, attestations or SBOMs that are not kept on this node: 1; the first: referrer %s of %s: neither the bundle nor the node has its blob %s", sig.Descriptor.Digest, name, omit)
	r := load(t, n, part, LoadOptions{})
	if !slices.Contains(r.Warnings, Warning{WarnReferrers, want}) || !r.Complete {
		t.Errorf("report %+v\nwant the warning %q", r, want)
	}
	if got := n.hasAll(t, blobsOf(sig)); got != "none" {
		t.Errorf("of a referrer that is left out: %s", got)
	}
	load(t, n, s.Bundle(name), LoadOptions{DiscardLayers: true})
	if got := n.hasAll(t, blobsOf(sig)); got != "all" {
		t.Errorf("of the whole bundle: %s", got)
	}
	if r := load(t, n, part, LoadOptions{DiscardLayers: true}); slices.Contains(kinds(r.Warnings), WarnReferrers) || !r.UpToDate() {
		t.Errorf("report %+v", r)
	}
}
