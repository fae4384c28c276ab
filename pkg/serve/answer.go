package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// answer is the response to one request. It counts what is sent, and ends the connection of
// a client that does not read.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	head    bool // the request is HEAD
	status  int
	sent    int64
	err     error // of the source
}

// stall is how long a client may take to read what is sent to it at once, which is at most
// chunk and what the kernel buffers.
const stall = time.Minute

// chunk is how much is read and sent at once, in bytes. Each read of containerd's content is
// a call, which costs more than the copy of a smaller one.
const chunk = 256 << 10

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Write sends p.
func (a *answer) Write(p []byte) (int, error) {
	if a.head {
		return len(p), nil
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(stall)) // not all writers of tests have one
	n, err := a.ResponseWriter.Write(p)
	a.sent += int64(n)
	return n, err
}

// ReadFrom sends all of r. [http.ServeContent] calls it by way of [io.Copy].
func (a *answer) ReadFrom(r io.Reader) (n int64, err error) {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	for {
		got, rerr := r.Read(buf[:])
		if got > 0 {
			sent, err := a.Write(buf[:got])
			n += int64(sent)
			if err != nil {
				return n, err
			}
		}
		switch {
		case rerr == io.EOF:
			return n, nil
		case rerr != nil:
			a.err = rerr
			return n, rerr
		}
	}
}

// content sends the content of a digest, or the range of it that the request is for. The
// caller has set its type.
func (a *answer) content(r *http.Request, d digest.Digest, b Blob) {
	h := a.Header()
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", fmt.Sprintf("%q", d))
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range") // several ranges: the whole is an answer too, and costs no more
	}
	http.ServeContent(a, r, "", time.Time{}, io.NewSectionReader(b, 0, b.Size()))
}

// json sends a value as JSON.
func (a *answer) json(v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // a value of this package
	}
	h := a.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	a.WriteHeader(a.status)
	_, _ = a.Write(raw) // on an error the client has gone
}

// bytesBlob is a blob in memory.
type bytesBlob struct{ raw []byte }

// ReadAt reads from the bytes.
func (b bytesBlob) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(b.raw).ReadAt(p, off)
}

// Size returns the number of bytes.
func (b bytesBlob) Size() int64 { return int64(len(b.raw)) }

// Close does nothing.
func (b bytesBlob) Close() error { return nil }
