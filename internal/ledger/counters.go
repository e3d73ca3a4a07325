// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// treeStep is by how much a cgroup's counters have moved, and those of its
// living children.
type treeStep struct {
	own, tree, children int64
	hasOwn, hasTree     bool
	removedGroupKills   int64
}

// seeCounters turns a read of all cgroups into evidence; the first one of an
// epoch is the baseline.
func (l *Ledger) seeCounters(t oom.Tree, read uint64, now time.Time) {
	current := make([]*cgroup, len(t.Groups))
	steps := make([]treeStep, len(t.Groups))
	for i := range t.Groups {
		tg := &t.Groups[i]
		g := l.cgroups.find(tg, l.counts.Baselined, read, now)
		current[i] = g
		g.identify(t, i)
		s := &steps[i]
		s.tree, s.hasTree = g.advance(&g.tree, tg.Events.TreeKills), tg.Events.TreeKills.IsValue()
		s.own, s.hasOwn = g.advance(&g.own, tg.Events.OwnKills), tg.Events.OwnKills.IsValue()
		if g.advance(&g.ooms, tg.Events.OOMs) > 0 {
			g.oomRead = read
		}
		if g.seeHits(tg.Limit, tg.Events.Max, read) {
			g.hitRead = read
		}
		groupKills := g.seeGroupKills(tg.Events.GroupKills, read, now)
		treeGroupKills := g.advance(&g.treeGroupKills, tg.Events.TreeGroupKills)
		if tg.Events.TreeGroupKills.IsValue() {
			s.removedGroupKills += treeGroupKills - groupKills
		}
		if tg.Parent >= 0 && tg.Parent < i {
			g.parent = current[tg.Parent]
			steps[tg.Parent].children += s.tree
			steps[tg.Parent].removedGroupKills -= treeGroupKills
		}
	}
	for i, g := range current {
		s := steps[i]
		if s.hasTree && !s.hasOwn { // such as 5.2, where memory.events has the children's too.
			s.own = s.tree - s.children
		}
		l.seeStep(g, s.own, read, now)
		if n := s.tree - s.own - s.children; s.hasTree && s.hasOwn && (n != 0 || s.removedGroupKills != 0) {
			l.cgroups.addRemoved(g, n, s.removedGroupKills, now)
		}
	}
	l.counts.Baselined = true
	l.cgroups.last = read
	l.markLiving(t, now)
}

// identify takes over the cgroup's kind, and the identity and id of the cgroup that
// it counts for.
func (g *cgroup) identify(t oom.Tree, i int) {
	tg := &t.Groups[i]
	g.kind, g.who, g.row = tg.Kind, tg.Identity, g.id
	if o := tg.Owner; o >= 0 && o < len(t.Groups) && o != i {
		g.who = t.Groups[o].Identity
		g.row = oom.GroupID{Path: text.Escape(t.Groups[o].Path), Inode: t.Groups[o].Inode}
	}
}

// seeStep takes a step of the cgroup's own counter. Where neither vmstat nor
// the log counts, it opens the cases.
func (l *Ledger) seeStep(g *cgroup, n int64, read uint64, now time.Time) {
	if n == 0 {
		return
	}
	before := g.unjoined()
	l.cgroups.addStep(g, n, now, read)
	if n := g.unjoined() - before; n > 0 && !l.counts.HasVmstat && l.log == oom.LogAbsent {
		l.openCases(n)
	}
}

// seeGroupKills takes the group kills of this cgroup as a whole and returns how
// many there were. Each has one duplicate at most.
func (g *cgroup) seeGroupKills(n oom.Amount, read uint64, now time.Time) int64 {
	kills := g.advance(&g.groupKills, n)
	if kills > 0 {
		if g.group.kills <= 0 {
			g.group.read = read
		}
		g.group.kills += kills
		g.group.at = now
	}
	return kills
}

// seeHits takes over how often the limit was hit, and tells whether it was hit since
// the last time. The first value says nothing, except for a cgroup that was made in this
// run.
func (g *cgroup) seeHits(limit, hits oom.Amount, read uint64) (moved bool) {
	if limit.IsSet() {
		g.limit = limit
	}
	n, ok := hits.Get()
	if !ok {
		return false
	}
	was, known := g.hits.Get()
	g.hits = hits
	if !known && !g.young {
		g.hitsKnown = read
		return false
	}
	return n > was
}

// SeeProcesses takes a pass over the processes and cgroups as evidence for
// kills to come. It keeps neither argument.
func (l *Ledger) SeeProcesses(procs []oom.Process, tree oom.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evidence.addScan(procs, tree)
	l.seeLimits(tree)
	l.markLiving(tree, l.o.Now())
}

// seeLimits takes over limits from a full pass over the cgroups (v1). New hits are
// evidence of the cases that are open, or else of those that the next look at vmstat
// opens: such a kill may have been the reason for the hits.
func (l *Ledger) seeLimits(t oom.Tree) {
	if t.Version != 1 {
		return
	}
	for i := range t.Groups {
		tg := &t.Groups[i]
		g := l.cgroups.byPath[tg.Path]
		if g == nil || g.id.Inode != tg.Inode {
			continue
		}
		hits := tg.Events.Max
		if hits.Or(0) < g.hits.Or(0) {
			hits = oom.Amount{} // the pass read it before the last kill's read did.
		}
		switch moved := g.seeHits(tg.Limit, hits, l.reads.begun); {
		case !moved:
		case len(l.cases.open) > 0:
			g.hitRead = l.reads.begun
		default:
			g.hitLook = l.reads.vmstatBegun + 1
		}
	}
}

// recallHits makes evidence of the hits that a pass saw since the look at vmstat before
// this one, which opens cases.
func (l *Ledger) recallHits(look uint64) {
	for _, g := range l.cgroups.byID {
		if g.hitLook >= look {
			g.hitRead = l.reads.begun
		}
	}
}

// readLimits asks for the limits of the cgroups for which this read has shown a
// kill and of those above them, or of all cgroups; only where the read of all
// cgroups does not have them.
func (l *Ledger) readLimits(read uint64, all bool) {
	l.mu.Lock()
	wanted := l.cgroups.limitsWanted(read, all)
	l.mu.Unlock()
	type answer struct{ limit, hits oom.Amount }
	answers := make(map[*cgroup]answer, len(wanted))
	for g := range wanted { // the id never changes.
		limit, hits := l.o.Counters.Limit(g.id)
		answers[g] = answer{limit, hits}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for g, a := range answers {
		if g.seeHits(a.limit, a.hits, read) {
			g.hitRead = read
		}
	}
}
