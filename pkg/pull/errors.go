package pull

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"
)

var (
	// errNoHeadDigest is that a registry does not answer HEAD with a digest.
	errNoHeadDigest = errors.New("the registry does not answer HEAD with a digest")
	// errNoEndpoint is that the configured mirrors allow no host for a request.
	errNoEndpoint = errors.New("the configured mirrors allow no host to ask for this")
	// errNoReferrersAPI is that a registry is older than distribution-spec 1.1.
	errNoReferrersAPI = errors.New("the registry has no referrers API")

	errNotHeld  = errors.New("not held")
	errTooLarge = errors.New("larger than the limit of 8 MiB for manifests, indexes and configs")

	// errRestart is an answer to a range request that cannot be used.
	errRestart = errors.New("the server does not honour ranges")
	// errLength is that a server sent, or announced, another number of bytes than the blob
	// has, such as an error page with status 200.
	errLength = errors.New("wrong length")
)

// AuthError reports that a registry refused the account, or refused to serve without one.
// The client did not try without credentials afterwards.
type AuthError struct {
	Host   string // registry that refused
	By     string // its token server, "token server auth.docker.io", if that refused
	Name   string // image or blob asked for; empty when the login itself was refused
	Source string // where the account is from that was sent; empty when none was
	Unsent string // where an account is from that was not sent
	Why    string // why it was not sent; may be empty
	Status int    // HTTP status, 401 or 403
	Detail string // the registry's own words, one line; may be empty

	session *session // that was refused; nil when the login itself was
	head    bool     // the request was a HEAD
}

func (e *AuthError) known() {}

// Alone reports whether the login is valid and only what Name says was refused to it: the
// registry has served it another manifest when asked in the same way. It may become true
// until the Resolve ends. Docker Hub answers so for repositories that do not exist.
func (e *AuthError) Alone() bool {
	s := e.session
	return s != nil && (s.gets.Load() || e.head && s.heads.Load())
}

// Error returns a line with the host, the status and the source of the account.
func (e *AuthError) Error() string {
	var b strings.Builder
	if e.Name != "" {
		fmt.Fprintf(&b, "%s: ", e.Name)
	}
	fmt.Fprintf(&b, "registry %s", e.Host)
	if e.By != "" {
		b.WriteString(": " + e.By)
	}
	fmt.Fprintf(&b, " answered %d %s", e.Status, http.StatusText(e.Status))
	switch {
	case e.Source != "":
		fmt.Fprintf(&b, " to the credentials from %s", e.Source)
	case e.Unsent != "":
		fmt.Fprintf(&b, ", the credentials from %s were not sent", e.Unsent)
		if e.Why != "" {
			b.WriteString(": " + e.Why)
		}
	default:
		b.WriteString(", no credentials were found for it")
	}
	b.WriteString(inBrackets(e.Detail))
	return b.String()
}

// FetchError lists the blobs that could not be fetched.
type FetchError struct{ Blobs []BlobError } // in the order of the request

// BlobError is why one blob could not be fetched.
type BlobError struct {
	Digest digest.Digest
	Err    error
}

// Error returns the errors of the blobs, one a line.
func (e *FetchError) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap returns the error of each blob.
func (e *FetchError) Unwrap() []error {
	out := make([]error, len(e.Blobs))
	for i, b := range e.Blobs {
		out[i] = b.Err
	}
	return out
}

// NotFoundError reports that a registry does not have what was asked for, or no longer
// serves it.
type NotFoundError struct {
	Host   string
	Name   string
	Status int           // HTTP status: 404, 410 or 451
	Digest digest.Digest // asked for; empty for a tag
	Blob   bool          // a layer or a config, not a manifest
	Detail string        // the registry's own words, one line; may be empty
}

// Error returns a line with the name and the host.
func (e *NotFoundError) Error() string {
	said := inBrackets(e.Detail)
	if _, plain := plainAbsence[strings.ToLower(strings.TrimSpace(e.Detail))]; plain {
		said = ""
	}
	if e.Status == http.StatusGone || e.Status == http.StatusUnavailableForLegalReasons {
		return fmt.Sprintf("%s: registry %s no longer serves it: %d %s%s", e.Name, e.Host, e.Status, http.StatusText(e.Status), said)
	}
	if e.Digest != "" && !e.Blob {
		return fmt.Sprintf("%s: registry %s does not have %s, or no longer has it%s", e.Name, e.Host, e.Digest, said)
	}
	return fmt.Sprintf("%s: registry %s does not have it%s", e.Name, e.Host, said)
}

// plainAbsence are registries' words that add nothing to "does not have it".
var plainAbsence = map[string]struct{}{
	"manifest unknown": {}, "manifest unknown to registry": {}, "blob unknown": {}, "blob unknown to registry": {}, "not found": {},
	"manifest_unknown": {}, "blob_unknown": {}, "name_unknown": {}, "unknown manifest": {}, "unknown blob": {}, "unknown name": {},
	"repository name not known to registry": {}, "404 page not found": {}, "nothing here": {},
}

// NoPlatformError reports that an image exists, but not for the platforms asked for.
type NoPlatformError struct {
	Name string
	Want []string // platforms asked for
	Have []string // platforms of the image
}

// Error returns a line with the platforms on both sides.
func (e *NoPlatformError) Error() string {
	return fmt.Sprintf("%s: no image for %s, it has %s", e.Name, strings.Join(e.Want, ", "), strings.Join(e.Have, ", "))
}

// UnsupportedError reports that a name leads to something that containerd cannot run, such
// as a manifest of Docker's schema 1, or that is damaged at the registry.
type UnsupportedError struct {
	Name      string
	MediaType string
	Err       error // what is wrong with a manifest or config of a supported type, or nil
}

// Unwrap returns the fault, if it is known.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Error returns a line with the media type or the fault.
func (e *UnsupportedError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: the image is not usable: %s", e.Name, oneLine(e.Err.Error()))
	}
	return fmt.Sprintf("%s: manifest of type %q is not supported", e.Name, e.MediaType)
}

// RateLimitError reports that a registry's pull limit is used up: no further manifest can be
// fetched there before Reset.
type RateLimitError struct {
	Host   string
	By     string    // its token server, if that is limited
	Name   string    // image whose request reached the limit
	Source string    // of the account; empty when anonymous
	Quota  Quota     // of the registry's last headers
	Reset  time.Time // when the registry says to try again; zero when it does not say
	Detail string    // the registry's own words, one line

	session *session      // that was refused; nil when the request was not for a manifest
	url     string        // of the manifest
	after   time.Duration // until Reset; 0 when the registry does not say
	round   int           // see limitState
}

// Error returns a line with the account, the limit and the time of its renewal.
func (e *RateLimitError) Error() string {
	who := "registry " + e.Host
	if e.By != "" {
		who += ": " + e.By
	}
	s := who + " answered 429 Too Many Requests"
	if e.Name != "" {
		s = e.Name + ": " + s
	}
	if e.Source == "" {
		s += " to an anonymous pull"
	} else {
		s += " to the account from " + e.Source
	}
	if e.Quota.Known && e.Quota.Window > 0 {
		s += fmt.Sprintf(", limit of %d pulls in %s", e.Quota.Limit, e.Quota.Window)
	}
	if !e.Reset.IsZero() {
		s += ", try again at " + e.Reset.UTC().Format(resetLayout)
	}
	return s + inBrackets(e.Detail)
}

// resetLayout is the form of the times at which to try again.
const resetLayout = time.RFC3339

// setReset reads when to try again.
func (e *RateLimitError) setReset(h http.Header) {
	if e.after = retryAfter(h, now()); e.after > 0 {
		e.Reset = now().Add(e.after)
	}
}

func (e *RateLimitError) known() {}

// InsecureError reports that a registry answers by plain HTTP only and that the options do
// not allow it for that registry. No credentials were sent.
type InsecureError struct {
	Host string
	Err  error // of the TLS handshake
}

// Error returns a line with the host.
func (e *InsecureError) Error() string {
	return fmt.Sprintf("registry %s: it answers without TLS", e.Host)
}

// Unwrap returns the error of the TLS handshake.
func (e *InsecureError) Unwrap() error { return e.Err }

func (e *InsecureError) known() {}

// CertificateError reports that a TLS connection was refused: this side does not trust the
// server's certificate, or the server wants one of the client.
type CertificateError struct {
	Host   string // that was connected to: a registry, its storage or token server
	Client bool   // the server wants a certificate of the client, or another one
	Err    error
}

// Error returns a line with the host and the reason.
func (e *CertificateError) Error() string {
	if e.Client {
		return fmt.Sprintf("%s refuses the connection without a valid client certificate: %s", e.Host, oneLine(e.Err.Error()))
	}
	return fmt.Sprintf("the certificate of %s is not trusted: %s", e.Host, oneLine(e.Err.Error()))
}

// Unwrap returns the reason.
func (e *CertificateError) Unwrap() error { return e.Err }

func (e *CertificateError) known() {}

// ProxyError reports that a proxy did not connect to a host, or could not be reached.
type ProxyError struct {
	Proxy  string // host and port, without the password; may be empty
	Host   string // that was to be reached
	Status int    // of the proxy's answer; 0 when there was none
	Err    error  // without an answer
}

// Error returns a line with the proxy and its answer.
func (e *ProxyError) Error() string {
	who := strings.TrimSpace("proxy " + e.Proxy)
	if e.Err != nil {
		return fmt.Sprintf("%s for %s cannot be reached: %s", who, e.Host, oneLine(e.Err.Error()))
	}
	return fmt.Sprintf("%s refused the connection to %s: %d %s", who, e.Host, e.Status, http.StatusText(e.Status))
}

// Unwrap returns the error of the connection to the proxy.
func (e *ProxyError) Unwrap() error { return e.Err }

func (e *ProxyError) known() {}

// ContentError reports that a registry sent bytes that do not match the digest. They were
// discarded.
type ContentError struct {
	Host string
	Name string // repository@digest
	Err  error

	final bool // the bytes cannot be replaced by those of another source
}

// Error returns a line with the name, the host and the cause.
func (e *ContentError) Error() string {
	return fmt.Sprintf("%s: registry %s sent wrong bytes: %v", e.Name, e.Host, e.Err)
}

// Unwrap returns the cause.
func (e *ContentError) Unwrap() error { return e.Err }

// LocalError is a fault on this side, such as a full disk: no other server helps against
// it. A [Sink] returns one from Commit for any cause other than wrong bytes.
type LocalError struct{ Err error }

// Error returns the text of the cause.
func (e *LocalError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *LocalError) Unwrap() error { return e.Err }

// absentError is that nothing is attached to an image, which is not worth an event.
type absentError struct{ error }

func (e *absentError) Unwrap() error { return e.error }

// asAbsent marks an error that says that something does not exist.
func asAbsent(err error) error {
	if err != nil && isNotFound(err) {
		return &absentError{err}
	}
	return err
}

// lineError is an error of another package whose text may hold what a server wrote.
type lineError struct{ error }

func (e *lineError) Error() string { return oneLine(e.error.Error()) }
func (e *lineError) Unwrap() error { return e.error }

// answerError is an answer that another kind of request may avoid: a HEAD, or one of the
// ways to ask for a token.
type answerError struct {
	error
	status int
}

func (e *answerError) Unwrap() error { return e.error }

func isLocal(err error) bool {
	var local *LocalError
	return errors.As(err, &local)
}

func isAuth(err error) bool {
	var a *AuthError
	return errors.As(err, &a)
}

// isFinal reports whether no other source helps against err.
func isFinal(err error) bool {
	var content *ContentError
	return isLocal(err) || errors.As(err, &content) && content.final
}

// isNotFound reports whether err says nothing but that something does not exist.
func isNotFound(err error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if !isNotFound(e) {
				return false
			}
		}
		return true
	}
	var missing *NotFoundError
	return errors.As(err, &missing)
}

// oneLine makes text from a server safe to print: without control characters and
// direction marks, at most 300 characters.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return strings.TrimSpace(s)
}
