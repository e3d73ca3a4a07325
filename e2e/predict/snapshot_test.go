// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// snapshot is what the exporter would see of the machine at one moment.
type snapshot struct {
	b       *bench
	node    oom.Node
	tree    oom.Tree
	procs   []oom.Process
	rules   predict.Rules
	margins predict.Margins
}

// look reads the groups and the node, and the processes too if asked to.
func (b *bench) look(t *testing.T, processes bool) *snapshot {
	t.Helper()
	s := &snapshot{b: b}
	var err error
	if s.node, err = b.procs.Node(); err != nil {
		t.Fatal(err)
	}
	if s.tree, _, err = b.groups.Read(); err != nil {
		t.Fatal(err)
	}
	for i := range s.tree.Groups {
		s.tree.Groups[i].Kind = b.kind(s.tree.Groups[i].Path)
	}
	if processes {
		if s.procs, _, err = b.procs.Scan(nil, nil); err != nil {
			t.Fatal(err)
		}
		s.join()
	}
	s.rules = predict.RulesFor(s.node.Release, s.tree.Version)
	s.margins = predict.Compute(&s.node, &s.tree)
	return s
}

// kind tells what a group of a case stands for: prefix/slice/pod/container.
func (b *bench) kind(name string) oom.Kind {
	below, ok := strings.CutPrefix(name, b.prefix+"/")
	switch depth := strings.Count(below, "/"); {
	case !ok || depth == 0:
		return oom.KindSlice
	case depth == 1:
		return oom.KindPod
	default:
		return oom.KindContainer
	}
}

// join gives each process its group.
func (s *snapshot) join() {
	for g := range s.tree.Groups {
		for _, pid := range s.tree.Groups[g].PIDs {
			if i, ok := s.process(int(pid)); ok {
				s.procs[i].Group = int32(g)
			}
		}
	}
}

func (s *snapshot) process(pid int) (int, bool) {
	return slices.BinarySearchFunc(s.procs, int32(pid), func(p oom.Process, pid int32) int { return int(p.PID - pid) })
}

// group returns the index of the group of this path.
func (s *snapshot) group(t *testing.T, name string) int {
	t.Helper()
	name = path.Clean(name)
	i := slices.IndexFunc(s.tree.Groups, func(g oom.Group) bool { return g.Path == name })
	if i < 0 {
		t.Fatalf("no group %s in the snapshot", name)
	}
	return i
}

// exact reads a process again, with all that its badness is made of.
func (s *snapshot) exact(i int) error { return s.b.procs.Exact(&s.procs[i]) }

// choose is the prediction for the group of this path.
func (s *snapshot) choose(t *testing.T, name string) predict.Victims {
	t.Helper()
	return s.rules.Choose(&s.node, &s.tree, s.procs, s.group(t, name), s.exact)
}
