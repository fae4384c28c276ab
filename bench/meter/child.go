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

// Main is the helper program: it runs args, hands the streams through, and writes the
// [Report] as JSON to the file descriptor that [Run] gave it. The result is the helper's
// exit code, which is 0 whatever the command's own was.
func Main(args []string) int {
	out := os.NewFile(reportFile, "report")
	if len(args) == 0 || out == nil {
		fmt.Fprintln(os.Stderr, "measure: started by the benchmark, not by hand")
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

// child runs a command to its end.
func child(args []string) (Report, error) {
	// The signal below is sent when the thread ends that started the child.
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
	// The kernel keeps this account until the process is waited for.
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

// waitOnly returns when the process has ended and leaves it to be waited for.
func waitOnly(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// written reads how many bytes a process and the children it has waited for made the
// kernel write to disks.
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
