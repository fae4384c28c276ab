//go:build linux

// Command handicap runs a program in its own place, with the same process id, under a
// handicap:
//
//	handicap [-core] [-delay 20ms] [-count FILE] program [arguments]
//
// With -core the program has only one of the processors. With -delay each call that waits
// for a disk takes that much longer: fsync, fdatasync, sync, syncfs, and opening a file for
// synced writes, of which each write is one. With -count the number of these calls is kept
// in a file, as text. A second process does both: the kernel notifies it of the calls
// (seccomp_unotify(2)) and goes on with them when it answers. That works for any program,
// also for static ones, and for all processes that the program starts. It ends with the
// last of them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// answering is the hidden command of the second process.
const answering = "answer"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "handicap:", err)
		os.Exit(1)
	}
}

// run parses the command line. It returns only after an error, or as the second process.
func run(args []string) error {
	fs := flag.NewFlagSet("handicap", flag.ContinueOnError)
	core := fs.Bool("core", false, "")
	delay := fs.Duration("delay", 0, "")
	count := fs.String("count", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return errors.New("no program")
	}
	if fs.Arg(0) == answering {
		return answer(*delay, *count)
	}
	program, err := exec.LookPath(fs.Arg(0))
	if err != nil {
		return err
	}
	// The filter, the processors and exec apply to a thread.
	runtime.LockOSThread()
	if *core {
		if err := pin(); err != nil {
			return err
		}
	}
	if *delay > 0 || *count != "" {
		if err := watch(*delay, *count); err != nil {
			return err
		}
	}
	return fmt.Errorf("run %s: %w", program, syscall.Exec(program, fs.Args(), os.Environ()))
}

// pin leaves this thread the first of its processors.
func pin() error {
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return fmt.Errorf("read the processors: %w", err)
	}
	for cpu := range len(may) * 64 {
		if may.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("leave one processor: %w", err)
	}
	return nil
}

// watch installs the filter in this thread and starts the second process, which has none.
func watch(delay time.Duration, count string) error {
	listener, err := filter()
	if err != nil {
		return fmt.Errorf("notice syncs (Linux 5.19 or later): %w", err)
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // a thread of its own, without the filter
		cmd := exec.Command("/proc/self/exe", "-delay", delay.String(), "-count", count, answering)
		cmd.ExtraFiles = []*os.File{listener}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		started <- cmd.Start()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the second process: %w", err)
	}
	return nil
}
