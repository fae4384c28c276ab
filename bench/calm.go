//go:build linux

package main

import (
	"context"
	"time"
)

// calmTries is how often a measurement is taken while others disturb it.
const calmTries = 6

// noisy is a measurement that knows how many cores others used meanwhile.
type noisy interface{ noise() float64 }

// calmest takes a measurement, and takes it again while others used more than limit
// cores meanwhile; the least disturbed one counts. A limit of 0 takes the first.
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

// listener tells what others do with the processors.
type listener struct {
	start     time.Time
	busy, own time.Duration
}

// listen begins to count.
func listen() listener { return listener{time.Now(), machineTime(), ownTime()} }

// others is how many cores others have used since then; more is the processor time of
// what is ours but not yet waited for.
func (l listener) others(more time.Duration) float64 {
	used := (machineTime() - l.busy) - (ownTime() - l.own) - more
	return max(0, used.Seconds()) / time.Since(l.start).Seconds()
}
