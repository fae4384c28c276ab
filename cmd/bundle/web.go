package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"stowage/cmd/internal/cli"
	"stowage/internal/iox"
	"stowage/internal/redact"
)

// Limits on a manifest that comes from the network.
const (
	urlTimeout   = 2 * time.Minute
	urlLimit     = 64 << 20 // bytes
	urlRedirects = 10
)

// get fetches a manifest from an address. Its errors contain no account and no query: both
// may be credentials.
func get(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, urlTimeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel()
		return nil, redact.Error(err)
	}
	req.Header.Set("User-Agent", "stowage/"+cli.VersionString())
	client := http.Client{CheckRedirect: sameSecurity}
	resp, err := client.Do(req)
	if err != nil {
		cancel()
		return nil, redact.Error(err)
	}
	tooLarge := fmt.Errorf("larger than the limit of %d MiB for a manifest from the network", urlLimit>>20)
	body := &response{iox.Limit(resp.Body, urlLimit, tooLarge), resp.Body, cancel}
	if resp.StatusCode != http.StatusOK {
		body.Close()
		return nil, fmt.Errorf("get %s: %s", redact.Addresses(u.String()), resp.Status)
	}
	return body, nil
}

// sameSecurity follows a redirect to the scheme of the first address or from plain HTTP to
// TLS, and to no other: the manifest decides what is pulled, and with which accounts.
func sameSecurity(req *http.Request, via []*http.Request) error {
	first, next := via[0].URL.Scheme, req.URL.Scheme
	switch {
	case len(via) >= urlRedirects:
		return fmt.Errorf("more than %d redirects", urlRedirects)
	case next != "https" && (next != "http" || first == "https"):
		return fmt.Errorf("redirect from %s to %s refused", first, redact.Addresses(req.URL.String()))
	}
	req.Header.Del("Referer") // it contains the query of the address before
	return nil
}

// response is a body with a limit, whose Close ends the request.
type response struct {
	io.Reader
	body   io.Closer
	cancel context.CancelFunc
}

func (r *response) Close() error {
	defer r.cancel()
	return r.body.Close()
}
