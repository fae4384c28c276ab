package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// accept names what we can use. Indexes come first in no sense the registry knows: it sends
// what the tag is, so that digests written in manifests stay valid.
var accept = strings.Join([]string{
	ocispec.MediaTypeImageIndex, string(types.DockerManifestList),
	ocispec.MediaTypeImageManifest, string(types.DockerManifestSchema2),
}, ", ")

func (c *Client) do(ctx context.Context, s *session, method, url string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	client := http.Client{Transport: s, CheckRedirect: checkRedirect}
	return client.Do(req)
}

// checkRedirect follows a registry to where it keeps its blobs, but never from TLS to plain
// HTTP; on this machine that is no matter.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" && !(loopback(req.URL.Host) && loopback(via[0].URL.Host)) {
		return fmt.Errorf("redirect from TLS to %s://%s refused", req.URL.Scheme, req.URL.Host)
	}
	return nil
}

// headTag asks for the digest behind a tag, or whether a digest is there, without spending a
// pull.
func (c *Client) headTag(ctx context.Context, s *session, e endpoint, tag, name string) (ocispec.Descriptor, error) {
	c.heads.Add(1)
	round := c.round(s)
	resp, err := c.do(ctx, s, http.MethodHead, e.url(s.scheme(), "manifests", tag), http.Header{"Accept": {accept}})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	drain(resp)
	c.noteQuota(s, resp.Header)
	switch resp.StatusCode {
	case http.StatusOK:
		d := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
		if d.Validate() == nil {
			s.heads.Store(true)
			return ocispec.Descriptor{MediaType: contentType(resp.Header), Digest: d, Size: max(0, resp.ContentLength)}, nil
		}
		return ocispec.Descriptor{}, fmt.Errorf("%s: registry %s: %w", name, e.host, errNoHeadDigest)
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return ocispec.Descriptor{}, fmt.Errorf("%s: registry %s: %w", name, e.host, errNoHeadDigest)
	case http.StatusTooManyRequests:
		return ocispec.Descriptor{}, c.limit(s, name, resp, round)
	}
	return ocispec.Descriptor{}, statusError(resp, s, name)
}

// resolveTag is headTag for the name asked for. A registry that does not answer HEAD
// properly is asked by GET once, and its answer kept; Docker Hub does answer it.
func (c *Client) resolveTag(ctx context.Context, s *session, e endpoint, t *target) (ocispec.Descriptor, error) {
	tag := tagOf(t.named)
	desc, err := c.headTag(ctx, s, e, tag, t.Name)
	if err == nil || t.headOnly || e.host == registryHost || !isNotFound(err) && !errors.Is(err, errNoHeadDigest) {
		return desc, err
	}
	heads := !isNotFound(err) // what is not there by HEAD, and is by GET, says nothing about others
	if err := c.stopped(s, t.Name); err != nil {
		return desc, err
	}
	raw, header, err := c.get(ctx, s, e, tag, t.Name)
	if err != nil {
		return desc, err
	}
	if err := c.vouched(ctx, s, e, digest.FromBytes(raw), header, heads, t.Name); err != nil {
		return desc, err
	}
	d, err := c.docs.AddDocument(raw)
	return ocispec.Descriptor{MediaType: contentType(header), Digest: d, Size: int64(len(raw))}, err
}

// vouched checks a manifest that was got by tag, where no digest was asked for: against the
// one the answer names or, when it names none and HEAD is of use, by asking whether the
// registry has a manifest with the digest of what came. A registry that answers neither is
// taken at its word.
func (c *Client) vouched(ctx context.Context, s *session, e endpoint, got digest.Digest, header http.Header, heads bool, name string) error {
	said := digest.Digest(header.Get("Docker-Content-Digest"))
	if said.Validate() == nil && said.Algorithm() == digest.SHA256 {
		if said != got {
			return &ContentError{Host: e.host, Name: name, Err: fmt.Errorf("manifest %s has digest %s", said, got)}
		}
		return nil
	}
	if !heads {
		return nil
	}
	if _, err := c.headTag(ctx, s, e, got.String(), name); isNotFound(err) {
		return &ContentError{Host: e.host, Name: name, Err: fmt.Errorf("the manifest that came has digest %s, which the registry does not know", got)}
	}
	return nil
}

// get is the counted request. It gives the header of the answer, too.
func (c *Client) get(ctx context.Context, s *session, e endpoint, id, name string) ([]byte, http.Header, error) {
	round := c.round(s)
	resp, err := c.do(ctx, s, http.MethodGet, e.url(s.scheme(), "manifests", id), http.Header{"Accept": {accept}})
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	c.noteQuota(s, resp.Header)
	if resp.StatusCode == http.StatusTooManyRequests {
		return nil, nil, c.limit(s, name, resp, round)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, statusError(resp, s, name)
	}
	s.gets.Store(true)
	c.gets.Add(1) // what is refused or not there does not count at Docker Hub either
	raw, err := readLimited(resp.Body, MaxDocument)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: manifest from %s: %w", name, e.host, err)
	}
	return raw, resp.Header, nil
}

// contentType is the media type of an answer without parameters, which some servers add.
func contentType(h http.Header) string {
	mt, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(mt))
}

// readLimited reads at most max bytes and fails on more.
func readLimited(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(b)) > max {
		err = errTooLarge
	}
	return b, err
}
