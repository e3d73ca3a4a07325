// SPDX-License-Identifier: Apache-2.0

package guard

import "github.com/oom-exporter/oom_exporter/internal/oom"

// Row is one watched group as it is now, and what would be done about it.
type Row struct {
	Action
	Over  bool
	Would string
}

// Check looks at every group that would be watched, once. It reclaims nothing
// and kills nobody.
func (g *Guard) Check() ([]Row, error) {
	if err := g.Scan(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	tree := g.tree
	g.mu.Unlock()
	var rows []Row
	for _, t := range targets(tree, g.margin(), &g.o.Filter) {
		rows = append(rows, g.preview(t))
	}
	return rows, nil
}

func (g *Guard) preview(t Target) Row {
	r := Row{Action: Action{Target: t, Policy: g.o.Policy, Time: g.o.Now()}}
	group, outcome, reason := g.look(&r.Action)
	switch {
	case outcome == OutcomeBelow:
		r.Would = "nothing"
		return r
	case outcome != "":
		r.Would = "nothing: " + string(outcome) + ", " + reason
		return r
	}
	r.Over = true
	if g.idle(&r.Action) == OutcomeReclaimable {
		r.Would = "nothing: the kernel can still reclaim"
		return r
	}
	members, err := g.o.Kernel.Members(group)
	if err == nil {
		outcome, reason = g.choose(&r.Action, &members)
	} else {
		outcome, reason = excuse(err)
	}
	switch {
	case outcome != "":
		r.Would = "nothing: " + string(outcome)
		if reason != "" {
			r.Would += ", " + reason
		}
	case g.o.Policy == PolicyNoop:
		r.Would = "if it grows on: say that it would have killed " + victim(&r.Action)
	case r.Container.Path != "":
		r.Would = "if it grows on: reclaim, then end container " + label(&r.Identity, r.Container.Path)
	default:
		r.Would = "if it grows on: reclaim, then kill " + victim(&r.Action)
	}
	return r
}

func label(id *oom.Identity, path string) string {
	if id.Workload.Container != "" {
		return id.Workload.Container
	}
	return path
}
