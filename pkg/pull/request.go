package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// accept lists the media types of manifests that the client can use. Registries ignore
// their order and send what the tag points to, so that digests in manifests stay valid.
var accept = strings.Join([]string{
	ocispec.MediaTypeImageIndex, string(types.DockerManifestList),
	ocispec.MediaTypeImageManifest, string(types.DockerManifestSchema2),
}, ", ")

// identityEncoding asks for a body as it is: the transport would decompress any other one
// without a bound, and digests are about what was stored.
var identityEncoding = []string{"identity"}

// do sends a request and follows redirects.
func (s *session) do(ctx context.Context, method, url string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header["Accept-Encoding"] = identityEncoding
	client := http.Client{Transport: s, CheckRedirect: checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		return nil, requestError(err)
	}
	return resp, nil
}

// checkRedirect follows a registry to where it keeps its blobs, but never from TLS to
// plain HTTP, except between loopback hosts.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" && !(loopback(req.URL.Host) && loopback(via[0].URL.Host)) {
		return fmt.Errorf("redirect from TLS to %s://%s refused", req.URL.Scheme, req.URL.Host)
	}
	return nil
}

// conn is a session as it is used for one repository.
type conn struct {
	*session
	endpoint
	limits *limits
}

// head asks for the digest behind a tag, or whether a digest exists, without spending a
// pull. name is for errors.
func (r conn) head(ctx context.Context, id, name string) (ocispec.Descriptor, error) {
	r.net.heads.Add(1)
	round := r.limits.round(r.session)
	if r.host != dockerHubHost {
		ctx = withTries(ctx, probeTries) // a GET follows
	}
	resp, err := r.do(ctx, http.MethodHead, r.url(r.scheme(), "manifests", id), http.Header{"Accept": {accept}})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	drain(resp)
	r.limits.noteQuota(r.session, resp.Header)
	switch resp.StatusCode {
	case http.StatusOK:
		d := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
		if d.Validate() == nil {
			r.heads.Store(true)
			return ocispec.Descriptor{MediaType: contentType(resp.Header), Digest: d, Size: max(0, resp.ContentLength)}, nil
		}
		err = fmt.Errorf("%s: registry %s: %w", name, r.host, errNoHeadDigest)
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		err = fmt.Errorf("%s: registry %s: %w", name, r.host, errNoHeadDigest)
	case http.StatusTooManyRequests:
		return ocispec.Descriptor{}, r.limits.reached(r.session, name, resp, round)
	default:
		err = statusError(resp, r.session, name)
	}
	return ocispec.Descriptor{}, &answerError{status: resp.StatusCode, error: err}
}

// get fetches a manifest by tag or digest: the counted request. It returns the header of
// the answer too.
func (r conn) get(ctx context.Context, id, name string) ([]byte, http.Header, error) {
	if err := r.limits.check(r.session, name); err != nil {
		return nil, nil, err
	}
	round := r.limits.round(r.session)
	resp, raw, err := r.net.document(ctx, maxMetadata, func() (*http.Response, error) {
		resp, err := r.do(ctx, http.MethodGet, r.url(r.scheme(), "manifests", id), http.Header{"Accept": {accept}})
		if err != nil {
			return nil, err
		}
		r.limits.noteQuota(r.session, resp.Header)
		switch resp.StatusCode {
		case http.StatusOK:
			r.net.gets.Add(1) // Docker Hub does not count requests that are refused or find nothing either
			return resp, nil
		case http.StatusTooManyRequests:
			defer drain(resp)
			return nil, r.limits.reached(r.session, name, resp, round)
		}
		return nil, statusError(resp, r.session, name)
	})
	if err != nil && resp != nil {
		err = fmt.Errorf("%s: manifest from %s: %w", name, r.host, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if page := asPage(resp.Header, raw); page != nil {
		page.Name, page.By, page.Want = name, r.party(resp), "manifest"
		return nil, nil, page
	}
	r.gets.Store(true)
	return raw, resp.Header, nil
}

// getDigest fetches a manifest by digest and verifies it.
func (r conn) getDigest(ctx context.Context, d digest.Digest, name string) ([]byte, error) {
	raw, _, err := r.get(ctx, d.String(), name)
	if err != nil {
		var missing *NotFoundError
		if errors.As(err, &missing) {
			missing.Digest = d
		}
		return nil, err
	}
	if got := d.Algorithm().FromBytes(raw); got != d {
		return nil, &ContentError{Host: r.host, Name: name, Err: fmt.Errorf("manifest %s has digest %s", d, got)}
	}
	return raw, r.checkMirror(raw, name)
}

// checkMirror refuses what a mirror sent if it cannot be a manifest: another endpoint may
// have the image.
func (r conn) checkMirror(raw []byte, name string) error {
	if r.origin == "" || json.Valid(raw) {
		return nil
	}
	return &ContentError{Host: r.host, Name: name, Err: errors.New("the manifest is not JSON")}
}

// getTag fetches a manifest by tag and verifies it as far as the registry allows. useHead
// reports whether the registry answers HEAD correctly.
func (r conn) getTag(ctx context.Context, tag, name string, useHead bool) ([]byte, string, error) {
	raw, header, err := r.get(ctx, tag, name)
	if err != nil {
		return nil, "", err
	}
	if err := r.checkMirror(raw, name); err != nil {
		return nil, "", err
	}
	return raw, contentType(header), r.verify(ctx, digest.FromBytes(raw), header, useHead, name)
}

// verify checks the digest of a manifest that was fetched by tag: against the digest in
// the header or, without one or with another one, by asking whether the registry has a
// manifest with this digest. A registry that answers neither is trusted.
func (r conn) verify(ctx context.Context, got digest.Digest, header http.Header, useHead bool, name string) error {
	stated := digest.Digest(header.Get("Docker-Content-Digest"))
	if stated.Validate() == nil && stated.Algorithm() == digest.SHA256 {
		if stated == got {
			return nil
		}
		// Some registries state a wrong digest, so it may be the header that is wrong: the
		// bytes are right if the registry has a manifest with their digest.
		if _, err := r.getDigest(ctx, got, name); err != nil {
			return &ContentError{Host: r.host, Name: name, Err: fmt.Errorf("manifest %s has digest %s", stated, got)}
		}
		return nil
	}
	if !useHead {
		return nil
	}
	if _, err := r.head(ctx, got.String(), name); isNotFound(err) {
		return &ContentError{Host: r.host, Name: name, Err: fmt.Errorf("the registry does not know the digest %s of the manifest it sent", got)}
	}
	return nil
}

// contentType returns the media type of an answer without parameters, which some servers
// add.
func contentType(h http.Header) string {
	mt, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(mt))
}

// readLimited reads the body of an answer; more than limit bytes are an error. A stated
// length spares the copies of a buffer that grows.
func readLimited(resp *http.Response, limit int64) ([]byte, error) {
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= limit {
		b.Grow(int(n) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(b.Len()) > limit {
		err = errTooLarge
	}
	return b.Bytes(), err
}
