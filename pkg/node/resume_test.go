//go:build linux

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// order makes this binary, when a test runs it, a loader that may die.
type order struct {
	Address, Bundle string
	Jobs            int
	Discard         bool
	After           int64 // bytes; 0: it does not die
}

// orderVariable is the environment variable with the order, as JSON.
const orderVariable = "STOWAGE_TEST_ORDER"

func TestMain(m *testing.M) {
	if text := os.Getenv(orderVariable); text != "" {
		var o order
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			panic(err)
		}
		code := o.obey(context.Background())
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			panic(err)
		}
		os.Stdout.Write(status)
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// obey loads and returns the exit status. After the given number of bytes the process kills
// itself with SIGKILL.
func (o order) obey(ctx context.Context) int {
	n, err := Connect(ctx, Options{Address: o.Address})
	if err != nil {
		return 1
	}
	b, err := archive.Open(ctx, o.Bundle, nil)
	if err != nil {
		return 1
	}
	var passed atomic.Int64
	_, err = n.Load(ctx, b, LoadOptions{Jobs: o.Jobs, DiscardLayers: o.Discard, OnBytes: func(n int64) {
		if passed.Add(n) > o.After && o.After > 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}})
	if err != nil {
		return 1
	}
	return 0
}

// costs are what a loader used.
type costs struct {
	cpu  time.Duration
	peak int64 // of the resident memory, in bytes
}

// run runs this binary with the order. The process reports its own peak (proc(5), VmHWM): its
// parent would get the parent's if that is higher.
func (o order) run() (costs, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return costs{}, err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orderVariable+"="+string(text))
	status, err := cmd.Output()
	c := costs{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Sscanf(rest, "%d kB", &c.peak)
			c.peak <<= 10
		}
	}
	return c, err
}

func TestKilledLoadResumes(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	s := newShelf(t)
	// Uncompressed, so that the layers are as large as their files and the load dies in ingest.
	// Small beside the whole, because only what is complete is kept of a blob that is placed.
	var layers []*registrytest.Layer
	for seed := range uint64(16) {
		layers = append(layers, &registrytest.Layer{Seed: seed, Compression: registrytest.GzipStored, Files: []registrytest.File{{Name: "f", Size: 3 << 20}}})
	}
	name := s.Image("acme/large", "v1", registrytest.Image{Layers: layers})
	path := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name})
	before := n.take(t)

	_, err := order{Address: machine.Address(), Bundle: path, After: 40 << 20}.run()
	if exit, ok := err.(*exec.ExitError); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("killed loader: %v, want SIGKILL", err)
	}
	left := n.take(t)
	if len(left.Records) != 0 || len(left.Leases) != 1 {
		t.Fatalf("after the kill: records %v, leases %v", left.Records, left.Leases)
	}
	b := bundletest.Open(t, path)
	r := load(t, n, b, LoadOptions{})
	var size int64
	for _, blob := range b.Blobs() {
		size += blob.Size
	}
	if r.Ingested >= size {
		t.Errorf("second run sent %d bytes, all of %d", r.Ingested, size)
	}
	after := n.take(t)
	if len(after.Leases) > len(before.Leases) || len(after.Ingests) > 0 {
		t.Errorf("left behind: leases %v, ingests %v", after.Leases, after.Ingests)
	}
	for _, sn := range after.Snapshots {
		if !strings.HasPrefix(sn, "Committed") {
			t.Errorf("left behind: %s", sn)
		}
	}
	if r := load(t, n, b, LoadOptions{}); !r.UpToDate() {
		t.Errorf("third run: %+v", r)
	}
}

// TestWrongIngestSentAgain resumes ingests with wrong bytes. containerd finds a wrong digest for
// the layer, and the complete blob is sent again; a small blob is always sent from its start.
func TestWrongIngestSentAgain(t *testing.T) {
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "f", Size: 1 << 20}}}}})
	b := s.Bundle(name)
	layer, config := s.manifest(name).Layers[0], s.manifest(name).Config
	tx, ctx, err := n.begin(n.namespaced(t), b.Digest())
	must(t, err)
	must(t, tx.unlock(ctx)) // the lease stays, as after a kill
	for _, desc := range []ocispec.Descriptor{layer, config} {
		w, err := n.content.Writer(ctx, content.WithRef(ingestRef(desc.Digest)), content.WithDescriptor(desc))
		must(t, err)
		_, err = w.Write(make([]byte, 100))
		must(t, err)
		must(t, w.Close())
	}
	r := load(t, n, b, LoadOptions{})
	if least := layer.Size + config.Size; r.Ingested < least {
		t.Errorf("sent %d bytes, want at least the %d of layer and config", r.Ingested, least)
	}
	if left := n.take(t); len(left.Ingests) > 0 {
		t.Errorf("left behind: %v", left.Ingests)
	}
}
