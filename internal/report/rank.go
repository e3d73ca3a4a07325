// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"
	"sort"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// score is the kernel's arithmetic (oom_badness of mm/oom_kill.c) for one row
// of the task table, in pages.
type score struct {
	task              *oomlog.Task
	rss, swap, tables int64
	bonus             int64 // taken off for root, up to 4.16.
	adj               int64 // what one point of oom_score_adj is worth.
	points            int64
	eligible          bool
}

// ranking is the order in which the kernel would kill.
type ranking struct {
	scores []score // the eligible by falling score, then the others by size.
	total  uint64  // totalpages, 0 if the log does not tell.
	about  bool    // total may be larger: the log need not show all of the swap.
	old    bool    // a kernel that takes 3 % off for root.
}

// rank computes the ranking of a report, as far as its task table tells.
func rank(r *oomlog.Report) ranking {
	k := ranking{}
	k.total, k.about = totalPages(r)
	known := r.Release.Major > 0
	k.old = known && !r.Release.AtLeast(4, 17)
	for i := range r.Tasks {
		k.old = k.old || !known && r.Tasks[i].OldTables
	}
	unit := int64(min(k.total/1000, math.MaxInt32))
	for i := range r.Tasks {
		k.scores = append(k.scores, k.score(&r.Tasks[i], r, unit))
	}
	// Among equals, the last one is taken since 5.3, the first one before.
	if !known || r.Release.AtLeast(5, 3) {
		for i, j := 0, len(k.scores)-1; i < j; i, j = i+1, j-1 {
			k.scores[i], k.scores[j] = k.scores[j], k.scores[i]
		}
	}
	sort.SliceStable(k.scores, func(i, j int) bool {
		a, b := k.scores[i], k.scores[j]
		if a.eligible != b.eligible {
			return a.eligible
		}
		return a.points > b.points
	})
	return k
}

func (k *ranking) score(t *oomlog.Task, r *oomlog.Report, unit int64) score {
	s := score{
		task:   t,
		rss:    inPages(t.RSS, r.PageSize),
		swap:   inPages(t.Swap, r.PageSize),
		tables: inPages(t.PageTables, r.PageSize),
		adj:    unit,
		// Never killed: the init process, and processes with oom_score_adj -1000.
		eligible: t.Adj != -1000 && t.TGID != 1,
	}
	s.points = s.rss + s.swap + s.tables
	if uid, ok := t.UID.Get(); k.old && ok && uid == 0 {
		s.bonus = s.points * 3 / 100
		s.points -= s.bonus
	}
	s.points += int64(t.Adj) * unit
	if s.points < 1 && r.Release.Major > 0 && !r.Release.AtLeast(5, 9) {
		s.points = 1
	}
	return s
}

// inPages turns bytes into pages; a table's numbers are far below the limit.
func inPages(a oom.Amount, pageSize uint64) int64 {
	return int64(min(a.Or(0)/max(pageSize, 1), math.MaxInt32<<10))
}

// totalPages is the kernel's totalpages, which scales oom_score_adj: RAM and
// swap, or the memory cgroup's limit and the swap that it may use.
func totalPages(r *oomlog.Report) (total uint64, about bool) {
	if r.Global {
		ram, ok := r.Node.RAM.Get()
		if !ok {
			return 0, false
		}
		bytes := ram - min(ram, r.Node.Reserved.Or(0)) + r.Node.SwapTotal.Or(0)
		return bytes / r.PageSize, false
	}
	limit, ok := r.Memory.Limit.Get()
	if !ok {
		return 0, false
	}
	memsw, v1 := r.Memsw.Limit.Get()
	swap := r.Swap.Limit.Or(r.Swap.Usage.Or(0))
	switch {
	case v1 && memsw > limit:
		swap = memsw - limit
	case r.Memsw.Usage.IsValue():
		swap = r.Memsw.Usage.Or(0) - min(r.Memsw.Usage.Or(0), r.Memory.Usage.Or(0))
	}
	return (limit + swap) / r.PageSize, swap > 0
}

// find returns the score of a victim, nil if the table does not list it.
func (k *ranking) find(r *oomlog.Report, v oom.Victim) *score {
	t := r.Task(v)
	for i := range k.scores {
		if k.scores[i].task == t && t != nil {
			return &k.scores[i]
		}
	}
	return nil
}

// next returns the process that the kernel would have killed after those of this
// report, nil if there is none.
func (k *ranking) next(r *oomlog.Report) *score {
	dead := make(map[*oomlog.Task]bool)
	for _, kill := range r.Kills {
		dead[r.Task(kill.Victim)] = true
	}
	for i := range k.scores {
		if s := &k.scores[i]; s.eligible && !dead[s.task] {
			return s
		}
	}
	return nil
}
