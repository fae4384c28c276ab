//go:build linux

package main

import (
	"math/rand/v2"
	"time"
)

// dice are the choices of one round: the same seed, the same choices in the same order.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 0x50a4))} }

// chance is true so many times out of a hundred.
func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// between gives a number from low to high, both included.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

// part gives a random part of a time, at most so many hundredths of it.
func (d dice) part(of time.Duration, percent int) time.Duration {
	return time.Duration(d.Float64() * float64(of) * float64(percent) / 100)
}

// pick chooses one of a list.
func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }
