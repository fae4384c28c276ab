// Package disk keeps writers within the free space of a file system.
//
// A [Budget] is what all writers together may add to one file system, in bytes and in
// inodes. It never includes the reserve, in which containerd's databases can still commit.
package disk

import (
	"fmt"
	"math"
	"sync"

	"stowage/internal/fsutil"
)

const (
	// maxReserve limits the reserve of a file system below 6.4 GB, in bytes. containerd has
	// two databases, its own and the snapshotter's. bbolt doubles a file up to 16 MiB and
	// then adds 16 MiB at a time; with the pages of running transactions that is 64 MiB.
	maxReserve = 64 << 20
	// Of a small file system the reserve is at most a sixteenth, so that it stays usable, and
	// of a large one at least a hundredth, for what else grows there.
	smallShare, largeShare = 16, 100
	// fewInodes are as many as containerd needs for some hundred snapshots and blobs.
	fewInodes = 1024
	// recheck is after how many drawn bytes a budget looks at the real free space again.
	recheck = 1 << 20
)

// reserve returns the part of size that stays free, of which normally some are enough.
func reserve(size, some int64) int64 {
	return min(max(some, size/largeShare), size/smallShare)
}

// Budget is what may still be written to one file system. It is safe for concurrent use. A
// nil Budget has no limit.
type Budget struct {
	path  string
	stat  func() (fsutil.Usage, error)
	block int64
	keep  Cost // the reserve

	mu        sync.Mutex
	left      Cost  // of what was free at the beginning, without the reserve
	unchecked int64 // bytes drawn since the last look at the real free space
}

// Cost is space on a file system.
type Cost struct {
	Bytes  int64 // in whole blocks
	Inodes int64
}

// New returns the budget of the file system of path, whose usage stat returns.
func New(path string, stat func() (fsutil.Usage, error)) (*Budget, error) {
	u, err := stat()
	if err != nil {
		return nil, fmt.Errorf("check the space of %s: %w", path, err)
	}
	b := &Budget{path: path, stat: stat, block: max(u.Block, 512)}
	b.keep = Cost{reserve(u.Size, maxReserve), reserve(u.Inodes, fewInodes)}
	b.left = b.available(u)
	return b, nil
}

// available returns what is free without the reserve.
func (b *Budget) available(u fsutil.Usage) Cost {
	c := Cost{max(u.Free-b.keep.Bytes, 0), math.MaxInt64}
	if u.Inodes > 0 {
		c.Inodes = max(u.Unused-b.keep.Inodes, 0)
	}
	return c
}

// Files returns what n files of size bytes together cost at most.
func (b *Budget) Files(n, size int64) Cost {
	if b == nil {
		return Cost{}
	}
	return Cost{add(size, n*b.block), n}
}

// Block returns the unit in which files get space, in bytes.
func (b *Budget) Block() int64 {
	if b == nil {
		return 512
	}
	return b.block
}

// Draw takes c out of the budget before it is written. It returns a [*FullError] when that is
// more than is left, or more than is really free: others write as well. Draw with a zero Cost
// only looks at the real free space.
func (b *Budget) Draw(c Cost) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.within(c, b.left); err != nil {
		return err
	}
	if b.unchecked = add(b.unchecked, c.Bytes); b.unchecked >= recheck || c == (Cost{}) {
		b.unchecked = 0
		u, err := b.stat()
		if err != nil {
			return fmt.Errorf("check the space of %s: %w", b.path, err)
		}
		if u.Free < b.keep.Bytes {
			return &FullError{Path: b.path, Need: c.Bytes, Free: u.Free, Reserve: b.keep.Bytes}
		}
		if err := b.within(c, b.available(u)); err != nil {
			return err
		}
	}
	b.left.Bytes -= c.Bytes
	b.left.Inodes -= c.Inodes
	return nil
}

// Fits returns a [*FullError] when c is more than is left. It takes nothing.
func (b *Budget) Fits(c Cost) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.within(c, b.left)
}

// within returns the error for a cost beyond a limit.
func (b *Budget) within(c, limit Cost) error {
	switch {
	case c.Bytes > limit.Bytes:
		return &FullError{Path: b.path, Need: c.Bytes, Free: add(limit.Bytes, b.keep.Bytes), Reserve: b.keep.Bytes}
	case c.Inodes > limit.Inodes:
		return &FullError{Path: b.path, Need: c.Inodes, Free: add(limit.Inodes, b.keep.Inodes), Reserve: b.keep.Inodes, Inodes: true}
	}
	return nil
}

// Return puts back what was drawn and has been removed from the disk.
func (b *Budget) Return(c Cost) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left.Bytes = add(b.left.Bytes, c.Bytes)
	b.left.Inodes = add(b.left.Inodes, c.Inodes)
}

// Add returns the sum of two costs. It stays at the largest number instead of overflowing.
func (c Cost) Add(d Cost) Cost { return Cost{add(c.Bytes, d.Bytes), add(c.Inodes, d.Inodes)} }

// add adds two numbers that are not negative. It stays at the largest one.
func add(a, b int64) int64 { return a + min(b, math.MaxInt64-a) }

// FullError says that a file system has too little space.
type FullError struct {
	Path    string // a directory on the file system
	Need    int64  // bytes or inodes that were to be added
	Free    int64  // of those that are free, including Reserve
	Reserve int64  // of those that stay free
	Inodes  bool   // inodes are short, not bytes
}

// Error names the directory.
func (e *FullError) Error() string { return "no space below " + e.Path }
