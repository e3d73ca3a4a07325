// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// memory says what kinds of memory there were.
func (p *printer) memory(r *oomlog.Report) {
	var parts []string
	add := func(name string, a oom.Amount) {
		if n, ok := a.Get(); ok && n >= mib/20 {
			parts = append(parts, name+" "+size(a))
		}
	}
	if r.Global || r.Node.RAM.IsSet() && !r.Memory.Usage.IsSet() {
		n := r.Node
		if ram, ok := n.RAM.Get(); ok {
			add("usable RAM", oom.Of(ram-min(ram, n.Reserved.Or(0))))
		}
		add("anonymous", n.Anon)
		add("page cache", n.File)
		add("tmpfs and shared", n.Shmem)
		if name := n.LargestSlab.Name; name != "" && n.Unreclaimable.Or(0) >= max(n.Anon.Or(0), n.File.Or(0)) {
			parts = append(parts, fmt.Sprintf("kernel slabs %s (the largest is %s with %s)", size(n.Unreclaimable),
				Clean(name, maxComm), size(n.LargestSlab.Size)))
		} else {
			add("kernel slabs", n.Unreclaimable)
		}
		add("free", n.Free)
		if n.SwapTotal.Or(0) > 0 {
			parts = append(parts, fmt.Sprintf("swap %s free of %s", size(n.SwapFree), size(n.SwapTotal)))
		} else if n.SwapTotal.IsSet() {
			parts = append(parts, "no swap")
		}
		if len(parts) > 0 {
			p.item("Memory", strings.Join(parts, ", "))
		}
		return
	}
	stat := func(keys ...string) oom.Amount {
		for _, key := range keys {
			if a := r.Stat(key); a.IsSet() {
				return a
			}
		}
		return oom.Amount{}
	}
	// v1's keys without total_ are of one cgroup alone, but up to 5.2 the log
	// has no others and they are added up.
	add("anonymous", stat("anon", "total_rss", "rss"))
	add("page cache", stat("file", "total_cache", "cache"))
	add("of it tmpfs and shared", stat("shmem", "total_shmem"))
	kernel := stat("kernel")
	if !kernel.IsSet() {
		kernel = r.Kmem.Usage
	}
	add("kernel", kernel)
	add("sockets", stat("sock"))
	if swap := stat("total_swap", "swap"); !r.Swap.Usage.IsSet() {
		add("swap", swap)
	}
	if r.Swap.Usage.Or(0) > 0 {
		parts = append(parts, fmt.Sprintf("swap %s of %s", size(r.Swap.Usage), size(r.Swap.Limit)))
	}
	if len(parts) > 0 {
		p.item("Memory", strings.Join(parts, ", "))
	}
}

// largest says what used the most memory if that is not the victim: which cgroup by
// the statistics of old kernels, and which process by the task table.
func (p *printer) largest(r *oomlog.Report) {
	var top *oomlog.Group
	below := 0
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.Path == r.LimitPath {
			continue
		}
		if below++; top == nil || g.RSS+g.Swap+g.Cache > top.RSS+top.Swap+top.Cache {
			top = g
		}
	}
	if below > 1 && top.Path != r.VictimPath {
		p.item("Most", fmt.Sprintf("of %d cgroups below the limit %s used most: %s anonymous, %s page cache, %s swap", below,
			p.short(top.Path), size(oom.Of(top.RSS)), size(oom.Of(top.Cache)), size(oom.Of(top.Swap))))
	}
	var most *oomlog.Task
	used := func(t *oomlog.Task) uint64 { return t.RSS.Or(0) + t.Swap.Or(0) }
	for i := range r.Tasks {
		if t := &r.Tasks[i]; most == nil || used(t) > used(most) {
			most = t
		}
	}
	if most == nil || len(r.Kills) == 0 {
		return
	}
	for i := range r.Kills {
		if t := r.Task(r.Kills[i].Victim); t == most || t == nil && i == 0 {
			return
		}
	}
	p.item("Most", fmt.Sprintf("%s (pid %d) used most, %s, and was not killed: oom_score_adj %d", Clean(most.Comm, maxComm),
		most.PID, size(oom.Of(used(most))), most.Adj))
}

// ranking says why this process was chosen, which would have been next, and how large the
// processes were.
func (p *printer) ranking(r *oomlog.Report) {
	if len(r.Tasks) == 0 {
		p.item("Why", "unknown: the log has no task table")
		return
	}
	k := rank(r)
	if len(r.Kills) > 0 {
		p.reason(r, &k)
		p.next(r, &k)
	}
	p.line("")
	p.tasks(r, &k)
}

// reason shows the arithmetic that made the victim the victim.
func (p *printer) reason(r *oomlog.Report, k *ranking) {
	first := r.Kills[0]
	s := k.find(r, first.Victim)
	switch {
	case s == nil:
		p.item("Why", "unknown: the victim is not in the task table")
		return
	case first.Allocating:
		p.item("Why", "it was the task that asked for memory: its size did not matter")
		return
	}
	text := fmt.Sprintf("%d rss + %d swap + %d page tables", s.rss, s.swap, s.tables)
	if s.bonus > 0 {
		text += fmt.Sprintf(" - %d (root's 3 %%)", s.bonus)
	}
	if s.task.Adj != 0 && k.total > 0 {
		text += fmt.Sprintf(" %s %d oom_score_adj x %d", sign(s.task.Adj), abs(s.task.Adj), s.adj)
	}
	text += fmt.Sprintf(" = %d pages", s.points)
	if s.points > 0 {
		text += " (" + size(oom.Of(uint64(s.points)*r.PageSize)) + ")"
	}
	eligible := 0
	for _, other := range k.scores {
		if other.eligible {
			eligible++
		}
	}
	switch {
	case s.task.Adj != 0 && k.total == 0:
		text += ", and an oom_score_adj of " + fmt.Sprint(s.task.Adj) + " in thousandths of a limit that the log does not give"
	case eligible == 1:
		text += ", the only process that could be killed"
	case k.scores[0].points == s.points:
		text += fmt.Sprintf(", the highest score of %d", eligible)
	default:
		text += fmt.Sprintf("; the table has a higher one, %s: it could not be killed, or the numbers moved",
			Clean(k.scores[0].task.Comm, maxComm))
	}
	p.item("Why", text)
	if s.task.Adj != 0 && k.total > 0 {
		of := "the limit"
		if r.Global {
			of = "RAM and swap"
		}
		about := ""
		if k.about {
			about = ", with the swap that the log tells of"
		}
		p.item("", fmt.Sprintf("(%d is a thousandth of %s in pages%s)", s.adj, of, about))
	}
}

func (p *printer) next(r *oomlog.Report, k *ranking) {
	if r.Kills[0].Allocating {
		return
	}
	s := k.next(r)
	if s == nil {
		p.item("Next", "nobody: nothing else could have been killed there")
		return
	}
	p.item("Next", fmt.Sprintf("%s (pid %d) with %d pages, had this not been enough",
		Clean(s.task.Comm, maxComm), s.task.PID, s.points))
}

// tasks prints the top of the task table, in the order in which the kernel
// would kill.
func (p *printer) tasks(r *oomlog.Report, k *ranking) {
	p.line("  Processes, the next to be killed first (sizes in MiB, score in pages):")
	p.line("          PID       RSS      SWAP  PAGETABLES    ADJ      SCORE  NAME")
	killed := make(map[*oomlog.Task]bool)
	for _, kill := range r.Kills {
		killed[r.Task(kill.Victim)] = true
	}
	for i, s := range k.scores {
		if i == p.opts.Top {
			break
		}
		mark, points := " ", fmt.Sprint(s.points)
		if killed[s.task] {
			mark = "*"
		}
		if !s.eligible {
			points = "-"
		}
		p.line(fmt.Sprintf("  %s %9d %9s %9s %11s %6d %10s  %s", mark, s.task.PID, mibs(s.task.RSS), mibs(s.task.Swap),
			mibs(s.task.PageTables), s.task.Adj, points, Clean(s.task.Comm, 24)))
	}
	if left := len(k.scores) - p.opts.Top + r.TasksOmitted; left > 0 && len(k.scores) > p.opts.Top {
		p.line(fmt.Sprintf("    and %d more", left))
	}
	var marks []string
	if len(r.Kills) > 0 {
		marks = append(marks, "* killed")
	}
	for _, s := range k.scores {
		if !s.eligible {
			marks = append(marks, "- can't be killed")
			break
		}
	}
	if len(marks) > 0 {
		p.line("    " + strings.Join(marks, "   "))
	}
}

func sign(n int) string {
	if n < 0 {
		return "-"
	}
	return "+"
}

func abs(n int) int { return max(n, -n) }
