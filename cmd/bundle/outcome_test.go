package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
)

// TestOutcome: every error type has its exit code and hint, also when it is wrapped or joined
// with others.
func TestOutcome(t *testing.T) {
	const dg = digest.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	missing := &pull.NotFoundError{Name: "docker.io/a/b:v1", Host: "h"}
	lost := &pull.NotFoundError{Name: "docker.io/a/b@" + dg.String(), Host: "h", Digest: dg, Blob: true}
	refused := &pull.AuthError{Host: "registry-1.docker.io", Status: 401}
	limited := &pull.RateLimitError{Host: "registry-1.docker.io"}
	skipped := []archive.Skipped{{Name: "docker.io/a/b:v1", Reason: "r"}}
	tests := []struct {
		name string
		err  error
		code int
		hint string // a part of it; "" means no hint
	}{
		{"name", &bundle.NameError{Name: "A B", Err: errors.New("x")}, cli.Usage, "REPOSITORY"},
		{"output", &bundle.OutputError{Path: "old.tar"}, cli.Usage, "choose another name for the new bundle with -o"},
		{"flat", &bundle.FlatDigestError{Name: "docker.io/a/b:v1@" + dg.String(), Manifest: dg}, cli.Usage, "name the manifest docker.io/a/b@" + dg.String() + " instead"},
		{"flat, no such platform", &bundle.FlatDigestError{Name: "docker.io/a/b:v1@" + dg.String()}, cli.Usage, "one platform's manifest"},
		{"pulls", &bundle.MaxPullsError{Need: 6, Max: 5}, cli.RateLimited, "--max-pulls 6"},
		{"incomplete, written", &bundle.IncompleteError{Images: 2, Skipped: skipped, Written: true}, cli.Incomplete, ""},
		{"incomplete, all", &bundle.IncompleteError{Images: 1, Skipped: skipped}, cli.Incomplete, ""},
		{"incomplete, strict", &bundle.IncompleteError{Images: 2, Skipped: skipped}, cli.Incomplete, "--strict"},
		{"no account", refused, cli.Refused, `docker login docker.io`},
		{"account", &pull.AuthError{Host: "h", Source: "config.json"}, cli.Refused, "check the account in config.json"},
		{"pull limit", limited, cli.RateLimited, `docker login docker.io`},
		{"pull limit of an account", &pull.RateLimitError{Host: "h", Source: "config.json"}, cli.RateLimited, "--wait 6h"},
		{"account that was not sent", &pull.AuthError{Host: "h", Unsent: "config.json"}, cli.Refused, "nothing is known to be wrong with the account in config.json"},
		{"stated wait", &pull.RateLimitError{Host: "h", Reset: time.Now().Add(90 * time.Minute)}, cli.RateLimited, "--wait 2h"},
		{"authority", &pull.CertificateError{Host: "h:5000", Err: x509.UnknownAuthorityError{}}, cli.Failed, "--ca-file FILE"},
		{"host name", &pull.CertificateError{Host: "h:5000", Err: errors.New("x")}, cli.Failed, "--insecure h:5000"},
		{"client certificate", &pull.CertificateError{Host: "h:5000", Client: true, Err: errors.New("x")}, cli.Failed, "--hosts-dir"},
		{"proxy's login", &pull.ProxyError{Host: "h:443", Status: 407}, cli.Failed, "USER:PASSWORD"},
		{"proxy's rules", &pull.ProxyError{Host: "h:443", Status: 403}, cli.Failed, "NO_PROXY=h"},
		{"page", &pull.PageError{By: "registry h", Want: "manifest", Type: "text/html"}, cli.Failed, "NO_PROXY"},
		{"plain HTTP", &pull.InsecureError{Host: "h:5000"}, cli.Failed, "--insecure h:5000"},
		{"damaged", &archive.DamagedError{File: "f", Err: errors.New("x")}, cli.Damaged, ""},
		{"no space", &archive.SpaceError{Path: "/data"}, cli.Failed, "free some space"},
		{"no space, from the system", syscall.ENOSPC, cli.Failed, "free some space"},
		{"no space to decompress", &archive.SpaceError{Path: os.TempDir()}, cli.Failed, "TMPDIR"},
		{"no temporary file", &archive.TempError{Dir: "/none", Err: fs.ErrNotExist}, cli.Failed, "TMPDIR"},
		{"wrong bytes", &pull.ContentError{Host: "h", Name: "n", Err: errors.New("x")}, cli.Incomplete, "operator of that registry"},
		{"panic", &pull.PanicError{Name: "n", Value: "x", At: "a.go:1"}, cli.Incomplete, "please report it"},
		{"permission", fs.ErrPermission, cli.Failed, "may write to with -o"},
		{"missing", &bundle.ImageError{Name: "docker.io/a/b:v1", Err: missing}, cli.Incomplete, "check the name and the tag; leave it out with --exclude docker.io/a/b:v1, or write the rest with --keep-going"},
		{"missing digest", &pull.NotFoundError{Name: "docker.io/a/b@" + dg.String(), Digest: dg}, cli.Incomplete, "no longer has this digest"},
		{"missing blob", lost, cli.Incomplete, "lost a part"},
		{"platform", &pull.NoPlatformError{Name: "n"}, cli.Incomplete, "--platform"},
		{"schema 1", &pull.UnsupportedError{Name: "n", MediaType: schema1}, cli.Incomplete, "Docker's schema 1"},
		{"unusable", &pull.UnsupportedError{Name: "n", Err: errors.New("x")}, cli.Incomplete, "no node can run it"},
		{"network", &net.OpError{Op: "dial", Err: errors.New("x")}, cli.Failed, "HTTPS_PROXY"},
		{"anything else", errors.New("x"), cli.Failed, ""},
		{"known already", cli.Errorf(cli.NoNode, "x").WithHint("h"), cli.NoNode, "h"},
		// The fault that the user can act on first decides.
		{"missing and refused", errors.Join(missing, refused), cli.Refused, "docker login"},
		{"missing and limited", errors.Join(missing, limited), cli.RateLimited, "docker login"},
		{"refused and limited", errors.Join(limited, refused), cli.Refused, "docker login"},
		{"missing and network", errors.Join(missing, &net.OpError{Op: "dial", Err: errors.New("x")}), cli.Failed, "HTTPS_PROXY"},
		{"two missing", errors.Join(missing, &pull.NoPlatformError{Name: "n"}), cli.Incomplete, "--platform"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, err := range []error{tt.err, fmt.Errorf("wrapped: %w", tt.err)} {
				got := outcome(err)
				if got.Code != tt.code || !strings.Contains(got.Hint, tt.hint) || (got.Hint == "") != (tt.hint == "") {
					t.Errorf("%v: got code %d, hint %q, want %d, %q", err, got.Code, got.Hint, tt.code, tt.hint)
				}
				if !errors.Is(got, tt.err) {
					t.Errorf("%v: the cause is lost", err)
				}
			}
		})
	}
}
