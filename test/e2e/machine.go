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

// machine is a set of namespaces with a disk of its own: what a node runs in.
type machine struct {
	dir     string // scratch, outside of the disk; seen under this name inside and outside
	image   string // the file behind the disk
	loop    string // name of the disk's device, such as "loop3"
	init    *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	tasks   chan func()
	janitor *nodetest.Janitor
	isCut   bool
	before  []func() error // what is to be done first when the machine is ended, last one first
}

// diskDir is where the disk is mounted. Only the machine itself sees what is in it.
func (m *machine) diskDir() string { return filepath.Join(m.dir, "disk") }

// defaultDisk is the size of a disk that nothing in these tests fills.
const defaultDisk = 4 << 30

// newMachine starts a machine until the test ends, which has asked [need] before. Its disk is a copy of image, or an empty
// one of the given size when there is no image.
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

// start makes the disk and the namespaces.
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
			return fmt.Errorf("temporary folder %s: a machine has an empty %s; set TMPDIR to another one", m.dir, dir)
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
	boot, err := os.ReadFile("/proc/sys/kernel/random/uuid") // another one at each reading
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
		Setpgid:    true, // out of reach of Ctrl-C
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
		return fmt.Errorf("start a process in namespaces of its own: %w", err)
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

// enter starts the thread that does what is to be done inside.
func (m *machine) enter() error {
	fd, err := unix.PidfdOpen(m.init.Process.Pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(fd)
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine, because no other goroutine
		// could live in its namespaces.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS) // setns(2): a mount namespace wants that
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
// machine. What f starts on goroutines of its own is outside, and so is /proc/self, for the
// thread is no member of the pid namespace. f must not call do, nor end its goroutine.
func (m *machine) do(f func()) {
	done := make(chan struct{})
	m.tasks <- func() {
		f()
		close(done)
	}
	<-done
}

// command is a program that starts inside the machine with run or by [machine.do].
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
	err   error // of Wait, once ended is closed
}

// startInside starts a command inside the machine. Somebody always waits for its end: the
// kernel keeps the namespaces of a process until then.
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

// wait waits for the end and gives what Wait of the command gave.
func (p *process) wait() error {
	<-p.ended
	return p.err
}

// cut ends every process of the machine at one stroke, as a power cut does, and leaves the
// disk as it is at this moment: mounted, and with what was not written yet in memory.
func (m *machine) cut() error {
	m.isCut = true
	if _, err := io.WriteString(m.orders, "cut\n"); err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	_, err := readWord(m.answers, "dead")
	return err
}

// end takes the machine away with all that is in it. It may be called twice.
func (m *machine) end() error {
	var errs []error
	for _, f := range slices.Backward(m.before) {
		if err := f(); !m.isCut { // after a power cut nothing ends in order
			errs = append(errs, err)
		}
	}
	m.before = nil
	if m.tasks != nil {
		close(m.tasks)
		m.tasks = nil
	}
	if m.init != nil {
		// Its end is the end of all processes of the namespace (pid_namespaces(7)).
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
