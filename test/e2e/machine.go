//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"stowage/internal/nodetest"
)

// machine is a set of namespaces with a disk, in which a node runs.
type machine struct {
	dir     string // temporary, not on the disk; has this name inside and outside
	image   string // the file behind the disk
	loop    string // name of the disk's device, such as "loop3"
	init    *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	tasks   chan func()
	janitor *nodetest.Janitor
	isCut   bool
	before  []func() error // called before the machine ends, the last one first
}

// diskDir is the mount point of the disk, which only the machine can see.
func (m *machine) diskDir() string { return filepath.Join(m.dir, "disk") }

// defaultDisk is the size of a disk that no test fills.
const defaultDisk = 4 << 30

// newMachine starts a machine until the test ends; the test has called [requireMachine].
// Its disk is a copy of image, or empty with the given size if image is empty.
func newMachine(t *testing.T, bytes int64, image string) *machine {
	t.Helper()
	m := &machine{tasks: make(chan func())}
	t.Cleanup(func() {
		if err := m.end(); err != nil {
			t.Errorf("end the machine: %v", err)
		}
	})
	if err := m.start(bytes, image); err != nil {
		t.Fatalf("start a machine: %v", err)
	}
	return m
}

// start creates the disk and the namespaces.
func (m *machine) start(bytes int64, image string) (err error) {
	if m.janitor, err = nodetest.StartJanitor(janitorScript); err != nil {
		return err
	}
	if m.dir, err = os.MkdirTemp("", "e2e"); err != nil {
		return err
	}
	if err := m.janitor.Send("dir " + m.dir); err != nil {
		return err
	}
	for _, dir := range hidden {
		if strings.HasPrefix(m.dir, dir+"/") {
			return fmt.Errorf("temporary directory %s: a machine has an empty %s; set TMPDIR to another one", m.dir, dir)
		}
	}
	m.image = filepath.Join(m.dir, "disk.img")
	if image != "" {
		err = os.Rename(image, m.image)
	} else {
		err = makeImage(m.image, bytes)
	}
	if err != nil {
		return err
	}
	if err := os.Mkdir(m.diskDir(), 0o755); err != nil {
		return err
	}
	if err := m.boot(); err != nil {
		return err
	}
	return m.enter()
}

// boot starts the first process in its new namespaces and waits until it is ready.
func (m *machine) boot() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/uuid") // different at each read
	if err != nil {
		return err
	}
	s := initSettings{Image: m.image, Mount: m.diskDir(), Boot: m.path("boot_id")}
	if err := os.WriteFile(s.Boot, boot, 0o444); err != nil {
		return err
	}
	settings, err := json.Marshal(s)
	if err != nil {
		return err
	}
	m.init = exec.Command(self)
	m.init.Env = append(os.Environ(), initVariable+"="+string(settings))
	m.init.Stderr = os.Stderr
	m.init.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true, // Ctrl-C must not reach it
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
	}
	if m.orders, err = m.init.StdinPipe(); err != nil {
		return err
	}
	out, err := m.init.StdoutPipe()
	if err != nil {
		return err
	}
	m.answers = bufio.NewReader(out)
	if err := m.init.Start(); err != nil {
		m.init = nil
		return fmt.Errorf("start a process in new namespaces: %w", err)
	}
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.init.Process.Pid))
	if err != nil {
		return err
	}
	if err := m.janitor.Send("ns " + ns); err != nil {
		return err
	}
	m.loop, err = readWord(m.answers, "ready")
	return err
}

// enter starts the thread that runs functions inside.
func (m *machine) enter() error {
	fd, err := unix.PidfdOpen(m.init.Process.Pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(fd)
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread exits with this goroutine, because no other goroutine
		// may run in its namespaces.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS) // required by setns(2) for a mount namespace
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWPID|unix.CLONE_NEWNS|unix.CLONE_NEWNET|unix.CLONE_NEWIPC)
		}
		entered <- err
		for task := range m.tasks {
			task()
		}
	}()
	if err := <-entered; err != nil {
		return fmt.Errorf("enter the machine: %w", err)
	}
	return nil
}

// do runs f inside the machine: files, sockets and new processes of f are those of the
// machine. Other goroutines of f run outside, and so does /proc/self, because the thread is
// not in the pid namespace. f must not call do or end its goroutine.
func (m *machine) do(f func()) {
	done := make(chan struct{})
	m.tasks <- func() {
		f()
		close(done)
	}
	<-done
}

// command returns a command that is started inside the machine, by startInside or
// [machine.do].
func (m *machine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// process is a program that runs inside a machine.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of Wait, after ended is closed
}

// startInside starts a command inside the machine and always waits for it: the kernel keeps
// the namespaces of a process until then.
func (m *machine) startInside(cmd *exec.Cmd) (*process, error) {
	var err error
	m.do(func() { err = cmd.Start() })
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// wait waits for the process and returns the error of Wait.
func (p *process) wait() error {
	<-p.ended
	return p.err
}

// cut kills every process of the machine at once, as a power cut does, and leaves the disk
// in its current state: mounted, with unwritten data in memory.
func (m *machine) cut() error {
	m.isCut = true
	if _, err := io.WriteString(m.orders, "cut\n"); err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	_, err := readWord(m.answers, "dead")
	return err
}

// end removes the machine. It may be called twice.
func (m *machine) end() error {
	var errs []error
	for _, f := range slices.Backward(m.before) {
		if err := f(); !m.isCut { // after a power cut these errors are expected
			errs = append(errs, err)
		}
	}
	m.before = nil
	if m.tasks != nil {
		close(m.tasks)
		m.tasks = nil
	}
	if m.init != nil {
		// When it exits, the kernel kills all processes of the namespace
		// (pid_namespaces(7)).
		m.orders.Close()
		errs = append(errs, m.init.Wait())
		m.init = nil
	}
	if m.janitor != nil {
		errs = append(errs, m.janitor.Finish())
		m.janitor = nil
	}
	return errors.Join(errs...)
}
