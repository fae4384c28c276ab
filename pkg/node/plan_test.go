//go:build linux

package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// dg returns the digest of a name.
func dg(name string) digest.Digest { return digest.FromString(name) }

func descOf(name string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: dg(name), Size: int64(len(name))}
}

// twoLayers returns an image "index → manifest → config, a, b".
func twoLayers(names ...string) *image {
	return &image{
		names: names, target: descOf("index"), config: descOf("config"),
		manifests: []ocispec.Descriptor{descOf("index"), descOf("manifest")},
		layers: []imageLayer{
			{Descriptor: descOf("a"), diffID: dg("diff a"), chain: dg("chain a")},
			{Descriptor: descOf("b"), diffID: dg("diff b"), chain: dg("chain b"), parentID: dg("chain a")},
		},
	}
}

// emptyInventory returns that of an empty node.
func emptyInventory() *inventory {
	return &inventory{records: map[string]images.Image{}, labels: map[digest.Digest]map[string]string{}, chains: map[digest.Digest]bool{}, origins: map[digest.Digest]digest.Digest{}}
}

// carryOut returns the inventory after the plan.
func (inv *inventory) carryOut(p *plan) {
	for _, w := range p.blobs {
		labels := inv.labels[w.desc.Digest]
		if labels == nil {
			labels = map[string]string{}
			inv.labels[w.desc.Digest] = labels
		}
		for k, v := range w.labels {
			labels[k] = v
		}
	}
	for _, u := range p.unpacks {
		inv.chains[u.chain] = true
		inv.origins[u.chain] = u.Digest
	}
	for _, u := range slices.Concat(p.unpacks, p.compare) {
		if u.label {
			inv.labels[u.Digest][labelUncompressed] = u.diffID.String()
		}
	}
	for _, ip := range p.images {
		for _, r := range ip.records {
			inv.records[r.image.Name] = r.image
		}
	}
}

// summary returns a plan as lines.
func (p *plan) summary() []string {
	var lines []string
	names := map[digest.Digest]string{}
	for _, n := range []string{"index", "manifest", "config", "a", "b"} {
		names[dg(n)] = n
	}
	for _, w := range p.blobs {
		lines = append(lines, fmt.Sprintf("blob %s there=%t", names[w.desc.Digest], w.there))
	}
	for _, u := range p.unpacks {
		lines = append(lines, fmt.Sprintf("unpack %s on planned=%t", names[u.Digest], u.parent != nil))
	}
	for _, u := range p.compare {
		lines = append(lines, fmt.Sprintf("compare %s label=%t", names[u.Digest], u.label))
	}
	for _, ip := range p.images {
		for _, r := range ip.records {
			if r.action != recordKeep {
				lines = append(lines, fmt.Sprintf("record %d %.20s", r.action, r.image.Name))
			}
		}
	}
	return lines
}

func TestPlan(t *testing.T) {
	const name = "docker.io/acme/app:v1"
	everything := func(digest.Digest) bool { return true }
	full := emptyInventory()
	p, err := newPlan([]*image{twoLayers(name)}, full, everything, planOptions{snapshotter: "overlayfs"})
	must(t, err)
	full.carryOut(p)
	change := func(edit func(*inventory)) *inventory {
		inv := emptyInventory()
		inv.carryOut(p)
		edit(inv)
		return inv
	}
	records := []string{"record 2 sha256:" + dg("config").Encoded()[:13], "record 2 docker.io/acme/app@s", "record 2 docker.io/acme/app:v"}
	tests := []struct {
		name string
		inv  *inventory
		opts planOptions
		want []string
	}{
		{"nothing there", emptyInventory(), planOptions{}, append([]string{
			"blob a there=false", "blob b there=false", "blob config there=false", "blob manifest there=false", "blob index there=false",
			"unpack a on planned=false", "unpack b on planned=true"}, records...)},
		{"nothing there, layers discarded", emptyInventory(), planOptions{discard: true}, append([]string{
			"blob config there=false", "blob manifest there=false", "blob index there=false",
			"unpack a on planned=false", "unpack b on planned=true"}, records...)},
		{"all there", full, planOptions{}, nil},
		{"all there, layers discarded", full, planOptions{discard: true}, nil},
		{"record lost", change(func(i *inventory) { delete(i.records, name) }), planOptions{}, records[2:]},
		{"tag elsewhere", change(func(i *inventory) { i.records[name] = images.Image{Target: descOf("other")} }), planOptions{}, []string{"record 3 docker.io/acme/app:v"}},
		{"image id by another index", change(func(i *inventory) {
			i.records[dg("config").String()] = images.Image{Target: descOf("other")}
		}), planOptions{}, nil},
		{"not pinned", full, planOptions{labels: map[string]string{labelPinned: pinned}}, []string{
			strings.Replace(records[0], "2", "1", 1), strings.Replace(records[1], "2", "1", 1), strings.Replace(records[2], "2", "1", 1)}},
		{"top snapshot lost", change(func(i *inventory) { delete(i.chains, dg("chain b")) }), planOptions{}, []string{"unpack b on planned=false"}},
		{"lower snapshot not listed", change(func(i *inventory) { delete(i.chains, dg("chain a")) }), planOptions{}, nil},
		{"layer lost", change(func(i *inventory) { delete(i.labels, dg("b")) }), planOptions{}, []string{"blob b there=false"}},
		{"layer lost, layers discarded", change(func(i *inventory) { delete(i.labels, dg("b")) }), planOptions{discard: true}, nil},
		{"layer lost, snapshot of another blob", change(func(i *inventory) {
			delete(i.labels, dg("b"))
			i.origins[dg("chain b")] = dg("c")
		}), planOptions{}, []string{"blob b there=false", "compare b label=true"}},
		{"record lost, unpacked by another program", change(func(i *inventory) {
			delete(i.records, name)
			i.labels[dg("a")], i.origins = nil, nil
		}), planOptions{}, append([]string{"compare a label=true"}, records[2:]...)},
		{"record lost, layer with another diffID", change(func(i *inventory) {
			delete(i.records, name)
			i.labels[dg("a")], i.origins = map[string]string{labelUncompressed: "other"}, nil
		}), planOptions{}, append([]string{"compare a label=false"}, records[2:]...)},
		{"labels lost", change(func(i *inventory) { i.labels[dg("manifest")] = nil }), planOptions{}, []string{"blob manifest there=true"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.snapshotter = "overlayfs"
			p, err := newPlan([]*image{twoLayers(name)}, tt.inv, everything, tt.opts)
			must(t, err)
			got := p.summary()
			slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(a[:4], b[:4]) })
			want := slices.Clone(tt.want)
			slices.SortStableFunc(want, func(a, b string) int { return strings.Compare(a[:4], b[:4]) })
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("plan (-want +got):\n%s", d)
			}
			if p.empty() != (len(tt.want) == 0) {
				t.Errorf("empty: %t, with %d things to do", p.empty(), len(got))
			}
		})
	}
}

func TestPlanOmittedBlobs(t *testing.T) {
	img := twoLayers("docker.io/acme/app:v1")
	without := func(names ...string) func(digest.Digest) bool {
		return func(d digest.Digest) bool {
			return !slices.ContainsFunc(names, func(n string) bool { return dg(n) == d })
		}
	}
	_, err := newPlan([]*image{img, img}, emptyInventory(), without("a", "config"), planOptions{})
	missing, ok := err.(*MissingError)
	if !ok || len(missing.Digests) != 2 {
		t.Errorf("error: %v, want a MissingError with 2 blobs", err)
	}
	inv := emptyInventory()
	inv.chains[dg("chain a")] = true
	p, err := newPlan([]*image{img}, inv, without("a"), planOptions{})
	must(t, err)
	for _, w := range p.blobs {
		if w.desc.Digest != dg("manifest") {
			continue
		}
		want := map[string]string{labelConfigRef: dg("config").String(), labelLayerRef + "0": dg("b").String(),
			labelSource + "docker.io": "acme/app"}
		if d := cmp.Diff(want, w.labels); d != "" {
			t.Errorf("labels of the manifest (-want +got):\n%s", d)
		}
	}
}

func TestAddRefs(t *testing.T) {
	one, two, three := dg("1").String(), dg("2").String(), dg("3").String()
	tests := []struct {
		name string
		have map[string]string
		want map[string]string
	}{
		{"none", nil, map[string]string{"p.0": one, "p.1": two}},
		{"all, otherwise numbered", map[string]string{"p.7": one, "p.3": two}, map[string]string{}},
		{"numbers of others", map[string]string{"p.0": three, "p.1": one}, map[string]string{"p.2": two}},
	}
	for _, tt := range tests {
		got := map[string]string{}
		addRefs(got, tt.have, "p.", []digest.Digest{dg("1"), dg("2"), dg("1")})
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestSourceLabelsFit(t *testing.T) {
	var repos []string
	for i := range 500 {
		repos = append(repos, fmt.Sprintf("library/image-%03d", i))
	}
	got := sourceLabels(map[string][]string{"docker.io": repos, "quay.io": {"b/b", "a/a"}})
	if got[labelSource+"quay.io"] != "a/a,b/b" {
		t.Errorf("label: %q", got[labelSource+"quay.io"])
	}
	key := labelSource + "docker.io"
	if size := len(key) + len(got[key]); size > maxLabel || size < maxLabel-20 {
		t.Errorf("label has %d bytes, the limit is %d", size, maxLabel)
	}
}
