// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// group is what the books hold of one memory cgroup, by path and inode.
type group struct {
	id     oom.GroupID
	kind   oom.Kind
	who    oom.Identity // of the group that it counts for.
	row    oom.GroupID  // that group.
	parent *group

	// The counters at the last read; unset: not known yet.
	own, tree, ooms, groupKills, treeGroupKills, hits oom.Amount

	claims []claim // kills that its own counter has shown.
	carry  int64   // 0 or below: its own counter went back.
	// gone is the kills in children that are not there any more; below 0
	// while a child was read later than its parent.
	gone   int64
	goneAt time.Time
	// goneTwice is the group kills in those children.
	goneTwice int64
	// twice is the group kills whose duplicate the log has not shown.
	twice   int64
	twiceAt time.Time

	limit            oom.Amount
	hitSince         uint64 // the read that first saw hits; 0: it was made in this run.
	young            bool   // it was made in this run.
	oomRead, hitRead uint64 // the read in which ooms or hits moved last.
	first, seen      uint64 // the reads in which it was there.
	seenAt           time.Time
	born             bool // it was made after the epoch.
	listed           bool // it is in the list of those with claims.
	orphan           bool // it is in the list of those with children that are gone.
	// bare is the kills that its claims were published for without any line,
	// guessed those with a line that does not name it. A line that does
	// name it may still come.
	bare, guessed int64
	guessedAt     time.Time
	together      uint64 // the OOM that its claims are of: a group kill.
}

// claim is a step of a group's own counter.
type claim struct {
	N    int64
	At   time.Time
	read uint64
}

// claimable returns how many kills the group's counter still claims.
func (g *group) claimable() int64 {
	var n int64
	for i := range g.claims {
		n += g.claims[i].N
	}
	return n
}

// step adds to what the own counter claims; what it went back by is taken off
// first.
func (g *group) step(n int64, at time.Time, read uint64) {
	n += g.carry
	g.carry = min(n, 0)
	if n > 0 {
		g.claims = append(g.claims, claim{N: n, At: at, read: read})
	}
}

// unclaim takes one kill off the oldest claim and returns the read that had
// shown it.
func (g *group) unclaim() (read uint64, ok bool) {
	if len(g.claims) == 0 {
		return 0, false
	}
	c := &g.claims[0]
	read = c.read
	if c.N--; c.N == 0 {
		g.claims = append(g.claims[:0], g.claims[1:]...)
	}
	return read, true
}

// counted tells whether the kernel counts kills in the group.
func (g *group) counted() bool { return g.own.IsValue() || g.tree.IsValue() }

// alive tells whether the group was there at the last read.
func (l *Ledger) alive(g *group) bool {
	return g != nil && !l.blind && g.seen != 0 && g.seen == l.lastTree
}

// within tells whether path is base or below it.
func within(path, base string) bool {
	return strings.HasPrefix(path, base) &&
		(len(path) == len(base) || base == "/" || path[len(base)] == '/')
}

// advance moves a counter to its new value and returns the step. The first
// value of a group that was born since the epoch is a step, that of an older
// one is the baseline.
func (g *group) advance(old *oom.Amount, now oom.Amount) int64 {
	n, ok := now.Get()
	if !ok {
		return 0
	}
	was, known := old.Get()
	*old = now
	if !known && !g.born {
		return 0
	}
	return int64(n - was)
}

// seeGroups takes a read of all groups; the first one of an epoch is the
// baseline.
func (l *Ledger) seeGroups(t oom.Tree, read uint64, now time.Time) {
	current := make([]*group, len(t.Groups))
	steps := make([]treeStep, len(t.Groups))
	for i := range t.Groups {
		tg := &t.Groups[i]
		g := l.group(tg, read, now)
		current[i] = g
		g.identify(t, i)
		s := &steps[i]
		s.tree, s.hasTree = g.advance(&g.tree, tg.Events.TreeKills), tg.Events.TreeKills.IsValue()
		s.own, s.hasOwn = g.advance(&g.own, tg.Events.OwnKills), tg.Events.OwnKills.IsValue()
		whole, wholeTree := g.seeLimit(tg, read, now), g.advance(&g.treeGroupKills, tg.Events.TreeGroupKills)
		if tg.Events.TreeGroupKills.IsValue() {
			s.goneTwice += wholeTree - whole
		}
		if tg.Parent >= 0 && tg.Parent < i {
			g.parent = current[tg.Parent]
			steps[tg.Parent].children += s.tree
			steps[tg.Parent].goneTwice -= wholeTree
		}
	}
	for i, g := range current {
		s := steps[i]
		if s.hasTree && !s.hasOwn { // such as 5.2, where memory.events has the children's too.
			s.own = s.tree - s.children
		}
		l.claims(g, s.own, read, now)
		if n := s.tree - s.own - s.children; s.hasTree && s.hasOwn && (n != 0 || s.goneTwice != 0) {
			l.orphans(g, n, s.goneTwice, now)
		}
	}
	l.counts.Baselined = true
	l.lastTree = read
	l.mark(t, now)
}

// claims adds a step of the group's own counter. Where neither vmstat nor the
// log counts, it is the count.
func (l *Ledger) claims(g *group, step int64, read uint64, now time.Time) {
	if step == 0 {
		return
	}
	before := g.claimable()
	g.step(step, now, read)
	n := g.claimable() - before
	if n <= 0 {
		return
	}
	if !l.counts.HasVmstat && l.log == LogAbsent {
		l.openSlots(n)
	}
	if !g.listed {
		g.listed = true
		l.claimed = append(l.claimed, g)
	}
}

// orphans adds to the kills in the group's children that are gone.
func (l *Ledger) orphans(g *group, n, twice int64, now time.Time) {
	g.gone += n
	g.goneTwice += twice
	g.goneAt = now
	if !g.orphan {
		g.orphan = true
		l.orphaned = append(l.orphaned, g)
	}
}

// treeStep is by how much a group's counters have moved, and those of its
// living children.
type treeStep struct {
	own, tree, children int64
	hasOwn, hasTree     bool
	goneTwice           int64 // group kills in children that are gone.
}

// group returns the books' group for one that was read. A new one starts at
// 0, unless it is of the epoch's first read.
func (l *Ledger) group(tg *oom.Group, read uint64, now time.Time) *group {
	id := tg.GroupID
	id.Path = clean(id.Path)
	g := l.groups[id]
	if g == nil {
		g = &group{id: id, born: l.counts.Baselined, young: l.counts.Baselined && l.lastTree != 0}
		l.groups[id] = g
	}
	if l.byPath[id.Path] != g {
		l.byPath[id.Path] = g
		g.first = read
	}
	g.seen, g.seenAt = read, now
	return g
}

// identify takes over who the group is and for whom it counts.
func (g *group) identify(t oom.Tree, i int) {
	tg := &t.Groups[i]
	g.kind, g.who, g.row = tg.Kind, tg.Identity, g.id
	if o := tg.Owner; o >= 0 && o < len(t.Groups) && o != i {
		g.who = t.Groups[o].Identity
		g.row = oom.GroupID{Path: clean(t.Groups[o].Path), Inode: t.Groups[o].Inode}
	}
}

// bury forgets groups that are gone, a while later: one that was only
// unreadable must not start at 0 again.
func (l *Ledger) bury(now time.Time) {
	for pid, u := range l.unmet {
		if now.Sub(u.at) > tombAge {
			delete(l.unmet, pid)
		}
	}
	for id, g := range l.groups {
		if g.twice > 0 && now.Sub(g.twiceAt) > 2*lineWait {
			g.twice = 0
		}
		if now.Sub(g.guessedAt) > tombAge {
			g.bare, g.guessed = 0, 0
		}
		if g.seen == l.lastTree || now.Sub(g.seenAt) < tombAge || g.listed || g.orphan {
			continue
		}
		delete(l.groups, id)
		if l.byPath[id.Path] == g {
			delete(l.byPath, id.Path)
		}
	}
}

// prune drops the groups from the lists that have nothing to claim any more.
func (l *Ledger) prune() {
	l.claimed = slices.DeleteFunc(l.claimed, func(g *group) bool {
		if len(g.claims) > 0 {
			return false
		}
		g.listed, g.together = false, 0
		return true
	})
	l.orphaned = slices.DeleteFunc(l.orphaned, func(g *group) bool {
		if g.gone != 0 {
			return false
		}
		g.orphan, g.goneTwice = false, 0
		return true
	})
}
