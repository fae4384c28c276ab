package registrytest

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// Proxy returns the URL of an HTTP proxy, for HTTP_PROXY and HTTPS_PROXY: it connects each
// of Options.Names, on any port, to the registry, and refuses all other hosts with 403. A
// program that pulls from docker.io reaches the registry that way without knowing it (with
// TLS it also needs [Registry.CAPEM]).
func (reg *Registry) Proxy() string { return "http://" + reg.proxy }

// serveProxy answers a request to the proxy (RFC 9110 section 9.3.6 for CONNECT).
func (reg *Registry) serveProxy(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		host = name
	}
	if !reg.names[host] {
		http.Error(w, "registry: this proxy does not connect to "+host, http.StatusForbidden)
		return
	}
	if r.Method != http.MethodConnect {
		// The absolute form of RFC 9112 section 3.2.2; the handlers want the path alone.
		own := r.Clone(r.Context())
		own.URL.Scheme, own.URL.Host = "", ""
		reg.handler(ListenerRegistry).ServeHTTP(w, own)
		return
	}
	up, err := net.Dial("tcp", reg.addr)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer up.Close()
	down, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer down.Close()
	if _, err := io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	if !reg.begin(KindOther) {
		return
	}
	defer reg.handlers.Done()
	reg.copyBoth(down, buffered, up)
}

// copyBoth copies in both directions until either side ends or the registry closes. first
// holds what the client has already sent.
func (reg *Registry) copyBoth(down net.Conn, first io.Reader, up net.Conn) {
	over := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(over) }) }
	var copies sync.WaitGroup
	copies.Go(func() { defer end(); io.Copy(up, first) })
	copies.Go(func() { defer end(); io.Copy(down, up) })
	select {
	case <-over:
	case <-reg.closing:
	}
	up.Close()
	down.Close()
	copies.Wait()
}
