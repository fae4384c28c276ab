//go:build linux

package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/registrytest"
)

// rebootDisk is the size of the disk, which is copied in each round.
const rebootDisk = 512 << 20

// checkedImages are the names of the images of these tests, which have no layers in common.
var checkedImages = []string{"docker.io/site/a:1.0", "docker.io/site/b:1.0", "docker.io/site/c:1.0"}

// bundleOfChecked returns a bundle of images that can verify themselves.
func bundleOfChecked(t *testing.T) string {
	t.Helper()
	h := startRegistry(t, registrytest.Policy{})
	for i, repo := range []string{"site/a", "site/b", "site/c"} {
		// Small and large files: both ways in which a file can be cut short.
		addChecked(t, h, repo, "1.0", uint64(i), shape{layers: 2, files: 400, bytes: 2000})
	}
	addChecked(t, h, "site/large", "1.0", 9, shape{layers: 3, files: 2, bytes: 4 << 20})
	tarball := filepath.Join(t.TempDir(), "checked.tar")
	args := append([]string{"-o", tarball, "docker.io/site/large:1.0"}, checkedImages...)
	if got := runBundle(t, append(args, mirrors(h)...)...); got.code != 0 {
		t.Fatalf("bundle: exit %d", got.code)
	}
	return tarball
}

// TestPowerCutAfterLoad cuts the power as soon as load has succeeded: everything must be on
// the disk.
func TestPowerCutAfterLoad(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	tarball := bundleOfChecked(t)
	m := newMachine(t, rebootDisk, "")
	m.startNode(t, "").load(t, tarball)
	after := rebooted(t, m)
	want := append([]string{"docker.io/site/large:1.0"}, checkedImages...)
	slices.Sort(want)
	if diff := cmp.Diff(want, assertComplete(t, after)); diff != "" {
		t.Errorf("images after the power cut (-want +got):\n%s", diff)
	}
}

// TestPowerCutDuringLoad cuts the power at random times. Visible images must be complete,
// and the same load must complete the rest.
func TestPowerCutDuringLoad(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	const rounds = 6
	tarball := bundleOfChecked(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	whole := loadTime(t, tarball)
	for i := range rounds {
		// Slightly longer than the load: the last steps make names visible.
		wait := time.Duration(random.Float64() * 1.1 * float64(whole))
		t.Run(fmt.Sprintf("%d of %d", i+1, rounds), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, rebootDisk, "")
			n := m.startNode(t, "")
			cmd := m.command(programs(t).load, n.loadArgs(tarball)...)
			load, err := m.startInside(cmd)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(wait) // a random time; any will do
			after := rebooted(t, m)
			ended := load.wait() == nil
			visible := assertComplete(t, after)
			t.Logf("cut after %v of about %v: load had exited: %v, visible and complete: %d", wait, whole, ended, len(visible))
			after.load(t, tarball)
			if got := assertComplete(t, after); len(got) != len(checkedImages)+1 {
				t.Errorf("after the second load: %q", got)
			}
		})
	}
}

// TestPowerCutWithinLoad cuts the power when some layers are unpacked and committed and the
// rest has not arrived: load reads standard input, which stalls. The same load afterwards
// must not reuse snapshots that lost their files.
func TestPowerCutWithinLoad(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	tarball := bundleOfChecked(t)
	m := newMachine(t, rebootDisk, "")
	n := m.startNode(t, "")
	cmd := m.command(programs(t).load, n.loadArgs("-")...)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	load, err := m.startInside(cmd)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(tarball)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(input, f, info.Size()-mib); err != nil {
		t.Fatal(err)
	}
	n.waitCommitted(t, 3)
	after := rebooted(t, m)
	if load.wait() == nil {
		t.Error("load ended well without the end of its input")
	}
	if got := assertComplete(t, after); len(got) != 0 {
		t.Errorf("visible before the load was complete: %q", got)
	}
	after.load(t, tarball)
	if got := assertComplete(t, after); len(got) != len(checkedImages)+1 {
		t.Errorf("after the second load: %q", got)
	}
}

// waitCommitted waits until the node has that many committed snapshots.
func (n *node) waitCommitted(t *testing.T, want int) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		out, err := n.Ctr("snapshots", "ls")
		if err == nil && strings.Count(out, "Committed") >= want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("fewer than %d committed snapshots: %v\n%s", want, err, out)
		}
	}
}

// loadTime returns the approximate time of an undisturbed load.
func loadTime(t *testing.T, tarball string) time.Duration {
	t.Helper()
	m := newMachine(t, rebootDisk, "")
	n := m.startNode(t, "")
	began := time.Now()
	n.load(t, tarball)
	return time.Since(began)
}

// rebooted cuts the machine's power and returns a node with a copy of its disk: another
// machine, which replays the file system's journal, with nothing in memory.
func rebooted(t *testing.T, m *machine) *node {
	t.Helper()
	if err := m.cut(); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := copyImage(m.image, m.loop, image); err != nil {
		t.Fatal(err)
	}
	return newMachine(t, 0, image).startNode(t, "")
}

// checks numbers the containers of assertComplete. Their control groups have the names of
// the containers, and machines that run at the same time share these groups.
var checks atomic.Int64

// assertComplete runs a container of every visible image, which verifies all files of the
// image, and returns the names with tags, sorted.
func assertComplete(t *testing.T, n *node) []string {
	t.Helper()
	var tags []string
	for _, name := range n.images(t) {
		if strings.Contains(name, "@") {
			continue // the same image under its digest
		}
		tags = append(tags, name)
	}
	slices.Sort(tags)
	for _, name := range tags {
		var out string
		var err error
		id := fmt.Sprintf("check-%d-%d", os.Getpid(), checks.Add(1))
		n.machine.do(func() { out, err = n.Ctr("run", "--rm", "--net-host", name, id) })
		if err != nil || !strings.Contains(out, "intact: ") {
			t.Errorf("%s is visible but incomplete: %v\n%s", name, err, out)
		}
	}
	return tags
}
