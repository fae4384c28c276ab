package why

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
)

const (
	// maxAsked limits the images that registries are asked for.
	maxAsked = 50
	// askTimeout is how long the answer for one image may take.
	askTimeout = 20 * time.Second
	// askJobs is how many are asked at once.
	askJobs = 4
)

// ask asks the registries for images, given by the name in the pod with the normalised one,
// as the containerd of this node does: with its resolver and the hosts.toml files below
// dirs, but without any account. It sends HEAD requests for manifests, which count as no
// pull, and what a registry wants for an anonymous token.
func ask(ctx context.Context, images map[string]string, dirs []string) map[string]answer {
	ctx = log.WithLogger(ctx, discard())
	answers := map[string]answer{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(askJobs)
	for image, name := range images {
		g.Go(func() error {
			a := askOne(ctx, name, dirs)
			mu.Lock()
			defer mu.Unlock()
			answers[image] = a
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	return answers
}

func askOne(ctx context.Context, name string, dirs []string) answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	h := &heads{}
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(ctx, config.HostOptions{
		HostDir: func(host string) (string, error) { return hostDir(dirs, host) },
		UpdateClient: func(c *http.Client) error {
			c.Transport = h.over(c.Transport)
			return nil
		},
	})})
	_, _, err := resolver.Resolve(ctx, name)
	a := answer{quota: h.last()}
	if err != nil && !h.refusedGet() {
		a.err = err.Error()
	}
	return a
}

// hostDir returns the directory of the first of dirs that has one for the host.
func hostDir(dirs []string, host string) (string, error) {
	for _, dir := range dirs {
		if found, err := config.HostDirFromRoot(dir)(host); err == nil && found != "" {
			return found, nil
		} else if err != nil && !errdefs.IsNotFound(err) {
			return "", err
		}
	}
	return "", errdefs.ErrNotFound
}

// heads lets only HEAD requests for manifests pass, and reads what the answers say about a
// limit of pulls.
type heads struct {
	mu      sync.Mutex
	quota   quota
	refused bool // a GET, of a registry that answered the HEAD without a digest
}

func (h *heads) over(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return headTransport{h, next}
}

func (h *heads) last() quota {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.quota
}

func (h *heads) refusedGet() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

type headTransport struct {
	*heads
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t headTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	content := strings.Contains(req.URL.Path, "/manifests/") || strings.Contains(req.URL.Path, "/blobs/")
	if content && req.Method != http.MethodHead {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.refused = true
		return nil, fmt.Errorf("%s not sent: only HEAD requests are free", req.Method)
	}
	resp, err := t.next.RoundTrip(req)
	if err == nil && content {
		t.mu.Lock()
		defer t.mu.Unlock()
		if q := quotaOf(resp.Header); q.known || q.retry > 0 {
			t.quota = q
		}
	}
	return resp, err
}

// quotaOf reads the headers of Docker Hub: "ratelimit-limit: 100;w=21600".
func quotaOf(h http.Header) quota {
	limit, window, ok := limitValue(h.Get("RateLimit-Limit"))
	left, _, known := limitValue(h.Get("RateLimit-Remaining"))
	q := quota{known: ok && known, limit: limit, remaining: left, window: window}
	if n, err := strconv.Atoi(h.Get("Retry-After")); err == nil && n > 0 {
		q.retry = time.Duration(n) * time.Second
	}
	return q
}

// limitValue reads "100;w=21600": a number and the seconds of its window.
func limitValue(s string) (n int, window time.Duration, ok bool) {
	number, rest, _ := strings.Cut(s, ";")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		return 0, 0, false
	}
	if w, found := strings.CutPrefix(strings.TrimSpace(rest), "w="); found {
		if seconds, err := strconv.Atoi(w); err == nil {
			window = time.Duration(seconds) * time.Second
		}
	}
	return n, window, true
}

// discard returns a logger without output: containerd's resolver logs each host that fails.
func discard() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}
