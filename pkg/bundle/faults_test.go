package bundle

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"stowage/internal/registrytest"
	"stowage/pkg/archive/writer"
	"stowage/pkg/pull"
)

// TestWrongBytes: wrong bytes are the registry's fault and that of the image, to a file and to
// a stream.
func TestWrongBytes(t *testing.T) {
	for _, name := range []string{"file", "stream"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.AddFaults(registrytest.Faults{
				Only:    registrytest.Filter{Kinds: []registrytest.Kind{registrytest.KindBlob}, Path: "/app/"},
				Corrupt: registrytest.Always,
			})
			req := s.request("out.tar", "app:v1")
			if name == "stream" {
				req.Output, req.Writer = "", &bytes.Buffer{}
			}
			_, err := Make(t.Context(), req, Options{})
			var content *pull.ContentError
			if !errors.As(err, &content) || content.Host != s.Host() || !IsMissing(err) {
				t.Errorf("got %v, want a ContentError of %s", err, s.Host())
			}
		})
	}
}

// fullWriter fails after n bytes.
type fullWriter struct{ n int }

var errFull = errors.New("full")

func (w *fullWriter) Write(b []byte) (int, error) {
	if w.n -= len(b); w.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// TestWriterFails: a writer that fails is not blamed on the registry, and no blob is requested
// from another place.
func TestWriterFails(t *testing.T) {
	s := newSite(t)
	req := s.request("", "app:v1")
	req.Writer = &fullWriter{n: 40_000}
	_, err := Make(t.Context(), req, Options{Pull: pull.Options{Jobs: 1}})
	var content *pull.ContentError
	if !errors.Is(err, errFull) || errors.As(err, &content) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

// TestBusy: two runs cannot write one bundle.
func TestBusy(t *testing.T) {
	s := newSite(t)
	f, err := writer.Open(s.path("out.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.AddMetadata([]byte("{}")); err != nil { // takes the lock
		t.Fatal(err)
	}
	if _, err := Make(t.Context(), s.request("out.tar", "app:v1"), Options{}); !errors.Is(err, writer.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

// TestCanceled: a run that its caller ends returns soon, keeps what it has, and resumes.
func TestCanceled(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	req := s.request("out.tar", "app:v1", "other:v1")
	_, err := Make(ctx, req, Options{Events: func(e Event) {
		if _, ok := e.(EventStart); ok {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if r := s.make(req, Options{}); r.Stats.ManifestGET != 0 {
		t.Errorf("%d manifests fetched again", r.Stats.ManifestGET)
	}
	s.verify("out.tar")
}

// TestNoOutput: a request needs an output, except for a dry run.
func TestNoOutput(t *testing.T) {
	s := newSite(t)
	if _, err := Make(t.Context(), s.request("", "app:v1"), Options{}); !errors.Is(err, errNoOutput) {
		t.Errorf("got %v", err)
	}
	s.make(s.request("", "app:v1"), Options{DryRun: true})
}
