//go:build linux

package meter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Main is the helper program: it runs args, passes the streams through, and writes the
// [Report] as JSON to the file descriptor that [Run] opened. It returns the helper's exit
// code, which is 0 whatever the exit code of the command.
func Main(args []string) int {
	out := os.NewFile(reportFile, "report")
	if len(args) == 0 || out == nil {
		fmt.Fprintln(os.Stderr, "measure: only for the benchmark")
		return 2
	}
	report, err := child(args)
	if err == nil {
		err = json.NewEncoder(out).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		return 1
	}
	return 0
}

// child runs a command and measures it.
func child(args []string) (Report, error) {
	// The kernel sends the signal below when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Report{}, err
	}
	pid := cmd.Process.Pid
	err := waitOnly(pid)
	report := Report{Wall: time.Since(start)}
	if err != nil {
		return Report{}, fmt.Errorf("wait for %s: %w", args[0], err)
	}
	// The kernel keeps these counters until the process is waited for.
	if report.Written, err = written(pid); err != nil {
		return Report{}, err
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return Report{}, err
	}
	state := cmd.ProcessState
	report.Code = state.ExitCode()
	report.CPU = state.UserTime() + state.SystemTime()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		report.Peak = usage.Maxrss << 10 // getrusage(2): in KiB
	}
	return report, nil
}

// waitOnly waits for the process to exit, but does not reap it.
func waitOnly(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// written returns how many bytes the kernel wrote to disks for a process and the children
// that it has waited for.
func written(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/io", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no write_bytes", path)
}
