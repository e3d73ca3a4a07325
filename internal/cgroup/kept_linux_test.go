// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const refreshIn = 8

// counted makes a hierarchy that notes which files of /a it reads.
func counted(t *testing.T, dir string) (h *Hierarchy, read func() (oom.Group, map[string]bool)) {
	t.Helper()
	o := options(dir, PartsAll&^PartPeak)
	o.Refresh = refreshIn
	h = mustFind(t, o)
	asked := map[string]bool{}
	h.hook = func(path, name string) unix.Errno {
		if path == "/a" {
			asked[name] = true
		}
		return 0
	}
	return h, func() (oom.Group, map[string]bool) {
		clear(asked)
		tree, _ := mustRead(t, h)
		return group(t, tree, "/a"), asked
	}
}

// TestSteadyPassV2: what hardly ever changes is read in one pass out of some,
// the rest in each.
func TestSteadyPassV2(t *testing.T) {
	dir, mount := rootV2(t)
	groupV2(t, mount+"/a", 10*mi)
	put(t, mount+"/a/memory.swap.current", "0\n")
	put(t, mount+"/a/memory.swap.max", "max\n")
	put(t, mount+"/a/memory.min", "0\n")
	put(t, mount+"/a/memory.oom.group", "0\n")
	put(t, dir+"/proc/swaps", "Filename Type Size Used Priority\n")
	h, read := counted(t, dir)
	read()
	full := 0
	for i := range refreshIn {
		put(t, mount+"/a/memory.current", fmt.Sprintln(10*mi+i%2+1))
		_, asked := read()
		for _, name := range []string{"memory.current", "memory.stat", "memory.max", "memory.events", "cgroup.procs"} {
			if !asked[name] {
				t.Errorf("%s is not read", name)
			}
		}
		rare := 0
		for _, name := range []string{"memory.high", "memory.min", "memory.oom.group", "memory.swap.max", "memory.swap.current", "memory.events.local"} {
			if asked[name] {
				rare++
			}
		}
		if rare != 0 && rare != 6 {
			t.Errorf("%d of the files that rarely change are read: %v", rare, asked)
		}
		full += rare / 6
		mustReadKills(t, h) // a light pass is no turn.
	}
	if full != 1 {
		t.Errorf("read in full %d times in %d passes", full, refreshIn)
	}
	setEvents(t, mount+"/a", 3, 2)
	if g, _ := read(); g.Events.OwnKills != oom.Of(2) || g.Events.TreeKills != oom.Of(3) {
		t.Errorf("after kills: %+v", g.Events)
	}
	put(t, mount+"/a/memory.max", "20971520\n")
	put(t, mount+"/a/memory.high", "15728640\n")
	if g, _ := read(); g.High != oom.Of(15*mi) {
		t.Errorf("with a new limit, high is %v", g.High)
	}
	put(t, mount+"/a/memory.high", "5242880\n")
	put(t, dir+"/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n")
	put(t, mount+"/a/memory.swap.current", "4096\n")
	if g, _ := read(); g.SwapUsage != oom.Of(4096) {
		t.Errorf("with swap on, its usage is %v", g.SwapUsage)
	}
	seen := false
	for range refreshIn {
		g, _ := read()
		seen = seen || g.High == oom.Of(5*mi)
	}
	if !seen {
		t.Errorf("another high is not seen in %d passes", refreshIn)
	}
}

// TestSteadyPassV1 does so for v1, where kernel memory is a part of the usage.
func TestSteadyPassV1(t *testing.T) {
	dir, mount := rootV1(t)
	groupV1(t, mount+"/a", 10*mi)
	stat := fmt.Sprintf("cache 0\nrss %d\ntotal_cache 0\ntotal_rss %d\ntotal_active_file 0\ntotal_inactive_file 0\n", 9*mi, 9*mi)
	put(t, mount+"/a/memory.stat", stat)
	put(t, mount+"/a/memory.kmem.usage_in_bytes", fmt.Sprintln(mi))
	_, read := counted(t, dir)
	read()
	full := 0
	for i := range refreshIn {
		put(t, mount+"/a/memory.usage_in_bytes", fmt.Sprintln(10*mi+i%2+1))
		g, asked := read()
		if g.Stat.Kernel != oom.Of(mi) {
			t.Errorf("kernel memory is %v", g.Stat.Kernel)
		}
		if asked["memory.kmem.usage_in_bytes"] {
			full++
		}
		if !asked["memory.oom_control"] || !asked["memory.usage_in_bytes"] {
			t.Errorf("a leaf's kills or usage are not read: %v", asked)
		}
	}
	if full != 1 {
		t.Errorf("kernel memory is read %d times in %d passes", full, refreshIn)
	}
	put(t, mount+"/a/memory.usage_in_bytes", fmt.Sprintln(11*mi))
	put(t, mount+"/a/memory.kmem.usage_in_bytes", fmt.Sprintln(2*mi))
	if g, _ := read(); g.Stat.Kernel != oom.Of(2*mi) {
		t.Errorf("kernel memory is %v when the usage has grown by it", g.Stat.Kernel)
	}
}

// TestDeserted: a group with children and no processes is asked for them in
// turn; one that had some, always.
func TestDeserted(t *testing.T) {
	dir, mount := rootV1(t)
	groupV1(t, mount+"/a", mi)
	groupV1(t, mount+"/a/b", mi)
	put(t, mount+"/a/cgroup.procs", "")
	_, read := counted(t, dir)
	read()
	times := 0
	for range refreshIn {
		if _, asked := read(); asked["cgroup.procs"] {
			times++
		}
	}
	if times != 1 {
		t.Errorf("processes are asked for %d times in %d passes", times, refreshIn)
	}
	put(t, mount+"/a/cgroup.procs", "17\n")
	found := 0
	for i := range 2 * refreshIn {
		put(t, mount+"/a/memory.usage_in_bytes", fmt.Sprintln(mi+i%2+1))
		g, asked := read()
		if len(g.PIDs) == 1 {
			found++
		}
		if found > 0 && !asked["cgroup.procs"] {
			t.Error("the processes that were there are not asked for")
		}
	}
	if found < refreshIn {
		t.Errorf("a process is seen in %d of %d passes", found, 2*refreshIn)
	}
}
