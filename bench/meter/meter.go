//go:build linux

// Package meter tells what a command costs: time, processor, memory and bytes written.
//
// A measuring process of its own stands between the benchmark and the command. Linux
// hands the peak of memory from a process to what it executes (fs/exec.c, exec_mmap:
// signal->maxrss), and Go starts children in its own address space (CLONE_VM), so the
// figure of a command started by a large program would be that program's. The helper
// program of meter/measure is small enough not to show.
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

// Report is what a command cost.
type Report struct {
	Wall    time.Duration // from its start to its end
	CPU     time.Duration // user and system, with all children that were waited for
	Peak    int64         // bytes resident in its largest process, program text included
	Written int64         // bytes of files that must reach a disk; a tmpfs counts none (proc(5), write_bytes)
	Code    int           // exit code; -1 after a signal
}

// Then is the cost of two commands one after the other, with the last one's exit code.
func (r Report) Then(next Report) Report {
	return Report{
		Wall: r.Wall + next.Wall, CPU: r.CPU + next.CPU,
		Peak: max(r.Peak, next.Peak), Written: r.Written + next.Written,
		Code: next.Code,
	}
}

// Command is what to run. It has no standard input.
type Command struct {
	Args []string  // program and arguments; the program is looked for in PATH
	Env  []string  // the whole environment; nil: that of this process
	Out  io.Writer // further place for what it prints on both streams; may be nil
}

// tailSize is how much of a failing command's output goes into the error, in bytes.
const tailSize = 2 << 10

// reportFile is the file descriptor on which the helper reports: the first one after the
// three standard streams.
const reportFile = 3

// Run measures a command with the helper program at path helper. A command that ends
// with a code other than 0 is an error that holds the end of its output; the report is
// valid all the same. When ctx ends, helper and command are killed.
func Run(ctx context.Context, helper string, c Command) (Report, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return Report{}, fmt.Errorf("measure %s: %w", c.Args[0], err)
	}
	defer r.Close() // only read from
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
	w.Close() // the helper has its own; ours would keep the pipe open
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

// tail is the end of what a command printed, on lines of its own.
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
