//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// release returns memory to the kernel: free memory, which the runtime would keep for
// minutes, and the code of this program. The kernel has mapped nearly all of that since the
// start, and an idle server runs little of it. It stays in the page cache and is mapped again
// when it is needed.
func release() {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // a pool loses its content with the second collection
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return // no proc file system: the code stays mapped
	}
	defer maps.Close() // only read from
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var start, end uintptr
		f := strings.Fields(lines.Text()) // range, mode, offset, device, inode, path (proc_pid_maps(5))
		if len(f) < 6 || f[1] != "r-xp" || f[5][0] != '/' {
			continue
		}
		if _, err := fmt.Sscanf(f[0], "%x-%x", &start, &end); err != nil {
			continue
		}
		// Code is never written, so the file has all of it.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED)
	}
}
