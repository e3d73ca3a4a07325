// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"
	"testing"
)

func TestMems(t *testing.T) {
	v2 := func(t *testing.T, online string) *Hierarchy {
		dir, mount := rootV2(t)
		put(t, dir+"/sys/devices/system/node/online", online)
		for g, mems := range map[string]string{"/all": "0-1\n", "/one": "1\n", "/one/none": "", "/bad": "1-0\n", "/empty": "\n"} {
			groupV2(t, mount+g, 1)
			if mems != "" {
				put(t, mount+g+"/cpuset.mems.effective", mems)
			}
		}
		groupV2(t, mount+"/one/inherits", 1)
		return mustFind(t, options(dir, PartProtection))
	}
	// v1: the cpuset hierarchy is another one, beside the memory hierarchy.
	v1 := func(t *testing.T, online string) *Hierarchy {
		dir, mount := rootV1(t)
		put(t, dir+"/sys/devices/system/node/online", online)
		cpuset := dir + "/sys/fs/cgroup/cpuset"
		put(t, cpuset+"/cpuset.mems", online)
		for g, mems := range map[string]string{"/all": "0-1\n", "/one": "1\n", "/one/none": "1\n", "/bad": "1-0\n", "/empty": "\n"} {
			groupV1(t, mount+g, 1)
			put(t, cpuset+g+"/cpuset.mems", mems)
		}
		groupV1(t, mount+"/not-in-cpuset", 1)
		groupV1(t, mount+"/not-in-cpuset/one", 1)
		return mustFind(t, options(dir, PartProtection))
	}
	check := func(t *testing.T, h *Hierarchy, want map[string][]int) {
		t.Helper()
		before := countFDs(t)
		for range 2 {
			tree, _ := mustRead(t, h)
			for _, g := range tree.Groups {
				if !slices.Equal(g.Mems, want[g.Path]) {
					t.Errorf("v%d %s: mems %v, want %v", h.Version(), g.Path, g.Mems, want[g.Path])
				}
			}
		}
		if after := countFDs(t); after != before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	}
	check(t, v2(t, "0-1\n"), map[string][]int{"/one": {1}, "/one/none": {1}, "/one/inherits": {1}})
	check(t, v1(t, "0-1\n"), map[string][]int{"/one": {1}, "/one/none": {1}})
	check(t, v2(t, "0\n"), nil) // one node: nobody can be bound to a part.
	check(t, v1(t, "0\n"), nil)
	check(t, v2(t, ""), nil)
	check(t, v2(t, "garbage\n"), nil)
}

// On v1 the controllers may share one hierarchy.
func TestMemsOfAJointHierarchy(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/sys/devices/system/node/online", "0,2\n")
	mount := dir + "/sys/fs/cgroup/cpuset,memory"
	groupV1(t, mount, 1)
	put(t, mount+"/cpuset.mems", "0,2\n")
	groupV1(t, mount+"/a/b", 1)
	put(t, mount+"/a/cpuset.mems", "0,2\n")
	put(t, mount+"/a/b/cpuset.mems", "2\n")
	tree, _ := mustRead(t, mustFind(t, options(dir, PartProtection)))
	if got := group(t, tree, "/a/b").Mems; !slices.Equal(got, []int{2}) {
		t.Errorf("mems %v", got)
	}
	if got := group(t, tree, "/a").Mems; got != nil {
		t.Errorf("mems %v", got)
	}
}
