package clitest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Peak runs a command and returns its peak resident memory in bytes (VmHWM of proc(5)). The
// kernel's count for an exited process (ru_maxrss of getrusage(2)) includes the memory of
// the process that started it, and a test with a registry is larger than the programs.
func Peak(cmd *exec.Cmd) (int64, error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	peak := int64(-1)
	for {
		// VmHWM only grows, so the last reading counts, and a program allocates nothing
		// large in its last two milliseconds.
		if n, err := highWater(cmd.Process.Pid); err == nil {
			peak = n
		}
		select {
		case err := <-ended:
			if err == nil && peak < 0 {
				err = fmt.Errorf("%s: exited before it could be measured", cmd.Path)
			}
			return peak, err
		case <-tick.C:
		}
	}
}

// highWater returns VmHWM of a running process.
func highWater(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d: no VmHWM", pid)
}
