// Package pull fetches images from registries: names in, manifests and blobs out.
//
// It knows registries, accounts, mirrors, rate limits and flaky networks; it knows
// nothing of tar files. A caller resolves names first and streams blobs afterwards:
//
//	c, err := pull.New(pull.Options{Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}})
//	set, failures, err := c.Resolve(ctx, []pull.Query{{Name: "docker.io/library/busybox:latest"}})
//	err = c.FetchAll(ctx, blobs, open)
//
// The order of requests follows what Docker Hub counts: a tag is resolved by HEAD,
// which is free; a manifest is fetched by digest, and only when no local copy has it;
// blobs and tokens are free. See https://docs.docker.com/docker-hub/usage/pulls/.
//
// A pull limit that is used up ends the counted requests to that registry with that
// account; everything else goes on, and with [Options.Wait] the client sits it out. A limit
// on the pace of requests slows the client down. Connections that break, stall or lie cost
// what is missing, never what is there.
//
// The protocol is that of the OCI distribution specification 1.1; authentication is
// Docker's token scheme as go-containerregistry implements it.
package pull

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"
)

// MaxDocument is the largest manifest, index or config accepted, in bytes. The
// distribution specification asks registries to take 4 MiB; twice that leaves room.
const MaxDocument = 8 << 20

// Stats counts requests of a client's life.
type Stats struct {
	ManifestHEAD int64 // free on Docker Hub
	ManifestGET  int64 // counted on Docker Hub
	BlobGET      int64
}

// Client pulls from registries. It may be used from many goroutines.
type Client struct {
	opts     Options
	routes   routes
	base     http.RoundTripper
	docs     Documents
	insecure map[string]bool
	hosts    map[string]Host

	mu        sync.Mutex
	sessions  map[sessionKey]*session
	scopes    map[sessionKey][]string // repositories announced, for one token per account
	quotas    map[login]Quota
	standings map[login]*standing
	pacers    map[string]*pacer
	warned    map[string]bool
	sources   map[digest.Digest][]*source

	sleep func(context.Context, time.Duration) error // tests take the waiting out
	piece int64                                      // see defaultPiece

	flight singleflight.Group
	heads  atomic.Int64
	gets   atomic.Int64
	blobs  atomic.Int64
}

// New returns a client. It makes no request.
func New(opts Options) (*Client, error) {
	if len(opts.Platforms) == 0 && !opts.All {
		return nil, errors.New("pull: no platform chosen")
	}
	if opts.Jobs <= 0 {
		opts.Jobs = DefaultJobs
	}
	if opts.Attempts <= 0 {
		opts.Attempts = DefaultAttempts
	}
	if opts.StallTimeout <= 0 {
		opts.StallTimeout = DefaultStallTimeout
	}
	if opts.UserAgent == "" {
		opts.UserAgent = "stowage"
	}
	c := &Client{
		opts:      opts,
		routes:    routes{mirrors: opts.Mirrors, resolveAtOrigin: opts.ResolveAtOrigin},
		docs:      opts.Documents,
		insecure:  map[string]bool{},
		hosts:     map[string]Host{},
		sessions:  map[sessionKey]*session{},
		scopes:    map[sessionKey][]string{},
		quotas:    map[login]Quota{},
		standings: map[login]*standing{},
		pacers:    map[string]*pacer{},
		warned:    map[string]bool{},
		sources:   map[digest.Digest][]*source{},
		sleep:     sleep,
		piece:     defaultPiece,
	}
	for _, h := range opts.Insecure {
		c.insecure[dialled(h)] = true
	}
	for name, h := range opts.Hosts {
		c.hosts[dialled(name)] = h
	}
	if c.docs == nil {
		c.docs = &memory{}
	}
	c.base = opts.Transport
	if c.base == nil {
		var err error
		if c.base, err = newTransport(&opts); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Stats returns the requests made so far.
func (c *Client) Stats() Stats {
	return Stats{ManifestHEAD: c.heads.Load(), ManifestGET: c.gets.Load(), BlobGET: c.blobs.Load()}
}

func (c *Client) report(e Event) {
	if c.opts.OnEvent != nil {
		c.opts.OnEvent(e)
	}
}

// memory holds documents for a caller that keeps none itself.
type memory struct{ m sync.Map }

func (s *memory) Document(d digest.Digest) ([]byte, error) {
	if b, ok := s.m.Load(d); ok {
		return b.([]byte), nil
	}
	return nil, errNotHeld
}

func (s *memory) AddDocument(raw []byte) (digest.Digest, error) {
	d := digest.FromBytes(raw)
	s.m.Store(d, raw)
	return d, nil
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
