package signature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Reason says why a bundle is not trusted.
type Reason string

// The reasons, in the order in which [Policy.Verify] prefers them: the nearer a signature
// came to being accepted, the later.
const (
	Unsigned    Reason = "it has no signature"
	Malformed   Reason = "its signature cannot be read"
	Untrusted   Reason = "its signature is by a key that is not trusted"
	Altered     Reason = "its signature does not match"
	Revoked     Reason = "its signature is by a revoked key"
	KeyInvalid  Reason = "its signature is by a key that is not valid for bundles now"
	OtherBundle Reason = "its signature is for another bundle"
	Expired     Reason = "its signature has expired"
	Older       Reason = "it is older than the newest that was accepted"
)

// order ranks the reasons.
var order = []Reason{Unsigned, Malformed, Untrusted, Altered, Revoked, KeyInvalid, OtherBundle, Expired, Older}

// Error says that no signature makes a bundle trusted.
type Error struct {
	Reason Reason
	File   string // of the signature that came nearest; empty without one
	Detail string // what was found, may be empty
}

// Error returns the reason with the file.
func (e *Error) Error() string {
	text := "the bundle is not trusted: " + string(e.Reason)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.File != "" {
		text += fmt.Sprintf(" (%s)", e.File)
	}
	return text
}

// errAltered is returned for a well-formed signature of other bytes.
var errAltered = errors.New("the signature does not match")

// Signature is a signature beside a bundle.
type Signature struct {
	File     string // its name, for messages
	Document []byte // the Sigstore bundle, or the envelope that SSH signs
	SSH      []byte // the armored SSH signature of Document; nil for a Sigstore bundle
}

// The ends of the names of signatures beside FILE.
const (
	SigstoreSuffix = ".sigstore.json"
	EnvelopeSuffix = ".intoto.json" // what SSH signs; the signature itself has SSHSuffix as well
	SSHSuffix      = ".sig"
)

// sizeLimit is the size in bytes of the largest file of a signature.
const sizeLimit = 1 << 20

// ReadBeside returns the signatures beside a bundle: FILE.sigstore.json, and
// FILE.intoto.json with FILE.intoto.json.sig.
func ReadBeside(file string) ([]Signature, error) {
	var all []Signature
	for _, suffix := range []string{SigstoreSuffix, EnvelopeSuffix} {
		s, err := Read(file + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, *s)
	}
	return all, nil
}

// Read returns a signature: a Sigstore bundle, or an envelope, beside which its SSH signature
// has the name with ".sig". Errors are those of the files.
func Read(file string) (*Signature, error) {
	document, err := readLimited(file)
	if err != nil {
		return nil, err
	}
	s := &Signature{File: file, Document: document}
	var form struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(document, &form) == nil && form.MediaType != "" {
		return s, nil
	}
	s.File = file + SSHSuffix
	s.SSH, err = readLimited(s.File)
	return s, err
}

func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	raw, err := io.ReadAll(io.LimitReader(f, sizeLimit+1))
	if err == nil && len(raw) > sizeLimit {
		err = fmt.Errorf("%s: larger than %d bytes, so it is no signature", file, sizeLimit)
	}
	return raw, err
}

// Policy says whose signatures make a bundle trusted.
type Policy struct {
	Keys     []Key
	Revoked  []Key
	Sequence int64     // the lowest number that is accepted
	Now      time.Time // zero: the time of the call
}

// Verified is the signature that made a bundle trusted.
type Verified struct {
	Key  string // its name
	File string // of the signature
	Predicate
}

// Verify returns the first signature by a key of the policy that is one of the bundle with
// this identity and that holds now. Otherwise its error is an [*Error].
func (p Policy) Verify(identity digest.Digest, signatures []Signature) (*Verified, error) {
	if p.Now.IsZero() {
		p.Now = time.Now()
	}
	nearest := &Error{Reason: Unsigned}
	for _, s := range signatures {
		v, err := p.verify(identity, s)
		if err == nil {
			return v, nil
		}
		err.File = s.File
		if slices.Index(order, err.Reason) > slices.Index(order, nearest.Reason) {
			nearest = err
		}
	}
	return nil, nearest
}

// verify checks one signature. Nothing of the statement is believed before its signature.
func (p Policy) verify(identity digest.Digest, s Signature) (*Verified, *Error) {
	payload, key, fault := p.authenticate(s)
	if fault != nil {
		return nil, fault
	}
	if slices.ContainsFunc(p.Revoked, key.same) {
		return nil, &Error{Reason: Revoked, Detail: fmt.Sprintf("%q", key.Name)}
	}
	if !key.validAt(p.Now) {
		return nil, &Error{Reason: KeyInvalid, Detail: fmt.Sprintf("%q", key.Name)}
	}
	signed, predicate, err := parseStatement(payload)
	switch {
	case err != nil:
		return nil, &Error{Reason: Malformed, Detail: err.Error()}
	case signed != identity:
		return nil, &Error{Reason: OtherBundle, Detail: fmt.Sprintf("it is for identity %s, this is %s", signed, identity)}
	case !predicate.Expires.IsZero() && !p.Now.Before(predicate.Expires):
		return nil, &Error{Reason: Expired, Detail: "at " + predicate.Expires.UTC().Format(time.RFC3339)}
	case predicate.Sequence < p.Sequence:
		return nil, &Error{Reason: Older, Detail: fmt.Sprintf("its number is %d, want %d or more", predicate.Sequence, p.Sequence)}
	}
	return &Verified{Key: key.Name, File: s.File, Predicate: predicate}, nil
}

// authenticate returns the payload of a signature that a key of the policy made, and that key.
func (p Policy) authenticate(s Signature) ([]byte, Key, *Error) {
	if s.SSH != nil {
		return p.authenticateSSH(s)
	}
	var b sigstore
	if err := json.Unmarshal(s.Document, &b); err != nil || b.MediaType != sigstoreType || b.Envelope == nil {
		return nil, Key{}, &Error{Reason: Malformed, Detail: "want a Sigstore bundle v0.3 with a DSSE envelope"}
	}
	if err := b.Envelope.check(1); err != nil {
		return nil, Key{}, &Error{Reason: Malformed, Detail: err.Error()}
	}
	message := b.Envelope.toSign()
	for _, key := range p.Keys {
		if key.public != nil && verifyPublic(key.public, message, b.Envelope.Signatures[0].Sig) {
			return b.Envelope.Payload, key, nil
		}
	}
	return nil, Key{}, &Error{Reason: Untrusted, Detail: "none of the keys made it, or it was altered"} // a signature does not name its key
}

func (p Policy) authenticateSSH(s Signature) ([]byte, Key, *Error) {
	sig, err := parseSSH(s.SSH)
	if err != nil {
		return nil, Key{}, &Error{Reason: Malformed, Detail: err.Error()}
	}
	var lines []Key // one key may have several, each with its own time
	for _, k := range p.Keys {
		if bytes.Equal(k.blob, sig.key) {
			lines = append(lines, k)
		}
	}
	if len(lines) == 0 {
		return nil, Key{}, &Error{Reason: Untrusted}
	}
	key := lines[max(0, slices.IndexFunc(lines, func(k Key) bool { return k.validAt(p.Now) }))]
	switch err := sig.verify(s.Document); {
	case errors.Is(err, errAltered):
		return nil, Key{}, &Error{Reason: Altered}
	case err != nil:
		return nil, Key{}, &Error{Reason: Altered, Detail: err.Error()}
	}
	var e envelope
	if err := json.Unmarshal(s.Document, &e); err != nil {
		return nil, Key{}, &Error{Reason: Malformed, Detail: "the envelope is not JSON"}
	}
	if err := e.check(0); err != nil {
		return nil, Key{}, &Error{Reason: Malformed, Detail: err.Error()}
	}
	return e.Payload, key, nil
}

// check returns an error unless the envelope holds a statement and want signatures.
func (e *envelope) check(want int) error {
	if e.PayloadType != payloadType {
		return fmt.Errorf("the envelope holds %q, want %q", e.PayloadType, payloadType)
	}
	if len(e.Signatures) != want {
		return fmt.Errorf("the envelope has %d signatures, want %d", len(e.Signatures), want)
	}
	return nil
}
