// Package system answers what containerd and this process share on the machine: file systems,
// mount namespaces, and the process behind a socket.
package system

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"stowage/internal/fsutil"
)

// SharesFiles reports whether this process sees the directory root as containerd does: in the
// same mount namespace, and not inside a user namespace, where whiteouts (mknod of character
// device 0/0) cannot be created.
func SharesFiles(address, root string) bool {
	if os.Geteuid() != 0 || inUserNamespace() {
		return false
	}
	pid, err := Peer(address)
	if err != nil || pid <= 0 {
		return false
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil || own != theirs || !sameRoot(pid) {
		return false
	}
	info, err := os.Stat(root)
	return err == nil && info.IsDir()
}

// sameRoot reports whether this process and pid have the same root directory.
func sameRoot(pid int) bool {
	own, err := os.Stat("/proc/self/root/")
	if err != nil {
		return false
	}
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/root/", pid))
	return err == nil && os.SameFile(own, theirs)
}

// Peer returns the process that serves the socket, or 0 when it is in a PID namespace that
// is not visible from here (unix(7), SO_PEERCRED).
func Peer(address string) (int, error) {
	conn, err := net.Dial("unix", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Pid), nil
}

// inUserNamespace reports whether this process is in another user namespace than the initial
// one, which maps all 2^32-1 IDs to themselves (user_namespaces(7)).
func inUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false // a kernel without user namespaces
	}
	f := strings.Fields(string(b))
	return len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295"
}

// Nearest returns path, or its nearest parent that exists.
func Nearest(path string) string {
	for {
		parent := filepath.Dir(path)
		if _, err := os.Lstat(path); err == nil || parent == path {
			return path
		}
		path = parent
	}
}

// SyncFile syncs the file system of path to disk.
func SyncFile(path string) error {
	f, err := os.Open(Nearest(path))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", path, err)
	}
	return nil
}

// Usage returns the usage of the file system on which path lies or will lie: containerd
// creates some of its directories when it first needs them.
func Usage(path string) (fsutil.Usage, error) { return fsutil.Stat(Nearest(path)) }
