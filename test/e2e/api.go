//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// apiServer is the API of a cluster, as seen through one of its servers.
type apiServer struct {
	url    string
	client *http.Client
}

// statusError is an answer of the API server that is not a success.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// call sends a request with the token of the administrator. body and into may be nil.
func (s *apiServer) call(ctx context.Context, method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token(adminName))
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %w", method, path, &statusError{resp.StatusCode, string(raw)})
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// object is what all objects of the API have.
type object struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
}

// collection returns the path of the objects of the same kind and namespace, by the
// conventions of the API.
func (o object) collection() string {
	prefix := "/api/"
	if strings.Contains(o.APIVersion, "/") {
		prefix = "/apis/"
	}
	return fmt.Sprintf("%s%s/namespaces/%s/%ss", prefix, o.APIVersion, o.Metadata.Namespace, strings.ToLower(o.Kind))
}

// create creates objects of the API.
func (s *apiServer) create(t *testing.T, objects ...any) {
	t.Helper()
	for _, o := range objects {
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var head object
		if err := json.Unmarshal(raw, &head); err != nil {
			t.Fatal(err)
		}
		if err := s.call(t.Context(), http.MethodPost, head.collection(), o, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// remove deletes a pod.
func (s *apiServer) remove(t *testing.T, p pod) {
	t.Helper()
	path := object{p.APIVersion, p.Kind, p.Metadata}.collection() + "/" + p.Metadata.Name
	if err := s.call(t.Context(), http.MethodDelete, path, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// createAll creates every object of a manifest.
func (s *apiServer) createAll(t *testing.T, path string) {
	t.Helper()
	for _, doc := range documents(t, path) {
		s.create(t, doc)
	}
}

// documents returns the objects of a manifest.
func documents(t *testing.T, path string) []map[string]any {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []map[string]any
	for decoder := yaml.NewDecoder(f); ; {
		var doc map[string]any
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, doc)
	}
}

// wait repeats a question to the API until its answer is as wanted; the answer is printed
// otherwise.
func (s *apiServer) wait(t *testing.T, what, path string, good func(answer map[string]any) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last map[string]any
	for {
		var answer map[string]any
		err := s.call(ctx, http.MethodGet, path, nil, &answer)
		if err == nil && good(answer) {
			return
		}
		if err == nil {
			last = answer
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			raw, _ := json.MarshalIndent(last, "", " ") // cannot fail
			t.Fatalf("wait for %s: %v; last seen:\n%s", what, errors.Join(ctx.Err(), err), raw)
		}
	}
}

// field returns a field of an answer; nil if there is none.
func field(answer map[string]any, path ...string) any {
	var v any = answer
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}
