package serve

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits on clients. They are on the same machine, and a pull takes few connections.
const (
	maxConnections = 128
	maxHeader      = 16 << 10         // of one request, in bytes
	headerTimeout  = 5 * time.Second  // for the headers of a request to arrive
	idleTimeout    = 30 * time.Second // of a connection between two requests
	drainTimeout   = 10 * time.Second // for the transfers that run when the context ends
)

// Serve answers the requests that arrive at l until ctx ends, and closes l. Transfers that
// run then have 10 seconds to end. The error is nil if ctx ended it.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := newServer(h)
	s.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if s.Shutdown(drain) != nil {
			s.Close()
		}
	})
	err := s.Serve(limit(l, maxConnections))
	if stop() { // ctx has not ended: the listener failed
		s.Close()
		return fmt.Errorf("serve at %s: %w", l.Addr(), err)
	}
	<-stopped
	return nil
}

// newServer returns a server with the limits on clients.
func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // about clients; what fails here is in Request.Err
	}
}

// limit returns a listener that accepts no further connection while n are open. Clients wait
// in the kernel's queue.
func limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a slot, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends Accept.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// slotted is a connection that frees its slot.
type slotted struct {
	net.Conn
	free func()
}

// Close closes the connection.
func (c *slotted) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}
