package pull

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
)

// AuthError says that a registry refused the account it was given, or refused to serve
// without one. Nothing was tried without credentials afterwards.
type AuthError struct {
	Host   string // registry that refused
	Name   string // image or blob asked for; empty when the login itself was refused
	Source string // where the account came from; empty when there was none
	Status int    // HTTP status, 401 or 403
	Detail string // the registry's own words, one line; may be empty

	session *session // that was refused; nil when the login itself was
	head    bool     // it was a HEAD
}

// Alone reports whether the login is good and only what Name says was refused to it: the
// registry has given it another manifest when asked in the same way. It may become true
// until the Resolve ends. Docker Hub answers so for repositories that do not exist.
func (e *AuthError) Alone() bool {
	s := e.session
	return s != nil && (s.gets.Load() || e.head && s.heads.Load())
}

func (e *AuthError) Error() string {
	var b strings.Builder
	if e.Name != "" {
		fmt.Fprintf(&b, "%s: ", e.Name)
	}
	fmt.Fprintf(&b, "registry %s answered %d %s", e.Host, e.Status, http.StatusText(e.Status))
	if e.Source == "" {
		b.WriteString(", no credentials were found for it")
	} else {
		fmt.Fprintf(&b, " to the credentials from %s", e.Source)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, " (%s)", e.Detail)
	}
	return b.String()
}

// FetchError says which blobs could not be fetched.
type FetchError struct{ Blobs []BlobError } // in the order they were asked for

// BlobError is why one blob could not be fetched.
type BlobError struct {
	Digest digest.Digest
	Err    error
}

func (e *FetchError) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap gives the error of each blob.
func (e *FetchError) Unwrap() []error {
	out := make([]error, len(e.Blobs))
	for i, b := range e.Blobs {
		out[i] = b.Err
	}
	return out
}

// NotFoundError says that a registry does not have what was asked for, or does not give it
// to anybody any more.
type NotFoundError struct {
	Host   string
	Name   string
	Status int           // HTTP status: 404, 410 or 451
	Digest digest.Digest // asked for by it: a pinned name, or a part of an image; empty for a tag
	Blob   bool          // a layer or a config, and no manifest
}

func (e *NotFoundError) Error() string {
	if e.Status == http.StatusGone || e.Status == http.StatusUnavailableForLegalReasons {
		return fmt.Sprintf("%s: registry %s does not give it out any more: %d %s", e.Name, e.Host, e.Status, http.StatusText(e.Status))
	}
	if e.Digest != "" && !e.Blob {
		return fmt.Sprintf("%s: registry %s does not have %s, or no longer", e.Name, e.Host, e.Digest)
	}
	return fmt.Sprintf("%s: registry %s does not have it", e.Name, e.Host)
}

// NoPlatformError says that an image exists, but not for the platforms asked for.
type NoPlatformError struct {
	Name string
	Want []string // platforms asked for
	Have []string // platforms the image has
}

func (e *NoPlatformError) Error() string {
	return fmt.Sprintf("%s: no image for %s, it has %s", e.Name, strings.Join(e.Want, ", "), strings.Join(e.Have, ", "))
}

// UnsupportedError says that something was found that no containerd of today can run,
// such as a manifest of Docker's schema 1.
type UnsupportedError struct {
	Name      string
	MediaType string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s: manifest of type %q cannot be used", e.Name, e.MediaType)
}

// RateLimitError says that a registry's pull limit is used up: no further manifest can
// be fetched there before Reset.
type RateLimitError struct {
	Host   string
	Name   string    // image that met the limit
	Source string    // account; empty when anonymous
	Quota  Quota     // as the registry's last headers said
	Reset  time.Time // when the registry says to come back; zero when it did not say
	Detail string    // the registry's own words, one line

	session *session      // that was refused; nil when it was not a manifest
	url     string        // of the manifest
	after   time.Duration // until Reset; 0 when the registry did not say
	round   int           // see standing
}

func (e *RateLimitError) Error() string {
	s := fmt.Sprintf("registry %s answered 429 Too Many Requests", e.Host)
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
		s += ", come back at " + e.Reset.UTC().Format(time.RFC3339)
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// InsecureError says that a registry answers by plain HTTP only and that nobody allowed
// that for it. No credentials were sent.
type InsecureError struct{ Host string }

func (e *InsecureError) Error() string {
	return fmt.Sprintf("registry %s: it answers without TLS", e.Host)
}

// ContentError says that a registry sent other bytes than the digest names. Nothing of
// them was kept.
type ContentError struct {
	Host string
	Name string // repository@digest
	Err  error

	final bool // the bytes are where no other source's can replace them
}

func (e *ContentError) Error() string {
	return fmt.Sprintf("%s: registry %s sent wrong bytes: %v", e.Name, e.Host, e.Err)
}

// Unwrap gives the cause.
func (e *ContentError) Unwrap() error { return e.Err }

// isFinal reports whether no other source helps against err.
func isFinal(err error) bool {
	var content *ContentError
	return isLocal(err) || errors.As(err, &content) && content.final
}

// statusError turns an unwanted HTTP answer into the error that callers tell apart.
func statusError(resp *http.Response, s *session, name string) error {
	err := classify(transport.CheckError(resp, http.StatusOK), s.key.host, s.source(), name)
	if refused, ok := err.(*AuthError); ok {
		refused.session, refused.head = s, resp.Request.Method == http.MethodHead
	}
	return err
}

// classify gives an error of go-containerregistry's transport its type.
func classify(err error, host, source, name string) error {
	var te *transport.Error
	if !errors.As(err, &te) {
		return err
	}
	switch te.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &AuthError{Host: host, Name: name, Source: source, Status: te.StatusCode, Detail: detail(te)}
	case http.StatusNotFound, http.StatusGone, http.StatusUnavailableForLegalReasons:
		return &NotFoundError{Host: host, Name: name, Status: te.StatusCode}
	case http.StatusTooManyRequests:
		return &RateLimitError{Host: host, Name: name, Source: source, Detail: detail(te)}
	}
	return fmt.Errorf("%s: registry %s answered %d %s%s", name, host, te.StatusCode, http.StatusText(te.StatusCode), inBrackets(detail(te)))
}

// detail is what the registry said for people, cut to a line that is safe to print.
func detail(te *transport.Error) string {
	var msgs []string
	for _, d := range te.Errors {
		if d.Message != "" {
			msgs = append(msgs, d.Message)
		}
	}
	return oneLine(strings.Join(msgs, "; "))
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// lineError is an error of somebody else's whose text may hold what a server wrote.
type lineError struct{ error }

func (e *lineError) Error() string { return oneLine(e.error.Error()) }
func (e *lineError) Unwrap() error { return e.error }

// oneLine makes text from a server fit to print: nothing that moves a cursor or turns
// letters round, at most 300 of them.
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

var errTooLarge = errors.New("larger than the limit of 8 MiB for manifests, indexes and configs")

// LocalError is a fault of this side, such as a full disk: no other server helps against
// it. A [Sink] whose Commit fails for another reason than wrong bytes returns one.
type LocalError struct{ Err error }

func (e *LocalError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *LocalError) Unwrap() error { return e.Err }

func isLocal(err error) bool {
	var local *LocalError
	return errors.As(err, &local)
}

// errRestart says that a range was answered in a way that cannot be used.
var errRestart = errors.New("the server does not serve ranges as asked")

// errLength says that a server sent, or was about to send, another number of bytes than the
// blob has: an error page with status 200, say.
var errLength = errors.New("another length")

var errStalled = errors.New("no byte came for too long")

func isAuth(err error) bool {
	var a *AuthError
	return errors.As(err, &a)
}

// isNotFound reports whether err says nothing but that something is not there.
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

// absentError is that nothing is attached to an image, which is nothing to tell anybody.
type absentError struct{ error }

func (e *absentError) Unwrap() error { return e.error }

// quietly marks an error that says something is not there.
func quietly(err error) error {
	if err != nil && isNotFound(err) {
		return &absentError{err}
	}
	return err
}

// errNoHeadDigest says that a registry does not answer HEAD with a digest.
var errNoHeadDigest = errors.New("the registry does not answer HEAD with a digest")

// errNowhere says that the mirrors of a registry leave nobody to ask.
var errNowhere = errors.New("no host is configured that may be asked for this")

var errNoReferrersAPI = errors.New("the registry has no referrers API")

var errNotHeld = errors.New("not held")
