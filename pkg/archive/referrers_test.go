package archive

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// under returns d with the tag that belongs to a digest.
func under(d ocispec.Descriptor, repo string, about digest.Digest, suffix string) ocispec.Descriptor {
	d.Annotations = map[string]string{AnnotationTag: repo + ":sha256-" + about.Encoded() + suffix}
	return d
}

// reread opens a bundle of the store and wants a plan of what was read to be the same.
func reread(t *testing.T, s *store, opts PlanOptions) *Reader {
	t.Helper()
	r := open(t, s.bundle(t, opts))
	again, err := NewPlan(r.Images(), r, opts)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != r.Digest() {
		t.Error("the plan of what was read is another one")
	}
	return r
}

func TestPlanReferrers(t *testing.T) {
	s := small()
	target := s.images[2].Target
	sig := s.Artifact("application/vnd.test.signature", target.Digest, s.Layer(20, 50))
	s.images[2].Referrers = []ocispec.Descriptor{sig, sig}
	r := reread(t, s, PlanOptions{})
	img := r.Images()[0]
	if len(img.Referrers) != 1 || img.Referrers[0].Digest != sig.Digest || img.Referrers[0].ArtifactType != "application/vnd.test.signature" {
		t.Errorf("referrers %+v", img.Referrers)
	}
	if len(r.Unnamed()) != 0 {
		t.Errorf("unnamed %+v", r.Unnamed())
	}
}

// TestPlanTagged: what only a tag ties to its image comes back with it, whatever the tag
// belongs to: the index, the manifest, two images at once.
func TestPlanTagged(t *testing.T) {
	const single, app = "docker.io/library/single", "registry.test/app"
	for _, flat := range []bool{false, true} {
		s := small()
		s.images = append(s.images[:1], s.images[2]) // app:v1 and single:latest
		index, manifest, other := s.images[0].Target, s.images[0].Present[0], s.images[1].Target
		sig := s.Artifact(ocispec.MediaTypeImageConfig, "", s.Layer(20, 50))
		sbom := s.Artifact("application/vnd.test.sbom", "", s.Layer(21, 60))
		says := s.Artifact("application/vnd.test.says", manifest.Digest, s.Layer(22, 70))
		s.images[0].Referrers = []ocispec.Descriptor{
			under(sbom, app, manifest.Digest, ".sbom"), under(sig, app, index.Digest, ".sig"), says, under(sbom, app, index.Digest, ""),
			under(sig, app, index.Digest, ".sig"),
		}
		s.images[1].Referrers = []ocispec.Descriptor{under(sbom, single, other.Digest, ".sbom")}
		r := open(t, s.bundle(t, PlanOptions{Flat: flat}))
		if !flat {
			r = reread(t, s, PlanOptions{})
		}
		got := map[string][]string{}
		for _, img := range r.Images() {
			for _, d := range img.Referrers {
				got[img.Name] = append(got[img.Name], d.Digest.String()+" "+d.Annotations[AnnotationTag])
			}
		}
		want := map[string][]string{single + ":latest": {sbom.Digest.String() + " " + single + ":sha256-" + other.Digest.Encoded() + ".sbom"}}
		for _, d := range distinct([]ocispec.Descriptor{s.images[0].Referrers[0], s.images[0].Referrers[1], says, s.images[0].Referrers[3]}) {
			want[app+":v1"] = append(want[app+":v1"], d.Digest.String()+" "+d.Annotations[AnnotationTag])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("flat %t: referrers (-want +got):\n%s", flat, diff)
		}
		if len(r.Unnamed()) != 0 {
			t.Errorf("flat %t: unnamed %+v", flat, r.Unnamed())
		}
		sum, err := r.Inspect()
		if err != nil {
			t.Fatal(err)
		}
		if one := sum.Images[0]; len(one.Referrers) != 1 || one.Referrers[0].Tag != s.images[1].Referrers[0].Annotations[AnnotationTag] || one.Referrers[0].Size != sbom.Size+2+60 {
			t.Errorf("flat %t: summary %+v", flat, one)
		}
	}
}

// TestTaggedBytes: however a referrer was found and in whatever order, the bundle is the
// same, and its reader finds the same in every form of the file.
func TestTaggedBytes(t *testing.T) {
	build := func(order []int, tag bool) (*store, []byte) {
		s := small()
		target := s.images[2].Target
		says := s.Artifact("application/vnd.test.says", target.Digest, s.Layer(22, 70))
		if tag {
			says = under(says, "a.test/b", target.Digest, ".sig")
		}
		all := []ocispec.Descriptor{says, under(s.Artifact("application/vnd.test.sig", "", s.Layer(20, 50)), "a.test/b", target.Digest, ".sig"), under(s.Artifact("application/vnd.test.att", "", s.Layer(21, 50)), "a.test/b", target.Digest, ".att")}
		for _, i := range order {
			s.images[2].Referrers = append(s.images[2].Referrers, all[i])
		}
		return s, s.bundle(t, PlanOptions{})
	}
	s, want := build([]int{0, 1, 2}, false)
	if _, got := build([]int{2, 0, 1, 1}, true); !bytes.Equal(got, want) {
		t.Error("the order, or how one was found, changes the bytes")
	}
	whole := open(t, want)
	for _, c := range []Compression{Plain, Gzip, Zstd} {
		r, err := openMetadata(s.bundleAs(t, c, PlanOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		same(t, whole, r)
		r.Close()
	}
}

func TestTagDigest(t *testing.T) {
	d := digest.FromString("x")
	good := "docker.io/library/busybox:sha256-" + d.Encoded()
	for _, name := range []string{good, good + ".sig", good + ".att", good + ".sbom", "a.test:5000/b/c:sha256-" + d.Encoded() + ".sig.v2"} {
		if got, err := tagDigest(name); err != nil || got != d {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "no tag": "docker.io/library/busybox", "a usual tag": "docker.io/library/busybox:1.36",
		"not normalised": "busybox:sha256-" + d.Encoded(), "digest": "docker.io/library/busybox@" + d.String(),
		"tag and digest": good + "@" + d.String(), "short": good[:len(good)-1], "long": good + "0", "upper case": strings.Replace(good, d.Encoded(), strings.ToUpper(d.Encoded()), 1),
		"bare dot": good + ".", "other hash": strings.Replace(good, "sha256-", "sha512-", 1), "newline": good + ".sig\n",
	} {
		if got, err := tagDigest(bad); err == nil {
			t.Errorf("%s: %q belongs to %s", name, bad, got)
		}
	}
}

// TestReaderTag: a tag that belongs to nothing in the bundle makes no image, and one that
// is none is damage.
func TestReaderTag(t *testing.T) {
	s := small()
	target := s.images[2].Target
	sig := under(s.Artifact("application/vnd.test.sig", "", s.Layer(20, 50)), "a.test/b", target.Digest, ".sig")
	s.images[2].Referrers = []ocispec.Descriptor{sig}
	p := s.plan(t, PlanOptions{})
	old := sig.Annotations[AnnotationTag]
	for _, tc := range []struct {
		name, tag string
		unnamed   int
		wrong     string
	}{
		{"as it was", old, 0, ""},
		{"of another digest", "a.test/b:sha256-" + digest.FromString("y").Encoded() + ".sig", 1, ""},
		{"a usual tag", "a.test/b:v1", 0, "belongs to no digest"},
		{"a digest", "a.test/b@" + target.Digest.String(), 0, "want repository:tag"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			index := []byte(strings.Replace(string(p.Index()), old, tc.tag, 1))
			w, err := newDocuments(newBudget(defaultLimits)).parseIndex(index)
			if err != nil {
				t.Fatal(err)
			}
			whole := open(t, s.bundle(t, PlanOptions{}))
			r := makeReader("", whole.src, newBudget(defaultLimits))
			r.size, r.blobs, r.at = whole.size, whole.blobs, whole.at
			err = newGraph(r).follow(w.Manifests)
			if tc.wrong == "" && err != nil || tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong)) {
				t.Fatalf("error %v, want %q", err, tc.wrong)
			}
			if len(r.Unnamed()) != tc.unnamed {
				t.Errorf("unnamed %+v, want %d", r.Unnamed(), tc.unnamed)
			}
		})
	}
}

// TestReferrerLinks: images and referrers that all belong to each other cannot fill the memory.
func TestReferrerLinks(t *testing.T) {
	s := small()
	target := s.images[2].Target
	for i := range 4 {
		sig := s.Artifact("application/vnd.test.sig", "", s.Layer(uint64(30+i), 50))
		s.images[2].Referrers = append(s.images[2].Referrers, under(sig, "a.test/b", target.Digest, ".sig"))
	}
	s.images = s.images[2:3]
	for _, more := range []string{"a.test/one:1", "a.test/two:2"} {
		s.images = append(s.images, Image{Name: more, Target: target})
	}
	raw := s.bundle(t, PlanOptions{})
	const links = 3 + 3*4 // each image, and each of its referrers
	for limit, good := range map[int]bool{links - 1: false, links: true} {
		lim := defaultLimits
		lim.link = limit
		if _, err := newReader(bytes.NewReader(raw), int64(len(raw)), "", lim); (err == nil) != good {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}
