// SPDX-License-Identifier: Apache-2.0

package ledger

import "github.com/oom-exporter/oom_exporter/internal/oom"

// levelOf says whose limit the kill is about, and the limit's path where that
// is known. The log's report has it; the counters of the victim's cgroup and of
// those above it may.
func (gs *cgroups) levelOf(f finding) (oom.Level, string) {
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
			return gs.levelAt(k.LimitPath), k.LimitPath
		}
	}
	if f.cgroup == nil {
		return gs.levelOfRemoved(f.path, f.shown, scope)
	}
	return levelByCounters(f.cgroup, f.shown, scope)
}

// levelAt returns the level of a limit's path.
func (gs *cgroups) levelAt(path string) oom.Level {
	if _, kind, ok := gs.whoIs(path); ok {
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

// levelByCounters looks for the only cgroup from the victim's upwards whose
// limit was hit when the kill showed: on v2 by its count of OOMs, on v1 by its
// failcnt. Where none was, it was the node, unless the log says otherwise or a
// counter can't be read. If the log says MEMCG and only one cgroup is limited
// (v1), it was that cgroup's limit.
func levelByCounters(g *cgroup, shown uint64, scope oom.Constraint) (oom.Level, string) {
	var hit, only *cgroup
	hits, limited, blind := 0, 0, false
	for ; g != nil && g.kind != oom.KindRoot; g = g.parent {
		moved, known := g.oomRead, g.ooms.IsValue()
		if !known { // v1.
			moved, known = g.hitRead, g.hits.IsValue() && g.hitsKnown < shown
			if g.limit.IsUnlimited() {
				continue
			}
			limited++
			only = g
		}
		switch {
		case !known:
			blind = true
		case moved != 0 && moved+1 >= shown:
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

// levelOfRemoved is for a kill by a limit in a cgroup that was gone before it was read:
// where no cgroup above it is limited (v1) or was out of memory just then (v2),
// the limit was its own.
func (gs *cgroups) levelOfRemoved(path string, shown uint64, scope oom.Constraint) (oom.Level, string) {
	if path == "" || scope != oom.ConstraintMemcg {
		return oom.LevelUnknown, ""
	}
	g := gs.nearest(parentPath(path), gs.alive)
	if g == nil {
		return oom.LevelUnknown, ""
	}
	for ; g != nil && g.kind != oom.KindRoot; g = g.parent {
		quiet := g.oomRead == 0 || g.oomRead+1 < shown
		if !g.limit.IsUnlimited() && !(g.ooms.IsValue() && quiet) {
			return oom.LevelUnknown, ""
		}
	}
	return gs.levelAt(path), path
}
