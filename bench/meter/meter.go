//go:build linux

// Package meter measures a command: time, processor, memory and bytes written.
//
// A separate measuring process runs between the benchmark and the command. Linux keeps the
// peak memory of a process across exec (fs/exec.c, exec_mmap: signal->maxrss), and Go
// starts children in its own address space (CLONE_VM), so the figure of a command started
// by a large program would be that program's. The helper program of meter/measure is too
// small to matter.
//
//	r, err := meter.Run(ctx, helper, meter.Command{Args: []string{"tar", "-cf", "x.tar", "x"}})
//	fmt.Println(r.Wall, r.CPU, r.Peak)
package meter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Report is the cost of a command.
type Report struct {
	Wall    time.Duration // from its start to its end
	CPU     time.Duration // user and system, including children that were waited for
	Peak    int64         // resident bytes of its largest process, including program text
	Written int64         // bytes written to disks, none for a tmpfs (proc(5), write_bytes)
	Code    int           // exit code; -1 after a signal
}

// Then returns the cost of two commands one after the other, with the last exit code.
func (r Report) Then(next Report) Report {
	return Report{
		Wall: r.Wall + next.Wall, CPU: r.CPU + next.CPU,
		Peak: max(r.Peak, next.Peak), Written: r.Written + next.Written,
		Code: next.Code,
	}
}

// Command is a command to run. It has no standard input.
type Command struct {
	Args []string  // program, which is found in PATH, and arguments
	Env  []string  // complete environment; nil: that of this process
	Out  io.Writer // copy of both output streams; may be nil
}

// tailSize is how many bytes of a failing command's output the error includes.
const tailSize = 2 << 10

// reportFile is the file descriptor of the helper's report: the first one after the three
// standard streams.
const reportFile = 3

// Run measures a command with the helper program at path helper. A command that exits with
// a code other than 0 is an error with the end of its output; the report is valid even so.
// When ctx ends, helper and command are killed.
func Run(ctx context.Context, helper string, c Command) (Report, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return Report{}, fmt.Errorf("measure %s: %w", c.Args[0], err)
	}
	defer r.Close() // opened for reading
	var printed bytes.Buffer
	cmd := exec.CommandContext(ctx, helper, c.Args...)
	cmd.Env, cmd.ExtraFiles = c.Env, []*os.File{w}
	cmd.Stdout = &printed
	if c.Out != nil {
		cmd.Stdout = io.MultiWriter(&printed, c.Out)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		w.Close()
		return Report{}, fmt.Errorf("measure %s: %w", c.Args[0], err)
	}
	w.Close() // the helper has a copy; ours would keep the pipe open
	var report Report
	decodeErr := json.NewDecoder(r).Decode(&report)
	if err := errors.Join(cmd.Wait(), decodeErr); err != nil {
		return Report{}, fmt.Errorf("measure %s: %w%s", c.Args[0], err, tail(&printed))
	}
	if report.Code != 0 {
		return report, fmt.Errorf("%s: exit code %d%s", strings.Join(c.Args, " "), report.Code, tail(&printed))
	}
	return report, nil
}

// tail returns the end of a command's output on separate lines.
func tail(b *bytes.Buffer) string {
	text := strings.TrimSpace(b.String())
	if text == "" {
		return ""
	}
	if len(text) > tailSize {
		text = "..." + text[len(text)-tailSize:]
	}
	return "\n" + text
}
