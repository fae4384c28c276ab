package report

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/clitest"
	"stowage/pkg/archive"
)

// contents returns a bundle with an image, a referrer, a layer and a skipped image for each
// text.
func contents(texts []string) *archive.Summary {
	d := digest.FromString("x")
	s := &archive.Summary{Digest: d, Base: d, Size: 3_000_000, Blobs: 7, SavedSize: 12, Omitted: 1, OmitSize: 10, Unnamed: 1}
	for i, text := range texts {
		shared := archive.LayerSummary{Digest: d, Size: 5_000_000, Images: len(texts)}
		own := archive.LayerSummary{Digest: digest.Digest(text + "?"), Size: int64(1000 * (i + 1)), Images: 1, Omitted: i%7 == 0}
		s.Images = append(s.Images, archive.ImageSummary{
			Names: []string{text, text}, Digest: digest.Digest(text), Size: 2000, OwnSize: 1000,
			Manifests: []archive.ManifestSummary{{Platform: text, Layers: []archive.LayerSummary{shared, own}}, {ArtifactType: text}},
			Referrers: []archive.ReferrerSummary{{ArtifactType: text, Size: 1}},
		})
		s.Skipped = append(s.Skipped, archive.Skipped{Name: text, Reason: text, Platforms: text})
	}
	return s
}

func htmlOf(t *testing.T, file string, s *archive.Summary) string {
	t.Helper()
	var b strings.Builder
	if err := HTML(&b, file, s, func(r archive.ReferrerSummary) string { return r.ArtifactType }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHTML compares pages with golden files.
func TestHTML(t *testing.T) {
	clitest.Golden(t, "testdata/html", map[string]string{
		"bundle.html": htmlOf(t, "calico.tar", contents([]string{"docker.io/calico/cni:v3.28.0", "quay.io/" + strings.Repeat("long/", 12) + "name:v1"})),
		"empty.html":  htmlOf(t, "empty.tar", &archive.Summary{Digest: digest.FromString("x")}),
	})
}

// TestHTMLHostile checks that no text from outside adds a tag or an attribute, and that the
// page loads nothing.
func TestHTMLHostile(t *testing.T) {
	var texts, plain []string
	for _, text := range append(hostile, `" onload="alert(1)`, "' x='", "</title>", "</style>", "-->", "]]>", "</svg>", "{{.}}", "javascript:alert(1)") {
		if text != "" { // an image has a name
			texts, plain = append(texts, text), append(plain, strings.Repeat("x", len(plain)+1))
		}
	}
	tag := regexp.MustCompile(`(?s)<[A-Za-z/!?][^>]*>`)
	page := htmlOf(t, "</title><script>.tar", contents(texts))
	if diff := cmp.Diff(tag.FindAllString(htmlOf(t, "x", contents(plain)), -1), tag.FindAllString(page, -1)); diff != "" {
		t.Errorf("tags of harmless (-) and hostile (+) names:\n%s", diff)
	}
	for _, tag := range tag.FindAllString(page, -1) {
		if regexp.MustCompile(`(?i)<(script|link|img|iframe|object|embed|base|form|a)\b|\s(src|href|on[a-z]+)=`).MatchString(tag) {
			t.Errorf("tag %s", tag)
		}
	}
	if strings.ContainsAny(page, "\x00\x1b\u202e\u2028\ufffd") || strings.Contains(page, "@import") || strings.Contains(page, "url(") {
		t.Error("the page has a control character or an import")
	}
}
