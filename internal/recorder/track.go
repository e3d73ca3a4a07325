// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"math"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// track is what is kept of one cgroup, or of the node.
type track struct {
	oom.FoundCgroup
	kind     oom.Kind
	workload oom.Workload
	owner    *track // the cgroup that it counts for.
	up       *track // its parent; nil for the root.

	found  stamp
	isBorn bool  // it came while we looked: found is when it was made, or up to a second later.
	gone   bool  // since
	goneAt stamp //

	fine, medium series
	coarse       spans
	mediumAt     stamp
	tasks        taskSet

	usage                   packed // at the last reading,
	readAt, movedAt, fullAt stamp  // when that was, when it moved, when all was read.
	stillAt                 stamp  // the last pass in which it was not read, since what it is in stood still.
	full                    slot   // what was read then.
	limit                   packed
	limitAt                 stamp
	processes               packed
	growth                  float64 // pages a second; below 0 where it shrinks.
	distance                float64 // to a kill; below 1 it is near.
	fast                    bool
}

const (
	// nearMargin is the part of a limit, and nearTime the time at the present
	// growth, below which a kill is near.
	nearMargin = 0.25
	nearTime   = 30 * time.Second
	// idleAfter is for how long usage must not have moved for a cgroup to be
	// sampled more seldom, if more than half of its limit is left.
	idleAfter = time.Minute
	// growthTime is over which time growth is averaged.
	growthTime = 2 * time.Second
)

func newTrack(f oom.FoundCgroup, at stamp) *track {
	t := &track{FoundCgroup: f, kind: oom.KindContainer, found: at, readAt: at, movedAt: at, fullAt: at, limitAt: at, mediumAt: at, stillAt: at - 1}
	t.owner = t
	return t
}

// note notes a reading of usage alone, which move has had.
func (t *track) note(at stamp) {
	v := slot{at: at, usage: t.usage, limit: t.limit}
	t.fine.add(v, fineWindow())
	t.coarse.add(at, t.usage, 0)
	t.noteMedium(v)
}

// noteFull notes a full sample.
func (t *track) noteFull(v slot) {
	at := v.at
	t.move(at, v.usage)
	t.limit, t.limitAt = v.limit, at
	t.full, t.fullAt = v, at
	t.fine.add(v, fineWindow())
	t.coarse.add(at, v.usage, v.unreclaimable)
	t.noteMedium(v)
}

func (t *track) noteMedium(v slot) {
	if t.medium.n == 0 || v.at.since(t.mediumAt) >= mediumGap {
		t.medium.add(v, mediumWindow())
		t.mediumAt = v.at
	}
}

// move keeps usage and growth.
func (t *track) move(at stamp, usage packed) {
	passed := at.since(t.readAt).Seconds()
	if t.usage != 0 && passed > 0 {
		rate := (usage.or(0) - t.usage.or(0)) / passed
		weight := 1 - math.Exp(-passed/growthTime.Seconds())
		t.growth += weight * (rate - t.growth)
		if passed > growthTime.Seconds()/4 { // long enough to be more than a jerk.
			t.growth = max(t.growth, rate)
		}
	}
	if usage != t.usage {
		t.movedAt = at
	}
	t.usage, t.readAt = usage, at
}

// unreclaimable is what reclaim can't free by now, as far as that is known: what
// it was when all was read, and what came to it since.
func (t *track) unreclaimable() float64 {
	usage := t.usage.or(0)
	if !t.full.unreclaimable.isValue() {
		return usage
	}
	return min(usage, t.full.unreclaimable.or(0)+max(0, usage-t.full.usage.or(0)))
}

// measure computes how far its own limit is, in shares of what is near.
func (t *track) measure(margin float64) {
	t.distance = math.Inf(1)
	if !t.limit.isValue() || t.usage == 0 {
		return
	}
	limit := t.limit.or(0)
	left := max(limit-t.unreclaimable(), 0)
	t.distance = left / max(limit, 1) / margin
	if t.growth > 0 {
		t.distance = min(t.distance, left/t.growth/nearTime.Seconds())
	}
}

// inherit takes over the distance of the limit above, if it has a part in that:
// it moves, or has an eighth of the memory.
func (t *track) inherit(at stamp) {
	if t.up == nil || t.up.up == nil { // the node is nobody's limit.
		return
	}
	if t.hasMoved(at, 10*time.Second) || t.usage.or(0) > t.up.usage.or(0)/8 {
		t.distance = min(t.distance, t.up.distance)
	}
}

func (t *track) hasMoved(at stamp, within time.Duration) bool {
	return at.since(t.movedAt) < within
}

// isIdle tells whether it may be sampled more seldom.
func (t *track) isIdle(at stamp) bool {
	return !t.hasMoved(at, idleAfter) && at.since(t.found) > idleAfter && t.distance > 0.5/nearMargin
}

// lacksFull tells whether it is time to read all again: since usage has moved by
// a good part of the limit, or by anything a while ago.
func (t *track) lacksFull(at stamp) bool {
	age := at.since(t.fullAt)
	if t.full.usage == 0 {
		return true
	}
	moved := math.Abs(t.usage.or(0) - t.full.usage.or(0))
	step, soon := max(t.limit.or(1<<18)/64, 16), 5*time.Second
	if t.fast {
		step, soon = step/4, time.Second
	}
	return moved >= step || moved > 0 && age >= soon || t.fast && t.hasMoved(at, 10*time.Second) && age >= soon
}
