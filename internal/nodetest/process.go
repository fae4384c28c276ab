//go:build linux

package nodetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
)

// How long containerd may take to answer after its start, and to exit after a signal. A
// machine that builds and tests at the same time is slow.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
)

// start runs containerd and waits until it serves.
func (n *Node) start(ctx context.Context) error {
	args := slices.Concat(n.opts.Prefix, []string{n.tools.containerd, "-c", n.ConfigPath()})
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = n.environ()
	cmd.Stdout, cmd.Stderr = n.logfile, n.logfile
	// A new process group: Ctrl-C in a terminal must reach only the owner, which then stops
	// the node in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait() // the exit status of a killed daemon does not matter
		close(exited)
	}()
	n.mu.Lock()
	n.process, n.exited = cmd, exited
	n.mu.Unlock()
	if err := n.dial(); err != nil {
		return err
	}
	return n.wait(ctx)
}

// wait waits until containerd answers or exits.
func (n *Node) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := client.New(n.Address())
	if err != nil {
		return fmt.Errorf("connect to the node: %w", err)
	}
	defer c.Close()
	for {
		if ok, err := c.IsServing(ctx); err == nil && ok {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-n.exited:
			return fmt.Errorf("containerd exited during its start:\n%s", n.Log(20))
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer: %w\n%s", ctx.Err(), n.Log(20))
		}
	}
}

// environ returns the environment of containerd and ctr, without the variables that would
// lead ctr or a shim to another containerd.
func (n *Node) environ() []string {
	env := []string{"PATH=" + n.tools.path}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if name != "PATH" && !strings.HasPrefix(name, "CONTAINERD_") {
			env = append(env, kv)
		}
	}
	return env
}

// Kill kills containerd with SIGKILL. Its shims and containers keep running; Restart
// reconnects to them, Stop removes them.
func (n *Node) Kill() error {
	return n.end(syscall.SIGKILL)
}

// Restart stops containerd with SIGTERM if it is running, and starts it again with the same
// state.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.end(syscall.SIGTERM); err != nil {
		return err
	}
	return n.start(ctx)
}

// end signals containerd and waits for it; after stopTimeout it kills containerd.
func (n *Node) end(signal syscall.Signal) error {
	n.mu.Lock()
	cmd, exited := n.process, n.exited
	n.process = nil
	n.mu.Unlock()
	if n.conn != nil {
		n.conn.Close()
		n.conn = nil
	}
	if cmd == nil {
		return nil
	}
	cmd.Process.Signal(signal) // if it has exited, the channel is closed
	select {
	case <-exited:
		return nil
	case <-time.After(stopTimeout):
	}
	cmd.Process.Kill()
	<-exited
	return fmt.Errorf("containerd (pid %d) did not exit within %v and was killed", cmd.Process.Pid, stopTimeout)
}

// Stop removes the pods, stops containerd and everything it started, removes the mounts and
// deletes the directory of the node. It may be called twice.
func (n *Node) Stop() error {
	if n.dir == "" {
		return nil
	}
	if n.Pid() != 0 && n.conn != nil && !n.opts.DisableCRI {
		// Best effort: the remaining pods are killed below.
		n.removePods()
	}
	err := errors.Join(n.end(syscall.SIGTERM), n.reap(), n.unmount())
	if n.logfile != nil {
		n.logfile.Close()
	}
	if err == nil {
		err = os.RemoveAll(n.dir)
	}
	if n.janitor != nil {
		if err == nil {
			err = n.janitor.Send("clean")
		}
		err = errors.Join(err, n.janitor.Finish())
		n.janitor = nil
	}
	n.dir = ""
	return err
}

// Log returns the last lines of containerd's log, without the messages about loading
// plugins.
func (n *Node) Log(lines int) string {
	if n.logfile == nil {
		return ""
	}
	all, err := os.ReadFile(n.logfile.Name())
	if err != nil {
		return err.Error()
	}
	rows := bytes.Split(bytes.TrimSpace(all), []byte("\n"))
	rows = slices.DeleteFunc(rows, func(row []byte) bool {
		return bytes.Contains(row, []byte("loading plugin")) || bytes.Contains(row, []byte("starting cri plugin"))
	})
	return string(bytes.Join(rows[max(0, len(rows)-lines):], []byte("\n")))
}
