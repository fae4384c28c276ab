package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/pull/account"
)

// accept names what we can use. Indexes come first in no sense the registry knows: it sends
// what the tag is, so that digests written in manifests stay valid.
var accept = strings.Join([]string{
	ocispec.MediaTypeImageIndex, string(types.DockerManifestList),
	ocispec.MediaTypeImageManifest, string(types.DockerManifestSchema2),
}, ", ")

// accounts to try at an endpoint, best first; a single nil means anonymous.
func (c *Client) accounts(ctx context.Context, e endpoint, secrets []string) ([]*account.Account, error) {
	if c.opts.Accounts == nil {
		return []*account.Account{nil}, nil
	}
	found, err := c.opts.Accounts.For(ctx, e.repository(), secrets)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return []*account.Account{nil}, nil
	}
	out := make([]*account.Account, len(found))
	for i := range found {
		out[i] = &found[i]
	}
	return out, nil
}

// asAccounts runs fn with the accounts of an endpoint until one is not refused, as the
// kubelet does. Docker Hub locks an account after some wrong passwords, so there the first
// refusal is the last (docker/hub-feedback 2201). Anonymous is never tried after a refusal.
func (c *Client) asAccounts(ctx context.Context, e endpoint, secrets []string, fn func(*session, endpoint) error) error {
	accounts, err := c.accounts(ctx, e, secrets)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		var s *session
		if s, err = c.session(ctx, e, a); err == nil {
			err = fn(s, e)
		}
		if err == nil || !isAuth(err) || e.host == hubHost {
			return err
		}
	}
	return err
}

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

// checkRedirect follows a registry to where it keeps its blobs, but never from TLS to plain HTTP.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" && !loopback(req.URL.Host) {
		return fmt.Errorf("redirect from TLS to %s://%s refused", req.URL.Scheme, req.URL.Host)
	}
	return nil
}

// head asks for a tag's digest without spending a pull. A registry that does not answer
// HEAD properly is asked by GET once, and its answer kept.
func (c *Client) head(ctx context.Context, s *session, e endpoint, t *target) (ocispec.Descriptor, error) {
	tag := tagOf(t.named)
	c.heads.Add(1)
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
			return ocispec.Descriptor{MediaType: resp.Header.Get("Content-Type"), Digest: d, Size: resp.ContentLength}, nil
		}
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
	case http.StatusTooManyRequests:
		return ocispec.Descriptor{}, c.limit(s, t.ref.Name, resp)
	default:
		return ocispec.Descriptor{}, statusError(resp, s, t.ref.Name)
	}
	raw, mt, err := c.get(ctx, s, e, tag, t.ref.Name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d, err := c.docs.AddDocument(raw)
	return ocispec.Descriptor{MediaType: mt, Digest: d, Size: int64(len(raw))}, err
}

// document returns a manifest or index, from what is held or from the registry; several
// images that need the same one wait for a single request.
func (c *Client) document(ctx context.Context, t *target, desc ocispec.Descriptor) ([]byte, error) {
	if raw, err := c.docs.Document(desc.Digest); err == nil {
		return raw, nil
	}
	if len(desc.Data) > 0 && digest.FromBytes(desc.Data) == desc.Digest {
		_, err := c.docs.AddDocument(desc.Data)
		return desc.Data, err
	}
	v, err, _ := c.flight.Do(desc.Digest.String(), func() (any, error) {
		if raw, err := c.docs.Document(desc.Digest); err == nil {
			return raw, nil
		}
		var raw []byte
		err := c.each(ctx, t.named, t.ref.Secrets, func(s *session, e endpoint) (err error) {
			if err = c.stopped(s, t.ref.Name); err != nil {
				return err
			}
			raw, err = c.verified(ctx, s, e, desc.Digest, t.ref.Name)
			return err
		})
		if err != nil {
			return nil, err
		}
		_, err = c.docs.AddDocument(raw)
		return raw, err
	})
	if err != nil {
		return nil, err
	}
	return v.([]byte), nil
}

// verified gets a manifest by digest and checks that it is the one.
func (c *Client) verified(ctx context.Context, s *session, e endpoint, d digest.Digest, name string) ([]byte, error) {
	raw, _, err := c.get(ctx, s, e, d.String(), name)
	if err != nil {
		return nil, err
	}
	if got := d.Algorithm().FromBytes(raw); got != d {
		return nil, &ContentError{Host: e.host, Name: name, Err: fmt.Errorf("manifest %s has digest %s", d, got)}
	}
	return raw, nil
}

// get is the counted request.
func (c *Client) get(ctx context.Context, s *session, e endpoint, id, name string) ([]byte, string, error) {
	c.gets.Add(1)
	resp, err := c.do(ctx, s, http.MethodGet, e.url(s.scheme(), "manifests", id), http.Header{"Accept": {accept}})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	c.noteQuota(s, resp.Header)
	if resp.StatusCode == http.StatusTooManyRequests {
		return nil, "", c.limit(s, name, resp)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", statusError(resp, s, name)
	}
	raw, err := readLimited(resp.Body, MaxDocument)
	if err != nil {
		return nil, "", fmt.Errorf("%s: manifest from %s: %w", name, e.host, err)
	}
	return raw, resp.Header.Get("Content-Type"), nil
}
