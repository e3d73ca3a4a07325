// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// certain is the least that a group holds and reclaim can't free: what its
// statistics add up to, which lag behind, or its usage without what the CPUs may have
// charged ahead; surest is without what one CPU beyond these may have.
func certain(a *Action, group *oom.Group, seen *growth) (least, surest uint64) {
	most := a.Usage - a.Reclaimable
	least = most - min(most, seen.ahead, seen.margin()/4)
	if seen.blurred() {
		least = 0
	}
	surest = least - min(least, seen.beyond)
	s := &group.Stat
	if !s.Anon.IsSet() || !s.File.IsSet() || !s.Kernel.IsSet() {
		return least, surest
	}
	sum := s.Anon.Or(0) + s.File.Or(0) + s.Kernel.Or(0)
	sum -= min(sum, a.Reclaimable)
	return min(most, max(least, sum)), min(most, max(surest, sum))
}

// endsForCertain is ends with what a look has found. Where it is for a step that is
// due, the threads must be seen to pause. To see what is charged ahead come and go
// is no growth by steps, so half of the margin must be gone for certain, unless one
// step takes more.
func (g *growth) endsForCertain(now time.Time, toLimit time.Duration) (ends, ifTheyPause bool) {
	if g.endsByRate(now, toLimit) && g.isCertain(now) {
		return true, false
	}
	size, _, _, _ := g.steps()
	return g.nextStepHits(now) && (size > g.margin()/2 || g.isCertain(now)), true
}

// isLate tells whether growth has used up the half of the margin in which it may
// still turn out to be a start that ends, as far as usage tells.
func (g *growth) isLate() bool { return g.left() <= g.margin()/2 }

// isCertain tells whether that much of the margin is gone for certain. Usage has
// in it what the CPUs have charged ahead, so it is the most that there can be; the
// statistics lag behind, so they are the least. A limit that was hit leaves no
// doubt where that is little: the kernel has taken it back then. What one CPU more may
// have charged ahead counts only while the guard can wait for a proof.
func (g *growth) isCertain(now time.Time) bool {
	if g.stuck || g.isHit(now) && !g.blurred() {
		return true
	}
	return g.isHalf(g.surest) || g.isHalf(g.least) && (g.isFine() || !g.isSlow())
}

// isHalf tells whether half of the margin is gone at a size.
func (g *growth) isHalf(size uint64) bool { return g.limit-min(size, g.limit) <= g.margin()/2 }

// isSlow tells whether growth leaves the time to wait for another rise. The last one may
// be no more than what a CPU has charged ahead because a thread has moved there.
func (g *growth) isSlow() bool {
	if g.over < 0 {
		return false
	}
	from := g.rises[g.from()]
	grown, passed := g.last().size-from.size, g.last().at.Sub(from.at)
	return float64(grown-min(grown, charge+g.beyond))*chargeTime.Seconds() <= charge*passed.Seconds()
}

// isFine tells whether the last two rises began less than a charge below the limit. The
// kernel charges single pages there, so that such rises are growth, unless usage fell in
// between and made room for a charge.
func (g *growth) isFine() bool {
	n := len(g.rises)
	return n > 2 && g.rises[n-3].size+charge > g.limit && !g.rises[n-2].dipped && !g.rises[n-1].dipped
}

// isHit tells whether the limit was hit lately. A huge page for which there is no room
// hits it, too, but the kernel charges a small page instead: with huge pages, a hit counts
// only close to the limit.
func (g *growth) isHit(now time.Time) bool {
	return !g.hitAt.IsZero() && now.Sub(g.hitAt) <= blindTime && (!g.huge || g.left() < charge)
}
