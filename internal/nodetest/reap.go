//go:build linux

package nodetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reap kills the shims of this node and their containers. A shim has the address of its
// containerd in its arguments, and no other node has this address, so no other processes
// are affected.
func (n *Node) reap() error {
	shims := n.shims()
	for _, shim := range shims {
		for _, child := range children(shim) {
			syscall.Kill(child, syscall.SIGKILL)
		}
		syscall.Kill(shim, syscall.SIGKILL)
	}
	deadline := time.Now().Add(stopTimeout)
	for len(n.shims()) > 0 {
		if time.Now().After(deadline) {
			return fmt.Errorf("shims %v of the node do not exit", n.shims())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n.removeSockets()
}

// shims returns the processes that have the node's address as the argument after -address
// (core/runtime/v2 of containerd starts them so).
func (n *Node) shims() []int {
	var pids []int
	for pid, args := range processes() {
		if i := slices.Index(args, "-address"); i > 0 && i+1 < len(args) && args[i+1] == n.Address() {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// processes returns the arguments of every process that has some.
func processes() map[int][]string {
	all := map[int][]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil || len(b) == 0 {
			continue // exited, or a zombie
		}
		all[pid] = strings.Split(string(bytes.TrimRight(b, "\x00")), "\x00")
	}
	return all
}

// children returns the direct children of a process, in all its threads.
func children(pid int) []int {
	var pids []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, word := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// removeSockets deletes the sockets of killed shims, which are in a directory that all
// containerds of a machine share. Each shim wrote the path of its own beside its state.
func (n *Node) removeSockets() error {
	files, _ := filepath.Glob(filepath.Join(n.dir, "state", "io.containerd.runtime.v2.task", "*", "*", "address"))
	var errs []error
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		path, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "unix://")
		if ok && strings.HasPrefix(path, "/run/containerd/s/") {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// unmount unmounts everything below the node's directory, the last mount first.
func (n *Node) unmount() error {
	points, err := mountsBelow(n.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range slices.Backward(points) {
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// mountsBelow returns the mount points below dir in the order of mounting (proc(5),
// /proc/PID/mountinfo: the fifth field, spaces as \040).
func mountsBelow(dir string) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := strings.ReplaceAll(fields[4], `\040`, " ")
		if strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points, nil
}
