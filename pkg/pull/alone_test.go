package pull

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestAuthErrorAlone checks that a refusal is alone when the login was served another
// manifest in the same way, before or after the refusal.
func TestAuthErrorAlone(t *testing.T) {
	for _, tc := range []struct {
		name       string
		method     string
		heads, get bool
		want       bool
	}{
		{"a tag, and nothing came", http.MethodHead, false, false, false},
		{"a tag, others answered", http.MethodHead, true, false, true},
		{"a tag, others came", http.MethodHead, false, true, true},
		{"a manifest, and nothing came", http.MethodGet, false, false, false},
		{"a manifest, others answered a HEAD", http.MethodGet, true, false, false},
		{"a manifest, others came", http.MethodGet, true, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &session{key: sessionKey{login: login{host: "a.test"}}}
			req := &http.Request{Method: tc.method, URL: &url.URL{Scheme: "https", Host: "a.test"}}
			resp := &http.Response{StatusCode: http.StatusUnauthorized, Request: req, Body: http.NoBody}
			err := statusError(resp, s, "a.test/b:1")
			s.heads.Store(tc.heads)
			s.gets.Store(tc.get)
			var refused *AuthError
			if !errors.As(err, &refused) || !strings.Contains(refused.Error(), "a.test/b:1") || refused.Alone() != tc.want {
				t.Errorf("%v, alone %t, want %t", err, !tc.want, tc.want)
			}
		})
	}
	if (&AuthError{Host: "a.test"}).Alone() {
		t.Error("a login that was refused stands alone")
	}
}
