package account

import "fmt"

// FileError reports that a source of accounts cannot be used, and the position of
// the fault. Its text contains nothing of the source except the key of an entry.
type FileError struct {
	Source string // as in [Account.Source]
	Line   int    // from 1; 0 for the source as a whole
	Column int    // from 1, in bytes
	Err    error
}

// Error returns source, position and reason.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("read %s: %v", e.Source, e.Err)
	}
	return fmt.Sprintf("read %s: line %d, column %d: %v", e.Source, e.Line, e.Column, e.Err)
}

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }

// HelperError reports that a credential helper could not be run or did not follow
// the protocol. "Credentials not found" is not an error. The text contains nothing
// that the helper wrote.
type HelperError struct {
	Source   string // the file that names the helper
	Program  string // docker-credential-NAME
	Registry string // the server it was asked for
	Err      error  // *exec.Error, *exec.ExitError, *fs.PathError, a context's error, or a plain text
}

// Error returns program, registry and reason.
func (e *HelperError) Error() string {
	return fmt.Sprintf("ask %s for %s (%s): %v", e.Program, e.Registry, e.Source, e.Err)
}

// Unwrap returns the reason.
func (e *HelperError) Unwrap() error { return e.Err }
