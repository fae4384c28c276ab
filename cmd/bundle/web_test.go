package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestRedirectOfManifest: -f with an address follows a redirect to TLS, and never from TLS to
// plain HTTP or to another scheme; no message contains a query or an account.
func TestRedirectOfManifest(t *testing.T) {
	var referer string
	mux := http.NewServeMux()
	mux.HandleFunc("/pod.yaml", func(w http.ResponseWriter, r *http.Request) {
		referer = r.Header.Get("Referer")
		_, _ = io.WriteString(w, "a: b\n")
	})
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("url"), http.StatusFound)
	})
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	was := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = was })
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	http.DefaultTransport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	tests := []struct{ from, to, want string }{
		{secure.URL, secure.URL + "/pod.yaml", ""},
		{plain.URL, plain.URL + "/pod.yaml", ""},
		{plain.URL, secure.URL + "/pod.yaml", ""},
		{secure.URL, plain.URL + "/pod.yaml?t=canary", "redirect from https to " + plain.URL + "/pod.yaml?[redacted] refused"},
		{secure.URL, secure.URL + "/to?url=" + url.QueryEscape(plain.URL+"/pod.yaml"), "redirect from https to http://"},
		{plain.URL, "file:///etc/passwd?canary", "redirect from http to file:///etc/passwd?[redacted] refused"},
		{plain.URL, "http://ann:canary@127.0.0.1:1/?canary", "connection refused"},
		{plain.URL, plain.URL + "/nosuch?canary", "404 Not Found"},
		{plain.URL, "http://%zz/?canary", "Location header"},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.from + "/to?secret=canary&url=" + url.QueryEscape(tt.to))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("ann", "canary")
		r, err := get(t.Context(), u)
		if err == nil {
			r.Close()
		}
		switch {
		case (err == nil) != (tt.want == ""), err != nil && !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s to %s: %v, want %q", tt.from, tt.to, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "canary"), strings.Contains(referer, "canary"):
			t.Errorf("%s to %s: a credential is shown: %v, Referer %q", tt.from, tt.to, err, referer)
		}
	}
}
