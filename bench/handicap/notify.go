//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// listenerFile is the file descriptor of the second process: the first one after the three
// standard streams.
const listenerFile = 3

// filter installs a filter that notifies of each call that waits for a disk.
func filter() (*os.File, error) {
	const number, flags = 0, 16 + 2*8 // in struct seccomp_data: nr, the low half of args[2]
	const load, equal, set, result = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	program := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_FSYNC, Jt: 6},
		{Code: equal, K: unix.SYS_FDATASYNC, Jt: 5},
		{Code: equal, K: unix.SYS_SYNC, Jt: 4},
		{Code: equal, K: unix.SYS_SYNCFS, Jt: 3},
		{Code: equal, K: unix.SYS_OPENAT, Jf: 3},
		{Code: load, K: flags},
		{Code: set, K: unix.O_DSYNC, Jf: 1}, // O_SYNC contains it
		{Code: result, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: result, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// A signal, such as those of Go's scheduler, must not start a call a second time.
	const how = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, how, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return nil, errno
	}
	return os.NewFile(fd, "listener"), nil
}

// The structures of seccomp_unotify(2).
type (
	notification struct {
		id         uint64
		pid, flags uint32
		data       struct {
			number, arch int32
			instruction  uint64
			args         [6]uint64
		}
	}
	response struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
)

// answer answers the notifications, each after the delay, until the last process with the
// filter has ended. It keeps their number in a file.
func answer(delay time.Duration, count string) error {
	var calls tally
	if count != "" {
		f, err := os.Create(count)
		if err != nil {
			return err
		}
		defer f.Close() // each number is written at once
		calls.file = f
	}
	for {
		poll := []unix.PollFd{{Fd: listenerFile, Events: unix.POLLIN}}
		switch _, err := unix.Poll(poll, -1); {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for a call: %w", err)
		case poll[0].Revents&unix.POLLIN == 0:
			return nil
		}
		var n notification
		if err := control(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err != nil {
			continue // the caller was killed
		}
		go func() {
			time.Sleep(delay)
			calls.add()
			r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
			// An error means that the caller was killed.
			_ = control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
		}()
	}
}

// control calls the listener.
func control(request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listenerFile, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// tally is a number kept in a file.
type tally struct {
	mu   sync.Mutex
	n    int
	file *os.File
}

// add adds one.
func (t *tally) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	if t.file != nil {
		// A number that is not written is missing in the table.
		_, _ = t.file.WriteAt([]byte(strconv.Itoa(t.n)), 0)
	}
}
