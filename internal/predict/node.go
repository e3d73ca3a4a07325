// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// nodeMargin is what the whole machine can still hand out: free pages down to
// the minimum watermark, page cache, slab caches and swap. MemAvailable is
// less: it takes off the high watermarks and half of the cache.
func (w *walk) nodeMargin() Margin {
	n := w.node
	m := Margin{Level: oom.LevelNode, Group: Node}
	slab := n.KReclaimable
	if !slab.IsValue() {
		slab = n.SReclaimable
	}
	if size, ok := slab.Get(); ok {
		slab = oom.Of(size - min(size, w.pinnedIn(0)))
	}
	parts := n.ActiveFile.Plus(n.InactiveFile).Plus(slab).Plus(n.SwapFree)
	sum, ok := parts.Get()
	total, ok2 := n.Total.Get()
	if !ok || !ok2 || len(n.Zones) == 0 {
		return m
	}
	sum += nodeFree(n)
	sum -= min(sum, w.kept)
	m.Bytes = min(sum, total+n.SwapFree.Or(0))
	m.Ratio, m.Known = ratio(m.Bytes, total), true
	return m
}

// zoneSlack is the part of MemTotal, 1/32, by which the zones may differ from it before
// they are assumed not to show all memory. On most nodes they don't differ.
const zoneSlack = 32

// nodeFree is what ordinary allocations may take of the free pages. Memory that
// comes online late (also by virtio-mem, ballooning, or unaccepted memory of
// confidential VMs) may be in MemTotal and MemFree long before it is in the
// zones: then MemFree counts, less all that the zones keep.
func nodeFree(n *oom.Node) uint64 {
	var sum, kept uint64
	for i := range n.Zones {
		z := &n.Zones[i]
		sum += zoneFree(z)
		if z.Present > 0 {
			kept += z.Min + z.Protection
		}
	}
	total, ok := n.Total.Get()
	free, ok2 := n.Free.Get()
	managed, ok3 := managedIn(n.Zones).Get()
	switch slack := total / zoneSlack; {
	case !ok || !ok2 || !ok3:
	case managed+slack < total:
		return free - min(free, kept)
	case managed > total+slack: // memory on its way out: the lesser number is safe.
		return min(sum, free)
	}
	return sum
}

// lateIn is how much of the free memory that no zone shows yet lies in the NUMA
// nodes mems, in proportion to what the zones have present but not managed. It is
// not known where no zone has such pages.
func (w *walk) lateIn(mems []int) (bytes uint64, known bool) {
	n := w.node
	total, free := n.Total.Or(0), n.Free.Or(0)
	managed, ok := managedIn(n.Zones).Get()
	if !ok || managed+total/zoneSlack >= total {
		return 0, true
	}
	var shown, missing, here uint64
	for i := range n.Zones {
		z := &n.Zones[i]
		shown += z.Free
		gap := z.Present - min(z.Present, z.Managed.Or(0))
		missing += gap
		if slices.Contains(mems, z.NUMANode) {
			here += gap
		}
	}
	if free <= shown {
		return 0, true
	}
	if missing == 0 {
		return 0, false
	}
	return scale(here, free-shown, missing), true
}

// managedIn is the memory that the zones' allocators have; it is unset where a
// zone does not say.
func managedIn(zones []oom.Zone) oom.Amount {
	sum := oom.Of(0)
	for i := range zones {
		sum = sum.Plus(zones[i].Managed)
	}
	return sum
}

// zoneFree is what an ordinary allocation may take of a zone.
func zoneFree(z *oom.Zone) uint64 {
	return z.Free - min(z.Free, z.Min+z.Protection)
}

// numaOf returns the index of the margin of group i's NUMA nodes: its own,
// where its cpuset leaves some out, else its parent's.
func (w *walk) numaOf(i int, inherited int32) int32 {
	g := &w.tree.Groups[i]
	if len(g.Mems) == 0 || !w.partial(g.Mems) {
		return inherited
	}
	if inherited >= 0 && slices.Equal(w.tree.Groups[w.numa[inherited].Group].Mems, g.Mems) {
		return inherited
	}
	w.numa = append(w.numa, w.numaMargin(i))
	return int32(len(w.numa) - 1)
}

// partial tells whether the node has memory outside of mems.
func (w *walk) partial(mems []int) bool {
	return slices.ContainsFunc(w.node.Zones, func(z oom.Zone) bool {
		return z.Present > 0 && !slices.Contains(mems, z.NUMANode)
	})
}

// numaMargin is the node's sum over the NUMA nodes of group i. What
// memory.min protects and the pinned slab may all lie there, so all of it is taken
// off.
func (w *walk) numaMargin(i int) Margin {
	mems := w.tree.Groups[i].Mems
	m := Margin{Level: oom.LevelNUMA, Group: i}
	swap, ok := w.node.SwapFree.Get()
	if !ok {
		return m
	}
	var sum, present uint64
	for j := range w.node.Zones {
		z := &w.node.Zones[j]
		if slices.Contains(mems, z.NUMANode) {
			sum += zoneFree(z) + z.ActiveFile + z.InactiveFile + z.SlabReclaimable
			present += z.Present
		}
	}
	late, ok := w.lateIn(mems)
	if !ok {
		return m
	}
	sum += late + swap
	sum -= min(sum, w.kept+w.pinnedIn(0))
	m.Bytes = min(sum, present+swap)
	m.Ratio, m.Known = ratio(m.Bytes, present), true
	return m
}
