package pull

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-5", "99999999999999999999", "1767225600", "Sun, 01 Mar 2026 12:00:30 GMT", "880.092µs, allowed: 44000/minute", "2562047h47m16.854775807s", "9223372036", "1000000000"} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		d := retryAfter(http.Header{"Retry-After": {s}}, now)
		if d < 0 {
			t.Errorf("retryAfter(%q) = %v", s, d)
		}
		if b := backoff(0, d); b <= 0 || d == 0 && b > maxDelay {
			t.Errorf("backoff of it: %v", b)
		}
	})
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 10-99/100", "bytes 0-0/1", "bytes */100", "bytes 10-99/*", "bytes 10-9/100", "bytes -5-9/100", "10-99/100", "bytes 0-100/100", "bytes 99-99/100"} {
		f.Add(s, int64(100))
	}
	f.Fuzz(func(t *testing.T, s string, size int64) {
		if n := rangeStart(s, size); n < -1 || n >= 0 && n >= size {
			t.Errorf("rangeStart(%q, %d) = %d", s, size, n)
		}
	})
}

func FuzzQuota(f *testing.F) {
	f.Add("100;w=21600", "76;w=21600", "192.0.2.7")
	f.Add("100", "0", "")
	f.Add("-1", "5;w=-3", "\x1b[2J")
	f.Add("5;w=99999999999;w=7", " 3 ; w=1", "\u202e")
	f.Fuzz(func(t *testing.T, limit, remaining, source string) {
		h := http.Header{"Ratelimit-Limit": {limit}, "Ratelimit-Remaining": {remaining}, "Docker-Ratelimit-Source": {source}}
		q, ok := readQuota(h)
		if ok && (q.Limit < 0 || q.Remaining < 0 || q.Window < 0 || !q.Known) {
			t.Errorf("readQuota = %+v", q)
		}
		if d := probeAfter(0, q.Window); d < minProbe || d > maxProbe {
			t.Errorf("probeAfter of %v = %v", q.Window, d)
		}
		checkLine(t, q.Subject)
	})
}

func FuzzLink(f *testing.F) {
	for _, s := range []string{`</v2/a?last=x>; rel="next"`, `<?n=1>; rel=next`, `<https://evil.example/>; rel="next"`, `</a>; rel="first", </b>; rel="next"`, `<>;rel=next`, `<//evil.example/v2>; rel=next`, `>;rel=next`} {
		f.Add(s)
	}
	at := &url.URL{Scheme: "https", Host: "registry.example", Path: "/v2/a/b/referrers/sha256:00"}
	f.Fuzz(func(t *testing.T, s string) {
		next := nextPage(http.Header{"Link": {s}}, at)
		if next != "" && !strings.HasPrefix(next, "https://registry.example") {
			t.Errorf("nextPage(%q) = %q", s, next)
		}
		if u, err := url.Parse(next); err != nil || next != "" && u.Host != at.Host {
			t.Errorf("nextPage(%q) = %q, %v", s, next, err)
		}
	})
}

func FuzzWarning(f *testing.F) {
	f.Add(`299 - "text"`)
	f.Add(`299 - "say \"pull\" no more"`)
	f.Add("299 - \"\x1b[2J\u202e\"")
	f.Fuzz(func(t *testing.T, s string) {
		text, ok := warning(s)
		if ok == (text == "") {
			t.Errorf("warning(%q) = %q, %v", s, text, ok)
		}
		checkLine(t, text)
	})
}

// checkLine fails unless s is one line that is safe to print on a terminal.
func checkLine(t *testing.T, s string) {
	t.Helper()
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) || len([]rune(s)) > 301 {
		t.Errorf("not fit to print: %q", s)
	}
}

// one returns the same manifest and config for every digest.
type one struct{ doc, config []byte }

var configDigest = digest.FromString("config")

func (o one) Metadata(d digest.Digest) ([]byte, error) {
	if d == configDigest {
		return o.config, nil
	}
	return o.doc, nil
}

func (o one) AddMetadata(raw []byte) (digest.Digest, error) { return digest.FromBytes(raw), nil }

// FuzzManifest walks a hostile manifest or index. The same bytes are at every digest, so
// that an index contains itself.
func FuzzManifest(f *testing.F) {
	d := `"digest":"` + configDigest.String() + `","size":3`
	for _, s := range []string{
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",` + d + `},"layers":[]}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:` + strings.Repeat("0", 64) + `","size":1}]}`,
		`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",` + d + `,"platform":{"os":"linux","architecture":"amd64"}},{"platform":null}]}`,
		`{"schemaVersion":1,"fsLayers":[]}`, `{"schemaVersion":2,"config":{}}`, `{}`, `[]`, `null`, ``, `{"manifests":[{}]}`, `{"manifests":null,"config":null}`,
	} {
		f.Add([]byte(s), []byte(`{"os":"linux","architecture":"amd64"}`), false)
	}
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",`+d+`}}`), []byte(`{"os":"windows","os.version":"10"}`), true)
	f.Fuzz(func(t *testing.T, doc, config []byte, all bool) {
		c, err := New(Options{Platforms: []ocispec.Platform{amd64}, All: all, Metadata: one{doc, config}, Transport: nowhere{}, Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		c.net.sleep = func(context.Context, time.Duration) error { return context.Canceled }
		name := "registry.example/a/b@sha256:" + strings.Repeat("1", 64)
		images, failures, err := c.Resolve(t.Context(), refs(name))
		if err != nil || len(images)+len(failures) != 1 {
			t.Fatalf("%v, %v, %v", images, failures, err)
		}
		for _, fail := range failures {
			if strings.ContainsAny(fail.Err.Error(), "\n\r\x1b") {
				t.Errorf("error %q", fail.Err)
			}
		}
		for _, img := range images {
			if len(img.Present) == 0 || img.Present[0].Digest != img.Target.Digest || !json.Valid(doc) {
				t.Errorf("image %+v of %q", img, doc)
			}
		}
		c.estimate(c.targets(refs(name)))
	})
}

// nowhere is a network without hosts.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, context.Canceled }
