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
)

// initVariable carries the settings to the first process of a machine, which is this test
// binary again.
const initVariable = "STOWAGE_E2E_INIT"

// initSettings is what the first process does before the machine is ready.
type initSettings struct {
	Image string // file with an ext4 file system
	Mount string // where it goes
	Boot  string // file with the identity of this boot
}

// hidden are folders where containerd, its shims and the kubelet keep things under names
// that no setting changes. Inside a machine each is empty, and gone with it.
var hidden = []string{"/run", "/var/lib", "/var/log"}

// runInit is the first process of a machine. It sets the machine up, says "ready" and the
// name of the loop device, and then serves the lines of its input until that ends.
func runInit(settings string) error {
	var s initSettings
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return err
	}
	loop, err := s.setUp()
	if err != nil {
		return err
	}
	go bury()
	fmt.Println("ready", loop)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() != "cut" {
			return fmt.Errorf("order %q: not known", lines.Text())
		}
		if err := killAll(); err != nil {
			return err
		}
		fmt.Println("dead")
	}
	return lines.Err()
}

// setUp mounts what belongs to the machine alone and switches its loopback interface on.
func (s initSettings) setUp() (loop string, err error) {
	// Nothing that is mounted here may be seen outside; what is mounted outside may come in.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return "", fmt.Errorf("mount /proc: %w", err)
	}
	// A machine that was cut and is up again is another boot to the programs inside, though
	// the kernel is the same (proc_sys_kernel(5)).
	if err := unix.Mount(s.Boot, "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mount another boot_id: %w", err)
	}
	for _, dir := range hidden {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return "", fmt.Errorf("mount an empty %s: %w", dir, err)
		}
	}
	if err := loopbackUp(); err != nil {
		return "", err
	}
	return mountImage(s.Image, s.Mount)
}

// bury takes the dead processes that nobody else waits for, as process 1 must.
func bury() {
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); errors.Is(err, syscall.ECHILD) {
			// None at this moment, and nothing tells when the next one comes.
			unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil)
		}
	}
}

// killAll ends every process of the machine but this one, and returns when none is left
// that could still run.
func killAll() error {
	for {
		// kill(2): -1 is everyone the caller may signal, but for process 1.
		err := unix.Kill(-1, unix.SIGKILL)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("kill everything: %w", err)
		}
		alive, err := living()
		if err != nil || alive == 0 {
			return err
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
}

// living counts the other processes that are neither dead nor dying for good (proc(5):
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
			continue // gone meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X") {
			n++
		}
	}
	return n, nil
}

// readWord reads one line of the first process and checks how it begins.
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
