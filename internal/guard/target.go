// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"regexp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Target is a group with a limit that is watched.
type Target struct {
	oom.GroupID
	oom.Identity
	Kind             oom.Kind
	Limit, Threshold uint64
	ahead, beyond    uint64     // see Margin.
	kills            oom.Amount // kills by the kernel so far.
}

// Filter says which workloads are watched; nil expressions let all pass.
type Filter struct {
	Namespace, Pod, Container, Unit, QoS Match
}

// Match is a pair of anchored expressions.
type Match struct{ Include, Exclude *regexp.Regexp }

func (m Match) passes(s string) bool {
	return (m.Include == nil || m.Include.MatchString(s)) && (m.Exclude == nil || !m.Exclude.MatchString(s))
}

func (m Match) isSet() bool { return m.Include != nil || m.Exclude != nil }

// passes tells whether a workload may be watched. Where names decide and are
// not known yet, it may not.
func (f *Filter) passes(kind oom.Kind, id *oom.Identity) bool {
	if id.StandIn && (f.Namespace.isSet() || f.Pod.isSet() || f.Container.isSet()) {
		return false
	}
	return f.Namespace.passes(id.Workload.Namespace) && f.Pod.passes(id.Workload.Pod) &&
		(kind == oom.KindPod || f.Container.passes(id.Workload.Container)) &&
		f.Unit.passes(id.Unit) && f.QoS.passes(string(id.QoS))
}

// targets returns the groups of a tree that have a limit with room for a margin,
// and pass the filter: containers and units, also those that hold others, pods,
// and the slices above them. Parts of a container are its own business.
func targets(tree *oom.Tree, m Margin, f *Filter) []Target {
	var out []Target
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if i == 0 || g.Kind == oom.KindPart || g.Kind == oom.KindSandbox || g.Kind == oom.KindRoot {
			continue
		}
		if t, ok := newTarget(g, m); ok && f.passes(g.Kind, &g.Identity) {
			out = append(out, t)
		}
	}
	return out
}

func newTarget(g *oom.Group, m Margin) (Target, bool) {
	limit, ok := g.Limit.Get()
	if !ok {
		return Target{}, false
	}
	threshold, ok := m.Threshold(limit)
	return Target{
		GroupID: g.GroupID, Identity: g.Identity, Kind: g.Kind, Limit: limit, Threshold: threshold, ahead: m.ahead(), beyond: m.beyond(), kills: kernelKills(&g.Events),
	}, ok
}

// kernelKills is how many processes the kernel has killed in a group, with those below it
// where the kernel counts these.
func kernelKills(e *oom.Events) oom.Amount {
	if e.TreeKills.IsSet() {
		return e.TreeKills
	}
	return e.OwnKills
}

// isContainer tells whether a group is that of a container or unit, even if it holds
// other groups: a mkdir in it changes nothing.
func isContainer(g *oom.Group) bool {
	switch g.Kind {
	case oom.KindContainer:
		return true
	case oom.KindSlice:
		return g.ContainerID != ""
	default:
		return false
	}
}

// belong gives the groups below a container the identity of that container, whatever
// they are called: whoever may make groups there could give them somebody else's names.
func belong(tree *oom.Tree) {
	holder := make([]int, len(tree.Groups))
	for i := range tree.Groups {
		g := &tree.Groups[i]
		holder[i] = -1
		if i > 0 && g.Parent >= 0 && g.Parent < i {
			holder[i] = holder[g.Parent]
		}
		switch at := holder[i]; {
		case at >= 0:
			g.Identity = tree.Groups[at].Identity
		case i > 0 && g.ContainerID != "" && isContainer(g):
			holder[i] = i
		}
	}
}

// containersOf returns the containers and units of a tree by path; of nested containers
// only the outermost, which is the one that a runtime knows.
func containersOf(tree *oom.Tree) map[string]Target {
	containers := make(map[string]Target, len(tree.Groups))
	inside := make([]bool, len(tree.Groups))
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if i == 0 {
			continue
		}
		if g.Parent >= 0 && g.Parent < i {
			inside[i] = inside[g.Parent]
		}
		if inside[i] || !isContainer(g) {
			continue
		}
		inside[i] = g.ContainerID != ""
		containers[g.Path] = Target{GroupID: g.GroupID, Identity: g.Identity, Kind: g.Kind}
	}
	return containers
}
