//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemonTime returns the processor time of a process, including the children that it waited
// for (proc(5), /proc/PID/stat: utime, stime, cutime, cstime).
func daemonTime(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return parseTimes(string(text))
}

// parseTimes parses the four times. The name of the program may contain anything, so it
// counts the fields after the closing parenthesis: utime is the 14th of all, the 12th after
// it.
func parseTimes(stat string) (time.Duration, error) {
	const first, last = 11, 14
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= last {
		return 0, errors.New("process times: too few fields")
	}
	var ticks int64
	for _, f := range fields[first : last+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process times: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// resetPeak resets the peak memory of a process to its current memory (proc(5),
// /proc/PID/clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// daemonPeak returns the peak memory of a process in bytes.
func daemonPeak(pid int) (int64, error) {
	value := procValue(fmt.Sprintf("/proc/%d/status", pid), "VmHWM")
	kib, err := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return kib << 10, nil
}

// A process is idle if it uses no tick of processor time in restTime.
const (
	restTime = 300 * time.Millisecond
	restWait = 10 * time.Second
)

// waitIdle waits until the process is idle and returns the processor time that it used
// until then.
func waitIdle(ctx context.Context, pid int) (time.Duration, error) {
	last, err := daemonTime(pid)
	for end := time.Now().Add(restWait); err == nil && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(restTime):
		}
		var now time.Duration
		if now, err = daemonTime(pid); now == last {
			break
		}
		last = now
	}
	return last, err
}

// diskUsage returns the space in bytes that the files below dir use, without other file
// systems; hard links count once.
func diskUsage(dir string) (int64, error) {
	var root, st syscall.Stat_t
	if err := syscall.Stat(dir, &root); err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir, err)
	}
	var sum int64
	seen := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := syscall.Lstat(path, &st); err != nil {
			return fmt.Errorf("size of %s: %w", path, err)
		}
		if st.Dev != root.Dev {
			return fs.SkipDir
		}
		if !seen[st.Ino] {
			seen[st.Ino] = true
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum, err
}
