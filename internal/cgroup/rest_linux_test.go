// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"slices"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// restless are the files that an unchanged group is not asked for.
var restless = map[int][]string{
	1: {"memory.stat", "cgroup.procs", "memory.oom_control", "memory.failcnt"},
	2: {"memory.stat", "cgroup.procs"},
}

// resting makes a hierarchy with a group of a usage and a limit, and how to set
// the two.
func resting(t *testing.T, version int) (h *Hierarchy, read func() (oom.Group, map[string]bool), set func(usage, limit int)) {
	t.Helper()
	dir, mount := rootV1(t)
	groupV1(t, mount+"/a", 10*mi)
	names := []string{"memory.usage_in_bytes", "memory.limit_in_bytes"}
	if version == 2 {
		dir, mount = rootV2(t)
		groupV2(t, mount+"/a", 10*mi)
		names = []string{"memory.current", "memory.max"}
	}
	put(t, mount+"/a/cgroup.procs", "17\n")
	h, read = counted(t, dir)
	return h, read, func(usage, limit int) {
		put(t, mount+"/a/"+names[0], fmt.Sprintln(usage))
		put(t, mount+"/a/"+names[1], fmt.Sprintln(limit))
	}
}

// TestUnchanged: a group whose usage stays and that is far from its limit is read
// in full when it is its turn; any charge, another limit and a limit that is
// near make it so at once.
func TestUnchanged(t *testing.T) {
	for version, files := range restless {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			_, read, set := resting(t, version)
			set(10*mi, 100*mi)
			read()
			first, _ := read()
			full := 0
			for range refreshIn {
				g, asked := read()
				if !g.UsageUnchanged {
					t.Error("it was charged")
				}
				if g.Unchanged == asked["memory.stat"] {
					t.Errorf("unchanged: %v, read: %v", g.Unchanged, asked)
				}
				if g.Stat != first.Stat || !slices.Equal(g.PIDs, []int32{17}) || g.Usage != oom.Of(10*mi) {
					t.Errorf("%+v, want what it was", g)
				}
				for _, name := range files {
					if asked[name] == g.Unchanged {
						t.Errorf("%s is read: %v; unchanged: %v", name, asked[name], g.Unchanged)
					}
				}
				if !g.Unchanged {
					full++
				}
			}
			if full != 1 {
				t.Errorf("read in full %d times in %d passes", full, refreshIn)
			}
			for _, c := range []struct {
				name         string
				usage, limit int
				uncharged    bool
			}{
				{"a charge", 10*mi + 4096, 100 * mi, false},
				{"another limit", 10*mi + 4096, 90 * mi, true},
				{"half of the limit is used", 45*mi + 4096, 90 * mi, false},
				{"and stays so", 45*mi + 4096, 90 * mi, false},
			} {
				set(c.usage, c.limit)
				if g, asked := read(); g.Unchanged || g.UsageUnchanged != c.uncharged || !asked["memory.stat"] || !asked["cgroup.procs"] {
					t.Errorf("%s: unchanged %v, usage unchanged %v, read %v", c.name, g.Unchanged, g.UsageUnchanged, asked)
				}
			}
		})
	}
}

// TestReadPIDs brings the process ids of an unchanged group up to date, and leaves
// those alone that an earlier snapshot has.
func TestReadPIDs(t *testing.T) {
	dir, mount := rootV1(t)
	groupV1(t, mount+"/a", 10*mi)
	put(t, mount+"/a/cgroup.procs", "17\n18\n")
	h, _ := counted(t, dir)
	var tree oom.Tree
	for g := (&oom.Group{}); !g.Unchanged; {
		tree, _ = mustRead(t, h)
		g = &tree.Groups[1]
	}
	before := tree.Groups[1].PIDs
	put(t, mount+"/a/cgroup.procs", "18\n19\n")
	h.ReadPIDs(&tree)
	if now := tree.Groups[1].PIDs; !slices.Equal(now, []int32{18, 19}) || !slices.Equal(before, []int32{17, 18}) {
		t.Errorf("processes %v, and in the earlier snapshot %v", now, before)
	}
	if again, _ := mustRead(t, h); !slices.Equal(again.Groups[1].PIDs, []int32{18, 19}) {
		t.Errorf("the next pass has %v", again.Groups[1].PIDs)
	}
	tree.Groups[1].Inode++ // the group of that path is another one by now.
	put(t, mount+"/a/cgroup.procs", "20\n")
	if h.ReadPIDs(&tree); !slices.Equal(tree.Groups[1].PIDs, []int32{18, 19}) {
		t.Errorf("a group that is gone has %v", tree.Groups[1].PIDs)
	}
}

// TestRecycle: a tree's memory is used again when it was given back, and not
// before.
func TestRecycle(t *testing.T) {
	h := mustFind(t, options(unpack(t, "v1"), PartsAll))
	first, _ := mustRead(t, h)
	second, _ := mustRead(t, h)
	if &first.Groups[0] == &second.Groups[0] {
		t.Fatal("a tree that is in use was written over")
	}
	h.Recycle(first)
	mustReadKills(t, h)
	third, _ := mustRead(t, h)
	if &third.Groups[0] != &first.Groups[0] {
		t.Error("the memory was not used again")
	}
	if fourth, _ := mustRead(t, h); &fourth.Groups[0] == &third.Groups[0] || !slices.EqualFunc(second.Groups, fourth.Groups, func(a, b oom.Group) bool {
		return a.GroupID == b.GroupID && a.Stat == b.Stat && slices.Equal(a.PIDs, b.PIDs)
	}) {
		t.Error("another pass found something else, or was written over the one in use")
	}
}
