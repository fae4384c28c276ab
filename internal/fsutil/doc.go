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
	Free   int64  // bytes that an unprivileged user may still write
	Used   int    // percent, rounded as the kubelet does (image_gc_manager.go); 0 when unknown
}
