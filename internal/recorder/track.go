// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"math"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// track is what is kept of one cgroup, or of the node.
type track struct {
	// What every pass looks at is at the front, in as few cache lines as possible:
	// with a thousand cgroups at rest, fetching those takes most of a pass.
	up              *track  // its parent; nil for the root.
	readAt, movedAt stamp   // when usage was read last, and when it moved.
	stillAt         stamp   // the last pass that skipped it, as it was known to stand still.
	below, settled  int64   // pages by which its children have moved in all, and what was unaccounted for after the last pass.
	found           stamp   // see isBorn.
	limitAt         stamp   // when the limit was read.
	usage, limit    packed  // at the last reading.
	own, distance   float64 // to a kill by its own limit, and by any; below 1 it is near.
	unread          bool    // the last reading failed.
	fast            bool
	isParent        bool // it has, or had, cgroups in it.
	isBorn          bool // it came while we looked: found is when it was made, or up to a second later.
	gone            bool

	oom.FoundCgroup
	kind             oom.Kind
	workload         oom.Workload
	owner            *track // the cgroup that it counts for.
	index            int    // in the pre-order of those that are there.
	goneAt           stamp
	fastFrom, fastTo stamp // the passes in which it had the fast pace first and last.

	fine, medium series
	coarse       spans
	mediumAt     stamp
	tasks        taskSet

	full      slot  // the last full sample,
	fullAt    stamp // and when it was taken.
	processes packed
	growth    float64 // pages a second; below 0 where it shrinks.
}

const (
	// nearMargin is the part of a limit, and nearTime the time at the present
	// growth, below which a kill is near.
	nearMargin = 0.25
	nearTime   = 30 * time.Second
	// nodeMargin is that part for the node: many nodes run for weeks with little
	// memory available, and what brings a kill near is that it becomes less.
	nodeMargin = 1.0 / 32
	// farDistance is the distance of cgroups that have more than half of their limit
	// left, and more than a minute at their present growth.
	farDistance = 0.5 / nearMargin
	// idleAfter is how long usage must not have moved for a cgroup to be sampled
	// less often, if it is far from its limit.
	idleAfter = time.Minute
	// stillAfter is how long usage must not have moved for a cgroup to stand still:
	// the fast pace would only see the same again (but see wantsFast).
	stillAfter = 10 * time.Second
	// chargeBatch is what the kernel charges ahead for a CPU, in pages (memcontrol.h,
	// MEMCG_CHARGE_BATCH). Under a small limit, usage that moves by less need not mean
	// anything.
	chargeBatch = 64
	small       = 4096
	// growthTime is the time over which growth is averaged.
	growthTime = 2 * time.Second
)

func newTrack(f oom.FoundCgroup, at stamp) *track {
	t := &track{FoundCgroup: f, kind: oom.KindContainer, found: at, readAt: at, movedAt: at, fullAt: at, limitAt: at, mediumAt: at, stillAt: at - 1, fastFrom: at, fastTo: at.add(-spanWindow)}
	t.own, t.distance = math.Inf(1), math.Inf(1)
	t.owner = t
	return t
}

// note notes a reading of usage alone, which move has taken in already.
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
	t.own = t.measure(nearMargin)
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

// move updates usage and growth.
func (t *track) move(at stamp, usage packed) {
	passed := at.since(max(t.readAt, t.stillAt)).Seconds()
	if t.usage != 0 && passed > 0 {
		rate := (usage.or(0) - t.usage.or(0)) / passed
		weight := 1 - math.Exp(-passed/growthTime.Seconds())
		t.growth += weight * (rate - t.growth)
		if passed > growthTime.Seconds()/4 { // long enough to be more than a blip.
			t.growth = max(t.growth, rate)
		}
	}
	if usage != t.usage {
		t.fine, t.medium = t.known(&t.fine), t.known(&t.medium)
		t.movedAt = at
		if t.up != nil {
			t.up.below += int64(usage.or(0)) - int64(t.usage.or(0))
		}
	}
	t.usage, t.readAt = usage, at
	t.own = t.measure(nearMargin)
}

// known returns a series whose last slot is true until usage was last known not to
// have moved, whether it was read then or not.
func (t *track) known(s *series) series {
	out := *s
	if l := s.last(); l != nil && l.at >= t.movedAt {
		out.seen = max(s.seen, t.stillAt)
	}
	return out
}

// unreclaimable is what reclaim can't free now, as far as that is known: what it
// was in the last full sample, plus what usage has grown by since.
func (t *track) unreclaimable() float64 {
	usage := t.usage.or(0)
	if !t.full.unreclaimable.isValue() {
		return usage
	}
	return min(usage, t.full.unreclaimable.or(0)+max(0, usage-t.full.usage.or(0)))
}

// measure returns the distance to its own limit; below 1 it is near.
func (t *track) measure(margin float64) float64 {
	if !t.limit.isValue() || t.usage == 0 {
		return math.Inf(1)
	}
	limit := t.limit.or(0)
	left := max(limit-t.unreclaimable(), 0)
	distance := left / max(limit, 1) / margin
	if t.growth > 0 {
		distance = min(distance, left/t.growth/nearTime.Seconds())
	}
	return distance
}

// inherit sets the distance: its own, or its parent's if that is smaller and it has
// a part in it: it moves, or has more than an eighth of the parent's memory.
func (t *track) inherit(at stamp) {
	t.distance = t.own
	if t.up == nil || t.up.up == nil { // the node is nobody's limit.
		return
	}
	if t.hasMoved(at, stillAfter) || t.usage.or(0) > t.up.usage.or(0)/8 {
		t.distance = min(t.distance, t.up.distance)
	}
}

// wantsFast tells whether it is near and usage still moves, or has come up to the
// limit: there a kill may be near though usage no longer moves.
func (t *track) wantsFast(at stamp) bool {
	if t.distance >= 1 {
		return false
	}
	return t.hasMoved(at, stillAfter) || t.limit.isValue() && t.usage.or(0) >= t.limit.or(0)*63/64
}

func (t *track) hasMoved(at stamp, within time.Duration) bool {
	return at.since(t.movedAt) < within
}

// isIdle tells whether it may be sampled less often.
func (t *track) isIdle(at stamp) bool {
	return !t.hasMoved(at, idleAfter) && at.since(t.found) > idleAfter && t.distance > farDistance
}

// lacksFull tells whether a full sample is due: usage has moved by a good part of the
// limit since the last one, or by anything and the last one is old.
func (t *track) lacksFull(at stamp) bool {
	age := at.since(t.fullAt)
	if t.full.usage == 0 {
		return true
	}
	moved := math.Abs(t.usage.or(0) - t.full.usage.or(0))
	step, soon := max(t.limit.or(1<<18)/64, 16), 5*time.Second
	switch {
	case t.fast:
		step, soon = step/4, time.Second
		if t.limit.or(small) < small {
			step = chargeBatch
		}
	case !t.limit.isValue() && (t.kind == oom.KindPod || t.kind == oom.KindSlice): // it is no victim and owns no limit.
		step, soon = 16*step, time.Minute
	case t.distance > farDistance:
		step, soon = 2*step, 2*soon
	}
	return moved >= step || moved > 0 && age >= soon || t.fast && t.hasMoved(at, stillAfter) && age >= soon
}
