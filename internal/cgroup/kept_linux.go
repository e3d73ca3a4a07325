// SPDX-License-Identifier: Apache-2.0

package cgroup

import "github.com/oom-exporter/oom_exporter/internal/oom"

// kept is what a pass need not read again of a group.
type kept struct {
	known     bool // the group was read in full.
	processes bool // it had processes of its own.
	oomGroup  bool
	pids      []int32 // never written to: snapshots have it too.
	stat      oom.Stat
	usage     oom.Amount
	peak      oom.Amount
	limit     oom.Amount
	high, min oom.Amount
	swapUsage oom.Amount
	swapLimit oom.Amount // v1: memsw.
	swappiness,
	failcnt,
	killDisabled, underOOM, kills,
	kernel oom.Amount
	rest uint64 // usage that was neither anon nor file when kernel was read.
	slab slab   // v2.
}

// kernelSlack is by how much a group's usage beyond anon and file may differ
// before its kernel memory is read again; charges are accounted in such lots.
const kernelSlack = 64 << 10

// plan decides how much of the current group is read.
func (p *pass) plan(links uint64) {
	n := p.node
	p.leaf = links <= 2
	refresh := uint64(max(p.h.options.Refresh, 1))
	p.due = p.kills || !n.kept.known || (n.inode+p.h.reads)%refresh == 0
}

// limited notes the group's limit; limits are written together.
func (p *pass) limited(limit oom.Amount) {
	p.due = p.due || limit != p.node.kept.limit
	p.node.kept.limit = limit
}

// sometimes returns a number that hardly ever changes.
func (p *pass) sometimes(f file, last *oom.Amount) oom.Amount {
	if p.due {
		*last = p.number(f)
	}
	return *last
}

// kernelV1 returns the kernel memory of a v1 group. Usage has it in it, so it
// stays while the rest of the usage does.
func (p *pass) kernelV1(g *oom.Group) oom.Amount {
	k := &p.node.kept
	rest := g.Usage.Or(0) - min(g.Usage.Or(0), g.Stat.Anon.Or(0)+g.Stat.File.Or(0))
	if p.due || max(rest, k.rest)-min(rest, k.rest) > kernelSlack {
		k.kernel, k.rest = p.number(v1Kmem), rest
	}
	return k.kernel
}

// rests tells whether the current group, whose usage and limits g has, was not
// charged since the last pass, and it is not its turn: what makes up the usage is
// then as it was, but for page cache that was locked or turned active. So that
// this can't hide a limit that is near, half of it must be free.
func (p *pass) rests(g *oom.Group) bool {
	k := &p.node.kept
	last := k.usage
	k.usage = g.Usage
	usage, ok := g.Usage.Get()
	g.Uncharged = ok && p.h.options.Refresh > 1 && g.Usage == last && far(usage, g.Limit) && far(usage, g.High)
	return g.Uncharged && !p.due
}

// far tells whether no more than half of a limit is used.
func far(usage uint64, limit oom.Amount) bool {
	n, ok := limit.Get()
	return !ok || usage <= n/2
}

// deserted tells whether the current group may be taken to be without processes
// of its own, as it was: those with children nearly always are.
func (p *pass) deserted() bool { return !p.due && !p.leaf && !p.node.kept.processes }
