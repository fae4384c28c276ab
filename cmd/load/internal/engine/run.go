package engine

import (
	"bufio"
	"context"
	"crypto/rand"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// copyScript writes standard input to the program's path.
	copyScript = `umask 077 && cat > "$1" && chmod 700 "$1"`

	// runScript runs the program and removes its file before: the kernel keeps it until the
	// process ends, in whatever way. The ID of the process is the first line of its messages.
	runScript = `echo "$$" >&2; exec 3< "$0" && rm -f "$0" && exec /proc/self/fd/3 "$@"`

	killScript   = `kill -TERM "$1"`
	removeScript = `rm -f "$1"`

	// killTimeout is how long a program that was asked to end has for it.
	killTimeout = 15 * time.Second
)

// ArchitectureError reports a node for which this program is not built.
type ArchitectureError struct {
	Node         *Node
	Architecture string // of the node
}

func (e *ArchitectureError) Error() string {
	return fmt.Sprintf("node %s is linux/%s, and this program is linux/%s", e.Node.Name, e.Architecture, runtime.GOARCH)
}

// ErrDynamic reports a program that needs libraries, which a node may not have.
var ErrDynamic = errors.New("this program is not linked statically, so it does not run in another root file system")

// architectures are the names that uname has for those of Go.
var architectures = map[string]string{
	"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv8l": "arm", "riscv64": "riscv64",
	"ppc64le": "ppc64le", "s390x": "s390x", "i686": "386", "loongarch64": "loong64",
}

// A Run is a program that runs in a node.
type Run struct {
	// Stdin is the standard input of the program. The caller closes it.
	Stdin io.WriteCloser

	node     *Node
	path     string // of the program in the node
	cmd      *exec.Cmd
	pid      atomic.Pointer[string]
	messages chan struct{} // closed when all have been read
}

// Start copies the program of this process into the node and starts it with args. onMessage is
// called for each line of its standard error, out receives its standard output. When ctx ends,
// the program is asked to end, too. Nothing stays in the node.
func (n *Node) Start(ctx context.Context, args []string, out io.Writer, onMessage func(line string)) (*Run, error) {
	if err := n.suits(ctx); err != nil {
		return nil, err
	}
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer program.Close() // only read from
	if err := static(program); err != nil {
		return nil, err
	}
	// /tmp and /run of a node are usually mounted without the right to execute.
	path := "/.stowage-load-" + strings.ToLower(rand.Text())
	copying := command(ctx, n.Engine, "exec", "--interactive", n.Name, "sh", "-c", copyScript, "sh", path)
	copying.Stdin = program
	if raw, err := copying.CombinedOutput(); err != nil {
		n.script(ctx, removeScript, path)
		return nil, fmt.Errorf("copy this program into node %s: %w", n.Name, commandError(n.Engine, err, string(raw)))
	}
	r, err := n.start(ctx, path, args, out, onMessage)
	if err != nil {
		n.script(ctx, removeScript, path)
		return nil, fmt.Errorf("run this program in node %s: %w", n.Name, err)
	}
	return r, nil
}

// start starts the program that was copied.
func (n *Node) start(ctx context.Context, path string, args []string, out io.Writer, onMessage func(line string)) (*Run, error) {
	// Privileged, as the container: docker drops capabilities otherwise.
	all := append([]string{"exec", "--privileged", "--interactive", n.Name, "sh", "-c", runScript, path}, args...)
	r := &Run{node: n, path: path, cmd: command(ctx, n.Engine, all...), messages: make(chan struct{})}
	r.cmd.Stdout = out
	r.cmd.WaitDelay = killTimeout
	r.cmd.Cancel = func() error {
		// The end of docker or podman would not end the program.
		if pid := r.pid.Load(); pid != nil {
			n.script(ctx, killScript, *pid)
			return nil
		}
		return r.cmd.Process.Kill()
	}
	var err error
	if r.Stdin, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	messages, err := r.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go r.read(messages, onMessage)
	return r, nil
}

// read reads the messages of the program.
func (r *Run) read(messages io.Reader, onMessage func(string)) {
	defer close(r.messages)
	for in := bufio.NewReader(messages); ; {
		line, err := in.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		switch {
		case r.pid.Load() == nil && line != "" && strings.Trim(line, "0123456789") == "":
			r.pid.Store(&line)
		case line != "":
			onMessage(line)
		}
		if err != nil {
			return
		}
	}
}

// Wait waits for the end of the program and returns its exit code, or that of the engine, which
// is 125 or more; -1 if a signal ended the engine.
func (r *Run) Wait(ctx context.Context) int {
	<-r.messages
	_ = r.cmd.Wait() // the exit code says it
	if r.pid.Load() == nil {
		r.node.script(ctx, removeScript, r.path)
	}
	return r.cmd.ProcessState.ExitCode()
}

// suits returns an [*ArchitectureError] when the node has another architecture.
func (n *Node) suits(ctx context.Context) error {
	out, err := output(ctx, n.Engine, "exec", n.Name, "uname", "-m")
	if err != nil {
		return fmt.Errorf("run uname in node %s: %w", n.Name, err)
	}
	if arch, ok := architectures[strings.TrimSpace(out)]; ok && arch != runtime.GOARCH {
		return &ArchitectureError{Node: n, Architecture: arch}
	}
	return nil
}

// script runs one of the scripts in the node, also when ctx has ended. It is for cleaning up:
// its failure has no consequence that could be reported better than what led to it.
func (n *Node) script(ctx context.Context, text, arg string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	_, _ = output(ctx, n.Engine, "exec", n.Name, "sh", "-c", text, "sh", arg)
}

// static returns ErrDynamic for a program that asks for an interpreter.
func static(program io.ReaderAt) error {
	f, err := elf.NewFile(program)
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return ErrDynamic
		}
	}
	return nil
}
