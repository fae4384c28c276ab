//go:build linux

package main

import (
	"context"
	"time"
)

// calmTries is how often a disturbed measurement is tried.
const calmTries = 6

// noisy is a measurement that knows how many cores other processes used meanwhile.
type noisy interface{ noise() float64 }

// calmest takes a measurement, and repeats it while other processes use more than limit
// cores; it returns the least disturbed one. With a limit of 0 it takes only one.
func calmest[S noisy](ctx context.Context, limit float64, take func() (S, error)) (S, error) {
	best, err := take()
	for range calmTries - 1 {
		if err != nil || limit <= 0 || best.noise() <= limit || ctx.Err() != nil {
			break
		}
		var next S
		if next, err = take(); err == nil && next.noise() < best.noise() {
			best = next
		}
	}
	return best, err
}

// monitor measures the processor time of other processes.
type monitor struct {
	start     time.Time
	busy, own time.Duration
}

// startMonitor starts a monitor.
func startMonitor() monitor { return monitor{time.Now(), machineTime(), ownTime()} }

// others returns how many cores other processes have used since the start; more is the
// processor time of our own processes that are not yet waited for.
func (m monitor) others(more time.Duration) float64 {
	used := (machineTime() - m.busy) - (ownTime() - m.own) - more
	return max(0, used.Seconds()) / time.Since(m.start).Seconds()
}
