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
	parts := n.ActiveFile.Plus(n.InactiveFile).Plus(slab).Plus(n.SwapFree)
	sum, ok := parts.Get()
	total, ok2 := n.Total.Get()
	if !ok || !ok2 || len(n.Zones) == 0 {
		return m
	}
	for i := range n.Zones {
		sum += zoneFree(&n.Zones[i])
	}
	sum -= min(sum, w.kept)
	m.Bytes = min(sum, total+n.SwapFree.Or(0))
	m.Ratio, m.Known = ratio(m.Bytes, total), true
	return m
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
// memory.min protects may all lie there, so all of it is taken off.
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
	sum += swap
	sum -= min(sum, w.kept)
	m.Bytes = min(sum, present+swap)
	m.Ratio, m.Known = ratio(m.Bytes, present), true
	return m
}
