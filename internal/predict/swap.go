// SPDX-License-Identifier: Apache-2.0

package predict

import "github.com/oom-exporter/oom_exporter/internal/oom"

// rootSwap is the swap room at the root of a v2 tree. It is not capped by
// today's anonymous memory: the margin is for anonymous growth, which can be
// swapped out itself. With a slow swap device the margin is less certain: pages
// on their way out (swapcached in memory.stat) take both memory and swap, and
// up to Linux 6.7 those still waiting when swap gets full are never freed.
func (w *walk) rootSwap() (room uint64, known bool) {
	free, ok := w.node.SwapFree.Get()
	if w.tree.Version == 1 || !ok || free == 0 {
		return 0, ok
	}
	swappiness, ok := w.node.Swappiness.Get()
	if swappiness == 0 {
		return 0, ok
	}
	return free, true
}

// swap caps the path's swap room by what is left of a cgroup's own swap limit
// (v2), and tells whether the room is known.
func (w *walk) swap(g *oom.Group, p *path, limited bool) bool {
	if w.tree.Version == 1 {
		return !limited || g.Swappiness.IsValue() || w.node.SwapFree.Or(1) == 0
	}
	limit, ok := g.SwapLimit.Get()
	if !ok || p.swap == 0 {
		return true
	}
	usage, ok := g.SwapUsage.Get()
	p.swap = min(p.swap, limit-min(limit, usage))
	return ok
}

// v1Swap is the swap room of a v1 group: no file limits it but memsw, which
// has a margin of its own.
func (w *walk) v1Swap(g *oom.Group) uint64 {
	if g.Swappiness.Or(0) == 0 {
		return 0
	}
	return w.node.SwapFree.Or(0)
}

// pathSwap is the swap room to add to the room of a path: on v1, path.own
// already includes it.
func (w *walk) pathSwap(p *path) uint64 {
	if w.tree.Version == 1 {
		return 0
	}
	return p.swap
}
