// Package hubtest starts a [hub.Hub] for the length of a test.
//
//	h := hubtest.Start(t, hub.Options{})
//	added := hubtest.Must(h.AddImage("library/busybox", "1.36", hub.Image{}))(t)
package hubtest

import (
	"strings"
	"testing"

	"stowage/internal/hub"
)

// Start gives a hub that is closed at the end of the test. The test fails if a client
// did what no client may (see [hub.Hub.Violations]); the requests of a failed test are
// printed.
func Start(t testing.TB, opts hub.Options) *hub.Hub {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	h, err := hub.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, h) })
	return h
}

// finish closes the hub and looks back at what went on.
func finish(t testing.TB, h *hub.Hub) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Errorf("close hub: %v", err)
	}
	for _, v := range h.Violations() {
		t.Errorf("violation: %s", v)
	}
	if !t.Failed() {
		return
	}
	var log strings.Builder
	if err := h.WriteLog(&log); err != nil {
		t.Error(err)
	}
	t.Logf("requests at the hub:\n%s", log.String())
}

// Must unwraps the result of the hub's Add methods: it ends the test when there was an
// error. The test comes behind, since Go passes two results on only when they are all
// the arguments.
func Must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
