package pull

import (
	"context"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/pull/account"
)

// DefaultJobs is how many blobs or manifests are fetched at once.
const DefaultJobs = 8

// DefaultStallTimeout is how long a registry may send nothing before it is asked again.
const DefaultStallTimeout = 60 * time.Second

const defaultAttempts = 6

// maxMetadata is the largest manifest, index or config accepted, in bytes. The
// distribution specification asks registries to take 4 MiB.
const maxMetadata = 8 << 20

// Query is the name of an image to resolve, with the pull secrets for it.
type Query struct {
	// Name is normalised: "docker.io/calico/cni:v3.28.0", "quay.io/a/b@sha256:…", or with
	// both tag and digest.
	Name    string
	Secrets []string // pull secrets that apply to it, "namespace/name", the pod's own first
}

// MetadataStore keeps manifests, indexes and configs by digest. Metadata returns an error
// when it has none; what it returns has been checked against the digest. AddMetadata
// keeps raw for later runs. Both are called from many goroutines.
type MetadataStore interface {
	Metadata(digest.Digest) ([]byte, error)
	AddMetadata(raw []byte) (digest.Digest, error)
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
	Mirrors  map[string][]Mirror // by registry, in the order to ask them; "*" is for all others
	Insecure []string            // hosts where plain HTTP and invalid certificates are allowed
	CA       []byte              // PEM certificates of authorities trusted beside the system's
	Hosts    map[string]Host     // by host as dialled ("mirror.example:5000")

	// ResolveAtOrigin resolves tags at the origin, by HEAD, which is free, and takes bytes
	// from the mirrors by that digest: the mirrors need not be trusted then.
	ResolveAtOrigin bool
	// Referrers adds what is attached to the chosen images: signatures, attestations, SBOMs.
	Referrers bool

	Metadata  MetadataStore     // nil: held in memory
	Transport http.RoundTripper // nil: with the environment's proxy, CA and Hosts
	UserAgent string            // "": "stowage"

	Jobs         int           // blobs or manifests fetched at once; 0: DefaultJobs
	Attempts     int           // tries without any progress before giving up; 0: 6
	StallTimeout time.Duration // without a byte before a new request; 0: DefaultStallTimeout

	// LimitRate is how many bytes a second all answers together may have, 0 for any number:
	// of every registry, mirror and other host, manifests and blobs, as they are read. The
	// time for which the client waits because of it is no stall.
	LimitRate int64

	// Wait is how long, in total for each registry and account, a client waits for a pull
	// limit to be renewed instead of failing. An [Event] says until when.
	Wait time.Duration

	// Before is called once per Resolve, when every tag has been resolved and before the
	// first counted request. An error ends the Resolve with that error.
	Before func(Estimate) error
	// OnBytes is called with the number of bytes of a blob in each read, and with a negative
	// number when bytes turn out to be wrong and are dropped, from many goroutines. host is
	// the registry that sent them, empty for blobs that needed no request. The configs that a
	// Resolve reads are not among them.
	OnBytes func(host string, blob digest.Digest, n int64)
	// OnEvent is called for each event, from many goroutines.
	OnEvent func(Event)
}

// withDefaults replaces the zero values that stand for a default.
func (o Options) withDefaults() Options {
	if o.Jobs <= 0 {
		o.Jobs = DefaultJobs
	}
	if o.Attempts <= 0 {
		o.Attempts = defaultAttempts
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = DefaultStallTimeout
	}
	if o.UserAgent == "" {
		o.UserAgent = "stowage"
	}
	if o.Metadata == nil {
		o.Metadata = &memory{}
	}
	return o
}
