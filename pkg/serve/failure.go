package serve

import (
	"net/http"
)

// code is an error code of the specification.
type code string

const (
	codeBlobUnknown     code = "BLOB_UNKNOWN"
	codeDigestInvalid   code = "DIGEST_INVALID"
	codeManifestUnknown code = "MANIFEST_UNKNOWN"
	codeNameInvalid     code = "NAME_INVALID"
	codeNameUnknown     code = "NAME_UNKNOWN"
	codeTagInvalid      code = "TAG_INVALID"
	codeUnsupported     code = "UNSUPPORTED"
	codePagination      code = "PAGINATION_NUMBER_INVALID"
	codeUnknown         code = "UNKNOWN" // the source failed
)

// failure is an answer that is not the content.
type failure struct {
	status  int
	code    code
	message string
	err     error // of the source, for the log only
}

// failed returns the failure of a code, with its usual status.
func failed(c code, message string) *failure {
	status := http.StatusNotFound
	switch c {
	case codeDigestInvalid, codeNameInvalid, codeTagInvalid, codePagination:
		status = http.StatusBadRequest
	case codeUnknown:
		status = http.StatusInternalServerError
	}
	return &failure{status: status, code: c, message: message}
}

// broken returns the failure of a source. The client is not shown the error, which may have
// paths of this machine.
func broken(err error) *failure {
	f := failed(codeUnknown, "the images cannot be read")
	f.err = err
	return f
}

// write answers with the failure.
func (f *failure) write(a *answer) {
	type entry struct {
		Code    code   `json:"code"`
		Message string `json:"message"`
	}
	a.status = f.status
	a.json(map[string][]entry{"errors": {{f.code, f.message}}})
}
