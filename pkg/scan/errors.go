package scan

import "fmt"

// SyntaxError is a document, or a Secret in it, that could not be read. Nothing of that document is in the result; the
// rest of the input is. Err never quotes the input, which may hold secrets.
type SyntaxError struct {
	File   string // as given to Scan
	Line   int    // counted from 1 in the whole input
	Column int    // in bytes, from 1
	Err    error
}

// Error gives file:line:column: cause.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

// Unwrap gives the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Limit names what was exceeded in a [LimitError].
type Limit string

// The limits, see [Options].
const (
	LimitDocument Limit = "document size" // bytes
	LimitDepth    Limit = "depth"         // mappings and sequences inside of one another
	LimitNodes    Limit = "nodes"         // values of one document, aliases followed
	LimitFindings Limit = "findings"      // images and warnings of one document
)

// LimitError is a document that was given up because it exceeds a limit of [Options]. What was found in it up to that
// point is not in the result; the rest of the input is.
type LimitError struct {
	File  string
	Line  int // where the document begins
	Limit Limit
	Max   int // the limit, in the unit of its kind
}

// Error gives file:line: document exceeds the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s:%d: document exceeds the limit of its %s, %d", e.File, e.Line, e.Limit, e.Max)
}
