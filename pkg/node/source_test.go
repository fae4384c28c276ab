//go:build linux

package node

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/serve"
)

// host is a server of images, and what it was asked.
type host struct {
	*httptest.Server
	mu      sync.Mutex
	handler http.Handler
	asked   []string
}

// newHost starts a host without images.
func newHost(t *testing.T) *host {
	h := &host{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		handler := h.handler
		h.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

// serve makes the host answer from a source.
func (h *host) serve(s serve.Source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handler = serve.New(s, serve.Options{OnRequest: func(r serve.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.asked = append(h.asked, fmt.Sprintf("%s %s %d", r.Method, r.URI, r.Status))
	}})
}

// take returns what the host was asked since the last call.
func (h *host) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

// hostsConfig returns the part of containerd's configuration that makes it ask the hosts for
// images of docker.io, in their order, and then a port where nothing listens.
func hostsConfig(t *testing.T, hosts ...*host) string {
	t.Helper()
	dir := t.TempDir()
	text := "server = \"http://127.0.0.1:1\"\n"
	for _, h := range hosts {
		text += fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", h.URL)
	}
	must(t, os.MkdirAll(filepath.Join(dir, "docker.io"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "docker.io", "hosts.toml"), []byte(text), 0o600))
	plugin := "io.containerd.cri.v1.images"
	if strings.HasPrefix(os.Getenv(nodetest.VersionVariable), "1.") {
		plugin = "io.containerd.grpc.v1.cri"
	}
	return fmt.Sprintf("[plugins.%q.registry]\nconfig_path = %q\n", plugin, dir)
}

// pulled is a node whose containerd pulls from the node's own images and then from a bundle.
type pulled struct {
	*testing.T
	machine    *nodetest.Node
	own, other *host
}

// pull pulls an image as the kubelet does with the policy Always.
func (p *pulled) pull(name string) error {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	_, err := p.machine.Images().PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: name}})
	return err
}

// remove removes an image as the kubelet's garbage collection does.
func (p *pulled) remove(name string) {
	p.Helper()
	_, err := p.machine.Images().RemoveImage(p.Context(), &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: name}})
	must(p.T, err)
}

// wants checks what the hosts were asked since the last call. An asked request may repeat.
func (p *pulled) wants(step string, own, other func(asked string) bool) {
	p.Helper()
	for _, h := range []struct {
		name string
		host *host
		ok   func(string) bool
	}{{"the node", p.own, own}, {"the bundle", p.other, other}} {
		asked := h.host.take()
		if (h.ok == nil) != (len(asked) == 0) {
			p.Errorf("%s: %s was asked %q", step, h.name, asked)
		}
		for _, a := range asked {
			if h.ok != nil && !h.ok(a) {
				p.Errorf("%s: %s was asked %q", step, h.name, asked)
			}
		}
	}
}

// TestPullFromSource lets containerd pull what it has, what it has without its layers, what
// only a bundle has, and what is nowhere, before and after a restart.
func TestPullFromSource(t *testing.T) {
	t.Parallel()
	p := &pulled{T: t, own: newHost(t), other: newHost(t)}
	p.machine = nodetest.Start(t, nodetest.Options{Config: hostsConfig(t, p.own, p.other)})
	n := reconnect(t, p.machine)
	s := newShelf(t)
	name := s.Index("acme/app", "v1", registrytest.Index{Images: []registrytest.Image{
		registrytest.Hello("app", "amd64", bundletest.Program(t)), registrytest.Hello("app", "arm64", bundletest.Program(t)),
	}})
	bare := s.Hello("acme/bare", "v1")
	b := s.Pack(archive.PlanOptions{}, bundletest.Wanted{Name: name, Platform: "linux/" + runtime.GOARCH}, bundletest.Wanted{Name: bare})
	load(t, n, b, LoadOptions{DiscardLayers: true})
	p.own.serve(n.Source())
	p.other.serve(serve.Bundle(b))

	head := func(asked string) bool {
		return strings.HasPrefix(asked, "HEAD ") && strings.HasSuffix(asked, "?ns=docker.io 200")
	}
	absent := func(asked string) bool { return strings.HasSuffix(asked, "?ns=docker.io 404") }
	byDigest := "docker.io/acme/app@" + s.Added[name].Digest.String()
	for _, image := range []string{name, byDigest} {
		must(t, p.pull(image))
		p.wants("pull of "+image+" without its layers", head, nil)
	}
	if err := p.pull("docker.io/acme/none:v1"); err == nil {
		t.Error("an image that is nowhere was pulled")
	}
	p.wants("pull of nothing", absent, absent)

	must(t, p.machine.Restart(t.Context()))
	must(t, p.pull(name))
	p.wants("pull after a restart", head, nil)

	p.remove(bare)
	must(t, p.pull(bare))
	served := func(asked string) bool { return strings.HasSuffix(asked, "?ns=docker.io 200") }
	p.wants("pull from the bundle", absent, served)
	p.own.CloseClientConnections()
	p.own.Listener.Close()
	must(t, p.pull(bare)) // from the next host
	if _, err := n.Check(t.Context(), b); err != nil {
		t.Error(err)
	}
}

// TestSourceConformance runs the conformance program of the distribution specification, the
// part about pulls, against the images of a node and against those of a bundle.
func TestSourceConformance(t *testing.T) {
	t.Parallel()
	dir, err := nodetest.Tools()
	must(t, err)
	program := filepath.Join(dir, "conformance")
	_, err = os.Stat(program)
	need.Part(t, "the conformance program of the distribution specification", err)
	_, n := connect(t)
	s := newShelf(t)
	name := s.Index("acme/app", "v1", registrytest.Index{Images: []registrytest.Image{
		registrytest.Hello("app", "amd64", nil), registrytest.Hello("app", "arm64", nil),
	}})
	s.Refer(name)
	signature := s.Sign(name)
	b := s.Pack(archive.PlanOptions{}, bundletest.Wanted{Name: name, Platform: "linux/" + runtime.GOARCH})
	load(t, n, b, LoadOptions{})
	for what, source := range map[string]serve.Source{"node": n.Source(), "bundle": serve.Bundle(b)} {
		t.Run(what, func(t *testing.T) {
			h := newHost(t)
			h.serve(source)
			r, err := http.Head(h.URL + "/v2/docker.io/acme/app/manifests/" + signature.Tag)
			if err != nil || r.Header.Get("Docker-Content-Digest") != signature.Descriptor.Digest.String() {
				t.Errorf("tag of a signature: %v, %v", r, err)
			}
			conform(t, program, h, s.Added[name], b)
		})
	}
}

// conform runs the program. Its text has the result: it may end with a panic after it.
func conform(t *testing.T, program string, h *host, a registrytest.Added, b *archive.Reader) {
	t.Helper()
	manifests, blobs := []string{}, []string{}
	for _, blob := range b.Blobs() {
		if blob.Manifest {
			manifests = append(manifests, blob.Digest.String())
		} else {
			blobs = append(blobs, blob.Digest.String())
		}
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = []string{
		"OCI_REGISTRY=" + h.Listener.Addr().String(), "OCI_TLS=disabled", "OCI_REPO1=" + a.Repo, "OCI_RESULTS_DIR=" + t.TempDir(),
		"OCI_API_PUSH=false", "OCI_API_BLOBS_DELETE=false", "OCI_API_BLOBS_ATOMIC=false", "OCI_API_BLOBS_MOUNT_ANONYMOUS=false",
		"OCI_API_MANIFESTS_DELETE=false", "OCI_API_MANIFESTS_ATOMIC=false", "OCI_API_TAGS_DELETE=false", "OCI_API_TAGS_ATOMIC=false",
		"OCI_RO_DATA_TAGS=" + a.Tag, "OCI_RO_DATA_MANIFESTS=" + strings.Join(manifests, " "), "OCI_RO_DATA_BLOBS=" + strings.Join(blobs, " "),
		"OCI_RO_DATA_REFERRERS=" + a.Digest.String(),
	}
	cmd.Dir = t.TempDir()
	out, _ := cmd.Output()
	text := string(out)
	for _, want := range []string{
		"OCI Conformance Test: Pass", "read-only: Pass", "tag-list: Pass", "manifest-head-by-tag: Pass", "manifest-by-digest: Pass", "blob-get: Pass",
		"referrers: Pass", "missing-manifest: Pass", "OCI Conformance Result: Pass",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestSourceManyReaders reads a layer 64 times at once through one connection to containerd.
func TestSourceManyReaders(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	l := &registrytest.Layer{Seed: 1, Compression: registrytest.None, Files: []registrytest.File{{Name: "a", Size: 1 << 20}}}
	b := s.Bundle(s.Image("acme/large", "v1", registrytest.Image{Layers: []*registrytest.Layer{l}}))
	load(t, n, b, LoadOptions{})
	h := newHost(t)
	h.serve(n.Source())
	layer := largestBlob(b)
	var g errgroup.Group
	for range 64 {
		g.Go(func() error {
			r, err := http.Get(h.URL + "/v2/acme/large/blobs/" + layer.Digest.String())
			if err != nil {
				return err
			}
			defer r.Body.Close()
			v := layer.Digest.Verifier()
			if n, err := io.Copy(v, r.Body); err != nil || n != layer.Size || !v.Verified() {
				return fmt.Errorf("%s: %d bytes, %w", r.Status, n, err)
			}
			return nil
		})
	}
	must(t, g.Wait())
}

// largestBlob returns the largest blob of a bundle.
func largestBlob(b *archive.Reader) archive.Blob {
	return slices.MaxFunc(b.Blobs(), func(x, y archive.Blob) int { return cmp.Compare(x.Size, y.Size) })
}
