// SPDX-License-Identifier: Apache-2.0

package cgroup

import "github.com/oom-exporter/oom_exporter/internal/oom"

// kept holds the values of a cgroup's files from the pass that read them last.
type kept struct {
	known     bool // the group was read in full.
	processes bool // it had processes of its own.
	numbers   [numNumbers]oom.Amount
	pids      []int32 // never written to: snapshots share it.
	stat      oom.Stat
	killDisabled, underOOM,
	kills oom.Amount // of memory.oom_control.
	pressure oom.Pressure
	rest     uint64 // usage minus anon and file when kernel was read.
	slab     slab   // v2.
}

// numNumbers is how many files of one version there are.
const numNumbers = max(v2Current, procs-v2Current)

// number is where the number in a file of one number is kept.
func (k *kept) number(f file) *oom.Amount {
	if f >= v2Current {
		f -= v2Current
	}
	return &k.numbers[f]
}

// kernelSlack is how much the part of the usage that is neither anon nor file may
// change before kernel memory is read again. The kernel charges in batches of
// this size.
const kernelSlack = 64 << 10

// planReads decides whether all files of the current cgroup are due.
func (p *pass) planReads(links uint64) {
	n := p.node
	p.leaf = links <= 2
	p.due = p.kills || !n.kept.known || p.isTurn(n)
}

// isTurn tells whether this pass is the one in Options.Refresh in which all files of a
// cgroup are read.
func (p *pass) isTurn(n *node) bool {
	return (n.inode+p.h.reads)%uint64(max(p.h.options.Refresh, 1)) == 0
}

// noteLimit remembers the limit. When it changed, all files are due: whoever sets one
// limit often sets the others too.
func (p *pass) noteLimit(f file, limit oom.Amount) {
	last := p.node.kept.number(f)
	p.due = p.due || limit != *last
	*last = limit
}

// isFresh tells whether the last value of a file that the table has is still good.
func (p *pass) isFresh(f file) bool {
	switch files[f].fresh {
	case whenCharged:
		return p.unchanged
	case inTurn:
		return !p.due
	}
	return false
}

// number returns the number in a file: read, or the last one while that is fresh.
func (p *pass) number(f file) oom.Amount { return p.numberIf(f, !p.isFresh(f)) }

// numberIf returns the number in a file, read only if due is true.
func (p *pass) numberIf(f file, due bool) oom.Amount {
	n := p.node.kept.number(f)
	if now, ok := p.listedNumber(f); ok {
		*n = now
	} else if due {
		*n = p.readNumber(f)
	}
	return *n
}

// readKernelV1 returns the kernel memory of a v1 cgroup. Usage includes it, so it is
// read again only when usage minus anon and file has changed.
func (p *pass) readKernelV1(g *oom.Group) oom.Amount {
	if n, ok := p.listedNumber(v1Kmem); ok {
		return n
	}
	k := &p.node.kept
	rest := g.Usage.Or(0) - min(g.Usage.Or(0), g.Stat.Anon.Or(0)+g.Stat.File.Or(0))
	if p.due || max(rest, k.rest)-min(rest, k.rest) > kernelSlack {
		k.rest = rest
		return p.numberIf(v1Kmem, true)
	}
	return *k.number(v1Kmem)
}

// checkUnchanged finds out whether memory.stat, the peak and cgroup.procs of the current
// cgroup need not be read: its usage is what it was in the last pass, and it is not due.
// What the usage consists of may still have changed (page cache became active or
// was locked), so this is assumed only while half of the limit is free.
func (p *pass) checkUnchanged(f file, g *oom.Group) {
	last := p.node.kept.number(f)
	usage, ok := g.Usage.Get()
	g.UsageUnchanged = ok && p.h.options.Refresh > 1 && g.Usage == *last && farFromLimit(usage, g.Limit) && farFromLimit(usage, g.High)
	*last = g.Usage
	g.Unchanged = g.UsageUnchanged && !p.due
	p.unchanged = g.Unchanged
}

// farFromLimit tells whether at most half of the limit is used.
func farFromLimit(usage uint64, limit oom.Amount) bool {
	n, ok := limit.Get()
	return !ok || usage <= n/2
}

// assumeNoProcesses tells whether cgroup.procs need not be read because the current cgroup
// has children and had no processes itself, which is the rule for inner cgroups.
func (p *pass) assumeNoProcesses() bool { return !p.due && !p.leaf && !p.node.kept.processes }
