//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes the machine and the settings.
func (b *bench) machine(ctx context.Context) string {
	var t strings.Builder
	fmt.Fprintf(&t, "- when: %s, load average %s at the start\n", time.Now().UTC().Format("2006-01-02 15:04 MST"), loadAverage())
	fmt.Fprintf(&t, "- machine: %d cores, %s, %s of memory, Linux %s, %s\n",
		runtime.NumCPU(), procValue("/proc/cpuinfo", "model name"), memory(), firstLine("/proc/sys/kernel/osrelease"), runtime.Version())
	fmt.Fprintf(&t, "- tmpfs %s, disk %s (%s); rounds: %d\n", b.memory, b.disk, fileSystem(b.disk), b.rounds)
	fmt.Fprintf(&t, "- versions: %s\n", b.versions(ctx))
	return t.String()
}

// versions lists the versions of the command's peers.
func (b *bench) versions(ctx context.Context) string {
	peers := []program{crane, skopeo, regctl, oras}
	if b.command != "bundle" {
		peers = []program{ctr}
	}
	var list []string
	for _, p := range peers {
		version := "absent"
		if found, err := p.find(ctx, b.tools, b.install); err == nil {
			version = found.version
		}
		list = append(list, p.name+" "+version)
	}
	return strings.Join(list, ", ")
}

// noiseNote returns a sentence about the processor time of other processes during the
// measurements of a table.
func noiseNote(cores []float64) string {
	return fmt.Sprintf("During these measurements other processes used %s of %d cores; load average at the end %s.\n",
		spreadOf(cores), runtime.NumCPU(), loadAverage())
}

// tick is the unit of processor times in /proc (proc(5): USER_HZ is 100 on every
// architecture that Go runs on).
const tick = 10 * time.Millisecond

// machineTime returns the time for which all processors were busy since the machine
// started.
func machineTime() time.Duration {
	fields := strings.Fields(firstLine("/proc/stat"))
	var ticks int64
	for i, f := range fields {
		// cpu user nice system idle iowait irq softirq steal; guest times are in user already
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(f, 10, 64) // 0 if it is not a number
		ticks += n
	}
	return time.Duration(ticks) * tick
}

// ownTime returns the processor time of this process and of the children that it has waited
// for.
func ownTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// loadAverage returns the three figures of the kernel.
func loadAverage() string {
	fields := strings.Fields(firstLine("/proc/loadavg"))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// memory returns the size of the main memory.
func memory() string {
	kib, _ := strconv.ParseFloat(strings.TrimSuffix(procValue("/proc/meminfo", "MemTotal"), " kB"), 64)
	return digits(kib/(1<<20)) + " GiB"
}

// fileSystem returns the type of the file system of path.
func fileSystem(path string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return "unknown"
	}
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	}
	if name := names[int64(s.Type)]; name != "" {
		return name
	}
	return fmt.Sprintf("type %#x", s.Type)
}

// procValue returns the first value of a key in a "key: value" file; empty if there is
// none.
func procValue(file, key string) string {
	text, _ := os.ReadFile(file) // an empty text has no key
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// firstLine returns the first line of a file; empty if it cannot be read.
func firstLine(file string) string {
	text, _ := os.ReadFile(file)
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
