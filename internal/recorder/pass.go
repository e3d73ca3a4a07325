// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"cmp"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// readDue reads the cgroups that do not have the fast pace, and returns how many
// there were. It goes down the tree: where the usage of a cgroup has not moved,
// that of those in it has not moved either.
func (r *Recorder) readDue(at stamp) (readings int) {
	most := mostFull
	idle := min(r.interval*time.Duration((r.idle+idleReads-1)/idleReads), idleGap)
	for _, tracks := range r.levels {
		r.due = r.due[:0]
		for _, t := range tracks {
			if !t.fast && r.isDue(at, t, idle) {
				r.due = append(r.due, t)
			}
		}
		readings += len(r.due)
		most -= r.read(r.due, most)
	}
	return readings
}

// settle decides anew which cgroups have the fast pace, and which pace all can
// have.
func (r *Recorder) settle(at stamp, readings int) {
	r.readLimits(at)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.chooseFast(at)
	r.interval = intervalFor(readings, r.o.Source.Cost(), len(r.live))
	r.over = r.o.Source.Over()
}

// isDue tells whether a cgroup is to be read in this pass. What need not be is
// read every ten seconds all the same.
func (r *Recorder) isDue(at stamp, t *track, idle time.Duration) bool {
	age := at.since(t.readAt)
	switch {
	case age >= idleGap-fastGap/2:
		return true
	case t.usage == 0: // gone, or without the memory controller.
		return false
	case t.up != nil && t.up.stoodStill(at, t.readAt):
		t.stillAt = at
		return false
	case !t.isParent && t.isIdle(at):
		return age >= idle-fastGap/2
	}
	return true
}

// stoodStill tells whether it is known in the pass of a time that usage has not
// moved since another. The root's is a sum that the kernel makes up, if it has any.
func (t *track) stoodStill(at, since stamp) bool {
	known := t.readAt.since(at) >= 0 || t.stillAt == at
	return known && t.up != nil && t.usage != 0 && !t.unread && t.movedAt.since(since) < 0
}

// isQuiet tells whether it is known that nothing was charged to a cgroup since the
// last find, nor in the seconds before: then no cgroup can have come into it that
// has any memory. What reads as nothing says nothing: the usage of a cgroup of v1
// need not be that of those in it.
func (r *Recorder) isQuiet(at stamp, t *track) bool {
	known := t.readAt.since(r.foundAt) > 0 || t.stillAt == at
	return known && t.up != nil && t.usage.or(0) > 0 && !t.unread && !t.hasMoved(at, stillAfter)
}

// intervalFor returns the pace that so many readings can have, of which some cost
// more than others: cost is that of all cgroups.
func intervalFor(readings, cost, cgroups int) time.Duration {
	if cgroups == 0 {
		return baseGap
	}
	load := readings * max(cost, cgroups) / cgroups
	return min(baseGap*time.Duration(max((load+affordable-1)/affordable, 1)), idleGap)
}

// read reads the usage of cgroups, and all the rest of those that lack it, but
// not of more than most, and returns of how many. Others have their turn the next
// time.
func (r *Recorder) read(tracks []*track, most int) (full int) {
	if len(tracks) == 0 {
		return 0
	}
	r.handles = r.handles[:0]
	for _, t := range tracks {
		r.handles = append(r.handles, t.Handle)
	}
	r.usages = slices.Grow(r.usages[:0], len(tracks))[:len(tracks)]
	r.o.Source.Usages(r.handles, r.usages)
	lacking := r.noteUsages(tracks, most)
	for _, t := range lacking {
		r.readFull(t)
	}
	return len(lacking)
}

// noteUsages notes the usages that were read, and returns the cgroups of which
// all is to be read: a sample of theirs is noted then.
func (r *Recorder) noteUsages(tracks []*track, most int) []*track {
	at := r.now()
	r.lacking = r.lacking[:0]
	r.mu.Lock()
	defer r.mu.Unlock()
	first := int(r.turn % uint64(len(tracks)))
	for i := range tracks {
		i = (i + first) % len(tracks)
		t, usage := tracks[i], pack(r.usages[i], pages)
		t.unread = usage == 0
		if t.unread {
			t.readAt = at
			continue
		}
		r.samples++
		t.move(at, usage)
		if len(r.lacking) < most && t.lacksFull(at) {
			r.lacking = append(r.lacking, t)
			continue
		}
		t.note(at)
	}
	return r.lacking
}

// readFull takes a full sample, or makes do with the usage.
func (r *Recorder) readFull(t *track) {
	var s oom.Sample
	ok := r.o.Source.Sample(t.Handle, &s)
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok {
		t.note(t.readAt)
		return
	}
	v := slotOf(at, &s)
	if v.processes == 0 && t.hasMoved(at, stillAfter) {
		v.processes = t.processes
	}
	t.noteFull(v)
}

// limitGap is how often a limit is read where nothing else is.
const limitGap = 30 * time.Second

// readLimits reads the limits that have not been read for a while: few each time.
func (r *Recorder) readLimits(at stamp) {
	most := len(r.live)/int(limitGap/baseGap)*int(r.interval/baseGap) + 1
	for _, t := range r.live {
		if t.usage == 0 || at.since(t.limitAt) < limitGap {
			continue
		}
		if most--; most < 0 {
			return
		}
		limit := pack(r.o.Source.Limit(t.Handle), pages)
		r.mu.Lock()
		if t.limitAt = at; limit != 0 && limit != t.limit {
			t.limit = limit
			t.own = t.measure(nearMargin)
			t.note(r.now())
		}
		r.mu.Unlock()
	}
}

// chooseFast gives the fast pace to the nearest.
func (r *Recorder) chooseFast(at stamp) {
	r.near, r.idle = r.near[:0], 0
	for _, t := range r.live { // parents first.
		t.fast = false
		t.inherit(at)
		switch {
		case t.wantsFast(at):
			r.near = append(r.near, t)
		case !t.isParent && t.isIdle(at):
			r.idle++
		}
	}
	if len(r.near) > mostFast {
		slices.SortStableFunc(r.near, func(a, b *track) int {
			if am, bm := a.hasMoved(at, stillAfter), b.hasMoved(at, stillAfter); am != bm {
				if am {
					return -1
				}
				return 1
			}
			return cmp.Compare(a.distance, b.distance)
		})
		r.near = r.near[:mostFast]
	}
	for _, t := range r.near {
		if t.fast = true; at.since(t.fastTo) > 2*r.interval {
			t.fastFrom = at
		}
		t.fastTo = at
	}
}
