// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// certain returns the least that a cgroup holds and reclaim can't free: the sum of its
// statistics, which lag behind, or its usage less what the CPUs may have charged ahead,
// whichever is more. surest also leaves out what one more CPU may have charged ahead.
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

// endsForCertain is ends, confirmed by what a look has found. ifTheyPause says that it is
// so only because a step is due: then the threads must be seen to pause. What is charged
// ahead comes and goes, which may look like steps, so half of the margin must be gone for
// certain, unless one step takes more than that.
func (g *growth) endsForCertain(now time.Time, toLimit time.Duration) (ends, ifTheyPause bool) {
	if g.endsByRate(now, toLimit) && g.isCertain(now) {
		return true, false
	}
	size, _, _, _ := g.steps()
	return g.nextStepHits(now) && (size > g.margin()/2 || g.isCertain(now)), true
}

// isLate tells whether growth has, as far as usage tells, used up half of the margin: in
// that half it may still turn out to be a workload that only starts up.
func (g *growth) isLate() bool { return g.left() <= g.margin()/2 }

// isCertain tells whether half of the margin is gone for certain. Usage includes what the
// CPUs have charged ahead, so it is an upper bound; the statistics lag behind, so they are
// a lower bound. Where only little can be charged ahead, a limit hit leaves no doubt: the
// kernel has then taken that back. What one more CPU may have charged ahead counts only
// while the guard has time to wait for proof, and always where it is a sixth of the
// margin: such a cgroup may fill quickly and stop.
func (g *growth) isCertain(now time.Time) bool {
	if g.stuck || g.isHit(now) && !g.blurred() {
		return true
	}
	return g.isHalf(g.surest) || g.isHalf(g.least) && (g.isFine() || !g.isSlow() && 6*g.beyond < g.margin())
}

// isHalf tells whether half of the margin is gone if the cgroup holds this much.
func (g *growth) isHalf(size uint64) bool { return g.limit-min(size, g.limit) <= g.margin()/2 }

// isSlow tells whether growth leaves time to wait for another rise. The last one may be
// no more than what a CPU has charged ahead after a thread moved to it.
func (g *growth) isSlow() bool {
	if g.over < 0 {
		return false
	}
	from := g.rises[g.from()]
	grown, passed := g.last().size-from.size, g.last().at.Sub(from.at)
	return float64(grown-min(grown, charge+g.beyond))*chargeTime.Seconds() <= charge*passed.Seconds()
}

// isFine tells whether the last two rises began less than one batch (charge) below the
// limit. The kernel charges single pages there, so such rises are growth, unless usage
// fell in between and made room for a batch.
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
