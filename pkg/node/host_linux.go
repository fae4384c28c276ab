package node

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"stowage/internal/fsutil"
)

// sharesFiles tells whether this process sees root as containerd does: same
// mount namespace, and not inside a user namespace, where whiteouts cannot be
// made (mknod of character device 0/0).
func sharesFiles(address, root string) bool {
	if os.Geteuid() != 0 || inUserNamespace() {
		return false
	}
	pid, err := peer(address)
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

// sameRoot tells whether neither side lives in a chroot of its own.
func sameRoot(pid int) bool {
	own, err := os.Stat("/proc/self/root/")
	if err != nil {
		return false
	}
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/root/", pid))
	return err == nil && os.SameFile(own, theirs)
}

// peer gives the process that serves the socket, 0 when it lives in a process
// namespace that cannot be seen from here (unix(7), SO_PEERCRED).
func peer(address string) (int, error) {
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

// inUserNamespace tells whether root here is somebody else outside
// (user_namespaces(7): the first namespace maps all 2^32-1 ids to themselves).
func inUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false // a kernel without user namespaces
	}
	f := strings.Fields(string(b))
	return len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295"
}

// nearest is path, or the first folder above that is there.
func nearest(path string) string {
	for {
		above := filepath.Dir(path)
		if _, err := os.Lstat(path); err == nil || above == path {
			return path
		}
		path = above
	}
}

// syncFile makes everything written to the file system of path safe.
func syncFile(path string) error {
	f, err := os.Open(nearest(path))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", path, err)
	}
	return nil
}

// usage returns the usage of the file system on which path lies or will lie: containerd
// creates some of its directories when it first needs them.
func usage(path string) (fsutil.Usage, error) { return fsutil.Stat(nearest(path)) }
