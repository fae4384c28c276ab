package archivetest

import "runtime"

// Heap returns the live heap, in bytes.
func Heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// MiB converts bytes.
func MiB(n uint64) float64 { return float64(n) / (1 << 20) }
