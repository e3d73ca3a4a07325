// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// On cgroup v1 nothing but reclaim tells how much of a group's kernel memory is
// caches, and reclaim begins by waiting for every CPU of the node: 1 to 6 ms on an
// idle one with two CPUs, up to 190 ms on a busy one (Linux 6.18). If the group gets
// from threshold to limit in less time, the answer must be known before. So a group
// that grows towards its limit is probed while it is still below its threshold.
const (
	// probePause is the least time between two probes of a group, probeEach the least on
	// average in the long run, since a probe costs up to 5 ms of CPU. probeAhead is how
	// far a group's probes may be ahead of that average.
	probePause = 100 * time.Millisecond
	probeEach  = 500 * time.Millisecond
	probeAhead = 4 * time.Second
	// maxProbes bounds the probes that run at one time.
	maxProbes = 4
)

// probing is what the loop knows of a group's probes.
type probing struct {
	runs   bool
	needed bool      // not on v2, which tells how much of the kernel memory is caches.
	begun  time.Time // when the last one began.
	paid   time.Time // until when those so far would last at one every probeEach.
	usage  uint64    // at its end, or the least since.
	ended  *probed   // a result that waits until no worker has the group.
}

// probed is what a probe has found.
type probed struct {
	token  uint32
	usage  uint64
	pinned uint64 // kernel memory that reclaim could not free.
}

// probe finds out how much of the kernel memory of a group can't be reclaimed, if the
// group is about to reach its limit and has grown since the last probe.
func (g *Guard) probe(w *watched, now time.Time, usage uint64) {
	p, share := &w.probing, g.spared(w.Limit)
	if usage+share/2 < p.usage { // whatever was left then may have gone.
		w.growth.pinned = 0
	}
	p.usage = min(p.usage, usage)
	if !p.needed || p.runs || g.probes == maxProbes || g.o.Policy == PolicyNoop || now.Sub(p.begun) < probePause || p.paid.Sub(now) > probeAhead ||
		usage-p.usage < share/4 || w.growth.reaches(now) > reclaimAhead {
		return
	}
	g.probes++
	p.runs, p.begun = true, now
	if p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(probeEach)
	t, pinned, token := w.Target, w.growth.pinned, w.token
	g.running.Go(func() {
		found := g.probeKernel(&t, pinned)
		found.token = token
		g.probed <- found
		g.o.Bell.Wake()
	})
}

// probeKernel has the caches of a group reclaimed if its kernel memory has grown by so
// much that it must be known whether that is caches. A group with much page cache is in
// no danger, and keeps its caches.
func (g *Guard) probeKernel(t *Target, pinned uint64) probed {
	found := probed{pinned: pinned}
	group, err := g.o.Kernel.Group(t.Path)
	if err != nil || group.Inode != t.Inode {
		return found
	}
	found.usage = group.Usage.Or(0)
	free, known := reclaimable(&group)
	share, kernel := g.spared(t.Limit), group.Stat.Kernel.Or(0)
	if !known || free > share || kernel <= max(share, pinned+share/4) || g.o.Kernel.Off() {
		return found
	}
	g.reclaimNow(t.GroupID, kernel-pinned)
	if group, err = g.o.Kernel.Group(t.Path); err == nil && group.Inode == t.Inode {
		found.usage, found.pinned = group.Usage.Or(0), group.Stat.Kernel.Or(0)
	}
	return found
}

// reclaimNow has memory of a group reclaimed. How much was freed shows in the usage that
// is left.
func (g *Guard) reclaimNow(id oom.GroupID, size uint64) {
	begun := g.o.Now()
	err := g.o.Reclaimer.Reclaim(id, size)
	g.timeReclaim(g.o.Now().Sub(begun))
	g.stats.update(func(s *Stats) {
		s.Reclaims++
		if err != nil {
			s.ReclaimFailed++
		}
	})
}

// takeProbed takes what probes have found.
func (g *Guard) takeProbed() {
	for {
		select {
		case found := <-g.probed:
			g.probes--
			if w := g.watched[found.token]; w != nil {
				w.probing.ended = &found
				w.noteProbe()
			}
		default:
			return
		}
	}
}

// noteProbe notes what a probe has found, once no worker has the group.
func (w *watched) noteProbe() {
	p := &w.probing
	if w.busy || p.ended == nil {
		return
	}
	p.runs, p.usage = false, p.ended.usage
	w.growth.pinned = p.ended.pinned
	p.ended = nil
}
