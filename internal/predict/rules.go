// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Node is the scope of a global OOM, in place of a group's index.
const Node = -1

// adjUnkillable is OOM_SCORE_ADJ_MIN: such a process is never chosen.
const adjUnkillable = -1000

// Rules are the choices of mm/oom_kill.c that changed between releases.
//
// Not modelled, because a scan of /proc does not show it: the 3 % bonus of
// processes with CAP_SYS_ADMIN (up to 4.16), the victim's child that is
// killed in its place (up to 5.0), a task in swapoff, and the tasks that a
// mempolicy excludes from a global OOM.
type Rules struct {
	version   int  // of the memory hierarchy, 1 or 2.
	signed    bool // badness may be negative; oom_score is 0 only for the unkillable (5.9).
	lastWins  bool // among equals, the one found last is killed (5.3).
	groupKill bool // memory.oom.group exists (4.19, v2).
}

// RulesFor returns the rules of a release with the memory controller on
// hierarchy version 1 or 2.
func RulesFor(rel oom.Release, cgroupVersion int) Rules {
	return Rules{
		version:   cgroupVersion,
		signed:    rel.AtLeast(5, 9),
		lastWins:  rel.AtLeast(5, 3),
		groupKill: cgroupVersion == 2 && rel.AtLeast(4, 19),
	}
}

// Badness is oom_badness(): the process' weight in pages in a scope of total
// pages, and whether the killer may choose it at all.
func (r Rules) Badness(p *oom.Process, total, pageSize uint64) (pages int64, eligible bool) {
	if !r.eligible(p) || pageSize == 0 {
		return 0, false
	}
	raw := p.RSS/pageSize + p.Swap/pageSize + p.PageTables/pageSize
	return r.badness(raw, p.Adj, total), true
}

func (r Rules) badness(raw uint64, adj int16, total uint64) int64 {
	points := int64(raw) + int64(adj)*int64(total/1000)
	if !r.signed && points < 1 {
		return 1
	}
	return points
}

// Score is the process' oom_score as proc_oom_score() has computed it from the node's
// total pages since 5.9; unset on older kernels, which compute it differently.
func (r Rules) Score(p *oom.Process, total, pageSize uint64) oom.Amount {
	if !r.signed || total == 0 {
		return oom.Amount{}
	}
	pages, eligible := r.Badness(p, total, pageSize)
	if !eligible {
		return oom.Of(0)
	}
	return oom.Of(uint64(max(0, (1000+pages*1000/int64(total))*2/3)))
}

// eligible tells whether the process may be chosen. One without memory of its
// own is a zombie or a kernel thread.
func (r Rules) eligible(p *oom.Process) bool {
	switch {
	case p.Init, p.Adj == adjUnkillable:
		return false
	case p.Exact && p.RSS == 0 && p.Swap == 0 && p.PageTables == 0:
		return false
	}
	score, ok := p.Score.Get()
	return !r.signed || !ok || score != 0
}

// Total is the size in pages of a scope, which scales oom_score_adj
// (mm/oom_kill.c: constrained_alloc, mm/memcontrol.c: mem_cgroup_get_max): a
// group's own limit, never its ancestors', and the swap it may use.
func (r Rules) Total(node *oom.Node, tree *oom.Tree, scope int) uint64 {
	if node.PageSize == 0 {
		return 1
	}
	pages := func(bytes uint64) uint64 { return bytes / node.PageSize }
	swap := pages(node.SwapTotal.Or(0))
	if scope < 0 || scope >= len(tree.Groups) {
		return max(1, pages(node.Total.Or(0))+swap)
	}
	g := &tree.Groups[scope]
	most := uint64(1) << 63 / node.PageSize // PAGE_COUNTER_MAX: no limit.
	total := pages(g.Limit.Or(most * node.PageSize))
	switch {
	case r.version == 1 && g.Swappiness.Or(60) != 0:
		total = min(total+swap, pages(g.MemswLimit.Or(most*node.PageSize)))
	case r.version == 2 && node.Swappiness.Or(60) != 0:
		total += min(swap, pages(g.SwapLimit.Or(most*node.PageSize)))
	}
	return max(1, total)
}
