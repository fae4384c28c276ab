//go:build linux

package main

import (
	"math/rand/v2"
	"time"
)

// dice makes the random choices of one round: the same seed makes the same choices in the
// same order.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 0x50a4))} }

// chance returns true with a probability in percent.
func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// between returns a number from low to high, inclusive.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

// part returns a random part of a duration, at most the given percentage.
func (d dice) part(of time.Duration, percent int) time.Duration {
	return time.Duration(d.Float64() * float64(of) * float64(percent) / 100)
}

// pick returns a random element of a list.
func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }
