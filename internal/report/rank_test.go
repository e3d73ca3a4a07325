// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

const page = 4096

// row is a task of so many pages.
func row(pid, rss, swap, tables, adj int) oomlog.Task {
	size := func(n int) oom.Amount { return oom.Of(uint64(n) * page) }
	return oomlog.Task{PID: pid, TGID: pid, UID: oom.Of(0), RSS: size(rss), Swap: size(swap), PageTables: size(tables), Adj: adj}
}

func limited(release string, pages uint64, tasks ...oomlog.Task) *oomlog.Report {
	return &oomlog.Report{
		Release: oom.ParseRelease(release), PageSize: page, Tasks: tasks,
		Memory: oomlog.Usage{Usage: oom.Of(pages * page), Limit: oom.Of(pages * page)},
	}
}

func TestRank(t *testing.T) {
	for _, tc := range []struct {
		name   string
		report *oomlog.Report
		pids   []int
		points []int64
	}{
		{"sizes add up", limited("6.1.0", 32768, row(2, 100, 10, 1, 0), row(3, 90, 30, 2, 0)), []int{3, 2}, []int64{122, 111}},
		{
			"adj in thousandths of the limit", limited("6.1.0", 32768, row(2, 18067, 0, 45, 0), row(3, 7800, 0, 83, 10)),
			[]int{2, 3},
			[]int64{18112, 8203},
		},
		{"a small limit has no adj at all", limited("6.1.0", 999, row(2, 5, 0, 0, 1000), row(3, 6, 0, 0, 0)), []int{3, 2}, []int64{6, 5}},
		{
			"never killed", limited("6.1.0", 32768, row(1, 9000, 0, 0, 0), row(2, 800, 0, 0, -1000), row(3, 1, 0, 0, -999)),
			[]int{3, 1, 2},
			[]int64{-32*999 + 1, 9000, 800 - 32*1000},
		},
		{"negative before 5.9 counts as one", limited("5.4.0", 32768, row(2, 10, 0, 0, -500)), []int{2}, []int64{1}},
		{"root's bonus before 4.17", limited("4.15.18", 32768, row(2, 1000, 0, 0, 0)), []int{2}, []int64{970}},
		{"no bonus since", limited("4.19.40", 32768, row(2, 1000, 0, 0, 0)), []int{2}, []int64{1000}},
		{"the last of equals", limited("6.1.0", 32768, row(2, 10, 0, 0, 0), row(3, 10, 0, 0, 0)), []int{3, 2}, []int64{10, 10}},
		{"the first of equals before 5.3", limited("5.2.1", 32768, row(2, 10, 0, 0, 0), row(3, 10, 0, 0, 0)), []int{2, 3}, []int64{10, 10}},
	} {
		k := rank(tc.report)
		for i, s := range k.scores {
			if s.task.PID != tc.pids[i] || s.points != tc.points[i] {
				t.Errorf("%s: place %d is %d with %d, want %d with %d", tc.name, i, s.task.PID, s.points, tc.pids[i], tc.points[i])
			}
		}
	}
	user := row(2, 1000, 0, 0, 0)
	user.UID = oom.Of(1000)
	if k := rank(limited("3.10.0", 32768, user)); k.scores[0].points != 1000 {
		t.Errorf("a user has root's bonus: %d", k.scores[0].points)
	}
	old := row(2, 1000, 0, 0, 0)
	old.OldTables = true
	if k := rank(limited("", 32768, old)); k.scores[0].points != 970 {
		t.Errorf("an old table without a release: %d", k.scores[0].points)
	}
}

func TestTotalPages(t *testing.T) {
	amount := func(pages uint64) oom.Amount { return oom.Of(pages * page) }
	for _, tc := range []struct {
		name   string
		report oomlog.Report
		want   uint64
		about  bool
	}{
		{"limit", oomlog.Report{Memory: oomlog.Usage{Limit: amount(100)}}, 100, false},
		{"v2 without swap", oomlog.Report{Memory: oomlog.Usage{Limit: amount(100)}, Swap: oomlog.Usage{Usage: amount(0), Limit: amount(0)}}, 100, false},
		{"v2, swap without a limit", oomlog.Report{
			Memory: oomlog.Usage{Limit: amount(100)},
			Swap:   oomlog.Usage{Usage: amount(7), Limit: oom.Unlimited()},
		}, 107, true},
		{"v2, limited swap", oomlog.Report{Memory: oomlog.Usage{Limit: amount(100)}, Swap: oomlog.Usage{Usage: amount(7), Limit: amount(50)}}, 150, true},
		{"v1, memory and swap", oomlog.Report{Memory: oomlog.Usage{Limit: amount(100)}, Memsw: oomlog.Usage{Usage: amount(100), Limit: amount(130)}}, 130, true},
		{"v1, no swap", oomlog.Report{
			Memory: oomlog.Usage{Usage: amount(100), Limit: amount(100)},
			Memsw:  oomlog.Usage{Usage: amount(100), Limit: oom.Unlimited()},
		}, 100, false},
		{"node", oomlog.Report{Global: true, Node: oomlog.NodeMemory{RAM: amount(1000), Reserved: amount(100), SwapTotal: amount(50)}}, 950, false},
		{"unknown", oomlog.Report{}, 0, false},
		{"node, unknown", oomlog.Report{Global: true}, 0, false},
	} {
		tc.report.PageSize = page
		if got, about := totalPages(&tc.report); got != tc.want || about != tc.about {
			t.Errorf("%s: %d, %v, want %d, %v", tc.name, got, about, tc.want, tc.about)
		}
	}
}

// Real kernels agree: in every report of the corpus that has a whole table the
// first place is the process that was killed.
func TestRankCorpus(t *testing.T) {
	checked := 0
	for _, r := range corpusReports(t) {
		if len(r.Kills) == 0 || len(r.Tasks) == 0 || r.Kills[0].Allocating {
			continue
		}
		k := rank(&r)
		s := k.find(&r, r.Kills[0].Victim)
		if s == nil || s.points != k.scores[0].points {
			t.Errorf("%s (%d) was killed, the table says %+v", r.Kills[0].Victim.Comm, r.Kills[0].Victim.PID, k.scores[0])
		}
		checked++
	}
	if checked < 80 {
		t.Errorf("only %d reports were looked at", checked)
	}
}
