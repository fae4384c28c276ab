package account

import "fmt"

// FileError says that a source of accounts cannot be used and where it is wrong.
// Its text holds nothing of what the source contains, except the key of an entry.
type FileError struct {
	Source string // as in [Account.Source]
	Line   int    // from 1; 0 when the whole source is meant
	Column int    // from 1, in bytes
	Err    error
}

// Error gives source, position and reason.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("read %s: %v", e.Source, e.Err)
	}
	return fmt.Sprintf("read %s: line %d, column %d: %v", e.Source, e.Line, e.Column, e.Err)
}

// Unwrap gives the reason.
func (e *FileError) Unwrap() error { return e.Err }

// HelperError says that a credential helper could not be run or did not answer
// as the protocol asks. "Credentials not found" is an answer and no error.
// Nothing the helper wrote is part of the text.
type HelperError struct {
	Source   string // the file that names the helper
	Program  string // docker-credential-NAME
	Registry string // the server it was asked about
	Err      error  // *exec.Error, *exec.ExitError, *fs.PathError, a context's error, or a plain text
}

// Error gives program, registry and reason.
func (e *HelperError) Error() string {
	return fmt.Sprintf("ask %s for %s (%s): %v", e.Program, e.Registry, e.Source, e.Err)
}

// Unwrap gives the reason.
func (e *HelperError) Unwrap() error { return e.Err }
