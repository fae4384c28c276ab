//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// smallNode is a node in a map, with one image of two platforms and two layers.
type smallNode struct {
	state                   *nodeState
	raw                     map[digest.Digest][]byte
	index, manifest, config digest.Digest
	layers                  []digest.Digest
	chains                  []string
}

func (n *smallNode) put(v any) ocispec.Descriptor {
	raw, ok := v.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(v); err != nil {
			panic(err)
		}
	}
	d := digest.FromBytes(raw)
	n.raw[d], n.state.blobs[d] = raw, int64(len(raw))
	return ocispec.Descriptor{Digest: d, Size: int64(len(raw))}
}

func (n *smallNode) drop(d digest.Digest) {
	delete(n.raw, d)
	delete(n.state.blobs, d)
}

func newSmallNode() *smallNode {
	n := &smallNode{raw: map[digest.Digest][]byte{}, state: &nodeState{
		images: map[string]ocispec.Descriptor{}, blobs: map[digest.Digest]int64{}, committed: map[string]bool{},
	}}
	layers := []ocispec.Descriptor{n.put([]byte("layer one")), n.put([]byte("layer two"))}
	diffs := []digest.Digest{digest.FromString("one"), digest.FromString("two")}
	for i, l := range layers {
		n.layers = append(n.layers, l.Digest)
		n.chains = append(n.chains, identity.ChainID(diffs[:i+1]).String())
		n.state.committed[n.chains[i]] = true
	}
	config := n.put(ocispec.Image{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffs}})
	manifest := n.put(ocispec.Manifest{Config: config, Layers: layers})
	manifest.MediaType, manifest.Platform = ocispec.MediaTypeImageManifest, &ocispec.Platform{Architecture: "amd64", OS: "linux"}
	other := ocispec.Descriptor{Digest: digest.FromString("other"), MediaType: ocispec.MediaTypeImageManifest, Platform: &ocispec.Platform{Architecture: "arm64", OS: "linux"}}
	index := n.put(ocispec.Index{Manifests: []ocispec.Descriptor{other, manifest}})
	index.MediaType = ocispec.MediaTypeImageIndex
	n.index, n.manifest, n.config = index.Digest, manifest.Digest, config.Digest
	n.state.images["docker.io/a:1"] = index
	return n
}

func TestWholeness(t *testing.T) {
	for name, c := range map[string]struct {
		damage    func(*smallNode)
		discarded bool
		arch      string
		want      string
	}{
		"whole":                     {want: ""},
		"no index":                  {damage: func(n *smallNode) { n.drop(n.index) }, want: "incomplete: blob"},
		"no manifest":               {damage: func(n *smallNode) { n.drop(n.manifest) }, want: "incomplete: blob"},
		"no config":                 {damage: func(n *smallNode) { n.drop(n.config) }, want: "incomplete: blob"},
		"no layer":                  {damage: func(n *smallNode) { n.drop(n.layers[1]) }, want: "incomplete: blob"},
		"no layer, as requested":    {damage: func(n *smallNode) { n.drop(n.layers[1]) }, discarded: true, want: ""},
		"a wrong layer":             {damage: func(n *smallNode) { n.raw[n.layers[0]] = []byte("layer 0ne") }, want: "has the digest"},
		"a wrong layer, not needed": {damage: func(n *smallNode) { n.raw[n.layers[0]] = []byte("layer 0ne") }, discarded: true, want: "has the digest"},
		"a wrong config":            {damage: func(n *smallNode) { n.raw[n.config] = []byte("{}") }, want: "has the digest"},
		"not unpacked":              {damage: func(n *smallNode) { delete(n.state.committed, n.chains[1]) }, want: "is not unpacked"},
		"not unpacked, and no layer": {damage: func(n *smallNode) {
			delete(n.state.committed, n.chains[0])
			n.drop(n.layers[0])
		}, discarded: true, want: "is not unpacked"},
		"of another platform": {arch: "riscv64", want: "has nothing for riscv64"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newSmallNode()
			if c.damage != nil {
				c.damage(n)
			}
			w := &wholeness{state: n.state, arch: "amd64", discarded: c.discarded, blob: func(d digest.Digest) ([]byte, error) {
				if raw, ok := n.raw[d]; ok {
					return raw, nil
				}
				return nil, fmt.Errorf("not found")
			}}
			if c.arch != "" {
				w.arch = c.arch
			}
			wantError(t, w.all(), c.want)
		})
	}
}

func TestChanges(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*smallNode)
		want   []string // prefixes of the changes
	}{
		"none":         {func(*smallNode) {}, nil},
		"image went":   {func(n *smallNode) { delete(n.state.images, "docker.io/a:1") }, []string{"image docker.io/a:1 went"}},
		"image came":   {func(n *smallNode) { n.state.images["b"] = ocispec.Descriptor{} }, []string{"image b came"}},
		"image moved":  {func(n *smallNode) { n.state.images["docker.io/a:1"] = ocispec.Descriptor{Digest: n.config} }, []string{"image docker.io/a:1 means"}},
		"blob went":    {func(n *smallNode) { n.drop(n.config) }, []string{"blob sha256:"}},
		"blob came":    {func(n *smallNode) { n.put([]byte("x")) }, []string{"blob sha256:"}},
		"snapshot":     {func(n *smallNode) { n.state.committed["x"] = true }, []string{"snapshot x came"}},
		"open":         {func(n *smallNode) { n.state.active = []string{"x"} }, []string{"active snapshot x came"}},
		"lease":        {func(n *smallNode) { n.state.leases = []string{"x"} }, []string{"lease x came"}},
		"ingest":       {func(n *smallNode) { n.state.ingests = []string{"x"} }, []string{"ingest x came"}},
		"all together": {func(n *smallNode) { n.state.ingests, n.state.leases = []string{"x"}, []string{"y"} }, []string{"ingest x", "lease y"}},
	} {
		t.Run(name, func(t *testing.T) {
			was, is := newSmallNode(), newSmallNode()
			c.change(is)
			got := was.state.changes(is.state)
			if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAtRest(t *testing.T) {
	for name, c := range map[string]struct {
		state nodeState
		want  string
	}{
		"rest":   {nodeState{}, ""},
		"open":   {nodeState{active: []string{"s"}}, `active snapshots ["s"]`},
		"lease":  {nodeState{leases: []string{"l"}}, `leases ["l"]`},
		"ingest": {nodeState{ingests: []string{"i"}}, `ingests ["i"]`},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, c.state.atRest(), c.want) })
	}
}
