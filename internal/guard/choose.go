// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// scope is the index at which Members puts the group that was asked for.
const scope = 1

// choose names the victim: among the workloads that are to be hit first, the process
// that the kernel would choose and, under the policy container, the container that it
// is in. If nobody may be killed, it returns an outcome.
func (g *Guard) choose(a *Action, m *Members) (Outcome, string) {
	node, known := g.view()
	at := -1
	for _, class := range g.o.Preferences.classes() {
		some := g.ofClass(a, m, known, class)
		if at = choice(&node, m, some); at >= 0 {
			break
		}
	}
	if at < 0 {
		return OutcomeNobody, ""
	}
	a.Victim, a.cgroup = m.Procs[at], m.Tree.Groups[m.Procs[at].Group].GroupID
	if m.Dying[a.Victim.PID] {
		return OutcomeDying, ""
	}
	if a.Victim.Anon > a.Usage+a.Usage/8 {
		return OutcomeNobody, "the memory of the process that the kernel would choose is charged elsewhere"
	}
	container, ok := containerOf(&m.Tree, int(a.Victim.Group), a.Target, known)
	if !ok {
		return OutcomeNobody, "the victim's container is not known yet"
	}
	a.Identity = container.Identity
	if container.Path != a.Target.Path && !g.o.Filter.passes(oom.KindContainer, &container.Identity) {
		return OutcomeProtected, "its container is not among the watched ones"
	}
	if reason := g.o.Protection.member(&a.Victim, &container.Identity); reason != "" {
		return OutcomeProtected, reason
	}
	if g.o.Policy == PolicyContainer && mayEnd(&container) {
		return g.chooseContainer(a, m, container, at)
	}
	return g.chooseSharers(a, m, at)
}

// chooseContainer names the container that is to be ended. One with a process that only
// its name protects is not ended as a whole: then only the victim is killed, with the
// processes that share its memory.
func (g *Guard) chooseContainer(a *Action, m *Members, container Target, at int) (Outcome, string) {
	for i := range m.Procs {
		p := &m.Procs[i]
		if !inside(container.Path, m.Tree.Groups[p.Group].Path) {
			continue
		}
		if m.Dying[p.PID] {
			return OutcomeDying, ""
		}
		if g.o.Protection.named(p, &container.Identity) != "" {
			return g.chooseSharers(a, m, at)
		}
		if reason := g.o.Protection.member(p, &container.Identity); reason != "" {
			return OutcomeProtected, reason
		}
	}
	a.Container = container.GroupID
	return "", ""
}

// chooseSharers adds those that share the victim's memory: nothing is freed
// before they have all ended.
func (g *Guard) chooseSharers(a *Action, m *Members, at int) (Outcome, string) {
	sharers, err := g.o.Kernel.Sharers(m, at)
	if err != nil {
		return excuse(err)
	}
	for i := range sharers {
		if reason := g.o.Protection.member(&sharers[i].Process, &a.Identity); reason != "" {
			return OutcomeProtected, "shares its memory: " + reason
		}
	}
	a.Sharers = sharers
	return "", ""
}

// choiceAge is how long a choice that was made ahead may be used.
const choiceAge = 500 * time.Millisecond

// chosen is a choice that was made ahead, while a cgroup grew: looking at a thousand
// processes may take longer than the time that is left in the end.
type chosen struct {
	at     time.Time
	action Action
}

// chooseAhead makes the choice that will be needed if the growth goes on.
func (g *Guard) chooseAhead(a *Action, group *oom.Group, seen *growth) {
	now := g.o.Now()
	if !seen.chosen.at.IsZero() && now.Sub(seen.chosen.at) <= choiceAge/2 {
		return
	}
	members, err := g.o.Kernel.Members(group)
	if err != nil {
		return
	}
	ahead := *a
	if outcome, _ := g.choose(&ahead, &members); outcome == "" {
		seen.chosen = chosen{now, ahead}
	}
}

// chooseNow uses the choice that was made ahead if there is one that is still fresh,
// else makes one.
func (g *Guard) chooseNow(a *Action, group *oom.Group, seen *growth) (Outcome, string) {
	if ahead := &seen.chosen; !ahead.at.IsZero() && g.o.Now().Sub(ahead.at) <= choiceAge {
		b := &ahead.action
		a.Victim, a.cgroup, a.Sharers, a.Container, a.Identity = b.Victim, b.cgroup, b.Sharers, b.Container, b.Identity
		seen.chosen = chosen{} // should it fail, the next is made anew.
		return "", ""
	}
	members, err := g.o.Kernel.Members(group)
	if err != nil {
		return excuse(err)
	}
	return g.choose(a, &members)
}

// choice returns the index of the process among these that the kernel would choose if
// it had to kill one, -1 if none. Settings by which it would panic or let tasks hang
// instead are ignored: they are one more reason to act.
func choice(node *oom.Node, m *Members, some []int) int {
	procs := make([]oom.Process, len(some))
	for i, at := range some {
		procs[i] = m.Procs[at]
	}
	calm, tree := *node, m.Tree
	calm.PanicOnOOM, calm.KillAllocatingTask = oom.Amount{}, oom.Amount{}
	tree.Groups = append([]oom.Group(nil), m.Tree.Groups...)
	tree.Groups[scope].KillDisabled = oom.Amount{}
	v := predict.RulesFor(node.Release, tree.Version).Choose(&calm, &tree, procs, scope, nil)
	if v.Primary < 0 {
		return -1
	}
	return some[v.Primary]
}

// ofClass returns the indexes of the processes whose workloads are of this class.
func (g *Guard) ofClass(a *Action, m *Members, known map[string]Target, class Class) []int {
	of := make([]bool, len(m.Tree.Groups))
	for i := scope; i < len(of); i++ {
		id := a.Target.Identity
		if c, ok := containerOf(&m.Tree, i, a.Target, known); ok {
			id = c.Identity
		}
		of[i] = g.o.Preferences.of(&id) == class
	}
	var some []int
	for i := range m.Procs {
		if of[m.Procs[i].Group] {
			some = append(some, i)
		}
	}
	return some
}

// containerOf returns the container that a group of a target's tree belongs to: the
// target itself or, in a pod or slice, a container that the last scan found. For
// processes directly in a slice, the slice counts as their container.
func containerOf(tree *oom.Tree, at int, t Target, known map[string]Target) (Target, bool) {
	if t.Kind == oom.KindContainer || t.ContainerID != "" {
		return t, true
	}
	if at == scope && t.Kind == oom.KindSlice {
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

// mayEnd tells whether a cgroup may be ended as a whole. A systemd slice may not: it
// only holds what others run.
func mayEnd(t *Target) bool {
	return t.Kind == oom.KindContainer || t.ContainerID != "" || t.Kind == oom.KindSlice && !strings.HasSuffix(t.Path, ".slice")
}

// inside tells whether path is holder or lies below it.
func inside(holder, path string) bool { return len(path) >= len(holder) && related(holder, path) }

// act kills, unless a last look finds a reason not to.
func (g *Guard) act(ctx context.Context, a *Action, kills oom.Amount, seen time.Time) error {
	still := func() error { return g.still(a, kills, seen) }
	if a.Container.Path == "" {
		victims := append([]Victim{{a.Victim, a.cgroup}}, a.Sharers...)
		var err error
		a.Kills, err = g.o.Killer.Process(victims, still)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, g.o.ActTimeout)
	defer cancel()
	id := a.Identity
	spare := func(p *oom.Process) string { return g.o.Protection.member(p, &id) }
	var err error
	a.Kills, err = g.o.Killer.Container(ctx, Ending{Cgroup: a.Container, Identity: id, Spare: spare, Still: still})
	return err
}

// staleTime is the age above which what was seen of a cgroup is no reason to kill.
const staleTime = time.Second

// still reads the limit, the usage and the kernel's own kills again, immediately before
// a kill. If the kernel has killed since the growth was seen, that growth has ended, even
// if the memory has not been freed yet.
func (g *Guard) still(a *Action, kills oom.Amount, seen time.Time) error {
	if g.o.Now().Sub(seen) > staleTime {
		return ErrStale
	}
	now, err := g.o.Kernel.Recheck(a.Target.GroupID)
	if err != nil {
		return err
	}
	limit, limited := now.Limit.Get()
	threshold, ok := g.margin().Threshold(limit)
	switch {
	case !limited || !ok || now.Usage < threshold || now.Usage+g.margin().Of(limit)/4 < a.Usage:
		return ErrBelow
	case now.Kills != kills:
		return ErrOvertaken
	case g.o.Policy != PolicyNoop && g.o.Kernel.Off():
		return ErrSwitched
	}
	return nil
}

// view returns the node and the containers of the last scan.
func (g *Guard) view() (oom.Node, map[string]Target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.node, g.containers
}
