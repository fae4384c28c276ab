//go:build !unix || solaris || illumos || aix

package fsutil

import "os"

// Lock does nothing on this system.
func Lock(*os.File) error { return nil }

// Writable returns nil on this system: the first write reports the error.
func Writable(string) error { return nil }

// SyncDir does nothing on this system.
func SyncDir(string) error { return nil }
