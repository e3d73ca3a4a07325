// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// cgroup is what the ledger knows of one memory cgroup, by path and inode.
type cgroup struct {
	id     oom.GroupID
	kind   oom.Kind
	who    oom.Identity // of the cgroup that it counts for.
	row    oom.GroupID  // that cgroup.
	parent *cgroup

	// The counters at the last read; unset: not known yet.
	own, tree, ooms, groupKills, treeGroupKills, hits oom.Amount

	// Evidence that has not been joined with a case.
	steps   []step // by which its local counter moved.
	behind  int64  // 0 or below: by how much its local counter went back.
	removed removedSteps
	group   groupKills

	limit            oom.Amount
	hitsKnown        uint64 // the read that first saw hits, as their baseline; 0: none.
	oomRead, hitRead uint64 // the read in which ooms or hits last moved.
	hitLook          uint64 // the next look at vmstat when a pass found hits while no case was open.
	first, seen      uint64 // the first and the last read that saw it.
	seenAt           time.Time
	born             bool   // it was made after the epoch.
	young            bool   // it was made in this run.
	together         uint64 // the number of the group kill that its steps belong to; 0: none.
}

// step is by how much a cgroup's own counter moved.
type step struct {
	N    int64     `json:"n"`
	At   time.Time `json:"at"`
	read uint64
}

// removedSteps is the kills and the group kills in children that are gone; below
// 0 while a child was read later than its parent.
type removedSteps struct {
	kills, groupKills int64
	at                time.Time
}

// groupKills relates the group kills of a cgroup to the duplicates that were
// closed for it. The count of the group kill, the duplicate, and its line in the
// log can become known in any order.
type groupKills struct {
	kills     int64     // group kills beyond duplicates; below 0: not read from the counter yet.
	estimated int64     // estimated duplicates whose lines have not come.
	at        time.Time // when either grew.
	read      uint64    // the read that showed the first of the group kills.
}

// groupKilled returns the innermost cgroup, from this one upwards, with a group
// kill whose duplicate has not been found.
func (g *cgroup) groupKilled() *cgroup {
	for ; g != nil && g.group.kills <= 0; g = g.parent {
	}
	return g
}

// takeGroupKill notes that the log has accounted for a group kill.
func (g *cgroup) takeGroupKill() {
	if g != nil && g.groupKills.IsSet() {
		g.group.kills--
	}
}

// unjoined returns how many kills of its local counter have no case yet.
func (g *cgroup) unjoined() (n int64) {
	for i := range g.steps {
		n += g.steps[i].N
	}
	return n
}

// addStep notes a step of its own counter, less what the counter had gone back
// by before.
func (g *cgroup) addStep(n int64, at time.Time, read uint64) {
	n += g.behind
	g.behind = min(n, 0)
	if n > 0 {
		g.steps = append(g.steps, step{N: n, At: at, read: read})
	}
}

// join takes one kill off the oldest step and returns the read that showed it.
func (g *cgroup) join() (read uint64) {
	if len(g.steps) == 0 {
		return 0
	}
	s := &g.steps[0]
	read = s.read
	if s.N--; s.N == 0 {
		g.steps = slices.Delete(g.steps, 0, 1)
	}
	return read
}

// forget drops the counts whose other evidence is overdue.
func (k *groupKills) forget(now time.Time) {
	if k.kills > 0 && now.Sub(k.at) > 2*lineWait {
		k.kills = 0
	}
	if now.Sub(k.at) > caseAge {
		k.kills, k.estimated = 0, 0
	}
}

// counted tells whether the kernel counts kills in the cgroup.
func (g *cgroup) counted() bool { return g.own.IsValue() || g.tree.IsValue() }

// wasThere tells whether the cgroup was there when the read with this number
// began. One that was not made in this run may be older than the first read that
// saw it: it is taken to have been there unless the kernel's report is the evidence.
func (g *cgroup) wasThere(read uint64, byKernel bool) bool {
	return g != nil && (g.first <= read || !g.young && !byKernel)
}

// advance moves a counter to its new value and returns the step. The first
// value of a cgroup that was made since the epoch is a step, that of an older
// one is the baseline.
func (g *cgroup) advance(old *oom.Amount, now oom.Amount) int64 {
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

// within tells whether path is base or below it.
func within(path, base string) bool {
	return strings.HasPrefix(path, base) &&
		(len(path) == len(base) || base == "/" || path[len(base)] == '/')
}

// cgroups are all cgroups that are there and, for a while, those that are gone.
type cgroups struct {
	names  Names
	last   uint64 // the last read of all cgroups that succeeded.
	blind  bool   // the read after it failed.
	byID   map[oom.GroupID]*cgroup
	byPath map[string]*cgroup
	// Those with steps, and those with kills in removed children, in the
	// order in which they came.
	stepped, bereft []*cgroup
}

func newCgroups(names Names) cgroups {
	return cgroups{names: names, byID: map[oom.GroupID]*cgroup{}, byPath: map[string]*cgroup{}}
}

// add puts a cgroup into the maps.
func (gs *cgroups) add(g *cgroup) {
	gs.byID[g.id] = g
	gs.byPath[g.id.Path] = g
}

// alive tells whether the cgroup was there at the last read.
func (gs *cgroups) alive(g *cgroup) bool {
	return g != nil && !gs.blind && g.seen != 0 && g.seen == gs.last
}

// whoIs returns the identity of a cgroup by its path, alive or dead: as it was
// last read, or as it is remembered elsewhere. What a read of the tree says of a
// cgroup without a name is better than what its path alone says.
func (gs *cgroups) whoIs(path string) (oom.Identity, oom.Kind, bool) {
	g := gs.byPath[path]
	if g != nil && !g.who.StandIn {
		return g.who, g.kind, true
	}
	who, kind, known := gs.names.Lookup(path)
	switch {
	case known:
		who.StandIn = false
		return who, kind, true
	case g != nil:
		return g.who, g.kind, true
	case who.Workload != (oom.Workload{}):
		who.StandIn = true
		return who, kind, true
	}
	return oom.Identity{}, oom.KindContainer, false
}

// nearest returns the innermost cgroup at or above the path that fits.
func (gs *cgroups) nearest(path string, fits func(*cgroup) bool) *cgroup {
	for path != "" {
		if g := gs.byPath[path]; g != nil && fits(g) {
			return g
		}
		if path == "/" {
			return nil
		}
		path = parentPath(path)
	}
	return nil
}

func parentPath(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), min(1, len(path)))]
}

// withStep returns the cgroup with this path if its own counter has a step; if
// below is set, a cgroup below the path will do.
func (gs *cgroups) withStep(path string, below bool) *cgroup {
	if path == "" {
		return nil
	}
	var found *cgroup
	for _, g := range gs.stepped {
		switch {
		case len(g.steps) == 0:
		case g.id.Path == path:
			return g
		case below && found == nil && within(g.id.Path, path):
			found = g
		}
	}
	return found
}

// oldestStep returns the cgroup whose step has waited longest; if certain is set,
// only one with more kills than duplicates that are still to come.
func (gs *cgroups) oldestStep(certain bool) *cgroup {
	var found *cgroup
	for _, g := range gs.stepped {
		if p := g.groupKilled(); certain && p != nil && g.unjoined() <= p.group.kills {
			continue
		}
		if len(g.steps) > 0 && (found == nil || g.steps[0].At.Before(found.steps[0].At)) {
			found = g
		}
	}
	return found
}

// takeRemoved notes that the case of a kill in a removed cgroup was found, and
// returns the cgroup above it that had counted the kill.
func (gs *cgroups) takeRemoved(path string) *cgroup {
	g := gs.nearest(path, func(g *cgroup) bool { return g.removed.kills > 0 })
	if g != nil {
		g.removed.kills--
	}
	return g
}

// oldestRemoved returns the cgroup that has waited longest with a kill in a
// removed child.
func (gs *cgroups) oldestRemoved() *cgroup {
	var found *cgroup
	for _, g := range gs.bereft {
		if g.removed.kills > 0 && (found == nil || g.removed.at.Before(found.removed.at) ||
			g.removed.at.Equal(found.removed.at) && g.id.Path < found.id.Path) {
			found = g
		}
	}
	return found
}

// takeEstimate takes off a duplicate that was estimated at or above the path, at
// that time or later, and tells whether there was one.
func (gs *cgroups) takeEstimate(path string, after time.Time) bool {
	g := gs.nearest(path, func(g *cgroup) bool { return g.group.estimated > 0 && !g.group.at.Before(after) })
	if g != nil {
		g.group.estimated--
	}
	return g != nil
}

// ownerOf returns the innermost known cgroup at or above the path: the one whose
// counter has a group kill that the log announced for this path.
func (gs *cgroups) ownerOf(path string) *cgroup {
	return gs.nearest(path, func(*cgroup) bool { return true })
}

// addStep notes a step of a cgroup's own counter.
func (gs *cgroups) addStep(g *cgroup, n int64, at time.Time, read uint64) {
	listed := len(g.steps) > 0
	g.addStep(n, at, read)
	if !listed && len(g.steps) > 0 && !slices.Contains(gs.stepped, g) {
		gs.stepped = append(gs.stepped, g)
	}
}

// addRemoved notes kills in a cgroup's removed children.
func (gs *cgroups) addRemoved(g *cgroup, kills, groupKills int64, at time.Time) {
	g.removed.kills += kills
	g.removed.groupKills += groupKills
	g.removed.at = at
	if !slices.Contains(gs.bereft, g) {
		gs.bereft = append(gs.bereft, g)
	}
}

// limitsWanted returns the cgroups whose limits the ledger has to ask for.
func (gs *cgroups) limitsWanted(read uint64, all bool) map[*cgroup]struct{} {
	wanted := map[*cgroup]struct{}{}
	add := func(g *cgroup) {
		for ; g != nil && g.kind != oom.KindRoot && !g.ooms.IsValue(); g = g.parent {
			wanted[g] = struct{}{}
		}
	}
	if all {
		for _, g := range gs.byID {
			add(g)
		}
		return wanted
	}
	for _, g := range gs.stepped {
		if n := len(g.steps); n > 0 && g.steps[n-1].read == read {
			add(g)
		}
	}
	return wanted
}

// find returns the ledger's cgroup for one that was read. The counters of a new
// one start at 0, unless it is of the epoch's first read.
func (gs *cgroups) find(tg *oom.Group, baselined bool, read uint64, now time.Time) *cgroup {
	id := tg.GroupID
	id.Path = text.Escape(id.Path)
	g := gs.byID[id]
	if g == nil {
		g = &cgroup{id: id, born: baselined, young: baselined && gs.last != 0}
	}
	if gs.byPath[id.Path] != g {
		g.first = read
		gs.add(g)
	}
	g.seen, g.seenAt = read, now
	return g
}

// tidy takes cgroups whose evidence has been used up off the lists.
func (gs *cgroups) tidy() {
	gs.stepped = slices.DeleteFunc(gs.stepped, func(g *cgroup) bool {
		if len(g.steps) > 0 {
			return false
		}
		g.together = 0
		return true
	})
	gs.bereft = slices.DeleteFunc(gs.bereft, func(g *cgroup) bool {
		if g.removed.kills != 0 {
			return false
		}
		g.removed.groupKills = 0
		return true
	})
}

// goneAge is how long a cgroup that is gone is remembered: one that was only
// unreadable must not start at 0 again.
const goneAge = time.Minute

// forget drops the cgroups that have been gone for a while.
func (gs *cgroups) forget(now time.Time) {
	for id, g := range gs.byID {
		g.group.forget(now)
		if g.seen == gs.last || now.Sub(g.seenAt) < goneAge ||
			slices.Contains(gs.stepped, g) || slices.Contains(gs.bereft, g) {
			continue
		}
		delete(gs.byID, id)
		if gs.byPath[id.Path] == g {
			delete(gs.byPath, id.Path)
		}
	}
}
