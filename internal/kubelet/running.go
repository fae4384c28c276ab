package kubelet

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"stowage/internal/lazy"
	"stowage/internal/pullrecords"
)

// answers reports whether a kubelet serves the socket of its root directory, or whether that
// cannot be excluded. Each has one: that of the pod resources API
// (ListenAndServePodResources in pkg/kubelet/kubelet.go, v1.35.4). Unlike a process it is
// also found from within a container that has the directory.
func answers(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "pod-resources"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	// The name of a socket is limited to 107 bytes; that of the directory is not.
	conn, err := net.Dial("unix", filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd())), "kubelet.sock"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED)
	}
	conn.Close()
	return true
}

// identity returns the number that tells a process from all others that this node ever had,
// as in [pullrecords.Settings]: a hash of the boot and of the start, which no change of the
// clock affects.
func identity(proc string, pid int) uint32 {
	boot, err := readSome(filepath.Join(proc, "sys", "kernel", "random", "boot_id"))
	ticks := startTicks(proc, pid)
	if err != nil || ticks == "" {
		return pullrecords.UnknownProcess
	}
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %s", boot, ticks)
	return pullrecords.UnknownProcess + 1 + h.Sum32()%(pullrecords.MaxProcess-pullrecords.UnknownProcess)
}

// startTicks returns when a process was started, in ticks after the boot (proc_pid_stat(5),
// field 22), "" when that is not known.
func startTicks(proc string, pid int) string {
	stat, _ := readSome(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // a name may contain spaces
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// started returns when a process was started, the zero time when that is not known. A hundred
// ticks are a second on every architecture.
func started(proc string, pid int) time.Time {
	system, _ := readSome(filepath.Join(proc, "stat"))
	_, boot, _ := strings.Cut(string(system), "\nbtime ")
	boot, _, _ = strings.Cut(boot, "\n")
	ticks, err1 := strconv.ParseInt(startTicks(proc, pid), 10, 64)
	seconds, err2 := strconv.ParseInt(boot, 10, 64)
	if err1 != nil || err2 != nil {
		return time.Time{}
	}
	return time.Unix(seconds+ticks/100, 0)
}

// changed returns the files of the configuration that changed after the kubelet started, for
// which a few seconds are allowed: the kernel rounds the time of the boot. k3s has its kubelet
// inside and writes some of its files after its own start.
func (c candidate) changed(start time.Time) []string {
	if start.IsZero() {
		return nil
	}
	var all []string
	for _, name := range c.files {
		path := c.root.path(name)
		info, err := os.Stat(path)
		if err == nil && info.ModTime().After(start.Add(3*time.Second)) && !writtenByK3s().MatchString(name) {
			all = append(all, path)
		}
	}
	return all
}

// writtenByK3s matches the files that k3s and RKE2 write at each start.
var writtenByK3s = lazy.Regexp(`/agent/etc/kubelet\.conf\.d/(00-[a-z0-9]+-defaults\.conf$|10-cli-config\.conf$|20-cli-config-dir/)`)
