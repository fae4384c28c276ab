//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"stowage/test/internal/loopback"
)

// initVariable passes the settings to the first process of a machine, which is this test
// binary.
const initVariable = "STOWAGE_E2E_INIT"

// initSettings configures the first process of a machine.
type initSettings struct {
	Image string // file with an ext4 file system
	Mount string // mount point
	Boot  string // file with the identity of this boot
}

// hidden are directories in which containerd, its shims and the kubelet write under names
// that cannot be configured. Inside a machine each is an empty file system.
var hidden = []string{"/run", "/var/lib", "/var/log"}

// runInit is the first process of a machine. It sets the machine up, prints "ready" and the
// name of the loop device, and then executes the lines of its input until that ends.
func runInit(settings string) error {
	var s initSettings
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return err
	}
	loop, err := s.setUp()
	if err != nil {
		return err
	}
	go reap()
	fmt.Println("ready", loop)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() != "cut" {
			return fmt.Errorf("unknown order %q", lines.Text())
		}
		if err := killAll(); err != nil {
			return err
		}
		fmt.Println("dead")
	}
	return lines.Err()
}

// setUp mounts the file systems of the machine and enables its loopback interface.
func (s initSettings) setUp() (loop string, err error) {
	// Mounts made here must not be visible outside; mounts made outside may be visible
	// here.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return "", fmt.Errorf("mount /proc: %w", err)
	}
	// After a power cut the programs inside must see another boot, although the kernel is
	// the same (proc_sys_kernel(5)).
	if err := unix.Mount(s.Boot, "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mount another boot_id: %w", err)
	}
	for _, dir := range hidden {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return "", fmt.Errorf("mount an empty %s: %w", dir, err)
		}
	}
	if err := loopback.Up(); err != nil {
		return "", err
	}
	return mountImage(s.Image, s.Mount)
}

// reap waits for orphaned processes, as process 1 must.
func reap() {
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); errors.Is(err, syscall.ECHILD) {
			// There are no children now, and there is no notification of the next one.
			unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil)
		}
	}
}

// killAll kills every process of the machine except this one, and returns when none of them
// can run any more.
func killAll() error {
	for {
		// kill(2): -1 means every process that the caller may signal, except process 1.
		err := unix.Kill(-1, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("kill all processes: %w", err)
		}
		alive, err := living()
		if err != nil || alive == 0 {
			return err
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
}

// living returns the number of other processes that are neither dead nor dying (proc(5):
// the state after the name in parentheses).
func living() (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" || e.Name() == "1" {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // exited meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X") {
			n++
		}
	}
	return n, nil
}

// readWord reads one line from the first process and checks its first word.
func readWord(r *bufio.Reader, want string) (rest string, err error) {
	line, err := r.ReadString('\n')
	if err == nil || errors.Is(err, io.EOF) && line != "" {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == want {
			return rest, nil
		}
		return "", fmt.Errorf("first process of the machine: %q, want %q", line, want)
	}
	return "", fmt.Errorf("first process of the machine: %w", err)
}
