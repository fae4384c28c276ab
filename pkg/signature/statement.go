package signature

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// The types of the documents.
const (
	statementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://stowage.dev/bundle/v1" // of a Predicate
	payloadType   = "application/vnd.in-toto+json"
)

// subjectName is the file of a bundle whose SHA-256 is the bundle's identity.
const subjectName = "index.json"

// Predicate is what a signature says about a bundle besides its identity.
type Predicate struct {
	// Sequence orders the bundles of one series: a node that has accepted one does not go
	// back to a lower one. 0 says nothing.
	Sequence int64 `json:"sequence,omitempty"`
	// Expires is when the signature ends; zero: never.
	Expires time.Time `json:"expires,omitzero"`
}

// statement is an in-toto statement.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// newStatement returns the statement about a bundle as JSON: the same bytes for the same
// arguments.
func newStatement(identity digest.Digest, p Predicate) ([]byte, error) {
	if err := identity.Validate(); err != nil || identity.Algorithm() != digest.SHA256 {
		return nil, fmt.Errorf("%q is not the identity of a bundle", identity)
	}
	p.Expires = p.Expires.UTC().Truncate(time.Second)
	predicate, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return json.Marshal(statement{
		Type:          statementType,
		Subject:       []subject{{Name: subjectName, Digest: map[string]string{"sha256": identity.Encoded()}}},
		PredicateType: PredicateType,
		Predicate:     predicate,
	})
}

// parseStatement returns what a statement says. Statements with the predicate of another
// program are accepted: they say nothing about sequence and expiry.
func parseStatement(raw []byte) (digest.Digest, Predicate, error) {
	var s statement
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", Predicate{}, fmt.Errorf("the statement is not JSON: %w", err)
	}
	if s.Type != statementType {
		return "", Predicate{}, fmt.Errorf("the statement is of type %q, want %q", s.Type, statementType)
	}
	if len(s.Subject) != 1 {
		return "", Predicate{}, fmt.Errorf("the statement has %d subjects, want one", len(s.Subject))
	}
	identity := digest.NewDigestFromEncoded(digest.SHA256, s.Subject[0].Digest["sha256"])
	if identity.Validate() != nil {
		return "", Predicate{}, errors.New("the subject of the statement has no SHA-256")
	}
	var p Predicate
	if s.PredicateType == PredicateType {
		if err := json.Unmarshal(s.Predicate, &p); err != nil {
			return "", Predicate{}, fmt.Errorf("the predicate of the statement: %w", err)
		}
	}
	return identity, p, nil
}

// envelope is a DSSE envelope.
type envelope struct {
	PayloadType string     `json:"payloadType"`
	Payload     []byte     `json:"payload"` // base64 in JSON
	Signatures  []dsseSign `json:"signatures"`
}

type dsseSign struct {
	KeyID string `json:"keyid,omitempty"`
	Sig   []byte `json:"sig"` // base64 in JSON
}

// toSign returns the bytes that a DSSE signature is made of: its pre-authentication encoding.
func (e *envelope) toSign() []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(e.Payload), e.Payload)
}
