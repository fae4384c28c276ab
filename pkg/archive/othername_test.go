package archive

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Other programs, containerd among them, write names that a bundle does not have.
func TestOtherNames(t *testing.T) {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 300))
	d := m.Digest.String()
	for _, tc := range []struct {
		about, image, ref string
		want              string // "" for a nameless image
	}{
		{"as a bundle has it", "docker.io/library/a:1", "1", "docker.io/library/a:1"},
		{"tag and digest, as ctr exports an image pulled by both", "r.test/a:1@" + d, "1", "r.test/a@" + d},
		{"a digest", "r.test/a@" + d, "", "r.test/a@" + d},
		{"short", "acme/a:1", "", "docker.io/acme/a:1"},
		{"without a tag", "busybox", "", "docker.io/library/busybox:latest"},
		{"the ID of an image, a name of the CRI plugin", digest.FromString("config").String(), "", ""},
		{"no name", "", "", ""},
		{"skopeo with a tag only", "", "1.0", ""},
		{"a tag that is a word", "", "latest", ""},
		{"skopeo with a short name", "", "acme/a:1", "docker.io/acme/a:1"},
		{"podman", "", "localhost/a:1", "localhost/a:1"},
		{"no reference at all", "", "http://x", ""},
	} {
		x := m
		x.Annotations = map[string]string{}
		if tc.image != "" {
			x.Annotations[byContainerd] = tc.image
		}
		if tc.ref != "" {
			x.Annotations[byLayout] = tc.ref
		}
		r := open(t, pack(s.layoutOf("", x)...))
		var got string
		for _, img := range r.Images() {
			got += img.Name
		}
		if got != tc.want || (got == "") != (len(r.Nameless()) == 1) {
			t.Errorf("%s: name %q, want %q; nameless %v", tc.about, got, tc.want, r.Nameless())
		}
	}
}

// One image under several forms of one name is one name.
func TestOtherNamesOfOneImage(t *testing.T) {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 300))
	by := "r.test/a@" + m.Digest.String()
	r := open(t, pack(s.layoutOf("", annotated(m, byContainerd, by), annotated(m, byContainerd, "r.test/a:1@"+m.Digest.String()))...))
	if n := r.Images(); len(n) != 1 || n[0].Name != by {
		t.Errorf("images: %v", n)
	}
}

func TestAddNames(t *testing.T) {
	s := newStore()
	one, two := s.Manifest(amd64, s.Layer(1, 300)), s.Manifest(amd64, s.Layer(2, 300))
	tags := func(list ...ocispec.Descriptor) []item { return s.layoutOf("", list...) }
	first, second := annotated(one, byLayout, "1.0"), annotated(two, byLayout, "2.0")
	for _, tc := range []struct {
		about string
		items []item
		names map[digest.Digest]string
		want  []string
		err   string
	}{
		{"the only one", tags(one), map[digest.Digest]string{"": "acme/a:1"}, []string{"docker.io/acme/a:1"}, ""},
		{"by its digest", tags(one, two), map[digest.Digest]string{two.Digest: "acme/a"}, []string{"docker.io/acme/a:latest"}, ""},
		{"by the tags", tags(first, second), map[digest.Digest]string{"": "acme/a"}, []string{"docker.io/acme/a:1.0", "docker.io/acme/a:2.0"}, ""},
		{"another tag", tags(first), map[digest.Digest]string{"": "acme/a:9"}, []string{"docker.io/acme/a:9"}, ""},
		{"tag and digest", tags(one), map[digest.Digest]string{"": "a:1@" + one.Digest.String()},
			[]string{"docker.io/library/a:1", "docker.io/library/a@" + one.Digest.String()}, ""},
		{"one for two", tags(one, two), map[digest.Digest]string{"": "acme/a:1"}, nil, "2 images without a name"},
		{"the digest of another", tags(one), map[digest.Digest]string{"": "a@" + two.Digest.String()}, nil, "the image is " + one.Digest.String()},
		{"of one that is not there", tags(one), map[digest.Digest]string{two.Digest: "a"}, nil, "no image " + two.Digest.String()},
		{"no name", tags(one), map[digest.Digest]string{"": "A B"}, nil, "invalid reference"},
		{"of a file that has names", tags(annotated(one, byContainerd, "r.test/a:1")), map[digest.Digest]string{"": "a"}, nil, "no image without a name"},
		{"one that is taken", tags(annotated(one, byContainerd, "r.test/a:1"), two), map[digest.Digest]string{"": "r.test/a:1"}, nil, "has an image of this name"},
	} {
		r := open(t, pack(tc.items...))
		err := r.AddNames(tc.names)
		var bad *NameError
		if (err == nil) != (tc.err == "") || err != nil && (!errors.As(err, &bad) || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %v, want %q", tc.about, err, tc.err)
		}
		if err != nil {
			continue
		}
		var got []string
		for _, img := range r.Images() {
			got = append(got, img.Name)
			if len(img.Present) != 1 {
				t.Errorf("%s: present %v", tc.about, img.Present)
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: names (-want +got):\n%s", tc.about, d)
		}
	}
}
