//go:build linux

package main

import (
	"io"
	"sync"
	"time"

	"stowage/cmd/internal/cli"
	"stowage/pkg/serve"
)

// accessLog prints requests, a line for each: all, or those that failed here.
type accessLog struct {
	mu  sync.Mutex
	out io.Writer
	all bool
}

// request prints a request. Its texts come from the client and pass cli.Text.
func (l *accessLog) request(r serve.Request) {
	failed := r.Status >= 500
	if !l.all && !failed {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if failed {
		cli.Fprintf(l.out, "load: warning: %s %s: %v\n", r.Method, r.URI, r.Err)
		return
	}
	cli.Fprintf(l.out, "load: %s %s %s %d %d bytes %s\n", r.Remote, r.Method, r.URI, r.Status, r.Bytes, r.Duration.Round(time.Millisecond))
}
