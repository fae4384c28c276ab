package referrers_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/referrers"
)

// bundle has manifests by digest, and what they are about.
type bundle struct {
	manifests map[digest.Digest]*archive.Manifest
	about     map[digest.Digest]digest.Digest
	room      int64
}

func (b *bundle) Manifest(d digest.Digest) (*archive.Manifest, error) {
	if m := b.manifests[d]; m != nil {
		return m, nil
	}
	return nil, errors.New("not decodable")
}

func (b *bundle) About(d ocispec.Descriptor) digest.Digest { return b.about[d.Digest] }

func (b *bundle) Hold(n int64) error {
	if b.room -= n; b.room < 0 {
		return errors.New("over the budget")
	}
	return nil
}

func dg(text string) digest.Digest { return digest.FromString(text) }

func desc(text string) ocispec.Descriptor { return ocispec.Descriptor{Digest: dg(text), Size: 9} }

// newBundle returns a bundle of referrers about the manifests that the names begin with.
func newBundle(names ...string) (*bundle, *archive.Image) {
	b := &bundle{map[digest.Digest]*archive.Manifest{}, map[digest.Digest]digest.Digest{}, 1 << 30}
	img := &archive.Image{Name: "a.test/b:1", Target: desc("index"), Present: []ocispec.Descriptor{desc("index"), desc("amd64"), desc("arm64")}}
	for _, name := range names {
		about, _, _ := strings.Cut(name, "/")
		b.about[dg(name)] = dg(about)
		b.manifests[dg(name)] = &archive.Manifest{Config: desc(name + " config"), Layers: []ocispec.Descriptor{desc(name + " layer")}}
		img.Referrers = append(img.Referrers, desc(name))
	}
	return b, img
}

// A node keeps what is about its manifests, and a fault of one referrer is none of the others.
func TestOf(t *testing.T) {
	kept := []ocispec.Descriptor{desc("index"), desc("amd64")}
	b, img := newBundle("index/sig", "amd64/sig", "arm64/sig", "elsewhere/sig", "amd64/index", "amd64/bad", "amd64/large")
	b.manifests[dg("amd64/index")].Index = true
	delete(b.manifests, dg("amd64/bad"))
	b.manifests[dg("amd64/large")].Layers = make([]ocispec.Descriptor, 1<<20)
	out, left := referrers.Of(b, img, kept)
	var got []string
	for _, r := range out {
		for _, name := range []string{"index", "amd64"} {
			if r.Holder == dg(name) {
				got = append(got, fmt.Sprint(name, " ", len(r.Blobs())))
			}
		}
	}
	if d := cmp.Diff([]string{"index 3", "amd64 3", "index 3"}, got); d != "" {
		t.Errorf("holders and blobs (-want +got):\n%s", d)
	}
	if want := fmt.Sprintf("referrer %s of a.test/b:1: an index, not a manifest", dg("amd64/index")); left.N != 3 || left.Err.Error() != want {
		t.Errorf("left %d, %v, want 3, %s", left.N, left.Err, want)
	}
	if b.room != 1<<30-3*3<<10 {
		t.Errorf("%d bytes are held", 1<<30-b.room)
	}
	var many []string
	for i := range referrers.Most + 2 {
		many = append(many, fmt.Sprint("index/", i))
	}
	b, img = newBundle(many...)
	if out, left := referrers.Of(b, img, kept); len(out) != referrers.Most || left.N != 2 || !strings.Contains(left.Err.Error(), "more than 1000 of a.test/b:1") {
		t.Errorf("%d kept, %d left: %v", len(out), left.N, left.Err)
	}
}

// No label of a manifest is changed but a tag, and none is added twice.
func TestLabels(t *testing.T) {
	first := digest.Digest("sha256:" + strings.Repeat("0123456789ab", 5) + "0000")
	second := digest.Digest("sha256:" + strings.Repeat("0123456789ab", 5) + "1111") // the same short digest
	const short, tag = "containerd.io/gc.ref.content.referrer.sha256.0123456789ab", "docker.io/library/a:sha256-1.sig"
	long := "containerd.io/gc.ref.content.referrer.sha256." + second.Encoded()
	refer := func(d digest.Digest, tag string) *referrers.Referrer {
		return &referrers.Referrer{Manifest: ocispec.Descriptor{Digest: d}, Tag: tag}
	}
	for name, tt := range map[string]struct {
		have map[string]string
		add  []*referrers.Referrer
		want map[string]string
	}{
		"first":          {nil, []*referrers.Referrer{refer(first, "")}, map[string]string{short: first.String()}},
		"there":          {map[string]string{short: first.String()}, []*referrers.Referrer{refer(first, "")}, map[string]string{}},
		"both":           {nil, []*referrers.Referrer{refer(first, ""), refer(second, "")}, map[string]string{short: first.String(), long: second.String()}},
		"other there":    {map[string]string{short: first.String()}, []*referrers.Referrer{refer(second, "")}, map[string]string{long: second.String()}},
		"both there":     {map[string]string{short: first.String(), long: second.String()}, []*referrers.Referrer{refer(second, ""), refer(first, "")}, map[string]string{}},
		"tag":            {nil, []*referrers.Referrer{refer(first, tag)}, map[string]string{short: first.String(), "dev.stowage.tag." + tag: first.String()}},
		"tag that moves": {map[string]string{short: first.String(), "dev.stowage.tag." + tag: second.String()}, []*referrers.Referrer{refer(first, tag)}, map[string]string{"dev.stowage.tag." + tag: first.String()}},
	} {
		t.Run(name, func(t *testing.T) {
			got, before := map[string]string{}, maps.Clone(tt.have)
			for _, r := range tt.add {
				referrers.AddLabels(got, tt.have, r)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("labels (-want +got):\n%s", d)
			}
			if !maps.Equal(before, tt.have) {
				t.Error("the labels that the manifest has were changed")
			}
			all := maps.Clone(got)
			maps.Copy(all, tt.have)
			if list := referrers.List(all); !slices.Contains(list, tt.add[0].Manifest.Digest) {
				t.Errorf("the labels lead to %v", list)
			}
			if tag := tt.add[0].Tag; tag != "" && referrers.Tags(got)[tag] != tt.add[0].Manifest.Digest {
				t.Errorf("the tags are %v", referrers.Tags(got))
			}
		})
	}
}
