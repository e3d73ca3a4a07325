// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// seeLimit takes over what tells whose limit a kill is about. It returns how
// many group kills there were of this group as a whole.
func (g *group) seeLimit(tg *oom.Group, read uint64, now time.Time) int64 {
	if g.advance(&g.ooms, tg.Events.OOMs) > 0 {
		g.oomRead = read
	}
	g.seeHits(tg.Limit, tg.Events.Max, read)
	n := g.advance(&g.groupKills, tg.Events.GroupKills)
	if n > 0 {
		g.twice += n
		g.twiceAt = now
	}
	return n
}

// seeHits takes over how often the limit was hit. The first value says
// nothing, but for a group that was made in this run.
func (g *group) seeHits(limit, hits oom.Amount, read uint64) {
	if limit.IsSet() {
		g.limit = limit
	}
	n, ok := hits.Get()
	if !ok {
		return
	}
	was, known := g.hits.Get()
	g.hits = hits
	switch {
	case !known && !g.young:
		g.hitSince = read
	case n > was:
		g.hitRead = read
	}
}

// seeLimits takes over limits from a full pass over the groups. Hits that it
// is the first to see count for a kill that is being looked into.
func (l *Ledger) seeLimits(t oom.Tree) {
	for i := range t.Groups {
		tg := &t.Groups[i]
		g := l.byPath[tg.Path]
		if g == nil || g.id.Inode != tg.Inode || t.Version != 1 {
			continue
		}
		before := g.hitRead
		g.seeHits(tg.Limit, tg.Events.Max, l.began)
		if l.slots.n == 0 {
			g.hitRead = before
		}
	}
}

// readLimits asks for the limits of the groups for which this read has shown a
// kill and of those above them, or of all groups; only where Groups does not
// tell.
func (l *Ledger) readLimits(read uint64, all bool) {
	limits, ok := l.o.Counters.(Limits)
	if !ok {
		return
	}
	asked := map[*group]struct{}{}
	l.mu.Lock()
	ask := func(g *group) {
		for ; g != nil && g.kind != oom.KindRoot && !g.ooms.IsValue(); g = g.parent {
			asked[g] = struct{}{}
		}
	}
	if all {
		for _, g := range l.groups {
			ask(g)
		}
	} else {
		for _, g := range l.claimed {
			if n := len(g.claims); n > 0 && g.claims[n-1].read == read {
				ask(g)
			}
		}
	}
	l.mu.Unlock()
	type answer struct{ limit, hits oom.Amount }
	answers := make(map[*group]answer, len(asked))
	for g := range asked { // the id never changes.
		limit, hits := limits.Limit(g.id)
		answers[g] = answer{limit, hits}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for g, a := range answers {
		g.seeHits(a.limit, a.hits, read)
	}
}

// levelOf says whose limit the kill is about, and the limit's path where that
// is known. The log's report has it; the counters of the victim's group and
// of those above it may.
func (l *Ledger) levelOf(f finding) (oom.Level, string) {
	var scope oom.Constraint
	if f.line != nil {
		k := &f.line.Kill
		scope = k.Constraint
		switch {
		case k.Level != oom.LevelUnknown:
			return k.Level, k.LimitPath
		case scope == oom.ConstraintCPUSet, scope == oom.ConstraintPolicy:
			return oom.LevelNUMA, "" // the log calls these global_oom too.
		case k.Sysrq, k.Global, scope == oom.ConstraintNone:
			return oom.LevelNode, ""
		case k.LimitPath != "":
			return l.levelAt(k.LimitPath), k.LimitPath
		}
	}
	if f.group == nil {
		return l.levelOfGone(f.path, f.read, scope)
	}
	return levelByCounters(f.group, f.read, scope)
}

// levelAt returns the level of a limit's path.
func (l *Ledger) levelAt(path string) oom.Level {
	if _, kind, ok := l.whoIs(path); ok {
		return levelOfKind(kind)
	}
	return oom.LevelUnknown
}

func levelOfKind(k oom.Kind) oom.Level {
	switch k {
	case oom.KindRoot:
		return oom.LevelNode
	case oom.KindPod:
		return oom.LevelPod
	case oom.KindSlice:
		return oom.LevelSlice
	default:
		return oom.LevelContainer
	}
}

// levelByCounters looks for the only group from the victim's upwards whose
// limit was hit when the kill showed: on v2 by its count of OOMs, on v1 by its
// failcnt. Where none was, it was the node, unless the log says otherwise or a
// counter can't be read. A kill by a limit where only one has any is its.
func levelByCounters(g *group, read uint64, scope oom.Constraint) (oom.Level, string) {
	var hit, only *group
	hits, limited, blind := 0, 0, false
	for ; g != nil && g.kind != oom.KindRoot; g = g.parent {
		moved, known := g.oomRead, g.ooms.IsValue()
		if !known { // v1.
			moved, known = g.hitRead, g.hits.IsValue() && g.hitSince < read
			if g.limit.IsUnlimited() {
				continue
			}
			limited++
			only = g
		}
		switch {
		case !known:
			blind = true
		case moved != 0 && moved+1 >= read:
			hit = g
			hits++
		}
	}
	switch {
	case hits == 1 && !blind:
	case limited == 1 && scope == oom.ConstraintMemcg && only.limit.IsValue():
		hit = only
	case hits == 0 && !blind && scope == "":
		return oom.LevelNode, ""
	default:
		return oom.LevelUnknown, ""
	}
	return levelOfKind(hit.kind), hit.id.Path
}

// levelOfGone is for a kill by a limit in a group that nobody could read: where
// no group above it is limited (v1) or was out of memory just then (v2), the
// limit was its own.
func (l *Ledger) levelOfGone(path string, read uint64, scope oom.Constraint) (oom.Level, string) {
	if path == "" || scope != oom.ConstraintMemcg {
		return oom.LevelUnknown, ""
	}
	above := path[:max(strings.LastIndexByte(path, '/'), 1)]
	g := l.nearest(above, l.alive)
	if g == nil {
		return oom.LevelUnknown, ""
	}
	for ; g != nil && g.kind != oom.KindRoot; g = g.parent {
		quiet := g.oomRead == 0 || g.oomRead+1 < read
		if !g.limit.IsUnlimited() && !(g.ooms.IsValue() && quiet) {
			return oom.LevelUnknown, ""
		}
	}
	return l.levelAt(path), path
}

// whoIs returns the identity of a group by its path, alive or dead: as it was
// last read, or as it is remembered elsewhere.
func (l *Ledger) whoIs(path string) (oom.Identity, oom.Kind, bool) {
	g := l.byPath[path]
	if g != nil && !g.who.StandIn {
		return g.who, g.kind, true
	}
	if l.o.Names != nil {
		who, kind, known := l.o.Names.Lookup(path)
		if known || who.Workload != (oom.Workload{}) {
			who.StandIn = !known
			return who, kind, true
		}
	}
	if g != nil {
		return g.who, g.kind, true
	}
	return oom.Identity{}, oom.KindContainer, false
}
