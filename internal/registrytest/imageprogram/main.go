// Command imageprogram is the only program in the registry's images. What it does depends
// on the name it is called by, so one file and its hard links make an image:
//
//   - pause, start_runit, kube-controllers: runs until SIGTERM or SIGINT, then exits 0;
//     as process 1 it reaps its children, as the program of a sandbox must;
//   - hello: prints its arguments as a line, or without any the greeting below;
//   - any other name: prints the greeting.
//
// The greeting is $HELLO_LINE, or else "hello from $HELLO_NAME". With the argument "sleep"
// the program runs until SIGTERM under every name.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	if waits(filepath.Base(os.Args[0]), os.Args[1:]) {
		signals := make(chan os.Signal, 16)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
		waitForSignal(signals)
		return
	}
	if _, err := fmt.Println(line(filepath.Base(os.Args[0]), os.Args[1:], os.Getenv)); err != nil {
		os.Exit(1)
	}
}

// waits reports whether the program runs until a signal.
func waits(name string, args []string) bool {
	switch name {
	case "pause", "start_runit", "kube-controllers":
		return true
	}
	return len(args) > 0 && args[0] == "sleep"
}

// line returns what the program prints.
func line(name string, args []string, env func(string) string) string {
	if name == "hello" && len(args) > 0 {
		return strings.Join(args, " ")
	}
	if s := env("HELLO_LINE"); s != "" {
		return s
	}
	if s := env("HELLO_NAME"); s != "" {
		return "hello from " + s
	}
	return "hello from " + name
}

// waitForSignal waits for a signal to exit and reaps children meanwhile.
func waitForSignal(signals <-chan os.Signal) {
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

// reap waits for all children that have ended.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
