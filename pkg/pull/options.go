package pull

import (
	"context"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/pull/account"
)

// Defaults of [Options].
const (
	DefaultJobs         = 8                // blobs or manifests on the way at once
	DefaultAttempts     = 6                // tries without any progress before giving up
	DefaultStallTimeout = 60 * time.Second // a body that sends nothing for so long is asked for again
)

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
