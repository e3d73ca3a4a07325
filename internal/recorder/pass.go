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
// that of those in it has not moved either. Of the children of one that has moved,
// those that have moved lately are read first: where they account for all of it,
// the others have not moved.
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

// chooseDue makes due those of the tracks that are to be read, either of those that
// have moved lately or of the others.
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
// read now and then all the same.
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

// stoodStill tells whether it is known in the pass of a time that usage has not
// moved since another. The root's is a sum that the kernel makes up, if it has any.
func (t *track) stoodStill(at, since stamp) bool {
	known := t.readAt.since(at) >= 0 || t.stillAt == at
	return known && t.up != nil && t.usage != 0 && !t.unread && t.movedAt.since(since) < 0
}

// wasRead tells whether usage was read in the pass of a time. The root's is not
// taken for its children's.
func (t *track) wasRead(at stamp) bool {
	return t.up != nil && t.usage != 0 && !t.unread && t.readAt.since(at) >= 0
}

// unaccounted is by how many pages usage is more than what its children have moved
// by. How much that is means nothing, but when it changes: then something in it has
// moved that was not read.
func (t *track) unaccounted() int64 { return int64(t.usage.or(0)) - t.below }

// isAccounted tells whether the children that have been read in the pass of a time
// account for all that usage has moved by since the one before.
func (t *track) isAccounted(at stamp) bool { return t.wasRead(at) && t.unaccounted() == t.settled }

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
// not of more than most. Others have their turn the next time.
func (r *Recorder) read(tracks []*track, most int) {
	r.readUsages(tracks, most)
	r.readLacking()
}

// readUsages reads the usage of cgroups, and returns of how many all is to be read
// then, most at most.
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

// noteUsages notes the usages that were read, but for cgroups of which all is to
// be read: a sample of theirs is noted then.
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

// readLacking reads all of those of which usage alone has been read.
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
	v := slotOf(at, &s)
	if v.processes == 0 && t.hasMoved(at, stillAfter) {
		v.processes = t.processes
	}
	t.noteFull(v)
}

const (
	// limitGap is how often a limit is read where nothing but usage is.
	limitGap = 30 * time.Second
	// stillLimitGap is the same where not even usage is. To open a file takes ten
	// times as long as to read one that is open, and there are very many of these.
	// With the first memory that is charged or freed all is read.
	stillLimitGap = 2 * time.Minute
)

// readLimits reads the limits that have not been read for a while: few each time.
func (r *Recorder) readLimits(at stamp) {
	most := len(r.live)/int(limitGap/baseGap)*int(r.interval/baseGap) + 1
	for _, t := range r.live {
		gap := limitGap
		if at.since(t.stillAt) < limitGap {
			gap = stillLimitGap
		}
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
