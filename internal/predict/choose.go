// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Victims is the answer to "who dies if this scope runs out now?".
type Victims struct {
	Primary      int   // index of the chosen process, -1 if none.
	All          []int // all who die with it (memory.oom.group), Primary first.
	BadnessPages int64 // Primary's badness in this scope.
	RunnerUp     int   // index of the second, -1 if none.
	Lead         int64 // Primary's badness minus the runner-up's, in pages; its badness if there is none.
	Tie          bool  // the runner-up is equal: age decided.
	NoneKillable bool  // the scope has no process that may be killed.
	Allocating   bool  // vm.oom_kill_allocating_task: whoever allocates dies, so nobody is named.
	Panic        bool  // vm.panic_on_oom: the machine panics instead.
	Disabled     bool  // v1 oom_kill_disable: tasks hang instead.
	KillGroup    int   // index of the cgroup that dies as a whole, -1 if none.
}

// Choose tells whom the kernel kills when the scope runs out: Node, or the
// index of the group whose limit is hit. exact(i) must fill process i with the
// exact sizes and its start time; it is called only for those that can still
// win. An error from it means that the process is gone. For a stale process it
// may freshen Adj and RSS only: it is called again if the process can still win.
// With a nil exact, processes rank by the sizes that are there.
func (r Rules) Choose(node *oom.Node, tree *oom.Tree, procs []oom.Process, scope int, exact func(i int) error) Victims {
	return r.Index(node, tree, procs).Choose(scope, exact)
}

// Choose is Rules.Choose on the indexed snapshot.
func (x *Index) Choose(scope int, exact func(i int) error) Victims {
	v := Victims{Primary: -1, RunnerUp: -1, KillGroup: -1}
	if scope >= len(x.tree.Groups) {
		v.NoneKillable = true
		return v
	}
	scope = max(scope, Node)
	if x.withoutChoice(scope, &v) {
		return v
	}
	best := x.rank(scope, 2, exact)
	if len(best) == 0 {
		v.NoneKillable = true
		return v
	}
	v.Primary, v.BadnessPages, v.Lead = int(best[0].proc), best[0].badness, best[0].badness
	if len(best) > 1 {
		v.RunnerUp = int(best[1].proc)
		v.Lead = best[0].badness - best[1].badness
		v.Tie = v.Lead == 0
	}
	v.All, v.KillGroup = x.killedWith(v.Primary, scope)
	return v
}

// withoutChoice handles the settings that name no victim: they come before
// the scan in out_of_memory().
func (x *Index) withoutChoice(scope int, v *Victims) bool {
	panics := x.node.PanicOnOOM.Or(0)
	v.Disabled = scope != Node && x.tree.Groups[scope].KillDisabled.Or(0) != 0
	v.Panic = !v.Disabled && (panics == 2 || panics != 0 && scope == Node)
	v.Allocating = !v.Panic && scope == Node && x.node.KillAllocatingTask.Or(0) != 0
	return v.Panic || v.Allocating || v.Disabled
}

// killedWith returns the processes that die together: those of the highest
// cgroup with memory.oom.group between the victim's and the scope, except for
// the unkillable (mm/oom_kill.c: oom_kill_memcg_member).
func (x *Index) killedWith(primary, scope int) (all []int, group int) {
	all, group = []int{primary}, -1
	if !x.rules.groupKill {
		return all, group
	}
	for g := int(x.procs[primary].Group); g > 0 && g < len(x.tree.Groups); g = x.tree.Groups[g].Parent {
		if x.tree.Groups[g].OOMGroup {
			group = g
		}
		if g == scope {
			break
		}
	}
	if group < 0 {
		return all, group
	}
	for _, i := range x.members(group) {
		if p := &x.procs[i]; int(i) != primary && !p.Init && p.Adj != adjUnkillable {
			all = append(all, int(i))
		}
	}
	return all, group
}

// Top is Rules.Top on the indexed snapshot.
func (x *Index) Top(n int, exact func(i int) error) []int {
	best := x.rank(Node, n, exact)
	top := make([]int, len(best))
	for i, c := range best {
		top[i] = int(c.proc)
	}
	return top
}
