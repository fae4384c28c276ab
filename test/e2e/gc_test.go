//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stowage/internal/registrytest"
)

// slowVariable enables the row that waits for the kubelet's own interval: it checks the
// thresholds at its start, before it knows the size of any disk, and then every 5 minutes.
const slowVariable = "STOWAGE_E2E_SLOW"

const mib = 1 << 20

// minAge is how long a kubelet must have known an image before it removes it: almost zero.
// Zero would mean the default, 2 minutes.
const minAge = "1s"

// gcRow is one of the two reasons for which a kubelet removes images.
type gcRow struct {
	name     string
	slow     bool
	patience time.Duration
	settings func(available int64) settings
	squeeze  int64 // bytes to add to the disk for each image to be removed
}

var gcRows = []gcRow{
	{
		// The eviction manager (pkg/kubelet/eviction) checks every 10 s. The limit is the
		// space of one image below the free space at the start, so that adding more than
		// that, but less than two, makes the kubelet remove exactly one image.
		name: "disk pressure", patience: patience, squeeze: 60 * mib,
		settings: func(available int64) settings {
			return settings{
				"evictionHard":      settings{"nodefs.available": fmt.Sprint(available - 40*mib)},
				"imageMinimumGCAge": minAge,
			}
		},
	},
	{
		name: "threshold", slow: true, patience: 7 * time.Minute,
		settings: func(int64) settings {
			return settings{"imageGCHighThresholdPercent": 10, "imageGCLowThresholdPercent": 1, "imageMinimumGCAge": minAge}
		},
	},
}

// TestGarbageCollection makes a kubelet clear its full disk. Pinned images and those of
// running containers stay, all others are removed; unpinned images are removed the next
// time.
func TestGarbageCollection(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	for _, row := range gcRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if row.slow && os.Getenv(slowVariable) == "" {
				t.Skipf("takes 10 minutes; set %s=1", slowVariable)
			}
			collect(t, row)
		})
	}
}

func collect(t *testing.T, row gcRow) {
	tarballs := gcBundles(t)
	m := newMachine(t, 300*mib, "")
	n := m.startNode(t, "")
	n.load(t, tarballs["sandbox"])
	n.load(t, tarballs["pinned"])
	n.load(t, "--no-pin", tarballs["loose"])
	n.load(t, "--no-pin", tarballs["used"])

	k := n.startKubelet(t, row.settings(m.available(t)))
	k.put(t, newPod("user", container{Image: gcImage("used"), ImagePullPolicy: "Never", Args: []string{"stay"}}))
	k.waitPod(t, "user", running)

	m.fill(t, "first", row.squeeze)
	n.waitGone(t, gcImage("loose"), row.patience)
	for _, name := range []string{gcImage("pinned"), gcImage("used"), pauseImage} {
		if !n.has(t, name) {
			t.Errorf("%s was removed", name)
		}
	}

	if got := m.runInside(t, programs(t).load, "unpin", "--address", n.Address(), tarballs["pinned"]); got.code != 0 {
		t.Fatalf("load unpin: exit %d", got.code)
	}
	m.fill(t, "second", row.squeeze*2/3) // the space of the removed image
	n.waitGone(t, gcImage("pinned"), row.patience)
	for _, name := range []string{gcImage("used"), pauseImage} {
		if !n.has(t, name) {
			t.Errorf("%s was removed", name)
		}
	}
	if p := k.waitPod(t, "user", running); p.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the pod was restarted %d times", p.Status.ContainerStatuses[0].RestartCount)
	}
}

func gcImage(name string) string { return "docker.io/site/" + name + ":1.0" }

// gcBundles makes one bundle for each image, which uses 40 MiB on a node: 20 compressed,
// and 20 unpacked.
func gcBundles(t *testing.T) map[string]string {
	t.Helper()
	h := startRegistry(t, registrytest.Policy{})
	addPause(t, h)
	names := map[string]string{"sandbox": pauseImage}
	for i, name := range []string{"pinned", "loose", "used"} {
		addChecked(t, h, "site/"+name, "1.0", uint64(i), shape{layers: 1, files: 5, bytes: 4 * mib})
		names[name] = gcImage(name)
	}
	tarballs := map[string]string{}
	for name, ref := range names {
		tarballs[name] = filepath.Join(t.TempDir(), name+".tar")
		if got := runBundle(t, append([]string{"-o", tarballs[name], ref}, mirrors(h)...)...); got.code != 0 {
			t.Fatalf("bundle: exit %d", got.code)
		}
	}
	return tarballs
}

// available returns the free space of the machine's disk.
func (m *machine) available(t *testing.T) int64 {
	t.Helper()
	var fs unix.Statfs_t
	var err error
	m.do(func() {
		unix.Sync() // space is allocated when data is written
		err = unix.Statfs(m.diskDir(), &fs)
	})
	if err != nil {
		t.Fatal(err)
	}
	return int64(fs.Bavail) * fs.Bsize
}

// fill adds a file of that many bytes to the machine's disk.
func (m *machine) fill(t *testing.T, name string, bytes int64) {
	t.Helper()
	if bytes == 0 {
		return
	}
	var err error
	m.do(func() {
		var f *os.File
		if f, err = os.Create(filepath.Join(m.diskDir(), name)); err == nil {
			defer f.Close()
			err = unix.Fallocate(int(f.Fd()), 0, 0, bytes)
		}
	})
	if err != nil {
		t.Fatalf("fill the disk: %v", err)
	}
}

// waitGone waits until CRI no longer knows an image.
func (n *node) waitGone(t *testing.T, ref string, patience time.Duration) {
	t.Helper()
	for end := time.Now().Add(patience); n.has(t, ref); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s is still there after %v", ref, patience)
		}
	}
}
