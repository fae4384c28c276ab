//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"stowage/internal/nodetest"
)

// syncCalls are the system calls that wait for a disk.
const syncCalls = "trace=fsync,fdatasync,sync,syncfs,msync"

// countSyncs counts the sync calls of the client and of containerd in one load into a new
// containerd. It is a separate run, because strace slows both down.
func (b *bench) countSyncs(ctx context.Context, parent, tarball string, rows []*loadRow) {
	strace, err := exec.LookPath("strace")
	for _, row := range rows {
		if row.trouble != "" {
			continue
		}
		var client, daemon int
		if err == nil {
			client, daemon, err = b.syncsOf(ctx, strace, parent, tarball, row)
		}
		if err != nil {
			row.syncs = "not counted"
			b.logf("sync calls of %s: %v", row.name, err)
			err = nil
			if strace == "" {
				err = errors.New("strace is not installed")
			}
			continue
		}
		row.syncs = fmt.Sprintf("%d + %d", client, daemon)
	}
}

// syncsOf returns the number of sync calls of one load.
func (b *bench) syncsOf(ctx context.Context, strace, parent, tarball string, row *loadRow) (client, daemon int, err error) {
	dir, remove, err := tempDir(b.memDir)
	if err != nil {
		return 0, 0, err
	}
	defer remove()
	mine, theirs := filepath.Join(dir, "client"), filepath.Join(dir, "daemon")
	err = b.withNode(ctx, parent, func(node *nodetest.Node) error {
		detach, err := attach(ctx, strace, node.Pid(), theirs)
		if err != nil {
			return err
		}
		args := []string{strace, "-f", "-qq", "-o", mine, "-e", syncCalls, "--"}
		_, err = b.measure(ctx, nil, append(args, row.command(row.program, node.Address(), tarball)...))
		return errors.Join(err, detach())
	})
	if err != nil {
		return 0, 0, err
	}
	if client, err = countCalls(mine); err == nil {
		daemon, err = countCalls(theirs)
	}
	return client, daemon, err
}

// attachTime is the time limit for strace to attach.
const attachTime = 10 * time.Second

// attach attaches strace to a running process; detach ends it.
func attach(ctx context.Context, strace string, pid int, out string) (detach func() error, err error) {
	cmd := exec.CommandContext(ctx, strace, "-f", "-qq", "-o", out, "-e", syncCalls, "-p", strconv.Itoa(pid))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	detach = func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		// After an interrupt strace exits with the same signal, which is not an error.
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			return err
		}
		return nil
	}
	status := fmt.Sprintf("/proc/%d/status", pid)
	for end := time.Now().Add(attachTime); procValue(status, "TracerPid") != strconv.Itoa(cmd.Process.Pid); {
		if time.Now().After(end) {
			return nil, errors.Join(errors.New("strace does not attach"), detach())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return detach, nil
}

// aCall matches a line of strace with the start of a call: the process, then the call. An
// interrupted call ends on another line, "<... fsync resumed>".
var aCall = regexp.MustCompile(`(?m)^\d+ +[a-z_]+\(`)

// countCalls returns the number of calls in strace's output.
func countCalls(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return len(aCall.FindAll(text, -1)), nil
}
