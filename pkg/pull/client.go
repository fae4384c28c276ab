package pull

import (
	"errors"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"stowage/internal/iox"
	"stowage/pkg/pull/internal/watch"
)

// Client pulls from registries. It may be used from many goroutines.
type Client struct {
	opts      Options
	docs      MetadataStore
	routes    routes
	net       *network
	sessions  *sessions
	limits    *limits
	locations locations

	piece  int64 // see defaultPiece
	flight singleflight.Group
}

// New returns a client. It makes no request.
func New(opts Options) (*Client, error) {
	if len(opts.Platforms) == 0 && !opts.All {
		return nil, errors.New("pull: no platform chosen")
	}
	opts = opts.withDefaults()
	n := &network{
		transport: opts.Transport,
		userAgent: opts.UserAgent,
		attempts:  opts.Attempts,
		sleep:     sleep,
		events:    events{on: opts.OnEvent, reported: map[string]bool{}},
		wait:      opts.Wait,
		pacers:    map[string]*pacer{},
		waits:     map[string]time.Time{},
	}
	if n.transport == nil {
		var err error
		if n.transport, err = newTransport(&opts); err != nil {
			return nil, err
		}
	}
	n.transport = &watch.Transport{Next: n.transport, Default: documentLimits, Rate: iox.NewRate(opts.LimitRate)}
	c := &Client{
		opts:      opts,
		docs:      opts.Metadata,
		routes:    routes{mirrors: opts.Mirrors, resolveAtOrigin: opts.ResolveAtOrigin},
		net:       n,
		sessions:  newSessions(n, opts.Insecure, opts.Hosts),
		limits:    newLimits(n, opts.Wait, opts.Accounts),
		locations: locations{byBlob: map[digest.Digest][]*location{}},
		piece:     defaultPiece,
	}
	return c, nil
}

// Stats counts the requests of a client.
type Stats struct {
	ManifestHEAD int64 // free on Docker Hub
	ManifestGET  int64 // counted on Docker Hub
	BlobGET      int64
}

// Stats returns the requests made so far.
func (c *Client) Stats() Stats {
	return Stats{ManifestHEAD: c.net.heads.Load(), ManifestGET: c.net.gets.Load(), BlobGET: c.net.blobs.Load()}
}

// memory is the [MetadataStore] of a client without any.
type memory struct{ m sync.Map }

// Metadata returns the bytes with this digest.
func (s *memory) Metadata(d digest.Digest) ([]byte, error) {
	if b, ok := s.m.Load(d); ok {
		return b.([]byte), nil
	}
	return nil, errNotHeld
}

// AddMetadata keeps raw and returns its digest.
func (s *memory) AddMetadata(raw []byte) (digest.Digest, error) {
	d := digest.FromBytes(raw)
	s.m.Store(d, raw)
	return d, nil
}
