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
	growth           float64 // the fastest seen, in bytes a second.
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

// targets returns the containers, units and pods of a tree that have a limit
// with room for a margin, and pass the filter.
func targets(tree *oom.Tree, m Margin, f *Filter) []Target {
	var out []Target
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if g.Kind != oom.KindContainer && g.Kind != oom.KindPod || i == 0 {
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
	return Target{GroupID: g.GroupID, Identity: g.Identity, Kind: g.Kind, Limit: limit, Threshold: threshold}, ok
}
