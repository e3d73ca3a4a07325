// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// scope is where Members puts the group that was asked for.
const scope = 1

// choose names the victim: the process that the kernel would choose, and under
// the policy container, the container that it is in. It returns an outcome
// where nobody may be killed.
func (g *Guard) choose(a *Action, m *Members) (Outcome, string) {
	node, known := g.view()
	v := predict.RulesFor(node.Release, m.Tree.Version).Choose(&node, &m.Tree, m.Procs, scope, nil)
	if v.Primary < 0 {
		return OutcomeNobody, ""
	}
	a.Victim = m.Procs[v.Primary]
	if m.Dying[a.Victim.PID] {
		return OutcomeDying, ""
	}
	container, ok := containerOf(&m.Tree, int(a.Victim.Group), a.Target, known)
	if !ok {
		return OutcomeNobody, "the victim's container is not known yet"
	}
	a.Identity = container.Identity
	if container.Path != a.Target.Path && !g.o.Filter.passes(oom.KindContainer, &container.Identity) {
		return OutcomeProtected, "its container is not among the watched"
	}
	if reason := g.o.Protection.member(&a.Victim, &container.Identity); reason != "" {
		return OutcomeProtected, reason
	}
	if g.o.Policy != PolicyContainer {
		return "", ""
	}
	a.Container = container.GroupID
	for i := range m.Procs {
		p := &m.Procs[i]
		if !related(container.Path, m.Tree.Groups[p.Group].Path) {
			continue
		}
		if m.Dying[p.PID] {
			return OutcomeDying, ""
		}
		if reason := g.o.Protection.member(p, &container.Identity); reason != "" {
			return OutcomeProtected, reason
		}
	}
	return "", ""
}

// containerOf returns the container that holds a process of a target: the
// target itself, or a container of a pod, which the last scan must know.
func containerOf(tree *oom.Tree, at int, t Target, known map[string]Target) (Target, bool) {
	if t.Kind != oom.KindPod {
		return t, true
	}
	for ; at >= scope; at = tree.Groups[at].Parent {
		g := &tree.Groups[at]
		if c, ok := known[g.Path]; ok && c.Inode == g.Inode {
			return c, true
		}
	}
	return Target{}, false
}

// act kills, unless a last look finds a reason not to.
func (g *Guard) act(ctx context.Context, a *Action, m *Members) error {
	still := func() error {
		usage, err := g.o.Kernel.Usage(a.Target.GroupID)
		switch {
		case err != nil:
			return err
		case usage < a.Target.Threshold:
			return ErrBelow
		case g.o.Kernel.Off():
			return ErrSwitched
		}
		return nil
	}
	if g.o.Policy == PolicyProcess {
		return g.o.Killer.Process(m.Tree.Groups[a.Victim.Group].GroupID, a.Victim, still)
	}
	ctx, cancel := context.WithTimeout(ctx, g.o.ActTimeout)
	defer cancel()
	id := a.Identity
	spare := func(p *oom.Process) string { return g.o.Protection.member(p, &id) }
	return g.o.Killer.Container(ctx, a.Container, id, spare, still)
}

// view returns the node and the containers of the last scan.
func (g *Guard) view() (oom.Node, map[string]Target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.node, g.containers
}
