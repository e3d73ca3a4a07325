// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"math"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// walk is the state of one Compute.
type walk struct {
	node     *oom.Node
	tree     *oom.Tree
	ends     []int32
	paths    []path
	keeps    bool     // some group has a memory.min.
	pinned   []uint64 // slab of each group that reclaim cannot free; nil where there is none.
	kept     uint64   // what memory.min protects from the node's reclaim.
	nodeLeft Margin
	numa     []Margin // one for each set of NUMA nodes met.
}

// path is what is known of the limits from a cgroup up to the root.
type path struct {
	own     int64  // room below the group's own limit; v1: swap room included.
	room    int64  // the smallest own of the path.
	swap    uint64 // v2: swap room of the path.
	binding int32  // index of the cgroup with that smallest own, -1 if none is limited.
	parent  int32  // index of the parent whose limits count this group, -1 if none.
	numa    int32  // index into walk.numa, -1 if all nodes may be used.
	limit   uint64 // the group's own limit: of the counter with the least room.
	limited bool   // the group has a limit of its own.
	known   bool
}

// step derives the path of cgroup i from its parent's, and returns the part of
// its usage that reclaim cannot free.
func (w *walk) step(i int) oom.Amount {
	g := &w.tree.Groups[i]
	p := path{room: math.MaxInt64, binding: -1, parent: -1, numa: -1, known: true}
	if i == 0 {
		p.swap, p.known = w.rootSwap()
	} else if g.Parent >= 0 && g.Parent < i {
		up := w.paths[g.Parent]
		p.numa, p.swap = up.numa, up.swap
		// A v1 parent without use_hierarchy does not count its children.
		if w.tree.Version != 1 || w.tree.Groups[g.Parent].Hierarchical {
			p.room, p.binding, p.parent, p.known = up.room, up.binding, int32(g.Parent), up.known
		} else {
			p.known = w.paths[0].known
		}
	}
	free, unreclaimable := w.reclaimable(i)
	if i > 0 {
		w.limit(i, &p, free, unreclaimable)
	}
	p.numa = w.numaOf(i, p.numa)
	w.paths[i] = p
	return unreclaimable
}

// reclaimable returns A and N of docs/margins.md: the part of a cgroup's usage
// that reclaim can free, and the rest. The LRU sizes leave out tmpfs and mlocked
// pages, which "file" and "cache" include.
func (w *walk) reclaimable(i int) (free uint64, unreclaimable oom.Amount) {
	g := &w.tree.Groups[i]
	usage, ok := g.Usage.Get()
	active, ok2 := g.Stat.ActiveFile.Get()
	inactive, ok3 := g.Stat.InactiveFile.Get()
	if !ok || !ok2 || !ok3 {
		return 0, oom.Amount{}
	}
	free = active + inactive + w.slab(i)
	free -= min(free, w.keep(i))
	free = min(free, usage)
	return free, oom.Of(usage - free)
}

// slab is what reclaim can free of a group's reclaimable slab.
func (w *walk) slab(i int) uint64 {
	size := w.tree.Groups[i].Stat.SlabReclaimable.Or(0)
	return size - min(size, w.pinnedIn(i))
}

// pinnedIn is the part of a group's reclaimable slab that reclaim cannot free.
func (w *walk) pinnedIn(i int) uint64 {
	if i >= len(w.pinned) {
		return 0
	}
	return w.pinned[i]
}

// pinnedSlab is the pinned slab of each group: what was seen in it, or in those
// below it if that is more. On v1 all slab counts as unreclaimable anyway.
func pinnedSlab(tree *oom.Tree) []uint64 {
	var pinned []uint64
	for i := len(tree.Groups) - 1; i >= 0; i-- {
		g := &tree.Groups[i]
		if pinned == nil && g.SlabPinned == 0 {
			continue
		}
		if pinned == nil {
			pinned = make([]uint64, len(tree.Groups))
		}
		pinned[i] = max(pinned[i], g.SlabPinned) // by now it has the sum of its children.
		if g.Parent >= 0 && g.Parent < i {
			pinned[g.Parent] += pinned[i]
		}
	}
	return pinned
}

// limit adds group i's own limit to its path.
func (w *walk) limit(i int, p *path, free uint64, unreclaimable oom.Amount) {
	g := &w.tree.Groups[i]
	if !g.Limit.IsSet() && !g.Usage.IsSet() {
		return // no memory controller here: the parent's limits are all there is.
	}
	limited := g.Limit.IsValue() || g.MemswLimit.IsValue()
	n, ok := unreclaimable.Get()
	if !w.swap(g, p, limited) || !g.Limit.IsSet() || limited && !ok {
		p.known = false
		return
	}
	if !limited {
		return
	}
	own := int64(math.MaxInt64)
	if limit, ok := g.Limit.Get(); ok {
		p.limit = limit
		own = signed(limit) - signed(n)
		if w.tree.Version == 1 {
			own = addRoom(own, w.v1Swap(g))
		}
	}
	if limit, ok := g.MemswLimit.Get(); ok && w.tree.Version == 1 {
		usage, ok := g.MemswUsage.Get()
		if !ok {
			p.known = false
			return
		}
		if both := signed(limit) - signed(usage-min(usage, free)); both < own {
			own, p.limit = both, limit
		}
	}
	p.own, p.limited = own, true
	if own <= p.room {
		p.room, p.binding = own, int32(i)
	}
}

// signed converts a size; none of the kernel's reaches 2^63.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// addRoom adds and stops at the largest value instead of wrapping.
func addRoom(room int64, more uint64) int64 {
	m := signed(more)
	if room > math.MaxInt64-m {
		return math.MaxInt64
	}
	return room + m
}
