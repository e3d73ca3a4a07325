// SPDX-License-Identifier: Apache-2.0

package host

import (
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// summarize adds up each container's processes, those of its helper groups
// and sub-groups included.
func (s *Snapshot) summarize(groups *oom.Groups, tree *oom.Tree, procs []oom.Process) {
	if !visible(tree, procs) {
		return
	}
	for i := range groups.Containers {
		groups.Containers[i].Processes = oom.ProcessSummary{Known: true}
	}
	for g := range tree.Groups {
		group := &tree.Groups[g]
		if row := s.rowOf[group.Owner]; row >= 0 && groups.Containers[row].Group == &tree.Groups[group.Owner] && !group.Unchanged {
			groups.Containers[row].Processes.Count += len(group.PIDs)
		}
	}
	for i := range procs {
		p := &procs[i]
		if p.Group < 0 {
			continue
		}
		owner := tree.Groups[p.Group].Owner
		row := s.rowOf[owner]
		if row < 0 || groups.Containers[row].Group != &tree.Groups[owner] {
			continue
		}
		sum := &groups.Containers[row].Processes
		if tree.Groups[p.Group].Unchanged { // PIDs may have some that are gone.
			sum.Count++
		}
		if !sum.Adj || int(p.Adj) > sum.AdjMax {
			sum.Adj, sum.AdjMax = true, int(p.Adj)
		}
		if score, ok := p.Score.Get(); ok && (!sum.ScoreMax.IsValue() || score > sum.ScoreMax.Or(0)) {
			sum.ScoreMax = p.Score
		}
	}
	s.checkOOMScoreAdj(groups, procs)
}

// checkOOMScoreAdj checks whether the oldest process of each container has the oom_score_adj
// that the QoS class implies. The oldest stays the oldest until it ends, so it is
// searched for once.
func (s *Snapshot) checkOOMScoreAdj(groups *oom.Groups, procs []oom.Process) {
	if s.h.o.Mismatch == nil {
		return
	}
	for r := range groups.Containers {
		row := &groups.Containers[r]
		if row.QoS == "" || len(row.PIDs) == 0 {
			continue
		}
		if i, ok := s.oldest(row.Group, procs); ok {
			row.Processes.Mismatch = s.h.o.Mismatch(&row.Identity, int(procs[i].Adj))
		}
	}
}

// oldest returns the index of the group's oldest process.
func (s *Snapshot) oldest(g *oom.Group, procs []oom.Process) (int, bool) {
	st := s.h.cache.state(g.GroupID)
	if st == nil {
		return 0, false
	}
	if pid := st.oldest.Load(); pid != 0 && slices.Contains(g.PIDs, pid) {
		if i, ok := find(procs, pid); ok {
			return i, true
		}
	}
	best, found := 0, false
	for _, pid := range g.PIDs {
		i, ok := find(procs, pid)
		if !ok || len(g.PIDs) > 1 && !procs[i].Exact && s.h.o.Proc.Exact(&procs[i]) != nil {
			continue
		}
		if !found || procs[i].Start < procs[best].Start {
			best, found = i, true
		}
	}
	if found {
		st.oldest.Store(procs[best].PID)
	}
	return best, found
}

// visible tells whether the pids of the groups and of /proc are the same
// ones: without the host's pid namespace the groups' files show zeros or pids of
// another namespace.
func visible(tree *oom.Tree, procs []oom.Process) bool {
	for i := range procs {
		if procs[i].Group >= 0 {
			return true
		}
	}
	return len(tree.Groups) == 0
}
