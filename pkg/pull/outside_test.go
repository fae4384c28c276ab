package pull

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hostile is a registry in this process that answers every manifest, page of referrers and
// blob with one document.
type hostile struct {
	doc, config []byte

	mu    sync.Mutex
	paths []string
}

// RoundTrip implements [http.RoundTripper].
func (h *hostile) RoundTrip(req *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.paths = append(h.paths, req.URL.Path)
	h.mu.Unlock()
	status, body, header := http.StatusOK, h.doc, http.Header{}
	switch path := req.URL.Path; {
	case path == "/v2/":
		body = nil
	case strings.Contains(path, "/blobs/"):
		body = h.config
	case strings.Contains(path, "/referrers/"):
		header.Set("Content-Type", ocispec.MediaTypeImageIndex)
	default:
		header.Set("Content-Type", ocispec.MediaTypeImageManifest)
		header.Set("Docker-Content-Digest", digest.FromBytes(h.doc).String())
		if i := strings.LastIndex(path, "/"); strings.HasPrefix(path[i+1:], "sha256-") {
			status, body = http.StatusNotFound, nil
		}
	}
	if req.Method == http.MethodHead {
		body = nil
	}
	return &http.Response{
		StatusCode: status, Header: header, Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(string(body))), ContentLength: int64(len(body)),
	}, nil
}

// check fails for a request to a path that a document may have chosen.
func (h *hostile) check(t *testing.T) {
	t.Helper()
	for _, path := range h.paths {
		rest, ok := strings.CutPrefix(path, "/v2/a/b/")
		kind, id, _ := strings.Cut(rest, "/")
		if path == "/v2/" || ok && kind == "manifests" && (id == "v1" || strings.HasPrefix(id, "sha256-")) {
			continue
		}
		if !ok || digest.Digest(id).Validate() != nil {
			t.Errorf("request for %q", path)
		}
	}
}

// resolve resolves one image at the registry, with its referrers.
func (h *hostile) resolve(t *testing.T) ([]Resolved, []Failure) {
	t.Helper()
	c, err := New(Options{Platforms: []ocispec.Platform{amd64}, Referrers: true, Transport: h, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	images, failures, err := c.Resolve(t.Context(), refs("registry.example/a/b:v1"))
	if err != nil || len(images)+len(failures) != 1 {
		t.Fatalf("Resolve = %v, %v, %v", images, failures, err)
	}
	return images, failures
}

// FuzzResolve resolves an image of which the registry serves any document, as manifest,
// index, config and list of referrers. No panic, and no request that the document chose.
func FuzzResolve(f *testing.F) {
	config := `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`
	c := digest.FromString(config)
	good := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`, ocispec.MediaTypeImageConfig, c, len(config))
	f.Add([]byte(good), []byte(config))
	for _, d := range []string{"x", ":", "md5:abc", "../../../../api/v4/projects/1/trigger?x=y", "sha512:" + strings.Repeat("0", 128), ""} {
		f.Add([]byte(strings.Replace(good, c.String(), d, 1)), []byte(config))
		f.Add(fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"digest":%q,"size":5},{"digest":%q,"size":5,"platform":{"os":"linux","architecture":"amd64"}}]}`, d, d), []byte(config))
	}
	f.Add([]byte(strings.Replace(good, `"size":`, `"size":-`, 1)), []byte(config))
	f.Add([]byte(good), []byte(`not JSON`))
	f.Add([]byte(good[:len(good)/2]), []byte(`{}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[`+strings.Repeat("{},", 100)+`{}]}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, doc, config []byte) {
		h := &hostile{doc: doc, config: config}
		_, failures := h.resolve(t)
		h.check(t)
		for _, fail := range failures {
			if strings.Contains(fail.Err.Error(), "internal error") {
				t.Error(fail.Err)
			}
		}
	})
}

// TestDocumentMemory: a document of 8 MiB that is only one field costs little more than its
// size while it is read and parsed.
func TestDocumentMemory(t *testing.T) {
	d := `"digest":"` + digest.FromString("x").String() + `","size":5`
	config := `"config":{"mediaType":"` + ocispec.MediaTypeImageConfig + `",` + d
	fill := func(head, one, tail string) []byte {
		n := (maxMetadata - len(head) - len(tail) - len(one)) / len(one)
		return []byte(head + strings.Repeat(one, n) + strings.TrimSuffix(one, ",") + tail)
	}
	for name, doc := range map[string][]byte{
		"entries":     fill(`{"schemaVersion":2,"manifests":[`, `{},`, `]}`),
		"layers":      fill(`{"schemaVersion":2,`+config+`},"layers":[`, `{},`, `]}`),
		"urls":        fill(`{"schemaVersion":2,`+config+`,"urls":[`, `"",`, `]}}`),
		"os.features": fill(`{"schemaVersion":2,"manifests":[{`+d+`,"platform":{"os.features":[`, `"",`, `]}}]}`),
		"annotations": fill(`{"schemaVersion":2,`+config+`},"annotations":{`, `"":"",`, `}}`),
		"data":        fill(`{"schemaVersion":2,`+config+`,"data":"`, `A`, `"}}`),
		"unknown":     fill(`{"schemaVersion":2,`+config+`},"x":[`, `{},`, `]}`),
	} {
		t.Run(name, func(t *testing.T) {
			h := &hostile{doc: doc}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			h.resolve(t)
			runtime.ReadMemStats(&after)
			// Reading grows a buffer up to twice the size of the document.
			if all := (after.TotalAlloc - before.TotalAlloc) >> 20; all > 64 {
				t.Errorf("%d MiB were allocated for a document of %d MiB", all, len(doc)>>20)
			} else {
				t.Logf("%d MiB", all)
			}
		})
	}
}
