// SPDX-License-Identifier: Apache-2.0

package host

import (
	"cmp"
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// maxUnkillable bounds how many processes at -1000 are looked at exactly.
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
		buf := s.h.memory.borrow()
		still := s.still()
		procs, skipped, err := s.h.o.Proc.Scan(buf, still)
		s.h.memory.giveStill(still)
		s.skipped.Add(skipped)
		if err != nil {
			return nil, err
		}
		defer func() { s.h.memory.giveBack(procs) }()
		tree := &oom.Tree{}
		if groups, err := s.Groups(); err == nil {
			tree, _ = s.Tree()
			s.place(procs, tree)
			s.summarize(groups, tree, procs)
		}
		if s.h.o.Scanned != nil {
			s.h.o.Scanned(procs, tree)
		}
		p := &pass{s: s, node: &node.Node, tree: tree, procs: procs, recalled: map[int]bool{}}
		p.rules = predict.RulesFor(node.Release, tree.Version)
		out := p.run()
		if p.moved {
			s.h.o.Hierarchy.ReadPIDs(tree)
		}
		return out, nil
	})
}

// still returns the processes of groups that were not charged, in ascending
// order.
func (s *Snapshot) still() []int32 {
	tree, err := s.Tree()
	if err != nil {
		return nil
	}
	all := s.h.memory.takeStill()
	for i := range tree.Groups {
		if g := &tree.Groups[i]; g.Uncharged {
			all = append(all, g.PIDs...)
		}
	}
	slices.Sort(all)
	return all
}

// place goes by the lists of the groups: what was read last comes last.
func place(procs []oom.Process, tree *oom.Tree) {
	placeThose(procs, tree, true)
	placeThose(procs, tree, false)
}

// placeThose goes by the lists of groups at rest, or of the others. They are
// mostly ascending, so the next pid is mostly the next process.
func placeThose(procs []oom.Process, tree *oom.Tree, atRest bool) {
	next := 0
	for g := range tree.Groups {
		if tree.Groups[g].AtRest != atRest {
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

// pass is what one look at the processes needs.
type pass struct {
	s     *Snapshot
	rules predict.Rules
	node  *oom.Node
	tree  *oom.Tree
	procs []oom.Process
	// recalled are those whose sizes are of an earlier pass.
	recalled map[int]bool
	asked    map[int32]bool // processes that were asked for their group.
	moved    bool           // one of them had moved.
}

func (p *pass) run() *oom.Processes {
	out := &oom.Processes{}
	index := p.rules.Index(p.node, p.tree, p.procs)
	if n := p.s.h.o.Top; n > 0 {
		for _, i := range p.top(index, n) {
			out.Top = append(out.Top, p.row(i))
		}
		for pid, start := range p.s.h.memory.keepTop(out.Top) {
			if i, ok := find(p.procs, pid); ok && p.look(i) == nil && p.procs[i].Start == start {
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

// nearLimits returns the groups whose limits are near. Where there are more than
// may be named, those nearest to a kill are.
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
	of := map[int]int{} // by the group that they count for.
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
	p.locate(i)
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
	v := p.choose(index, scope)
	next := oom.NextVictim{Scope: level, Cgroup: path, All: len(v.All), Tie: v.Tie}
	switch {
	case v.Primary >= 0:
		next.Process = p.row(v.Primary)
		next.Badness = v.BadnessPages * int64(p.node.PageSize)
	case v.NoneKillable:
		// The series stands without a process: nobody can be killed.
	default:
		// The settings decide, not the ranking; their own metrics say so.
		return
	}
	out.Victims = append(out.Victims, next)
}

// unkillable adds up what the kernel can never kill.
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
		if p.look(i) == nil {
			sum += p.procs[i].Anon + p.procs[i].Swap
		}
	}
	return oom.Of(sum)
}
