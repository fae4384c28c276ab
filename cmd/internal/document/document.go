// Package document writes the JSON documents of both programs. Each is one object whose first
// field is the version of the schema; docs/json.md, which a test of this package writes from
// the Go types, describes them.
//
// The documents follow four rules, so that a script that reads one can guess the others. A
// field has the same name and the same kind of value wherever it appears. A list has a plural
// name, and the number of things ends in Count. Bytes are size, or end in Size. Codes and
// states are words in lower case with hyphens.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// Schema is the version of the schema. It changes when a field is renamed or removed, or its
// meaning changes; fields and codes may be added without a change.
const Schema = 1

// Write writes the fields of v, a struct or a map, as an indented document.
func Write(w io.Writer, v any) error {
	line, err := encode(v)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, line, "", "  "); err != nil {
		return err
	}
	_, err = w.Write(append(out.Bytes(), '\n'))
	return err
}

// WriteLine writes the fields of v, a struct or a map, as a document in one line.
func WriteLine(w io.Writer, v any) error {
	line, err := encode(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// encode returns v in one line, with the version of the schema as the first field.
func encode(v any) ([]byte, error) {
	fields, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(fields) < 2 || fields[0] != '{' {
		return nil, errors.New("a document must be an object")
	}
	line := append([]byte(`{"schema":`), strconv.Itoa(Schema)...)
	if string(fields) != "{}" {
		line = append(line, ',')
	}
	return append(line, fields[1:]...), nil
}

// Error is what is known of one of the errors of a run.
type Error struct {
	Message    string `json:"message"`
	Image      string `json:"image,omitempty"`      // the name of the image, or the digest of the blob asked for
	Hint       string `json:"hint,omitempty"`       // what to do next
	Host       string `json:"host,omitempty"`       // of the registry that answered
	HTTPStatus int    `json:"httpStatus,omitempty"` // of its answer
	RetryAt    string `json:"retryAt,omitempty"`    // when a limit resets
}

// Nodes is the document of load and load check on nodes that are containers.
type Nodes struct {
	Nodes []Node `json:"nodes"` // in the order of the tools and names
}

// Node is what became of one node.
type Node struct {
	Node     string `json:"node"`              // name of the container
	ExitCode int    `json:"exitCode"`          // of load there
	Message  string `json:"message,omitempty"` // why load could not be run there
	Report   *Raw   `json:"report,omitempty"`  // the document that load has printed there
}

// Raw is a document of another process.
type Raw struct {
	JSON json.RawMessage `json:"-"`
}

// MarshalJSON implements [json.Marshaler].
func (r *Raw) MarshalJSON() ([]byte, error) { return r.JSON, nil }

// Verification is the document of bundle verify.
type Verification struct {
	File     string `json:"file"`
	Identity string `json:"identity,omitempty"` // of the bundle, if it could be read
	Blobs    int    `json:"blobCount,omitempty"`
	Size     int64  `json:"size,omitempty"` // of the tarball
	// SignedBy is the name of the key of --verify-key that signed the bundle.
	SignedBy  string `json:"signedBy,omitempty"`
	Signature string `json:"signature,omitempty"` // its file
	// Uncompared is the number of layers that could not be compared with a config: they are
	// omitted, or not of an image.
	Uncompared int     `json:"uncomparedCount,omitempty"`
	Errors     []Error `json:"errors"` // none if the bundle is intact
}
