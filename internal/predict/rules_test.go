// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	kib  = 1 << 10
	mib  = 1 << 20
	gib  = 1 << 30
	page = 4096
)

func release(text string) oom.Release { return oom.ParseRelease(text) }

// process is one whose exact sizes are known.
func process(pid int32, adj int16, rssKiB, tablesKiB uint64) oom.Process {
	return oom.Process{PID: pid, Adj: adj, RSS: rssKiB * kib, PageTables: tablesKiB * kib, Exact: true, Start: uint64(pid)}
}

// TestRealKernel repeats two OOMs of a Linux 6.18 with 24 GiB, whose
// /proc/PID/oom_score and victims are known.
func TestRealKernel(t *testing.T) {
	const totalPages = 6170604
	node := &oom.Node{Release: release("6.18.44"), PageSize: page, Total: oom.Of(totalPages * page), SwapTotal: oom.Of(0)}
	r := RulesFor(node.Release, 1)
	if got := r.Total(node, &oom.Tree{}, Node); got != totalPages {
		t.Fatalf("node has %d pages, want %d", got, totalPages)
	}
	tree := &oom.Tree{Version: 1, Groups: []oom.Group{
		{Parent: -1, Hierarchical: true, Limit: oom.Unlimited()},
		{Parent: 0, Hierarchical: true, Limit: oom.Of(128 * mib), MemswLimit: oom.Unlimited(), Swappiness: oom.Of(60)},
	}}
	for _, c := range []struct {
		name   string
		procs  []oom.Process
		scores []int64
		victim int
	}{
		{"small process with a high adj", []oom.Process{
			process(14571, 900, 21312, 80),
			process(14572, 0, 52028, 140),
			process(14573, 300, 31552, 100),
		}, []int64{1266, 668, 867}, 0},
		{"lower oom_score dies", []oom.Process{
			process(14604, 0, 72512, 180),
			process(14605, 10, 31556, 96),
		}, []int64{668, 674}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range c.procs {
				c.procs[i].Group = 1
				badness, ok := r.Badness(&c.procs[i], totalPages, page)
				if got := r.score(badness, totalPages); !ok || got != c.scores[i] {
					t.Errorf("oom_score of %d is %d, the kernel said %d", c.procs[i].PID, got, c.scores[i])
				}
			}
			if v := r.Choose(node, tree, c.procs, 1, nil); v.Primary != c.victim {
				t.Errorf("chose %+v, the kernel killed %d", v, c.victim)
			}
		})
	}
}

func TestBadness(t *testing.T) {
	const unit32 = 128 * mib / page // pages: one point of adj is 32 pages.
	for _, c := range []struct {
		name     string
		kernel   string
		process  oom.Process
		total    uint64
		want     int64
		eligible bool
	}{
		{"adj unit of 128 MiB", "6.18", process(2, 10, 31532, 0), unit32, 7883 + 320, true},
		{"negative", "5.9", process(2, -100, 4096, 0), unit32, 1024 - 3200, true},
		{"never below 1 before 5.9", "5.8", process(2, -100, 4096, 0), unit32, 1, true},
		{"same on 3.10", "3.10", process(2, -999, 4096, 0), unit32, 1, true},
		{"adj is lost below 1000 pages", "6.1", process(2, 1000, 40, 4), 999, 11, true},
		{"each part is cut to pages", "6.1", oom.Process{RSS: 4095, Swap: 4095, PageTables: 4095, Exact: true}, unit32, 0, true},
		{"swap and page tables count", "6.1", oom.Process{RSS: 4 * page, Swap: 2 * page, PageTables: page}, unit32, 7, true},
		{"unkillable", "6.1", process(2, -1000, 4096, 4), unit32, 0, false},
		{"-999 may be killed", "6.1", process(2, -999, 4096, 0), unit32, 1024 - 999*32, true},
		{"init", "6.1", oom.Process{PID: 1, RSS: mib, Init: true}, unit32, 0, false},
		{"pid 1 of a container", "6.1", oom.Process{PID: 1, RSS: mib}, unit32, 256, true},
		{"no memory of its own", "6.1", oom.Process{Exact: true}, unit32, 0, false},
		{"not known to have none", "6.1", oom.Process{}, unit32, 0, true},
		{"swapped out", "6.1", oom.Process{Exact: true, Swap: mib, PageTables: page}, unit32, 257, true},
		{"score 0 is ineligible", "6.1", oom.Process{RSS: mib, Score: oom.Of(0)}, unit32, 0, false},
		{"score 0 is small before 5.9", "5.8", oom.Process{RSS: mib, Score: oom.Of(0)}, unit32, 256, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := RulesFor(release(c.kernel), 2).Badness(&c.process, c.total, page)
			if got != c.want || ok != c.eligible {
				t.Errorf("got %d %v, want %d %v", got, ok, c.want, c.eligible)
			}
		})
	}
	if _, ok := RulesFor(release("6.1"), 2).Badness(&oom.Process{RSS: mib}, 100, 0); ok {
		t.Error("a page size of 0 gave a badness")
	}
}

// score is /proc/PID/oom_score of an eligible process whose badness in the
// node's scope of total pages is given (fs/proc/base.c: proc_oom_score).
func (r Rules) score(pages int64, total uint64) int64 {
	if total == 0 {
		return 0
	}
	if !r.signed {
		return pages * 1000 / int64(total)
	}
	return (1000 + pages*1000/int64(total)) * 2 / 3
}

func TestScore(t *testing.T) {
	const total = 6170604
	for _, c := range []struct {
		name   string
		kernel string
		pages  int64
		total  uint64
		want   int64
	}{
		{"idle", "6.1", 0, total, 666},
		{"idle at adj 1000", "6.1", 1000 * (total / 1000), total, 1332}, // 999.9 is cut before two thirds.
		{"idle at adj 1000, round size", "6.1", 1000 * 6000, 6000 * 1000, 1333},
		{"all memory at adj 1000", "6.1", 2 * 6000 * 1000, 6000 * 1000, 2000},
		{"idle at adj -999", "6.1", 1 - 999*6000, 6000 * 1000, 1},
		{"old scale", "5.8", total / 2, total, 500},
		{"old scale at adj 1000", "4.19", 1000 * 6000, 6000 * 1000, 1000},
		{"no memory at all", "6.1", 5, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := RulesFor(release(c.kernel), 2).score(c.pages, c.total); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestTotal(t *testing.T) {
	node := func(swapMiB, swappiness uint64) *oom.Node {
		return &oom.Node{PageSize: page, Total: oom.Of(512 * mib), SwapTotal: oom.Of(swapMiB * mib), Swappiness: oom.Of(swappiness)}
	}
	v1 := func(limitMiB, memswMiB, swappiness uint64) oom.Group {
		return oom.Group{Limit: oom.Of(limitMiB * mib), MemswLimit: oom.Of(memswMiB * mib), Swappiness: oom.Of(swappiness)}
	}
	for _, c := range []struct {
		name    string
		version int
		node    *oom.Node
		group   oom.Group
		wantMiB uint64
	}{
		{"v2 without swap", 2, node(0, 60), oom.Group{Limit: oom.Of(64 * mib), SwapLimit: oom.Unlimited()}, 64},
		{"v2 swap limit", 2, node(100, 60), oom.Group{Limit: oom.Of(64 * mib), SwapLimit: oom.Of(16 * mib)}, 80},
		{"v2 all swap", 2, node(100, 60), oom.Group{Limit: oom.Of(64 * mib), SwapLimit: oom.Unlimited()}, 164},
		{"v2 without swap accounting", 2, node(100, 60), oom.Group{Limit: oom.Of(64 * mib)}, 164},
		{"v2 vm.swappiness 0", 2, node(100, 0), oom.Group{Limit: oom.Of(64 * mib), SwapLimit: oom.Unlimited()}, 64},
		{"v2 ignores a group's swappiness", 2, node(100, 60), oom.Group{Limit: oom.Of(64 * mib), Swappiness: oom.Of(0)}, 164},
		{"v1 memsw", 1, node(100, 60), v1(64, 70, 60), 70},
		{"v1 swap is less than memsw", 1, node(100, 60), v1(64, 700, 60), 164},
		{"v1 memory.swappiness 0", 1, node(100, 60), v1(64, 70, 0), 64},
		{"v1 ignores vm.swappiness", 1, node(100, 0), v1(64, 70, 60), 70},
		{"v1 without swap accounting", 1, node(100, 60), oom.Group{Limit: oom.Of(64 * mib), Swappiness: oom.Of(60)}, 164},
		{"no limit", 1, node(0, 60), oom.Group{Limit: oom.Unlimited(), MemswLimit: oom.Unlimited(), Swappiness: oom.Of(60)}, 1 << 63 >> 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := RulesFor(release("6.1"), c.version)
			tree := &oom.Tree{Version: c.version, Groups: []oom.Group{{Parent: -1}, c.group}}
			if got, want := r.Total(c.node, tree, 1), c.wantMiB*(mib/page); got != want {
				t.Errorf("got %d pages, want %d", got, want)
			}
		})
	}
	r := RulesFor(release("6.1"), 2)
	tree := &oom.Tree{Version: 2, Groups: []oom.Group{{Parent: -1}, {Limit: oom.Of(0)}}}
	if got, want := r.Total(node(100, 60), tree, Node), uint64(612*mib/page); got != want {
		t.Errorf("node has %d pages, want %d", got, want)
	}
	if got := r.Total(node(0, 60), tree, 1); got != 1 {
		t.Errorf("a limit of 0 has %d pages, want the kernel's 1", got)
	}
}
