// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"github.com/go-kit/log/level"
)

// tell counts an action and logs it, unless nothing was done and the last outcome was the
// same. If something was done, or would have been, it also reports it.
func (g *Guard) tell(a *Action, before Outcome) {
	g.stats.note(a)
	switch {
	case a.acted():
		_ = level.Warn(g.o.Logger).Log(fields(a)...)
		if g.o.Reporter != nil {
			g.o.Reporter.Report(*a)
		}
	case a.Outcome == before:
	case a.Outcome == OutcomeFailed:
		_ = level.Error(g.o.Logger).Log(fields(a)...)
	case a.Outcome == OutcomeBelow && a.Reclaimed == 0:
		_ = level.Debug(g.o.Logger).Log(fields(a)...)
	default:
		_ = level.Info(g.o.Logger).Log(fields(a)...)
	}
}

// fields are those of an action's log line.
func fields(a *Action) []any {
	t := &a.Target
	kv := []any{
		"msg", Headline(a), "outcome", string(a.Outcome), "policy", string(a.Policy), "cgroup", t.Path,
		"namespace", t.Workload.Namespace, "pod", t.Workload.Pod, "container", t.Workload.Container,
		"limit", t.Limit, "threshold", t.Threshold, "usage", a.Usage, "reclaimable", a.Reclaimable,
		"reclaimed", a.Reclaimed, "reaction", a.Reaction.String(),
	}
	if a.Reason != "" {
		kv = append(kv, "reason", a.Reason)
	}
	if a.Victim.PID != 0 {
		kv = append(kv, "pid", a.Victim.PID, "comm", a.Victim.Comm, "adj", a.Victim.Adj)
	}
	if a.Container.Path != "" {
		kv = append(kv, "ended", a.Container.Path)
	}
	return kv
}
