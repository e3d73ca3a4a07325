// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"math"
	"math/bits"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// protects tells whether any group has a memory.min, which v1 does not know.
func protects(tree *oom.Tree) bool {
	if tree.Version == 1 {
		return false
	}
	for i := range tree.Groups {
		if tree.Groups[i].Min.Or(0) > 0 || tree.Groups[i].Min.IsUnlimited() {
			return true
		}
	}
	return false
}

// keep is how much of what looks reclaimable memory.min keeps from the reclaim
// that group i's own limit (or, for the root, the node) causes. The group's
// own min does not count there, and memory.low is given up before an OOM.
func (w *walk) keep(i int) uint64 {
	if !w.keeps || len(w.tree.Groups) == 0 {
		return 0
	}
	ratio := inactiveRatio(&w.tree.Groups[i].Stat)
	var sum uint64
	for c := int32(i + 1); c < w.ends[i]; c = w.ends[c] {
		sum += w.protected(int(c), minimum(&w.tree.Groups[c]), ratio)
	}
	return sum
}

// inactiveRatio is how many times the inactive cache of a group the active cache may be
// until reclaim takes anonymous memory, too (mm/vmscan.c: inactive_is_low).
func inactiveRatio(stat *oom.Stat) uint64 {
	gib := (stat.ActiveFile.Or(0) + stat.InactiveFile.Or(0)) >> 30
	return max(1, uint64(math.Sqrt(float64(10*gib))))
}

// protected is what group k keeps when emin of its usage is protected: either
// by itself, or by groups below that take a part of emin for themselves,
// scaled down where they claim more than there is
// (mm/page_counter.c: effective_protection). What is not protected is taken from its
// cache, but for what reclaim swaps out instead: then as much more cache is kept.
func (w *walk) protected(k int, emin, ratio uint64) uint64 {
	if emin == 0 {
		return 0
	}
	g := &w.tree.Groups[k]
	usage := g.Usage.Or(0)
	cache := g.Stat.ActiveFile.Or(0) + g.Stat.InactiveFile.Or(0) + w.slab(k)
	unprotected := usage - min(usage, emin)
	unprotected -= w.swappedOut(k, unprotected, ratio)
	own := cache - min(cache, unprotected)

	var claims, below uint64
	for c := int32(k + 1); c < w.ends[k]; c = w.ends[c] {
		claims += claim(&w.tree.Groups[c])
	}
	for c := int32(k + 1); c < w.ends[k] && claims > 0; c = w.ends[c] {
		part := claim(&w.tree.Groups[c])
		if claims > emin {
			part = scale(part, emin, claims)
		}
		below += w.protected(int(c), part, ratio)
	}
	return max(own, below)
}

// swappedOut is how much of taken, which reclaim takes from group k, it swaps out: it
// takes cache only while enough of that is inactive, and then anonymous memory
// (mm/vmscan.c: cache_trim_mode), as far as that can be swapped out. Where there is just
// enough, either may come: mostly it was the cache.
func (w *walk) swappedOut(k int, taken, ratio uint64) uint64 {
	stat := &w.tree.Groups[k].Stat
	enough, inactive := stat.ActiveFile.Or(0)/ratio, stat.InactiveFile.Or(0)
	fromCache := inactive - min(inactive, enough)
	if about := enough / 32; inactive+about >= enough && enough+about >= inactive {
		fromCache = taken
	}
	anon, locked := stat.Anon.Or(0)+stat.Shmem.Or(0), stat.Unevictable.Or(0)
	return min(taken-min(taken, fromCache), anon-min(anon, locked), w.swapRoom(k))
}

// swapRoom is how much of group k may be swapped out.
func (w *walk) swapRoom(k int) uint64 {
	room, _ := w.rootSwap()
	for k > 0 {
		g := &w.tree.Groups[k]
		if limit, ok := g.SwapLimit.Get(); ok {
			room = min(room, limit-min(limit, g.SwapUsage.Or(0)))
		}
		k = min(g.Parent, k-1)
	}
	return room
}

// claim is what a group wants of its parent's protection.
func claim(g *oom.Group) uint64 { return min(g.Usage.Or(0), minimum(g)) }

func minimum(g *oom.Group) uint64 {
	if g.Min.IsUnlimited() {
		return ^uint64(0)
	}
	return g.Min.Or(0)
}

// scale is n*part/whole without overflow; n or part is at most whole.
func scale(n, part, whole uint64) uint64 {
	high, low := bits.Mul64(n, part)
	if high >= whole {
		return n
	}
	quotient, _ := bits.Div64(high, low, whole)
	return quotient
}
