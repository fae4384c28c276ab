package registrytest_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"stowage/internal/registrytest"
)

// probe is a testing.TB that records its result.
type probe struct {
	testing.TB
	dir      string
	cleanups []func()
	failed   bool
	text     strings.Builder
}

func (p *probe) Helper()          {}
func (p *probe) TempDir() string  { return p.dir }
func (p *probe) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }
func (p *probe) Failed() bool     { return p.failed }
func (p *probe) Logf(format string, args ...any) {
	fmt.Fprintf(&p.text, format, args...)
}

func (p *probe) Errorf(format string, args ...any) {
	p.failed = true
	p.Logf(format, args...)
}

func (p *probe) Fatal(args ...any) {
	p.failed = true
	panic(fmt.Sprint(args...))
}

// end runs the cleanups.
func (p *probe) end() {
	for _, f := range p.cleanups {
		f()
	}
}

// get requests a path from the second host.
func get(t *testing.T, h *registrytest.Registry, cookie string) {
	t.Helper()
	req, err := http.NewRequest("GET", "http://"+h.CDNHost()+"/requested", nil)
	if err != nil {
		t.Fatal(err)
	}
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

func TestStart(t *testing.T) {
	for _, row := range []struct {
		name, cookie string
		fail         bool // the test itself fails
		wantFailed   bool
		wantLog      bool
	}{
		{"no failure", "", false, false, false},
		{"violation", "c=1", false, true, true},
		{"test failed", "", true, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := &probe{dir: t.TempDir()}
			h := registrytest.Start(p, registrytest.Options{})
			get(t, h, row.cookie)
			p.failed = row.fail
			p.end()
			if p.failed != row.wantFailed {
				t.Errorf("failed %v, want %v", p.failed, row.wantFailed)
			}
			if log := strings.Contains(p.text.String(), "/requested"); log != row.wantLog {
				t.Errorf("log printed %v, want %v: %s", log, row.wantLog, p.text.String())
			}
			if _, err := http.Get(h.URL()); err == nil {
				t.Error("still open at the end of the test")
			}
		})
	}
}

func TestMust(t *testing.T) {
	if got := registrytest.Must(7, nil)(t); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
	defer func() {
		if r := recover(); r != "no" {
			t.Errorf("ended with %v, want no", r)
		}
	}()
	registrytest.Must(7, errors.New("no"))(&probe{})
}
