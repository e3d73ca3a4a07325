// SPDX-License-Identifier: Apache-2.0

package host

import (
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// resting is small with b unchanged, and what /proc/PID/cgroup says of each process.
func resting() (*fakeProc, *fakeTree, *oom.Group) {
	proc, tree := small()
	b := &tree.tree.Groups[4]
	b.UsageUnchanged, b.Unchanged = true, true
	proc.cgroups = map[int32]string{1: "/", 10: "/s/a", 11: "/s/a", 12: "/s/a/helper", 20: "/s/b", 30: "/elsewhere"}
	return proc, tree, b
}

// TestStraysAreAsked: a process in no group is asked for its own, once; the groups
// are not.
func TestStraysAreAsked(t *testing.T) {
	proc, tree, b := resting()
	h := newHost(proc, tree)
	counts(t, h)
	proc.procs = append(proc.procs, oom.Process{PID: 31, RSS: mib}, oom.Process{PID: 40, RSS: mib})
	proc.cgroups[31], proc.cgroups[40] = "/s/b", "/made/meanwhile"
	proc.asks = 0
	if got := counts(t, h); got["b"] != 2 || tree.lates != 0 {
		t.Errorf("processes %v, the groups were asked %d times", got, tree.lates)
	}
	if first := proc.asks; first < 2 || first > 4 { // 31 and 40, and who is named.
		t.Errorf("%d processes were asked", first)
	}
	b.PIDs = []int32{20, 31}
	proc.asks = 0
	if got := counts(t, h); got["b"] != 2 || tree.lates != 0 || proc.asks > 2 {
		t.Errorf("processes %v, the groups were asked %d times, %d processes", got, tree.lates, proc.asks)
	}
}

// TestGroupsAreAsked where the processes' answers are not of this tree, or there
// are many unassigned.
func TestGroupsAreAsked(t *testing.T) {
	for name, change := range map[string]func(*fakeProc){
		"a cgroup namespace": func(proc *fakeProc) {
			for pid, path := range proc.cgroups {
				proc.cgroups[pid] = "/../.." + path
			}
		},
		"a fork bomb": func(proc *fakeProc) {
			for pid := int32(100); pid <= 100+maxAsked; pid++ {
				proc.procs = append(proc.procs, oom.Process{PID: pid, RSS: mib})
				proc.cgroups[pid] = "/s/b"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			proc, tree, _ := resting()
			change(proc)
			tree.late = [][]int32{4: {20, 30}}
			if got := counts(t, newHost(proc, tree)); got["b"] != 2 || tree.lates != 1 || proc.asks > 16 {
				t.Errorf("processes %v, the groups were asked %d times, %d processes", got, tree.lates, proc.asks)
			}
		})
	}
}

// TestMovedIsNamedAtOnce: a process that moved from one unchanged group to another
// is named under the new one, and the lists are read anew for the next scrape.
func TestMovedIsNamedAtOnce(t *testing.T) {
	proc, tree, _ := resting()
	tree.tree.Groups[2].Limit = oom.Of(200 * mib)
	tree.tree.Groups[2].UsageUnchanged, tree.tree.Groups[2].Unchanged = true, true
	h := newHost(proc, tree)
	named := func() map[int32]string {
		ps, err := h.Scrape(time.Time{}).Processes()
		if err != nil {
			t.Fatal(err)
		}
		names := map[int32]string{}
		for _, p := range ps.Top {
			names[p.PID] = p.Workload.Container
		}
		for _, v := range ps.Victims {
			names[v.Process.PID] = v.Process.Workload.Container
		}
		return names
	}
	if got := named(); got[11] != "a" || tree.lates != 0 {
		t.Fatalf("named %v, the groups were asked %d times", got, tree.lates)
	}
	proc.cgroups[11] = "/s/b"
	if got := named(); got[11] != "b" || got[20] != "b" || tree.lates != 1 {
		t.Errorf("named %v, the groups were asked %d times; want 11 under b, and once", got, tree.lates)
	}
}

// TestStrayAgain: a process that was in no group, then in one, and has left that
// for an unchanged one is looked for once more; so is another process with its PID.
func TestStrayAgain(t *testing.T) {
	proc, tree, _ := resting()
	h := newHost(proc, tree)
	proc.procs = append(proc.procs, oom.Process{PID: 40, RSS: mib})
	proc.cgroups[40] = "/made/meanwhile"
	if got := counts(t, h); got["a"] != 3 || got["b"] != 1 {
		t.Fatalf("processes %v", got)
	}
	a := &tree.tree.Groups[2]
	a.PIDs = append(a.PIDs, 40)
	if got := counts(t, h); got["a"] != 4 || got["b"] != 1 {
		t.Fatalf("processes %v", got)
	}
	a.PIDs, proc.cgroups[40] = a.PIDs[:2], "/s/b"
	if got := counts(t, h); got["a"] != 3 || got["b"] != 2 {
		t.Errorf("processes %v, want 40 with b", got)
	}
}

// TestMovedOutOfSight: a process that is in none of the groups any more is named
// under none, rather than under the one that it has left.
func TestMovedOutOfSight(t *testing.T) {
	proc, tree, b := resting()
	b.PIDs = []int32{20}
	proc.cgroups[20] = "/s/made-meanwhile"
	ps, err := newHost(proc, tree).Scrape(time.Time{}).Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps.Top {
		if p.PID == 20 && p.Workload != (oom.Workload{}) {
			t.Errorf("20 is named under %+v", p.Workload)
		}
	}
	if tree.lates != 1 {
		t.Errorf("the groups were asked %d times, want once", tree.lates)
	}
}
