// SPDX-License-Identifier: Apache-2.0

package cgroup

import "github.com/oom-exporter/oom_exporter/internal/oom"

// kept holds the values of a cgroup's files from the pass that read them last.
type kept struct {
	known     bool // the group was read in full.
	processes bool // it had processes of its own.
	oomGroup  bool
	pids      []int32 // never written to: snapshots share it.
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
	rest uint64 // usage minus anon and file when kernel was read.
	slab slab   // v2.
}

// kernelSlack is how much the part of the usage that is neither anon nor file may
// change before kernel memory is read again. The kernel charges in batches of
// this size.
const kernelSlack = 64 << 10

// planReads decides whether all files of the current cgroup are due.
func (p *pass) planReads(links uint64) {
	n := p.node
	p.leaf = links <= 2
	refresh := uint64(max(p.h.options.Refresh, 1))
	p.due = p.kills || !n.kept.known || (n.inode+p.h.reads)%refresh == 0
}

// noteLimit remembers the limit. When it changed, all files are due: whoever sets one
// limit often sets the others too.
func (p *pass) noteLimit(limit oom.Amount) {
	p.due = p.due || limit != p.node.kept.limit
	p.node.kept.limit = limit
}

// numberIfDue returns a number that rarely changes: read if due, else the last one.
func (p *pass) numberIfDue(f file, last *oom.Amount) oom.Amount {
	if p.due {
		*last = p.readNumber(f)
	}
	return *last
}

// readKernelV1 returns the kernel memory of a v1 cgroup. Usage includes it, so it is
// read again only when usage minus anon and file has changed.
func (p *pass) readKernelV1(g *oom.Group) oom.Amount {
	k := &p.node.kept
	rest := g.Usage.Or(0) - min(g.Usage.Or(0), g.Stat.Anon.Or(0)+g.Stat.File.Or(0))
	if p.due || max(rest, k.rest)-min(rest, k.rest) > kernelSlack {
		k.kernel, k.rest = p.readNumber(v1Kmem), rest
	}
	return k.kernel
}

// checkUnchanged tells whether memory.stat, the peak and cgroup.procs of the current cgroup
// need not be read: its usage is what it was in the last pass, and it is not due.
// What the usage consists of may still have changed (page cache became active or
// was locked), so this is assumed only while half of the limit is free.
func (p *pass) checkUnchanged(g *oom.Group) bool {
	k := &p.node.kept
	last := k.usage
	k.usage = g.Usage
	usage, ok := g.Usage.Get()
	g.UsageUnchanged = ok && p.h.options.Refresh > 1 && g.Usage == last && farFromLimit(usage, g.Limit) && farFromLimit(usage, g.High)
	return g.UsageUnchanged && !p.due
}

// farFromLimit tells whether at most half of the limit is used.
func farFromLimit(usage uint64, limit oom.Amount) bool {
	n, ok := limit.Get()
	return !ok || usage <= n/2
}

// assumeNoProcesses tells whether cgroup.procs need not be read because the current cgroup
// has children and had no processes itself, which is the rule for inner cgroups.
func (p *pass) assumeNoProcesses() bool { return !p.due && !p.leaf && !p.node.kept.processes }
