//go:build linux

package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/nodetest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/layer"
	"stowage/pkg/node/internal/system"
)

// memory is a bundle of blobs without images.
type memory map[digest.Digest][]byte

func (m memory) Images() []archive.Image                { return nil }
func (m memory) Nameless() []archive.Nameless           { return nil }
func (m memory) Skipped() []archive.Skipped             { return nil }
func (m memory) Digest() digest.Digest                  { return dg("bundle") }
func (m memory) Base() digest.Digest                    { return "" }
func (m memory) Has(d digest.Digest) bool               { return m[d] != nil }
func (m memory) Hold(int64) error                       { return nil }
func (m memory) About(ocispec.Descriptor) digest.Digest { return "" }
func (m memory) Manifest(digest.Digest) (*archive.Manifest, error) {
	return nil, archive.ErrNotFound
}
func (m memory) Config(digest.Digest) (*archive.Config, error) { return nil, archive.ErrNotFound }
func (m memory) Open(d digest.Digest) (*io.SectionReader, error) {
	if m[d] == nil {
		return nil, archive.ErrNotFound
	}
	return io.NewSectionReader(strings.NewReader(string(m[d])), 0, int64(len(m[d]))), nil
}

// TestUnavailable connects to every kind of socket without a usable containerd.
func TestUnavailable(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") // t.TempDir is too long for sockets
	must(t, err)
	defer os.RemoveAll(dir)
	listen := func(name string) net.Listener {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		must(t, err)
		return l
	}
	stale := listen("stale").(*net.UnixListener)
	stale.SetUnlinkOnClose(false)
	stale.Close()
	rude := listen("rude")
	defer rude.Close()
	go func() {
		for {
			c, err := rude.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}
	}()
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for name, want := range map[string]Reason{
		"none": NotRunning, "file/none": NotRunning, "stale": Refused, "file": Refused, "rude": NotContainerd,
	} {
		address := filepath.Join(dir, name)
		_, err := Connect(t.Context(), Options{Address: "unix://" + address})
		var got *UnavailableError
		if !errors.As(err, &got) || got.Reason != want || got.Address != address || got.Err == nil {
			t.Errorf("%s: %v, want reason %q", name, err, want)
		}
	}
	t.Setenv(AddressVariable, filepath.Join(dir, "stale"))
	if _, err := Connect(t.Context(), Options{}); !strings.Contains(fmt.Sprint(err), filepath.Join(dir, "stale")+": connection refused") {
		t.Errorf("by %s: %v", AddressVariable, err)
	}
	if _, err := Connect(t.Context(), Options{Namespace: "not/valid"}); err == nil {
		t.Error("a namespace that is none: no error")
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	one := nodetest.Start(t)
	two := nodetest.Start(t)
	docker := nodetest.Start(t, nodetest.Options{DisableCRI: true})
	// The first table is for containerd 2, the second for 1.
	failed := nodetest.Start(t, nodetest.Options{Config: `
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "gone"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "gone"
`})
	dir := one.Dir()
	link := filepath.Join(dir, "link.sock")
	must(t, os.Symlink(one.Address(), link))
	none := filepath.Join(dir, "none.sock")
	cwd, err := os.Getwd()
	must(t, err)
	relative, err := filepath.Rel(cwd, one.Address())
	must(t, err)

	tests := []struct {
		name    string
		sockets []string
		found   string
		reason  Reason
		address string
	}{
		{"first of all", []string{one.Address(), none}, one.Address(), "", ""},
		{"behind one without CRI", []string{none, docker.Address(), one.Address()}, one.Address(), "", ""},
		{"a relative path", []string{relative}, relative, "", ""},
		{"a link to the same", []string{link, one.Address()}, link, "", ""},
		{"two", []string{one.Address(), none, two.Address()}, "", Ambiguous, ""},
		{"none", []string{none, none}, "", NotRunning, ""},
		{"only one without CRI", []string{none, docker.Address()}, "", NoCRI, docker.Address()},
		{"CRI failed", []string{docker.Address(), failed.Address()}, "", CRIFailed, failed.Address()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := search(t.Context(), tt.sockets)
			if d != nil {
				defer d.client.Close()
				if d.address != tt.found {
					t.Errorf("found %s, want %s", d.address, tt.found)
				}
				return
			}
			got, ok := err.(*UnavailableError)
			if !ok || got.Reason != tt.reason || got.Address != tt.address || tt.found != "" {
				t.Errorf("error: %v; want %q at %q", err, tt.reason, tt.address)
			}
			if tt.reason == Ambiguous && (len(got.Attempts) != 2 || !strings.Contains(err.Error(), one.Address()+", "+two.Address())) {
				t.Errorf("candidates: %v", err)
			}
		})
	}
	_, err = Connect(t.Context(), Options{Address: failed.Address()})
	var got *UnavailableError
	if !errors.As(err, &got) || got.Reason != CRIFailed || !strings.Contains(err.Error(), "gone") {
		t.Errorf("CRI failed, by address: %v", err)
	}
	_, err = Connect(t.Context(), Options{Address: one.Address(), Snapshotter: "zfs"})
	if !errors.As(err, &got) || got.Reason != NoSnapshotter {
		t.Errorf("a snapshotter that did not start: %v", err)
	}
}

func TestServer(t *testing.T) {
	machine, n := connect(t)
	got := n.Server()
	if _, ok := parseVersion(got.Version); !ok || !strings.HasPrefix(got.Platform, "linux/") {
		t.Errorf("server: %+v", got)
	}
	got.Version, got.Platform = "", ""
	want := Server{Address: machine.Address(), Namespace: "k8s.io", Snapshotter: "overlayfs", CRI: CRIReady}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("server (-want +got):\n%s", d)
	}
	if !n.local {
		t.Error("files of a containerd on this machine: not seen")
	}
}

func TestKeepsPins(t *testing.T) {
	for version, want := range map[string]bool{
		"1.5.18": false, "1.6.20~ds1": false, "1.6.21": false, "1.6.22": true, "v1.7.2": false, "v1.7.3": true,
		"1.7.35": true, "v2.0.0": true, "v2.4.2+unknown": true, "something": true,
	} {
		if got := keepsPins(version); got != want {
			t.Errorf("%s: %t, want %t", version, got, want)
		}
	}
}

func TestDefaultSandbox(t *testing.T) {
	for version, want := range map[string]string{"v2.4.2": "registry.k8s.io/pause:3.10.2", "1.6.20~ds1": "registry.k8s.io/pause:3.6", "9.9.9": "", "x": ""} {
		if got := defaultSandbox(version); got != want {
			t.Errorf("default of %s: %q, want %q", version, got, want)
		}
	}
}

func TestPreflight(t *testing.T) {
	_, n := connect(t)
	l := &loader{node: n, bundle: memory{}, local: true}
	disk, err := system.Usage(n.snapshotter.root)
	must(t, err)
	for _, tt := range []struct {
		size int64
		fits bool
	}{{disk.Free / layer.GuessSize(2), true}, {disk.Free, false}} {
		desc := descOf("large")
		desc.Size = tt.size
		err := l.preflight(t.Context(), &plan{unpacks: []*unpackWork{{imageLayer: imageLayer{Descriptor: desc}}}})
		var short *DiskFullError
		if tt.fits != (err == nil) || !tt.fits && (!errors.As(err, &short) || short.Need != layer.GuessSize(tt.size)) {
			t.Errorf("a layer of %d bytes, %d free: %v", tt.size, disk.Free, err)
		}
	}
}
