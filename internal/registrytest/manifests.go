package registrytest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// rawSuffix ends the content types of the manifests that [Registry.AddRaw] adds.
// go-containerregistry refuses an index whose children it lacks, and this one must be able
// to have such an index. Clients never see the suffix.
const rawSuffix = "; raw"

// recorder is an http.ResponseWriter that records. Manifests are fetched into it, because
// go-containerregistry holds its lock during a response, and ours may stall.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (m *recorder) Header() http.Header { return m.header }
func (m *recorder) WriteHeader(status int) {
	if m.status == 0 {
		m.status = status
	}
}

func (m *recorder) Write(p []byte) (int, error) {
	m.WriteHeader(http.StatusOK)
	return m.body.Write(p)
}

// do sends a request to go-containerregistry's registry.
func (reg *Registry) do(method, path, contentType string, body []byte) (*recorder, error) {
	r, err := http.NewRequest(method, path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	r.Header.Set("Content-Type", contentType)
	m := &recorder{header: http.Header{}}
	reg.storage.ServeHTTP(m, r)
	m.header.Set("Content-Type", strings.TrimSuffix(m.header.Get("Content-Type"), rawSuffix))
	if m.status >= 400 {
		return m, fmt.Errorf("%s %s: %d %s", method, path, m.status, bytes.TrimSpace(m.body.Bytes()))
	}
	return m, nil
}

// serveManifest answers GET and HEAD of a manifest (distribution-spec 1.1, "Pulling
// manifests").
func (x *exchange) serveManifest() {
	get := x.r.Method == http.MethodGet
	if status := faultValue(x, func(f *Faults) int { return f.HeadStatus }); status != 0 && !get {
		x.fail(status, x.code(status), http.StatusText(status))
		return
	}
	x.registry.applyMove(x.target)
	m, err := x.registry.do(http.MethodGet, x.r.URL.Path, "", nil)
	if err != nil {
		x.send(m.status, "application/json", m.body.Bytes())
		return
	}
	if !x.countPull(get) {
		return
	}
	body := m.body.Bytes()
	if get && x.fault(func(f *Faults) bool { return f.Corrupt.use() }) {
		x.note(func(e *Entry) { e.Note = "corrupt" })
		body = slices.Clone(body)
		flip(body, 0, int64(len(body)))
	}
	x.setHeaders(m.header.Get("Content-Type"), m.header.Get("Docker-Content-Digest"), int64(len(body)))
	x.WriteHeader(http.StatusOK)
	x.body(body)
}

// setHeaders sets the headers that manifests and blobs have in common.
func (x *exchange) setHeaders(contentType, digest string, length int64) {
	x.Header().Set("Content-Type", contentType)
	if faultValue(x, func(f *Faults) bool { return f.WrongDigest }) {
		digest = "sha256:" + strings.Repeat("0", 64)
	}
	if !faultValue(x, func(f *Faults) bool { return f.NoDigest }) {
		x.Header().Set("Docker-Content-Digest", digest)
	}
	x.length = length
	head := x.r.Method == http.MethodHead
	if head || !faultValue(x, func(f *Faults) bool { return f.NoLength }) {
		x.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
}

// flip changes one bit of p, which is at offset off in content of the given size: the
// lowest bit of the byte in the middle of the content, if p contains it.
func flip(p []byte, off, size int64) {
	if at := size/2 - off; at >= 0 && at < int64(len(p)) {
		p[at] ^= 1
	}
}

// serveReferrers answers the referrers API (distribution-spec 1.1, "Listing Referrers")
// with go-containerregistry's list: sorted, filtered, and with artifact types.
func (x *exchange) serveReferrers() {
	if faultValue(x, func(f *Faults) bool { return f.NoReferrers }) {
		x.fail(http.StatusNotFound, "NOT_FOUND", "404 page not found")
		return
	}
	m, err := x.registry.do(http.MethodGet, x.r.URL.Path, "", nil)
	if err != nil {
		x.send(m.status, "application/json", m.body.Bytes())
		return
	}
	var list ocispec.Index
	if err := json.Unmarshal(m.body.Bytes(), &list); err != nil {
		x.fail(http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	for i := range list.Manifests {
		x.registry.completeReferrer(x.target.repo, &list.Manifests[i])
	}
	if want := x.r.URL.Query().Get("artifactType"); want != "" {
		list.Manifests = slices.DeleteFunc(list.Manifests, func(d ocispec.Descriptor) bool { return d.ArtifactType != want })
		x.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	slices.SortFunc(list.Manifests, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	body, err := json.Marshal(list)
	if err != nil {
		x.fail(http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	x.send(http.StatusOK, ocispec.MediaTypeImageIndex, body)
}

// completeReferrer completes the descriptor of a referrer from its manifest:
// go-containerregistry uses the config's media type, but the artifactType field has
// precedence.
func (reg *Registry) completeReferrer(repo string, d *ocispec.Descriptor) {
	d.MediaType = strings.TrimSuffix(d.MediaType, rawSuffix)
	raw, err := reg.Manifest(repo, d.Digest.String())
	if err != nil {
		return // deleted since it was listed
	}
	var doc struct {
		ArtifactType string `json:"artifactType"`
	}
	if json.Unmarshal(raw, &doc) == nil && doc.ArtifactType != "" {
		d.ArtifactType = doc.ArtifactType
	}
}
