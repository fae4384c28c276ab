//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// peakLimit is the maximum resident memory of each program in bytes.
const peakLimit = 64 << 20

// commandLimit is the time limit of a command.
const commandLimit = 60 * time.Second

// startup is the time within which a process may not handle signals yet.
const startup = 150 * time.Millisecond

// interrupted is the exit code after SIGTERM or SIGINT.
const interrupted = 130

// command is one run of bundle or load.
type command struct {
	program string // path
	args    []string
	env     []string
	stdin   io.Reader
	stdout  io.Writer // nil: kept in ran.out

	signal  syscall.Signal // sent after delay; 0: none
	delay   time.Duration  //
	meddle  func() func()  // called after the start; the returned function is called after the end
	started func(pid int)  // called with the process id, for kills at a certain time
}

// ran is the result of a command.
type ran struct {
	line   string
	code   int            // -1 after a signal that it did not catch
	sent   syscall.Signal // that the command was sent
	signal syscall.Signal // that it died of
	out    []byte
	stderr []byte // standard error
	peak   int64
	took   time.Duration
	hung   bool
}

// run runs the command. An error is one of this program, not of the command.
func (c command) run(ctx context.Context) (*ran, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, c.args...)
	cmd.Env, cmd.Stdin = c.env, c.stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                    // Ctrl-C must reach only this program
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // prints the stacks of a program that hangs
	cmd.WaitDelay = 2 * time.Second                                          // then it is killed; a reader of stdin may hang, too
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if c.started != nil {
		c.started(cmd.Process.Pid)
	}
	undo := func() {}
	if c.meddle != nil {
		undo = c.meddle()
	}
	r := &ran{line: filepath.Base(c.program) + " " + strings.Join(c.args, " ")}
	ended := make(chan struct{})
	watched := make(chan int64, 1)
	go func() { watched <- watchPeak(cmd.Process.Pid, ended) }()
	if c.signal != 0 {
		timer := time.AfterFunc(c.delay, func() { cmd.Process.Signal(c.signal) }) // it may have exited
		defer timer.Stop()
	}
	err := cmd.Wait()
	close(ended)
	undo()
	r.sent = c.signal
	r.peak, r.took = <-watched, time.Since(start)
	r.code, r.out, r.stderr = cmd.ProcessState.ExitCode(), out.Bytes(), stderr.Bytes()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		r.signal = status.Signal()
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		r.hung = true
	case err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) && !errors.Is(err, syscall.EPIPE):
		return r, err
	}
	return r, nil
}

// watchPeak reads the peak memory of a process until it exits, except for its last two
// milliseconds.
func watchPeak(pid int, ended <-chan struct{}) (peak int64) {
	for {
		if v, err := highWater(pid); err == nil {
			peak = max(peak, v)
		}
		select {
		case <-ended:
			return peak
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// highWater returns VmHWM of /proc/PID/status (proc(5)) in bytes. Unlike ru_maxrss it does
// not include the memory of the parent process before exec.
func highWater(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseHighWater(string(b))
}

func parseHighWater(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM: the process has exited")
}

// sane checks what must be true of every run of a program, whatever the faults.
func (r *ran) sane() error {
	if r.hung {
		return fmt.Errorf("%s did not exit within %v:\n%s", r.line, commandLimit, r.stderr)
	}
	if r.code < -1 || r.code > 7 && r.code != interrupted || r.code == 2 {
		return fmt.Errorf("%s exited with the undocumented code %d", r.line, r.code)
	}
	// Before main handles signals, they kill a process as usual.
	early := r.signal == r.sent && r.took < startup && len(r.stderr)+len(r.out) == 0
	if r.code == -1 && r.signal != syscall.SIGKILL && !early {
		return fmt.Errorf("%s was killed by %v", r.line, r.signal)
	}
	if r.code > 0 && len(bytes.TrimSpace(r.stderr)) == 0 {
		return fmt.Errorf("%s exited with %d without a message", r.line, r.code)
	}
	if r.peak > peakLimit {
		return fmt.Errorf("%s used %d bytes of memory, more than %d", r.line, r.peak, peakLimit)
	}
	return errors.Join(leaks("the output of "+r.line, r.out), leaks("what "+r.line+" said", r.stderr))
}

// among checks that the program exited with one of the codes.
func (r *ran) among(codes ...int) error {
	for _, c := range codes {
		if r.code == c {
			return nil
		}
	}
	return fmt.Errorf("%s exited with %d, want one of %v", r.line, r.code, codes)
}
