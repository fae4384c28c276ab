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
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/singleflight"

	"stowage/pkg/pull/account"
)

// Defaults of [Options].
const (
	DefaultJobs         = 8                // blobs or manifests on the way at once
	DefaultAttempts     = 6                // tries without any progress before giving up
	DefaultStallTimeout = 60 * time.Second // a body that sends nothing for so long is asked for again
)

// MaxDocument is the largest manifest, index or config accepted, in bytes. The
// distribution specification asks registries to take 4 MiB; twice that leaves room.
const MaxDocument = 8 << 20

// Query is the name of an image to resolve, with the pull secrets for it.
type Query struct {
	Name    string   // normalised: "docker.io/calico/cni:v3.28.0", "quay.io/a/b@sha256:…" or both tag and digest
	Secrets []string // pull secrets that apply to it, "namespace/name", the pod's own first
}

// Documents keeps manifests, indexes and configs by digest. Document returns an error
// when it has none; what it returns has been checked against the digest. AddDocument
// keeps raw for later runs. Both are called from many goroutines.
type Documents interface {
	Document(digest.Digest) ([]byte, error)
	AddDocument(raw []byte) (digest.Digest, error)
}

// Accounts answers which accounts may be used for a repository ("docker.io/calico/cni",
// "mirror.example:5000/prefix/calico/cni"), best first; none means anonymous. Forget drops
// what it remembers of them: the client calls it after a long wait for a pull limit, when
// the tokens of credential helpers may have expired. Both are called from many goroutines.
type Accounts interface {
	For(ctx context.Context, repository string, secrets []string) ([]account.Account, error)
	Forget()
}

// Options of a [Client]. The zero value pulls anonymously for no platform at all, so
// Platforms must be set.
type Options struct {
	Platforms []ocispec.Platform // in the order of preference
	All       bool               // every platform an image has, instead of Platforms

	Accounts Accounts            // nil: anonymous
	Mirrors  map[string][]Mirror // registry host → mirrors, asked first, in order; "*" is for all others
	Insecure []string            // hosts that may be spoken to by plain HTTP or without a valid certificate
	CA       []byte              // PEM certificates of authorities trusted beside the system's
	Hosts    map[string]Host     // how some hosts are spoken to, by host as dialled ("mirror.example:5000")

	// ResolveAtOrigin lets the origin say by HEAD, which is free, what a tag means, and
	// takes bytes by that digest from the mirrors: they need not be trusted then.
	ResolveAtOrigin bool
	// Referrers looks for what others have attached to the images chosen: signatures,
	// attestations, SBOMs.
	Referrers bool

	Documents Documents         // nil: held in memory
	Transport http.RoundTripper // nil: one of its own, with the proxy of the environment, CA and Hosts
	UserAgent string

	Jobs         int
	Attempts     int
	StallTimeout time.Duration

	// Wait is how long, in total for each registry and account, a Resolve waits for a pull
	// limit to be renewed instead of failing. An [Event] says until when.
	Wait time.Duration

	// Before is called once per Resolve, when every tag has been resolved and before the
	// first counted request. An error ends the Resolve with that error.
	Before func(Estimate) error
	// OnBytes is called with every number of blob bytes that arrived, from many goroutines.
	OnBytes func(n int64)
	// OnEvent is called when something is worth a line to the user, from many goroutines.
	OnEvent func(Event)
}

// Event is something the user should know about that is not an error: a retry, a failed
// mirror, a wait for a pull limit.
type Event struct {
	Host string        // the registry concerned
	Text string        // what happened, lower case, one line
	Wait time.Duration // how long the client will now wait; 0 when it goes on at once
}

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

// parse splits a normalised name into its parts.
func parse(name string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("image name %q: %w", name, err)
	}
	if reference.IsNameOnly(named) {
		return nil, fmt.Errorf("image name %q: neither tag nor digest", name)
	}
	return named, nil
}

// memory holds documents for a caller that keeps none itself.
type memory struct{ m sync.Map }

var errNotHeld = errors.New("not held")

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
