//go:build linux

package main

import (
	"errors"
	"testing"
	"time"
)

// quiet is a measurement during which other processes used that many cores.
type quiet float64

func (q quiet) noise() float64 { return float64(q) }

func TestCalmest(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit float64
		noise []quiet
		want  quiet
		takes int
	}{
		{"no limit", 0, []quiet{2, 1}, 2, 1},
		{"at the limit", 0.5, []quiet{0.5, 0}, 0.5, 1},
		{"the third is calm", 0.5, []quiet{2, 1, 0.25}, 0.25, 3},
		{"never calm: the best", 0.5, []quiet{2, 1, 0.75, 1, 2, 3, 0}, 0.75, calmTries},
	} {
		t.Run(c.name, func(t *testing.T) {
			takes := 0
			got, err := calmest(t.Context(), c.limit, func() (quiet, error) {
				takes++
				return c.noise[takes-1], nil
			})
			if got != c.want || takes != c.takes || err != nil {
				t.Errorf("got %v after %d takes (%v), want %v after %d", got, takes, err, c.want, c.takes)
			}
		})
	}
}

func TestCalmestFails(t *testing.T) {
	cause := errors.New("cause")
	takes := 0
	_, err := calmest(t.Context(), 1, func() (quiet, error) {
		takes++
		if takes == 2 {
			return 0, cause
		}
		return 9, nil
	})
	if !errors.Is(err, cause) || takes != 2 {
		t.Errorf("got %v after %d takes", err, takes)
	}
}

func TestMonitor(t *testing.T) {
	l := monitor{start: time.Now().Add(-time.Second), busy: machineTime(), own: ownTime()}
	if got := l.others(time.Hour); got != 0 {
		t.Errorf("an hour of our own leaves %v cores to others, want 0", got)
	}
}
