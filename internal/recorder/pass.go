// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"cmp"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// pass reads the cgroups that do not have the fast pace, and decides anew which
// have it.
func (r *Recorder) pass(at stamp) {
	idle := 0
	r.due = r.due[:0]
	for _, t := range r.live {
		if t.fast {
			continue
		}
		if t.isIdle(at) {
			idle++
			continue
		}
		r.due = append(r.due, t)
	}
	active := len(r.due)
	r.addIdle(at, idle)
	r.read(at, r.due, mostFull)
	r.readLimits(at)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.chooseFast(at)
	r.interval = intervalFor(active+min(idle, idleReads), r.o.Source.Cost(), len(r.live))
	r.over = r.o.Source.Over()
}

// addIdle adds those of the idle cgroups that have waited longest. Few of them
// are read each time.
func (r *Recorder) addIdle(at stamp, idle int) {
	gap := min(r.interval*time.Duration((idle+idleReads-1)/idleReads), idleGap)
	for _, t := range r.live {
		if !t.fast && t.isIdle(at) && (gap <= r.interval || at.since(t.readAt) >= gap-fastGap/2) {
			r.due = append(r.due, t)
		}
	}
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
func (r *Recorder) read(at stamp, tracks []*track, most int) {
	if len(tracks) == 0 {
		return
	}
	r.handles = r.handles[:0]
	for _, t := range tracks {
		r.handles = append(r.handles, t.Handle)
	}
	r.usages = slices.Grow(r.usages[:0], len(tracks))[:len(tracks)]
	r.o.Source.Usages(r.handles, r.usages)
	taken := r.now()
	r.mu.Lock()
	for i, t := range tracks {
		if u := pack(r.usages[i], pages); u != 0 {
			r.samples++
			t.see(taken, u)
		}
	}
	r.mu.Unlock()
	first := int(r.turn % uint64(len(tracks)))
	for i := range tracks {
		t := tracks[(first+i)%len(tracks)]
		if t.usage == 0 || t.gone || !t.lacksFull(taken) {
			continue
		}
		if most--; most < 0 {
			return
		}
		r.readFull(t)
	}
}

// readFull takes a full sample.
func (r *Recorder) readFull(t *track) {
	var s oom.Sample
	if !r.o.Source.Sample(t.Handle, &s) {
		return
	}
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	v := slotOf(at, &s)
	if v.processes == 0 && t.hasMoved(at, 10*time.Second) {
		v.processes = t.processes
	}
	t.seeFull(at, v)
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
			t.see(at, t.usage)
		}
		r.mu.Unlock()
	}
}

// chooseFast gives the fast pace to the nearest.
func (r *Recorder) chooseFast(at stamp) {
	r.near = r.near[:0]
	for _, t := range r.live { // parents first.
		t.fast = false
		t.measure(nearMargin)
		t.inherit(at)
		if t.distance < 1 {
			r.near = append(r.near, t)
		}
	}
	if len(r.near) > mostFast {
		slices.SortStableFunc(r.near, func(a, b *track) int {
			if am, bm := a.hasMoved(at, 10*time.Second), b.hasMoved(at, 10*time.Second); am != bm {
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
		t.fast = true
	}
}
