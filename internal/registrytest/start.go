package registrytest

import (
	"strings"
	"testing"
)

// Start starts a registry and closes it at the end of the test. The test fails if a client
// broke the protocol (see [Registry.Violations]); the requests of a failed test are logged.
func Start(t testing.TB, opts Options) *Registry {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	reg, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, reg) })
	return reg
}

// finish closes the registry, reports violations and logs the requests of a failed test.
func finish(t testing.TB, reg *Registry) {
	t.Helper()
	if err := reg.Close(); err != nil {
		t.Errorf("close registry: %v", err)
	}
	for _, v := range reg.Violations() {
		t.Errorf("violation: %s", v)
	}
	if !t.Failed() {
		return
	}
	var log strings.Builder
	if err := reg.WriteLog(&log); err != nil {
		t.Error(err)
	}
	t.Logf("requests to the registry:\n%s", log.String())
}

// Must unwraps the result of the registry's Add methods and fails the test on an error. The
// returned function takes the test, because Go passes a call's two results on only if they
// are all the arguments.
func Must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
