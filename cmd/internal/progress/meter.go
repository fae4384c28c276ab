package progress

import (
	"slices"
	"time"
)

const (
	window     = 10 * time.Second // of the rate
	stallAfter = 9 * time.Second  // without a byte; with a tick, it is told within 10 s
	warmUp     = time.Second      // without a rate
)

// meter measures a phase: it is told the number of bytes done at each tick. It reads no
// clock.
type meter struct {
	Phase
	start   time.Time
	moved   time.Time // when bytes last arrived
	done    int64
	source  string
	widest  int      // details shown beside a bar
	running []*part  // that are at work
	samples []sample // of the last window, and the one before
}

type sample struct {
	at   time.Time
	done int64
}

func newMeter(p Phase, now time.Time) *meter {
	return &meter{Phase: p, start: now, moved: now, done: p.Done, source: p.Source, samples: []sample{{now, p.Done}}}
}

// observe records that done bytes of the phase are done at now.
func (m *meter) observe(now time.Time, done int64) {
	if done != m.done {
		m.moved = now
	}
	m.done = done
	m.samples = append(m.samples, sample{now, done})
	begin := now.Add(-window)
	i := slices.IndexFunc(m.samples, func(s sample) bool { return s.at.After(begin) })
	if i > 1 {
		m.samples = slices.Delete(m.samples, 0, i-1)
	}
}

// rate returns the bytes per second of the last window, 0 when it is not known.
func (m *meter) rate(now time.Time) float64 {
	first := m.samples[0]
	if now.Sub(m.start) < warmUp || !now.After(first.at) {
		return 0
	}
	return max(0, float64(m.done-first.done)/now.Sub(first.at).Seconds())
}

// left returns the time that the rest will take, 0 when it is not known.
func (m *meter) left(now time.Time) time.Duration {
	rate := m.rate(now)
	if rate <= 0 || m.done >= m.Total {
		return 0
	}
	seconds := float64(m.Total-m.done) / rate
	return time.Duration(min(seconds, maxLeft.Seconds()) * float64(time.Second)).Round(time.Second)
}

// maxLeft bounds what is shown: beyond it the rate says nothing about the end.
const maxLeft = 99 * time.Hour

// stalled returns how long no byte has arrived, 0 when that is not long.
func (m *meter) stalled(now time.Time) time.Duration {
	if idle := now.Sub(m.moved); idle >= stallAfter {
		return idle.Truncate(time.Second)
	}
	return 0
}

// percent returns what is done of the total, which is positive. Only all of it is 100.
func (m *meter) percent() int64 {
	return min(max(m.done, 0), m.Total) * 100 / m.Total
}
