// SPDX-License-Identifier: Apache-2.0

package host

import (
	"cmp"
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// maxUnkillable bounds how many processes with oom_score_adj -1000 are read exactly.
const maxUnkillable = 1000

// Processes returns the top processes and the predicted victims, and fills in
// the containers' process summaries.
func (s *Snapshot) Processes() (*oom.Processes, error) {
	return s.processes.get(func() (*oom.Processes, error) {
		if err := s.late(); err != nil {
			return nil, err
		}
		node, err := s.Node()
		if err != nil {
			return nil, err
		}
		procs, source, err := s.scan()
		if err != nil {
			return nil, err
		}
		defer func() { s.h.cache.giveProcesses(procs) }()
		tree, groups := &oom.Tree{}, (*oom.Groups)(nil)
		if groups, err = s.Groups(); err == nil {
			tree, _ = s.Tree()
			s.assignProcesses(procs, tree)
		}
		p := &pass{s: s, node: &node.Node, tree: tree, procs: procs, fromCache: map[int]bool{}}
		p.rules = predict.RulesFor(node.Release, tree.Version)
		if source == oom.ByBPF {
			p.score()
		}
		if err == nil {
			s.summarize(groups, tree, procs)
		}
		if s.h.o.Scanned != nil {
			s.h.o.Scanned(procs, tree)
		}
		out := p.run()
		out.Source = source
		if p.moved {
			s.h.o.Hierarchy.ReadPIDs(tree)
		}
		return out, nil
	})
}

// scan lists the processes, and says by what means.
func (s *Snapshot) scan() ([]oom.Process, string, error) {
	procs, skipped, ok := s.h.o.Tasks.scan(s.h.cache.takeProcesses(), s.h.o.Now())
	if ok {
		s.skipped.Add(skipped)
		return procs, oom.ByBPF, nil
	}
	still := s.idlePIDs()
	procs, skipped, err := s.h.o.Proc.Scan(procs, still)
	s.h.cache.giveIdle(still)
	s.skipped.Add(skipped)
	return procs, oom.ByProcfs, err
}

// idlePIDs returns the PIDs, in ascending order, of the groups whose usage is
// unchanged.
func (s *Snapshot) idlePIDs() []int32 {
	tree, err := s.Tree()
	if err != nil {
		return nil
	}
	all := s.h.cache.takeIdle()
	for i := range tree.Groups {
		if g := &tree.Groups[i]; g.UsageUnchanged {
			all = append(all, g.PIDs...)
		}
	}
	slices.Sort(all)
	return all
}

// assignCgroups assigns each process to its group by the groups' PIDs. The lists read in
// this pass come last and win over older ones.
func assignCgroups(procs []oom.Process, tree *oom.Tree) {
	assignFrom(procs, tree, true)
	assignFrom(procs, tree, false)
}

// assignFrom assigns processes by the PIDs of the unchanged groups, or of the
// others. The lists are mostly ascending, so the next PID is usually that of the
// next process.
func assignFrom(procs []oom.Process, tree *oom.Tree, atRest bool) {
	next := 0
	for g := range tree.Groups {
		if tree.Groups[g].Unchanged != atRest {
			continue
		}
		for _, pid := range tree.Groups[g].PIDs {
			if next >= len(procs) || procs[next].PID != pid {
				at, ok := find(procs, pid)
				if !ok {
					continue
				}
				next = at
			}
			procs[next].Group = int32(g)
			next++
		}
	}
}

func find(procs []oom.Process, pid int32) (int, bool) {
	return slices.BinarySearchFunc(procs, pid, func(p oom.Process, pid int32) int { return int(p.PID) - int(pid) })
}

// pass is one ranking of the scanned processes.
type pass struct {
	s     *Snapshot
	rules predict.Rules
	node  *oom.Node
	tree  *oom.Tree
	procs []oom.Process
	// fromCache has the indexes of the processes whose sizes are from the cache.
	fromCache map[int]bool
	asked     map[int32]bool // PIDs whose group was looked up in /proc.
	moved     bool           // one of them had moved.
}

// score computes the scores of processes that were not read from /proc.
func (p *pass) score() {
	total := p.rules.Total(p.node, p.tree, predict.Node)
	for i := range p.procs {
		if proc := &p.procs[i]; !proc.Score.IsSet() {
			proc.Score = p.rules.Score(proc, total, p.node.PageSize)
		}
	}
}

func (p *pass) run() *oom.Processes {
	out := &oom.Processes{}
	index := p.rules.Index(p.node, p.tree, p.procs)
	if n := p.s.h.o.Top; n > 0 {
		for _, i := range p.rankTop(index, n) {
			out.Top = append(out.Top, p.row(i))
		}
		for pid, start := range p.s.h.cache.keepTop(out.Top) {
			if i, ok := find(p.procs, pid); ok && p.readSizes(i) == nil && p.procs[i].Start == start {
				out.Top = append(out.Top, p.row(i))
			}
		}
	}
	p.victim(out, index, predict.Node, oom.LevelNode, "")
	for _, i := range p.nearLimits() {
		p.victim(out, index, i, p.s.margins.Groups[i].Level, p.tree.Groups[i].Path)
	}
	out.Unkillable = p.unkillable()
	return out
}

// maxNearInOne is how many limits of one workload are named when they are near:
// whoever may make cgroups may give each a limit.
const maxNearInOne = 16

// nearLimits returns the groups whose limits are near. If there are more than may be
// named, it returns those nearest to a kill.
func (p *pass) nearLimits() []int {
	margins := p.s.margins.Groups
	var near []int
	for i := range margins {
		if m := &margins[i]; m.Known && m.Group == i && m.Ratio < p.s.h.o.NearRatio {
			near = append(near, i)
		}
	}
	most := p.s.h.o.MaxVictims
	if most <= 0 || len(near) <= min(most, maxNearInOne) {
		return near
	}
	slices.SortStableFunc(near, func(a, b int) int { return cmp.Compare(margins[a].Bytes, margins[b].Bytes) })
	of := map[int]int{} // number of near limits, by the group that they count for.
	named := near[:0]
	for _, i := range near {
		owner := p.tree.Groups[i].Owner
		if of[owner]++; of[owner] > maxNearInOne || len(named) == most {
			p.s.skipped.VictimsOverBound++
			continue
		}
		named = append(named, i)
	}
	slices.Sort(named)
	return named
}

// row gives a process its workload and its badness on the node's scale.
func (p *pass) row(i int) oom.ProcessRow {
	p.confirmCgroup(i)
	proc := p.procs[i]
	total := p.rules.Total(p.node, p.tree, predict.Node)
	pages, _ := p.rules.Badness(&proc, total, p.node.PageSize)
	return oom.ProcessRow{Process: proc, Workload: p.workload(&proc), Badness: pages * int64(p.node.PageSize)}
}

// workload is that of the group whose row the process counts for.
func (p *pass) workload(proc *oom.Process) oom.Workload {
	g := int(proc.Group)
	if g < 0 || g >= len(p.tree.Groups) {
		return oom.Workload{}
	}
	return p.tree.Groups[p.tree.Groups[g].Owner].Workload
}

// victim adds the answer to "who dies if this scope runs out now?".
func (p *pass) victim(out *oom.Processes, index *predict.Index, scope int, level oom.Level, path string) {
	v := p.chooseVictim(index, scope)
	next := oom.NextVictim{Scope: level, Cgroup: path, All: len(v.All), Tie: v.Tie}
	switch {
	case v.Primary >= 0:
		next.Process = p.row(v.Primary)
		next.Badness = v.BadnessPages * int64(p.node.PageSize)
	case v.NoneKillable:
		// The series has no process: none can be killed.
	default:
		// The settings decide, not the ranking; their own metrics say so.
		return
	}
	out.Victims = append(out.Victims, next)
}

// unkillable adds up the memory of the processes that the kernel can never kill.
func (p *pass) unkillable() oom.Amount {
	var sum uint64
	looked := 0
	for i := range p.procs {
		if p.procs[i].Adj != -1000 {
			continue
		}
		if looked++; looked > maxUnkillable {
			p.s.skipped.ProcessesOverBound++
			continue
		}
		if p.readSizes(i) == nil {
			sum += p.procs[i].Anon + p.procs[i].Swap
		}
	}
	return oom.Of(sum)
}
