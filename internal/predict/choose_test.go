// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// smallTree is a root, a pod of 512 MiB with two containers, and a service.
func smallTree() *oom.Tree {
	return &oom.Tree{Version: 2, Groups: []oom.Group{
		{Parent: -1, Kind: oom.KindRoot},
		{Parent: 0, Kind: oom.KindPod, Limit: oom.Of(512 * mib)},
		{Parent: 1, Kind: oom.KindContainer, Limit: oom.Of(256 * mib)},
		{Parent: 1, Kind: oom.KindContainer, Limit: oom.Unlimited()},
		{Parent: 0, Kind: oom.KindContainer, Limit: oom.Unlimited()},
	}}
}

func smallNode(kernel string) *oom.Node {
	return &oom.Node{
		Release: release(kernel), PageSize: page, CPUs: 2,
		Total: oom.Of(4 * gib), SwapTotal: oom.Of(0), SwapFree: oom.Of(0),
	}
}

// in is a process of a group; its pid tells its age.
func in(group, pid int32, adj int16, sizeMiB uint64) oom.Process {
	p := process(pid, adj, sizeMiB*1024, 0)
	p.Group = group
	return p
}

func TestChooseScope(t *testing.T) {
	procs := []oom.Process{
		in(2, 100, 0, 200),
		in(3, 101, 300, 100),
		in(4, 102, 0, 900),
		in(-1, 103, 1000, 300),
		in(9, 104, 0, 3000), // of a group that this tree does not have.
	}
	for _, c := range []struct {
		name  string
		scope int
		want  int
		pages int64
	}{
		{"container", 2, 0, 200 * 256},
		{"pod scales adj by its own limit", 1, 1, 100*256 + 300*131},
		{"node scales it by the machine", Node, 3, 300*256 + 1000*1048},
		{"node below the root", -5, 3, 300*256 + 1000*1048},
		{"no limit of its own", 4, 2, 900 * 256},
		{"no such group", 5, -1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := smallNode("6.1")
			got := RulesFor(node.Release, 2).Choose(node, smallTree(), procs, c.scope, nil)
			if got.Primary != c.want || got.BadnessPages != c.pages || got.NoneKillable != (c.want < 0) {
				t.Errorf("got %+v, want process %d with %d pages", got, c.want, c.pages)
			}
		})
	}
}

func TestChooseRunnerUp(t *testing.T) {
	node := smallNode("6.1")
	r := RulesFor(node.Release, 2)
	procs := []oom.Process{in(2, 100, 0, 10), in(2, 101, 0, 40), in(2, 102, 0, 30), in(2, 103, -1000, 99)}
	got := r.Choose(node, smallTree(), procs, 2, nil)
	want := Victims{Primary: 1, All: []int{1}, RunnerUp: 2, BadnessPages: 40 * 256, Lead: 10 * 256, KillGroup: -1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = r.Choose(node, smallTree(), procs[3:], 2, nil)
	want = Victims{Primary: -1, RunnerUp: -1, KillGroup: -1, NoneKillable: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = r.Choose(node, smallTree(), procs[:1], 2, nil)
	want = Victims{Primary: 0, All: []int{0}, RunnerUp: -1, BadnessPages: 10 * 256, Lead: 10 * 256, KillGroup: -1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChooseSettings(t *testing.T) {
	procs := []oom.Process{in(2, 100, 0, 10)}
	for _, c := range []struct {
		name                        string
		panics, allocating, disable uint64
		scope                       int
		want                        Victims
	}{
		{"panic_on_oom 1", 1, 1, 0, Node, Victims{Panic: true}},
		{"panic_on_oom 1 spares groups", 1, 0, 0, 2, Victims{}},
		{"panic_on_oom 2", 2, 0, 0, 2, Victims{Panic: true}},
		{"allocating task", 0, 1, 0, Node, Victims{Allocating: true}},
		{"allocating task spares groups", 0, 1, 0, 2, Victims{}},
		{"oom_kill_disable", 2, 0, 1, 2, Victims{Disabled: true}},
		{"oom_kill_disable elsewhere", 0, 0, 1, Node, Victims{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			node, tree := smallNode("6.1"), smallTree()
			node.PanicOnOOM, node.KillAllocatingTask = oom.Of(c.panics), oom.Of(c.allocating)
			tree.Groups[2].KillDisabled = oom.Of(c.disable)
			got := RulesFor(node.Release, 2).Choose(node, tree, procs, c.scope, nil)
			named := !c.want.Panic && !c.want.Allocating && !c.want.Disabled
			if got.Panic != c.want.Panic || got.Allocating != c.want.Allocating || got.Disabled != c.want.Disabled || named != (got.Primary == 0) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestChooseGroupKill(t *testing.T) {
	procs := []oom.Process{
		in(2, 100, 0, 50), in(2, 101, 0, 10), in(2, 102, -1000, 10),
		in(3, 103, 0, 30),
		{PID: 1, Group: 3, RSS: mib, Init: true},
		in(4, 105, 0, 90),
	}
	for _, c := range []struct {
		name    string
		kernel  string
		version int
		marked  []int
		scope   int
		want    []int
		group   int
	}{
		{"the container", "6.1", 2, []int{2}, 2, []int{0, 1}, 2},
		{"the container in the pod's OOM", "6.1", 2, []int{2}, 1, []int{0, 1}, 2},
		{"the highest wins", "6.1", 2, []int{1, 2}, 1, []int{0, 1, 3}, 1},
		{"never above the scope", "6.1", 2, []int{1, 2}, 2, []int{0, 1}, 2},
		{"not the victim's", "6.1", 2, []int{3}, 1, []int{0}, -1},
		{"a service in the node's OOM", "6.1", 2, []int{4}, Node, []int{5}, 4},
		{"before 4.19", "4.18", 2, []int{2}, 2, []int{0}, -1},
		{"v1", "6.1", 1, []int{2}, 2, []int{0}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			node, tree := smallNode(c.kernel), smallTree()
			tree.Version = c.version
			for i := range tree.Groups {
				tree.Groups[i].Hierarchical = true
			}
			for _, g := range c.marked {
				tree.Groups[g].OOMGroup = true
			}
			got := RulesFor(node.Release, c.version).Choose(node, tree, procs, c.scope, nil)
			if !cmp.Equal(got.All, c.want) || got.KillGroup != c.group {
				t.Errorf("kills %v of group %d, want %v of %d", got.All, got.KillGroup, c.want, c.group)
			}
		})
	}
}

func TestChooseTies(t *testing.T) {
	// Group 2 was made after group 3 although its name sorts first.
	tree := smallTree()
	tree.Groups[2].Inode, tree.Groups[3].Inode = 30, 20
	procs := []oom.Process{in(3, 101, 0, 50), in(2, 103, 0, 50), in(2, 100, 0, 50), in(1, 104, 0, 50), in(2, 99, 0, 10)}
	for _, c := range []struct {
		kernel string
		scope  int
		want   int
	}{
		{"3.10", Node, 2},  // the oldest of all.
		{"4.14", 1, 3},     // the pod's own process comes before its children's.
		{"5.2.1", 2, 2},    // in one group the oldest.
		{"5.3.1", Node, 3}, // the youngest of all.
		{"6.1", 1, 1},      // the youngest of the last group by creation.
		{"6.1", 2, 1},
	} {
		node := smallNode(c.kernel)
		got := RulesFor(node.Release, 2).Choose(node, tree, procs, c.scope, nil)
		if got.Primary != c.want || !got.Tie || got.Lead != 0 {
			t.Errorf("%s, scope %d: got %+v, want process %d by a tie", c.kernel, c.scope, got, c.want)
		}
	}
}

func TestChooseTieOfCousins(t *testing.T) {
	tree := &oom.Tree{Version: 2, Groups: []oom.Group{
		{Parent: -1},
		{Parent: 0, GroupID: oom.GroupID{Inode: 50}}, // made last.
		{Parent: 1, GroupID: oom.GroupID{Inode: 51}},
		{Parent: 0, GroupID: oom.GroupID{Inode: 10}},
		{Parent: 3, GroupID: oom.GroupID{Inode: 99}},
	}}
	x := RulesFor(release("6.1"), 2).Index(&oom.Node{PageSize: page}, tree, nil)
	for _, c := range []struct {
		a, b int32
		want bool
	}{{2, 4, false}, {4, 2, true}, {2, 3, false}, {3, 2, true}, {1, 2, true}, {2, 1, false}, {0, 4, true}, {4, 0, false}} {
		if got := x.groupBefore(c.a, c.b); got != c.want {
			t.Errorf("group %d before %d: got %v", c.a, c.b, got)
		}
	}
}

func TestChooseWithoutHierarchy(t *testing.T) {
	node, tree := smallNode("4.19"), smallTree()
	tree.Version = 1
	procs := []oom.Process{in(1, 100, 0, 10), in(2, 101, 0, 90)}
	r := RulesFor(node.Release, 1)
	if got := r.Choose(node, tree, procs, 1, nil); got.Primary != 0 {
		t.Errorf("without use_hierarchy: got %+v, want the group's own process", got)
	}
	tree.Groups[1].Hierarchical = true
	if got := r.Choose(node, tree, procs, 1, nil); got.Primary != 1 {
		t.Errorf("with use_hierarchy: got %+v, want the child's process", got)
	}
}

func TestChooseVanished(t *testing.T) {
	node := smallNode("6.1")
	procs := []oom.Process{in(2, 100, 0, 90), in(2, 101, 0, 50), in(2, 102, 900, 1)}
	gone := errors.New("no such process")
	truth := []oom.Process{procs[0], procs[1], {PID: 102, Group: 2, Adj: 900, Exact: true}} // the last is a zombie.
	for i := range procs {
		procs[i].Exact = false
	}
	got := RulesFor(node.Release, 2).Choose(node, smallTree(), procs, 2, func(i int) error {
		if i == 0 {
			return gone
		}
		procs[i] = truth[i]
		return nil
	})
	if got.Primary != 1 || got.RunnerUp != -1 {
		t.Errorf("got %+v, want the one that lives and has memory", got)
	}
}

func TestTop(t *testing.T) {
	node := smallNode("6.1")
	r := RulesFor(node.Release, 2)
	procs := []oom.Process{in(2, 100, 0, 10), in(3, 101, 500, 20), in(-1, 102, 0, 90), in(4, 103, -1000, 900), in(4, 104, 0, 50)}
	for n, want := range [][]int{{}, {1}, {1, 2}, {1, 2, 4}, {1, 2, 4, 0}, {1, 2, 4, 0}} {
		if got := r.Index(node, smallTree(), procs).Top(n, nil); !cmp.Equal(got, want) {
			t.Errorf("top %d is %v, want %v", n, got, want)
		}
	}
	if got := r.Index(node, smallTree(), procs).Top(-1, nil); len(got) != 0 {
		t.Errorf("top -1 is %v", got)
	}
}
