// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"cmp"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// readDue reads the cgroups that are due and do not have the fast pace, and returns
// how many it read. It goes down the tree: if the usage of a cgroup has not moved,
// the usage of the cgroups below it has not moved either. If it has, those of its
// children that moved lately are read first: if they account for the whole
// movement, the other children have not moved.
func (r *Recorder) readDue(at stamp) (readings int) {
	most := mostFull
	idle := min(r.interval*time.Duration((r.idle+idleReads-1)/idleReads), idleGap)
	for _, tracks := range r.levels {
		for _, moving := range []bool{true, false} {
			r.chooseDue(at, tracks, moving, idle)
			readings += len(r.due)
			most -= r.readUsages(r.due, most)
		}
		for _, t := range tracks {
			if up := t.up; up != nil && up.wasRead(at) {
				up.settled = up.unaccounted()
			}
		}
	}
	return readings
}

// chooseDue sets r.due to the tracks that are to be read now: only those that have
// moved lately if moving is true, else only the others.
func (r *Recorder) chooseDue(at stamp, tracks []*track, moving bool, idle time.Duration) {
	r.mu.Lock() // for stillAt.
	defer r.mu.Unlock()
	r.due = r.due[:0]
	for _, t := range tracks {
		if !t.fast && t.hasMoved(at, stillAfter) == moving && r.isDue(at, t, idle) {
			r.due = append(r.due, t)
		}
	}
}

// settle decides anew which cgroups have the fast pace, and the interval of the
// others.
func (r *Recorder) settle(at stamp, readings int) {
	r.readLimits(at)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.chooseFast(at)
	r.interval = intervalFor(readings, r.o.Source.Cost(), len(r.live))
	r.over = r.o.Source.Over()
}

// isDue tells whether a cgroup is to be read in this pass. Those that need not be
// are read now and then all the same.
func (r *Recorder) isDue(at stamp, t *track, idle time.Duration) bool {
	age := at.since(t.readAt)
	switch {
	case t.usage == 0: // gone, or without the memory controller.
		return age >= idleGap-fastGap/2
	case t.up != nil && (t.up.stoodStill(at, max(t.readAt, t.stillAt)) || t.up.isAccounted(at) && !t.hasMoved(at, stillAfter)):
		if age >= stillGap-fastGap/2 {
			return true
		}
		t.stillAt = at
		return false
	case !t.isParent && t.isIdle(at):
		return age >= idle-fastGap/2
	}
	return true
}

// stoodStill tells whether it is known, in the pass with the stamp at, that usage has
// not moved from the stamp since on. It is never known of the root, whose usage, if
// it has any, is a sum that the kernel makes up.
func (t *track) stoodStill(at, since stamp) bool {
	known := t.readAt.since(at) >= 0 || t.stillAt == at
	return known && t.up != nil && t.usage != 0 && !t.unread && t.movedAt.since(since) < 0
}

// wasRead tells whether usage was read in the pass with the stamp at. It is false for
// the root, whose usage says nothing of its children.
func (t *track) wasRead(at stamp) bool {
	return t.up != nil && t.usage != 0 && !t.unread && t.readAt.since(at) >= 0
}

// unaccounted returns how many pages of usage the movements of its children do not
// account for. The number itself means nothing; a change of it means that something
// in the cgroup has moved that was not read.
func (t *track) unaccounted() int64 { return int64(t.usage.or(0)) - t.below }

// isAccounted tells whether the children that have been read in the pass with the
// stamp at account for the whole movement of usage since the pass before.
func (t *track) isAccounted(at stamp) bool { return t.wasRead(at) && t.unaccounted() == t.settled }

// isQuiet tells whether it is known that nothing was charged to a cgroup since the
// last find, nor in the seconds before it: then no cgroup that has any memory can
// have appeared in it. A usage of 0 proves nothing: on cgroup v1 the usage of a
// cgroup need not include that of the cgroups below it.
func (r *Recorder) isQuiet(at stamp, t *track) bool {
	known := t.readAt.since(r.foundAt) > 0 || t.stillAt == at
	return known && t.up != nil && t.usage.or(0) > 0 && !t.unread && !t.hasMoved(at, stillAfter)
}

// intervalFor returns the interval at which that many readings are affordable. Some
// readings cost more than others: cost is that of one reading of every cgroup, as a
// number of cheap readings.
func intervalFor(readings, cost, cgroups int) time.Duration {
	if cgroups == 0 {
		return baseGap
	}
	load := readings * max(cost, cgroups) / cgroups
	return min(baseGap*time.Duration(max((load+affordable-1)/affordable, 1)), idleGap)
}

// read reads the usage of cgroups, and takes a full sample of those that lack one,
// but of no more than most of them. The others have their turn next time.
func (r *Recorder) read(tracks []*track, most int) {
	r.readUsages(tracks, most)
	r.readLacking()
}

// readUsages reads the usage of cgroups, and returns how many of them (no more than
// most) are to get a full sample next.
func (r *Recorder) readUsages(tracks []*track, most int) (lacking int) {
	if len(tracks) == 0 {
		return 0
	}
	r.handles = r.handles[:0]
	for _, t := range tracks {
		r.handles = append(r.handles, t.Handle)
	}
	r.usages = slices.Grow(r.usages[:0], len(tracks))[:len(tracks)]
	r.o.Source.Usages(r.handles, r.usages)
	return r.noteUsages(tracks, most)
}

// noteUsages notes a sample of each usage that was read, except for cgroups that are
// to get a full sample next: for those, the full sample is noted instead.
func (r *Recorder) noteUsages(tracks []*track, most int) (lacking int) {
	at := r.now()
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
		if lacking < most && t.lacksFull(at) {
			r.lacking = append(r.lacking, t)
			lacking++
			continue
		}
		t.note(at)
	}
	return lacking
}

// readLacking takes the full samples that are lacking.
func (r *Recorder) readLacking() {
	for _, t := range r.lacking {
		r.readFull(t)
	}
	r.lacking = r.lacking[:0]
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
	r.full++
	v := slotOf(at, &s)
	if v.processes == 0 && t.hasMoved(at, stillAfter) {
		v.processes = t.processes
	}
	t.noteFull(v)
}

const (
	// limitGap is the time between two readings of a cgroup's limit while otherwise
	// only its usage is read.
	limitGap = 30 * time.Second
	// stillLimitGap is the same while not even its usage is read.
	// Opening a file takes ten times as long as reading one that is open, and there
	// are very many such cgroups. The first memory that is charged or freed leads to
	// a full sample, limit included.
	stillLimitGap = 2 * time.Minute
)

// readLimits reads the limits that have not been read for a while: a few at a time. Those
// of new cgroups are read at an age of 1, 2, 4 seconds and so on.
func (r *Recorder) readLimits(at stamp) {
	most := len(r.live)/int(limitGap/baseGap)*int(r.interval/baseGap) + 1
	for _, t := range r.live {
		gap := limitGap
		if at.since(t.stillAt) < limitGap {
			gap = stillLimitGap
		}
		// Who makes a cgroup writes its limit a moment later.
		gap = min(gap, max(t.limitAt.since(t.found), baseGap-fastGap/2))
		if t.usage == 0 || at.since(t.limitAt) < gap {
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

// chooseFast gives the fast pace to the cgroups that are nearest to a kill.
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
