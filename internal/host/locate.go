// SPDX-License-Identifier: Apache-2.0

package host

import "github.com/oom-exporter/oom_exporter/internal/oom"

const (
	// maxAsked is the most processes in no group that are asked for theirs one by
	// one. Where there are more, the lists of the groups are read again.
	maxAsked = 64
	// witnesses is how many processes whose group is known are asked at most to
	// find out whether their answers are paths of the tree.
	witnesses = 4
)

// place finds each process' group by the groups' lists. In none of these are
// processes that were forked while they were read, and those that moved from a
// group whose list was read now to one at rest, whose list is of an earlier pass.
func (s *Snapshot) place(procs []oom.Process, tree *oom.Tree) {
	place(procs, tree)
	strays := s.h.memory.newStrays(procs)
	if len(strays) == 0 {
		return
	}
	switch {
	case len(strays) <= maxAsked && s.pathsAgree(procs, tree):
		for _, i := range strays {
			if g, ok := s.groupOf(procs[i].PID, tree); ok {
				procs[i].Group = g
			}
		}
	case anyAtRest(tree):
		s.h.o.Hierarchy.ReadPIDs(tree)
		for i := range procs {
			procs[i].Group = -1
		}
		place(procs, tree)
	default:
		return
	}
	s.h.memory.keepStrays(procs)
}

func anyAtRest(tree *oom.Tree) bool {
	for i := range tree.Groups {
		if tree.Groups[i].AtRest {
			return true
		}
	}
	return false
}

// locate makes sure that a process is named under its own group: when it moves
// from one at rest to another one at rest, it is still in the list of the first.
func (p *pass) locate(i int) {
	proc := &p.procs[i]
	if proc.Group < 0 || !p.tree.Groups[proc.Group].AtRest || p.asked[proc.PID] || !p.s.pathsAgree(p.procs, p.tree) {
		return
	}
	if p.asked == nil {
		p.asked = map[int32]bool{}
	}
	p.asked[proc.PID] = true
	if g, ok := p.s.groupOf(proc.PID, p.tree); ok && g != proc.Group {
		proc.Group, p.moved = g, true
	}
}

// groupOf asks a process for its group: -1 where that is none of the tree. It is
// false where the process cannot be asked.
func (s *Snapshot) groupOf(pid int32, tree *oom.Tree) (int32, bool) {
	path, err := s.h.o.Proc.Cgroup(pid)
	if err != nil {
		return 0, false
	}
	for i := range tree.Groups {
		if tree.Groups[i].Path == path {
			return int32(i), true
		}
	}
	return -1, true
}

// pathsAgree tells whether processes name their groups as the tree does. They do
// not where this process has a cgroup namespace of its own, or sees only a part of
// the hierarchy: then only the groups can be asked.
func (s *Snapshot) pathsAgree(procs []oom.Process, tree *oom.Tree) bool {
	if s.h.memory.paths.Load() {
		return true
	}
	if s.pathsFail {
		return false
	}
	asked := 0
	for i := range procs {
		if procs[i].Group <= 0 {
			continue
		}
		if path, err := s.h.o.Proc.Cgroup(procs[i].PID); err == nil && path == tree.Groups[procs[i].Group].Path {
			s.h.memory.paths.Store(true)
			return true
		}
		if asked++; asked == witnesses {
			break
		}
	}
	s.pathsFail = true
	return false
}
