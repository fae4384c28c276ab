package serve

import (
	"errors"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
)

// Options are the options of [New]. The zero value is usable.
type Options struct {
	// OnRequest, if not nil, is called after each request, from several goroutines.
	OnRequest func(Request)
}

// A Request is one request and its answer. Its texts come from the client.
type Request struct {
	Remote   string // address of the client
	Method   string
	URI      string
	Status   int
	Bytes    int64 // of the body, as far as it was sent
	Duration time.Duration

	// Err is the error of the source: it failed, or it lacks a blob that a manifest of it
	// may have named. It is nil for any other answer.
	Err error
}

// New returns the handler of the registry protocol for a source. It may be called from many
// goroutines.
func New(s Source, o Options) http.Handler { return &handler{s, o} }

type handler struct {
	source  Source
	options Options
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w), head: r.Method == http.MethodHead, status: http.StatusOK}
	if h.options.OnRequest != nil {
		defer func() {
			h.options.OnRequest(Request{r.RemoteAddr, r.Method, r.RequestURI, a.status, a.sent, time.Since(start), a.err})
		}()
	}
	a.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	a.Header().Set("X-Content-Type-Options", "nosniff")
	if r.ContentLength != 0 {
		a.Header().Set("Connection", "close") // rather than wait for a body that is not read
	}
	if f := h.serve(a, r); f != nil {
		a.err = f.err
		f.write(a)
	}
}

// serve answers a request or returns why it cannot.
func (h *handler) serve(w *answer, r *http.Request) *failure {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		f := failed(codeUnsupported, "this registry is read-only")
		f.status = http.StatusMethodNotAllowed
		return f
	}
	t, f := parsePath(r.URL.Path)
	if f != nil {
		return f
	}
	repo := named(r.URL.Query().Get("ns"), t.path)
	if repo.registry != "" && (len(repo.registry) > maxName || !registryPattern().MatchString(repo.registry)) {
		return failed(codeNameInvalid, "ns is not the name of a registry")
	}
	switch t.kind {
	case kindBase:
		w.json(map[string]string{})
		return nil
	case kindManifest:
		return h.serveManifest(w, r, repo, t)
	case kindBlob:
		return h.serveBlob(w, r, t.digest)
	case kindTags:
		return h.serveTags(w, r, repo, t.path)
	case kindReferrers:
		return h.serveReferrers(w, r, t.digest)
	}
	return failed(codeUnsupported, "no such path")
}

// serveManifest answers with a manifest or an index.
func (h *handler) serveManifest(w *answer, r *http.Request, repo repository, t target) *failure {
	d := t.digest
	if t.tag != "" {
		var f *failure
		if d, f = h.resolve(r.Context(), repo, t.tag); f != nil {
			return f
		}
	}
	m, err := readManifest(r.Context(), h.source, d)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, errNotManifest):
		return failed(codeManifestUnknown, "no such manifest")
	case err != nil:
		return broken(err)
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.content(r, d, bytesBlob{m.raw})
	return nil
}

// serveBlob answers with a blob or a range of it.
func (h *handler) serveBlob(w *answer, r *http.Request, d digest.Digest) *failure {
	b, err := h.source.Open(r.Context(), d)
	switch {
	case errors.Is(err, ErrNotFound):
		f := failed(codeBlobUnknown, "no such blob")
		f.err = err
		return f
	case err != nil:
		return broken(err)
	}
	defer b.Close() // only read from
	w.Header().Set("Content-Type", "application/octet-stream")
	w.content(r, d, b)
	return nil
}
