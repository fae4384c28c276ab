// Package fsutil asks file systems for what package os does not offer: free space,
// preallocation, locks, and a rename that survives a power cut. Where the operating
// system lacks a call the function says so or does nothing, as documented.
package fsutil

import "errors"

// ErrLocked is returned by [Lock] when another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Usage describes the file system of a path.
type Usage struct {
	Device uint64 // identifies the file system
	Size   int64  // bytes in total
	Free   int64  // bytes that an unprivileged user may still write
	Block  int64  // bytes of the unit in which files get space
	Inodes int64  // in total, 0 for a file system that creates them as needed
	Unused int64  // inodes that are free
	Used   int    // percent, rounded as the kubelet does (image_gc_manager.go); 0 when unknown
}
