// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"math"
	"time"
)

// Pace bounds how often a group is looked at.
type Pace struct {
	Min, Max time.Duration
	// Floor is the growth, in bytes a second, that must be expected of every group
	// at any time, whatever was seen of it.
	Floor uint64
}

// halfLife is the time in which the fastest growth seen is half forgotten.
const halfLife = 10 * time.Second

// hopeless is the time from threshold to limit below which growth is not looked out for:
// nobody could act in so short a time.
const hopeless = 10 * time.Millisecond

// shortest is the least time over which growth is measured: below it, charges
// that the kernel makes in batches look like a flood.
const shortest = time.Millisecond

// gauge remembers the fastest growth of a group.
type gauge struct {
	at      time.Time
	usage   uint64
	fastest float64 // bytes a second.
}

// see takes one reading.
func (g *gauge) see(now time.Time, usage uint64) {
	if g.at.IsZero() {
		g.at, g.usage = now, usage
		return
	}
	passed := now.Sub(g.at)
	if passed <= 0 {
		return
	}
	g.fastest *= math.Exp2(-passed.Seconds() / halfLife.Seconds())
	if usage > g.usage {
		g.fastest = max(g.fastest, float64(usage-g.usage)/max(passed, shortest).Seconds())
	}
	g.at, g.usage = now, usage
}

// next says when to look again at a group that has this far to go: after half
// the time that the fastest growth seen would take.
func (p Pace) next(distance uint64, fastest float64) time.Duration {
	seconds := float64(distance) / (2 * max(fastest, float64(p.Floor), 1))
	if seconds >= p.Max.Seconds() {
		return p.Max
	}
	return max(p.Min, time.Duration(seconds*float64(time.Second)))
}
