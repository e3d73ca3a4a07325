// SPDX-License-Identifier: Apache-2.0

package host

import (
	"slices"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// counts returns how many processes each container has.
func counts(t *testing.T, h *Host) map[string]int {
	t.Helper()
	s := h.Scrape(time.Time{})
	if _, err := s.Processes(); err != nil {
		t.Fatal(err)
	}
	groups, err := s.Groups()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, row := range groups.Containers {
		got[row.Workload.Container] = row.Processes.Count
	}
	return got
}

// TestAssignUnchanged: what a unchanged group is said to hold is of an earlier pass. A
// process in no group has all asked, once; who has moved is where it was found
// last; who is gone does not count.
func TestAssignUnchanged(t *testing.T) {
	proc, tree := small()
	h := newHost(proc, tree)
	before := counts(t, h)
	if before["a"] != 3 || before["b"] != 1 || tree.lates != 0 {
		t.Fatalf("processes %v, asked again %d times", before, tree.lates)
	}
	if len(proc.still) != 0 {
		t.Errorf("%v are said to be in unchanged groups", proc.still)
	}
	b := &tree.tree.Groups[4]
	b.UsageUnchanged, b.Unchanged, b.PIDs = true, true, []int32{11, 15, 20} // 11 has moved to a, 15 is gone.
	// 30 is in no group.
	if got := counts(t, h); got["a"] != 3 || got["b"] != 1 || tree.lates != 1 {
		t.Errorf("processes %v, asked again %d times", got, tree.lates)
	}
	if !slices.Equal(proc.still, []int32{11, 15, 20}) {
		t.Errorf("%v are said to be in unchanged groups", proc.still)
	}
	proc.procs = append(proc.procs, oom.Process{PID: 31, RSS: mib}, oom.Process{PID: 40, RSS: mib})
	tree.late = [][]int32{4: {20, 31}}
	for range 3 {
		if got := counts(t, h); got["b"] != 2 || tree.lates != 2 {
			t.Errorf("processes %v, asked %d times in all, want twice", got, tree.lates)
		}
		b.PIDs = []int32{20, 31}
	}
}
