//go:build linux

package main

import (
	"io"
	"sync"
	"time"

	"stowage/cmd/internal/cli"
	"stowage/pkg/serve"
)

// calm is how long no request ends until the memory of the last ones is returned to the
// kernel. Without that the runtime keeps it for minutes.
const calm = 2 * time.Second

// watch sees the requests that were answered. It prints them, a line for each: all, or those
// that failed for a reason of this side.
type watch struct {
	mu   sync.Mutex
	out  io.Writer
	all  bool
	idle *time.Timer
}

// newWatch returns a watch. The start of a program is followed by calm, too.
func newWatch(out io.Writer, all bool) *watch {
	return &watch{out: out, all: all, idle: time.AfterFunc(calm, release)}
}

// request prints a request. Its texts come from the client and pass cli.Text.
func (w *watch) request(r serve.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle.Reset(calm)
	if w.all {
		cli.Fprintf(w.out, "load: %s %s %s: %d, %d bytes, %s\n", r.Remote, r.Method, r.URI, r.Status, r.Bytes, r.Duration.Round(time.Millisecond))
	}
	if r.Err != nil {
		cli.Fprintf(w.out, "load: warning: %s %s: %v\n", r.Method, r.URI, r.Err)
	}
}
