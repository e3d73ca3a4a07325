// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"math"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// bound is what the processes of one cgroup may have beyond their RSS, in
// pages: the first pass knows neither their swap nor their page tables.
type bound struct {
	swap   uint64
	kernel uint64 // page tables are charged as kernel memory.
}

// setBounds derives the bounds. Both assume that a process' swap and page
// tables are charged to its group, which holds for all that it made since it
// was put there.
func (x *Index) setBounds() {
	page := max(1, x.node.PageSize)
	used := x.node.SwapTotal.Or(0)
	used -= min(used, x.node.SwapFree.Or(0))
	x.unknown = bound{swap: used / page, kernel: math.MaxUint64}
	x.bounds = make([]bound, len(x.tree.Groups))
	for i := range x.tree.Groups {
		x.bounds[i] = x.groupBound(&x.tree.Groups[i], page)
	}
}

func (x *Index) groupBound(g *oom.Group, page uint64) bound {
	b := x.unknown
	swap := g.SwapUsage
	if x.tree.Version == 1 {
		swap = g.Stat.Swap
	}
	if n, ok := swap.Get(); ok {
		b.swap = min(b.swap, n/page)
	}
	kernel := g.Stat.Kernel
	if !kernel.IsValue() && g.Usage.IsValue() && g.Stat.Anon.IsValue() && g.Stat.File.IsValue() {
		usage, user := g.Usage.Or(0), g.Stat.Anon.Or(0)+g.Stat.File.Or(0)
		kernel = oom.Of(usage - min(usage, user))
	}
	if n, ok := kernel.Get(); ok {
		// The cgroup's counters lag by up to one charge stock per CPU.
		b.kernel = n/page + 64*uint64(max(1, x.node.CPUs))
	}
	return b
}

// raw is what the process is known to weigh, in pages, without its adj.
func (x *Index) raw(p *oom.Process) uint64 {
	page := max(1, x.node.PageSize)
	return p.RSS/page + p.Swap/page + p.PageTables/page
}

// rawUpper is what a process of the first pass may weigh at most. Page tables
// take rss/512 where memory is dense, one page for each page where it is
// sparse; what was mapped and never counted (the zero page) hides from RSS,
// so a group's kernel memory and the process' own oom_score bound it better.
func (x *Index) rawUpper(p *oom.Process, nodeTotal uint64) uint64 {
	raw := x.raw(p)
	if p.Exact {
		return raw
	}
	if p.Stale {
		if s, ok := x.rules.scoreUpper(p, nodeTotal); ok {
			return s
		}
	}
	b := x.unknown
	if p.Group >= 0 && int(p.Group) < len(x.bounds) {
		b = x.bounds[p.Group]
	}
	rss := p.RSS / max(1, x.node.PageSize)
	tables := rss + 4096
	if b.kernel < math.MaxUint64 {
		tables = b.kernel + rss/256 // not all kernels charge page tables.
	}
	upper := raw + b.swap + tables
	if s, ok := x.rules.scoreUpper(p, nodeTotal); ok {
		upper = min(upper, s)
	}
	return max(raw, upper)
}

// scoreUpper is the largest weight in pages, without adj, that a process with
// this oom_score can have.
func (r Rules) scoreUpper(p *oom.Process, nodeTotal uint64) (uint64, bool) {
	score, ok := p.Score.Get()
	if !ok || !r.signed || score == 0 || score > 1<<20 {
		return 0, false
	}
	// Two thirds and the division both round down: 1000+quotient < (score+1)*3/2.
	quotient := (int64(score)+1)*3/2 - 1000 + 1
	pages := (quotient + 1) * int64(nodeTotal) / 1000
	pages -= int64(p.Adj) * int64(nodeTotal/1000)
	return uint64(max(0, pages)), true
}
