package bundle

import (
	"slices"
	"testing"
)

// TestDigestsUnderOneTag: a digest makes a reference its own, so references that differ in
// their digests only are all in the bundle. The tag is in it for the reference without a
// digest, or when all agree on its digest.
func TestDigestsUnderOneTag(t *testing.T) {
	s := newSite(t)
	a := s.add("moved", "v1", 5, "linux/amd64").Digest.String()
	b := s.add("moved", "v1", 6, "linux/amd64").Digest.String()
	for _, test := range []struct {
		name      string
		ask, want []string
	}{
		{name: "one digest", ask: []string{"moved:v1@" + a}, want: []string{"moved:v1=" + a, "moved@" + a + "=" + a}},
		{name: "two digests", ask: []string{"moved:v1@" + a, "moved:v1@" + b}, want: []string{"moved@" + a + "=" + a, "moved@" + b + "=" + b}},
		{name: "tag and older digest", ask: []string{"moved:v1", "moved:v1@" + a}, want: []string{"moved:v1=" + b, "moved@" + a + "=" + a}},
		{name: "older digest and tag", ask: []string{"moved:v1@" + a, "moved:v1"}, want: []string{"moved:v1=" + b, "moved@" + a + "=" + a}},
		{name: "all three", ask: []string{"moved:v1@" + b, "moved:v1", "moved:v1@" + a}, want: []string{"moved:v1=" + b, "moved@" + a + "=" + a, "moved@" + b + "=" + b}},
		{name: "two tags of one digest", ask: []string{"moved:v0@" + a, "moved:v1@" + a}, want: []string{"moved:v0=" + a, "moved:v1=" + a, "moved@" + a + "=" + a}},
		{name: "default tag", ask: []string{"moved@" + a, "moved:v1@" + b}, want: []string{"moved:v1=" + b, "moved@" + a + "=" + a, "moved@" + b + "=" + b}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := s.make(s.request("out.tar", test.ask...), Options{})
			var got []string
			for i, name := range s.names(r) {
				got = append(got, name+"="+r.Images[i].Target.Digest.String())
			}
			slices.Sort(got)
			slices.Sort(test.want)
			s.want("names and targets", got, test.want)
			s.verify("out.tar")
		})
	}
}

// TestLostDigestUnderTag: an image that is skipped takes no other name with it.
func TestLostDigestUnderTag(t *testing.T) {
	s := newSite(t)
	const lost = "@sha256:2222222222222222222222222222222222222222222222222222222222222222"
	r := s.make(s.request("out.tar", "app:v1", "?app:v1"+lost, "other:v1"), Options{})
	s.want("names", s.names(r), []string{"app:v1", "other:v1", "-app:v1" + lost})
}
