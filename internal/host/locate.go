// SPDX-License-Identifier: Apache-2.0

package host

import "github.com/oom-exporter/oom_exporter/internal/oom"

const (
	// maxAsked is the maximum number of unassigned processes whose /proc/PID/cgroup
	// is read. If there are more, the cgroup.procs files are read instead.
	maxAsked = 64
	// maxSamples is the maximum number of assigned processes whose /proc/PID/cgroup is
	// read to find out whether the paths there are those of the tree.
	maxSamples = 4
)

// assignProcesses assigns each process to its group. A process is in no group's PIDs if it
// was forked while those were read, or if it moved into an unchanged group, whose PIDs are
// from an earlier pass.
func (s *Snapshot) assignProcesses(procs []oom.Process, tree *oom.Tree) {
	assignCgroups(procs, tree)
	unassigned := s.h.cache.newUnassigned(procs)
	if len(unassigned) == 0 {
		return
	}
	switch {
	case len(unassigned) <= maxAsked && s.pathsAgree(procs, tree):
		for _, i := range unassigned {
			if g, ok := s.groupOf(procs[i].PID, tree); ok {
				procs[i].Group = g
			}
		}
	case anyUnchanged(tree):
		s.h.o.Hierarchy.ReadPIDs(tree)
		for i := range procs {
			procs[i].Group = -1
		}
		assignCgroups(procs, tree)
	default:
		return
	}
	s.h.cache.keepUnassigned(procs)
}

func anyUnchanged(tree *oom.Tree) bool {
	for i := range tree.Groups {
		if tree.Groups[i].Unchanged {
			return true
		}
	}
	return false
}

// confirmCgroup makes sure that a process is shown under its current group: if it moved
// between two unchanged groups, it is still in the PIDs of the first.
func (p *pass) confirmCgroup(i int) {
	proc := &p.procs[i]
	if proc.Group < 0 || !p.tree.Groups[proc.Group].Unchanged || p.asked[proc.PID] || !p.s.pathsAgree(p.procs, p.tree) {
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

// groupOf reads /proc/PID/cgroup and returns the index of the group, -1 if it is not
// in the tree. It is false if the file cannot be read.
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

// pathsAgree tells whether /proc/PID/cgroup has the paths of the tree. It does not
// if the exporter runs in a cgroup namespace or sees only a part of the hierarchy;
// then only cgroup.procs tells which group a process is in.
func (s *Snapshot) pathsAgree(procs []oom.Process, tree *oom.Tree) bool {
	if s.h.cache.paths.Load() {
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
			s.h.cache.paths.Store(true)
			return true
		}
		if asked++; asked == maxSamples {
			break
		}
	}
	s.pathsFail = true
	return false
}
