// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// killsOf maps paths to own and tree kills.
func killsOf(tree oom.Tree) map[string][2]oom.Amount {
	m := map[string][2]oom.Amount{}
	for _, g := range tree.Groups {
		m[g.Path] = [2]oom.Amount{g.Events.OwnKills, g.Events.TreeKills}
	}
	return m
}

func TestKillsByKernel(t *testing.T) {
	type kills = map[string][2]oom.Amount
	of := func(own, tree uint64) [2]oom.Amount { return [2]oom.Amount{oom.Of(own), oom.Of(tree)} }
	own := func(n uint64) [2]oom.Amount { return [2]oom.Amount{oom.Of(n), unset()} }
	tests := map[string]kills{
		// 9 in all, 4 in a and 3 in b, of which 1 in b/sub.
		"v2-5.2": {"/": {}, "/pod": of(2, 9), "/pod/a": of(4, 4), "/pod/b": of(2, 3), "/pod/b/sub": of(1, 1)},
		// The files count the group alone: a child may have more than its parent.
		"v2-4.19":        {"/": {}, "/pod": own(9), "/pod/a": own(14)},
		"v2-localevents": {"/": {}, "/pod": own(1), "/pod/a": own(14)},
		"v2": {
			"/": {}, "/init.scope": {}, "/kubepods.slice": of(0, 5), "/kubepods.slice/pod1.slice": of(0, 5),
			"/kubepods.slice/pod1.slice/cri-containerd-1.scope": of(4, 4),
		},
		"v1":      {"/": own(0), "/kubepods": own(0), "/kubepods/pod1": own(0), "/kubepods/pod1/" + containerID: own(3)},
		"v1-3.10": {"/": {}, "/flat": {}, "/system.slice": {}, "/system.slice/docker-" + containerID + ".scope": {}},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			h := mustFind(t, options(unpack(t, name), 0))
			for range oddPasses + 1 { // the answer stays the same.
				full, _ := mustRead(t, h)
				if d := cmp.Diff(want, killsOf(full), amounts()); d != "" {
					t.Error("Read:", d)
				}
				light := mustReadKills(t, h)
				if d := cmp.Diff(want, killsOf(light), amounts()); d != "" {
					t.Error("ReadKills:", d)
				}
				for i, g := range light.Groups {
					if g.GroupID != full.Groups[i].GroupID || g.Parent != full.Groups[i].Parent {
						t.Errorf("ReadKills has %+v, Read %+v", g.GroupID, full.Groups[i].GroupID)
					}
				}
			}
			fresh := mustFind(t, h.options)
			if d := cmp.Diff(want, killsOf(mustReadKills(t, fresh)), amounts()); d != "" {
				t.Error("first ReadKills:", d)
			}
		})
	}
}

// On 5.2 the other counters of a group are the group's own as well.
func TestOwnHitsOn52(t *testing.T) {
	tree, _ := mustRead(t, mustFind(t, options(unpack(t, "v2-5.2"), 0)))
	pod := group(t, tree, "/pod")
	want := oom.Events{Max: oom.Of(7), High: oom.Of(2), OOMs: oom.Of(2), OwnKills: oom.Of(2), TreeKills: oom.Of(9)}
	if d := cmp.Diff(want, pod.Events, amounts()); d != "" {
		t.Error(d)
	}
	if want := oom.Of(15 * mi); pod.Stat.Kernel != want { // 1 + 4 + 2 + 8.
		t.Errorf("kernel memory is %v, want %v", pod.Stat.Kernel, want)
	}
}

// A counter that moves while the children are read stays as it was, and is right
// at the next pass.
func TestKillDuringPassOn52(t *testing.T) {
	dir := unpack(t, "v2-5.2")
	h := mustFind(t, options(dir, 0))
	before, _ := mustRead(t, h)
	mount := dir + "/sys/fs/cgroup"
	h.hook = func(path, name string) unix.Errno {
		if path == "/pod/a" && name == "memory.events" { // a fifth kill in a, as the kernel counts it.
			put(t, mount+"/pod/a/memory.events", "low 0\nhigh 1\nmax 8\noom 2\noom_kill 5\n")
			put(t, mount+"/pod/memory.events", "low 0\nhigh 3\nmax 20\noom 5\noom_kill 10\n")
		}
		return 0
	}
	during, _ := mustRead(t, h)
	h.hook = nil
	after, _ := mustRead(t, h)
	for i, tree := range []oom.Tree{before, during, after} {
		if got := group(t, tree, "/pod").Events.OwnKills; got != oom.Of(2) {
			t.Errorf("pass %d: the pod's own kills are %v, want 2", i, got)
		}
	}
}

// controlV1 writes the kills of a v1 group.
func controlV1(t *testing.T, dir string, kills int) {
	t.Helper()
	put(t, dir+"/memory.oom_control", fmt.Sprintf("oom_kill_disable 0\nunder_oom 0\noom_kill %d\n", kills))
}

func TestKillsOnV1OfTheMiddle5s(t *testing.T) {
	tree := func(pod, a int) *Hierarchy {
		dir, mount := rootV1(t)
		put(t, dir+"/proc/sys/kernel/osrelease", "5.4.0-42-generic\n")
		for _, g := range []string{"/pod", "/pod/a", "/pod/a/part"} {
			groupV1(t, mount+g, mi)
		}
		controlV1(t, mount+"/pod", pod)
		controlV1(t, mount+"/pod/a", a)
		return mustFind(t, options(dir, 0))
	}
	check := func(h *Hierarchy, pod, a uint64) {
		t.Helper()
		for range oddPasses + 1 {
			full, _ := mustRead(t, h)
			for _, tree := range []oom.Tree{full, mustReadKills(t, h)} {
				p, c := group(t, tree, "/pod").Events, group(t, tree, "/pod/a").Events
				if p.OwnKills != oom.Of(pod) || c.OwnKills != oom.Of(a) || p.TreeKills.IsSet() {
					t.Errorf("kills of pod %v, of container %v, want %d and %d", p.OwnKills, c.OwnKills, pod, a)
				}
			}
		}
	}
	check(tree(3, 3), 0, 3) // unrepaired: the pod counts its container's.
	check(tree(5, 3), 2, 3)
	check(tree(0, 3), 0, 3) // repaired.
	if h := tree(0, 3); true {
		check(h, 0, 3)
		if h.scope != scopeOwn {
			t.Errorf("scope is %d after children had more than their parent", h.scope)
		}
		controlV1(t, h.Mount()+"/pod", 1) // now it counts in full.
		check(h, 1, 3)
	}
}

// opened records what passes open.
func opened(h *Hierarchy) *[]string {
	var names []string
	h.hook = func(path, name string) unix.Errno {
		names = append(names, path+":"+name)
		return 0
	}
	return &names
}

// ReadKills looks only where something was killed.
func TestReadKillsLooksWhereKillsWere(t *testing.T) {
	dir, mount := rootV2(t)
	for _, g := range []string{"/a", "/a/1", "/a/2", "/b", "/b/1"} {
		groupV2(t, mount+g, mi)
	}
	h := mustFind(t, options(dir, PartsAll))
	mustRead(t, h)
	names := opened(h)
	tree := mustReadKills(t, h)
	if want := []string{"/", "/a", "/a/1", "/a/2", "/b", "/b/1"}; !slices.Equal(paths(tree), want) {
		t.Errorf("groups are %q", paths(tree))
	}
	if slices.Contains(*names, "/a/1:memory.events") || !slices.Contains(*names, "/a:memory.events") {
		t.Errorf("opened %q", *names)
	}

	*names = nil
	setEvents(t, mount+"/a", 1, 0)
	setEvents(t, mount+"/a/2", 1, 1)
	tree = mustReadKills(t, h)
	if e := group(t, tree, "/a/2").Events; e.OwnKills != oom.Of(1) {
		t.Errorf("kills are %+v", e)
	}
	if e := group(t, tree, "/a").Events; e.OwnKills != oom.Of(0) || e.TreeKills != oom.Of(1) {
		t.Errorf("kills are %+v", e)
	}
	if slices.Contains(*names, "/b/1:memory.events") || !slices.Contains(*names, "/a/1:memory.events") {
		t.Errorf("opened %q", *names)
	}

	// A kill in a child that is gone since shows at its parent.
	setEvents(t, mount+"/b", 1, 0)
	if err := os.RemoveAll(mount + "/b/1"); err != nil {
		t.Fatal(err)
	}
	tree = mustReadKills(t, h)
	if got := paths(tree); slices.Contains(got, "/b/1") {
		t.Errorf("groups are %q", got)
	}
	if e := group(t, tree, "/b").Events; e.OwnKills != oom.Of(0) || e.TreeKills != oom.Of(1) {
		t.Errorf("kills are %+v", e)
	}
}

// ReadKills opens nothing but the counters.
func TestReadKillsIsLight(t *testing.T) {
	for name, want := range map[string][]string{
		"v1": {"memory.oom_control"},
		"v2": {"memory.events", "memory.events.local"},
	} {
		h := mustFind(t, options(unpack(t, name), PartsAll))
		seen := map[string]bool{}
		h.hook = func(_, name string) unix.Errno {
			seen[name] = true
			return 0
		}
		mustReadKills(t, h)
		if len(seen) != len(want) {
			t.Errorf("%s: opened %v", name, seen)
		}
		for _, n := range want {
			if !seen[n] {
				t.Errorf("%s: did not open %s", name, n)
			}
		}
	}
}
