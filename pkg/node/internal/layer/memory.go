package layer

import (
	"context"
	"errors"
	"sync"
)

// ErrMemory says that a layer needs more memory than there is for it: its compression has a
// large window, or it has very many entries.
var ErrMemory = errors.New("the layer needs much memory")

// Memory is what the layers at work may use together for windows of zstd, and for the names
// that extraction remembers. It is safe for concurrent use.
type Memory struct {
	total int64

	mu    sync.Mutex
	free  int64
	freed chan struct{} // closed when something is released
}

// NewMemory returns a Memory of total bytes.
func NewMemory(total int64) *Memory {
	return &Memory{total: total, free: total, freed: make(chan struct{})}
}

// maxWindow returns the largest window that a layer may have. A part is left for its names.
func (m *Memory) maxWindow() int64 {
	if m == nil {
		return unsharedWindow
	}
	return m.total / 4 * 3
}

// acquire waits until n bytes are free.
func (m *Memory) acquire(ctx context.Context, n int64) error {
	if m == nil {
		return nil
	}
	for {
		m.mu.Lock()
		if n <= m.free {
			m.free -= n
			m.mu.Unlock()
			return nil
		}
		freed := m.freed
		m.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// try reports whether n bytes were free, and takes them.
func (m *Memory) try(n int64) bool {
	if m == nil {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.free {
		return false
	}
	m.free -= n
	return true
}

// release returns n bytes.
func (m *Memory) release(n int64) {
	if m == nil || n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free += n
	close(m.freed)
	m.freed = make(chan struct{})
}
