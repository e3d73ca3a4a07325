// SPDX-License-Identifier: Apache-2.0

// Package host is the live host: one lazy snapshot per scrape, made from /proc,
// the memory hierarchy, names and predictions. A part is read when it is first
// asked for, and only once.
package host

import (
	"errors"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// ErrLate says that the scrape's deadline came before this part was begun.
var ErrLate = errors.New("the scrape's timeout left no time for this part")

var errClosed = errors.New("the snapshot has been closed")

// Proc reads processes and the node; package proc has one.
type Proc interface {
	Node() (oom.Node, error)
	// Scan takes the ids, in ascending order, of the processes whose cgroups have an
	// unchanged usage.
	Scan(dst []oom.Process, still []int32) ([]oom.Process, oom.Skipped, error)
	Refresh(p *oom.Process) error
	Exact(p *oom.Process) error
	// Cgroup returns the path of the process' memory cgroup.
	Cgroup(pid int32) (string, error)
}

// Hierarchy reads the memory cgroups; package cgroup has one.
type Hierarchy interface {
	Read() (oom.Tree, oom.Skipped, error)
	// ReadPIDs reads the PIDs of the cgroups that were found unchanged.
	ReadPIDs(tree *oom.Tree)
	// Recycle takes back the memory of a tree.
	Recycle(tree oom.Tree)
}

// Names names the groups: it fills in Kind, Owner and Identity.
type Names interface {
	Name(tree *oom.Tree)
}

// Options of a Host.
type Options struct {
	Proc      Proc
	Tasks     *Tasks    // nil: the processes are read from /proc.
	Hierarchy Hierarchy // nil: the host has none that can be read.
	Names     Names
	// HierarchyErr is what Groups returns where Hierarchy is nil.
	HierarchyErr error

	Top            int     // processes to list, by badness; 0: none.
	NearRatio      float64 // a limit is near if its kill margin ratio is below this.
	MaxVictims     int     // maximum number of near limits with a named victim; 0: no bound.
	UnlimitedUnits bool    // give systemd units without a limit a row, too.
	Kubelet        predict.Kubelet
	// Mismatch judges the oldest process' oom_score_adj: 0 or 1, unset where
	// the identity implies nothing. May be nil.
	Mismatch func(id *oom.Identity, adj int) oom.Amount
	// Scanned is called after every scan of the processes; may be nil.
	Scanned func(procs []oom.Process, tree *oom.Tree)
	Now     func() time.Time
}

// Host makes snapshots. It is safe for concurrent use; what it remembers between
// scrapes is in its cache.
type Host struct {
	o     Options
	cache scrapeCache
}

// New returns a Host.
func New(o Options) *Host {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Host{o: o, cache: newScrapeCache()}
}

// Scrape begins a snapshot; a zero deadline is none. A snapshot belongs to
// one goroutine.
func (h *Host) Scrape(deadline time.Time) *Snapshot {
	return &Snapshot{h: h, deadline: deadline}
}

// Snapshot is the state of the host during one scrape.
type Snapshot struct {
	h        *Host
	deadline time.Time
	skipped  oom.Skipped

	node      once[oom.NodeState]
	tree      once[oom.Tree]
	margins   predict.Margins
	groups    once[oom.Groups]
	rowOf     []int32 // group index -> index in Groups.Containers, -1 for none.
	processes once[oom.Processes]
	pathsFail bool // see pathsAgree.
}

// once is a value that is made when it is first asked for.
type once[T any] struct {
	value *T
	err   error
}

func (o *once[T]) get(make func() (*T, error)) (*T, error) {
	if o.value == nil && o.err == nil {
		o.value, o.err = make()
	}
	return o.value, o.err
}

// late returns ErrLate if it is too late to begin a part.
func (s *Snapshot) late() error {
	if !s.deadline.IsZero() && s.h.o.Now().After(s.deadline) {
		return ErrLate
	}
	return nil
}

// Skipped counts what was left out of the parts read so far.
func (s *Snapshot) Skipped() oom.Skipped { return s.skipped }

// Close ends the snapshot: nothing of what it returned may be used any more. It
// need not be called, but saves the next one memory.
func (s *Snapshot) Close() {
	if g := s.groups.value; g != nil {
		s.h.cache.giveRows(rowBuffers{g.Containers, g.Pods})
		s.groups.value, s.groups.err = nil, errClosed
	}
	if t := s.tree.value; t != nil {
		s.h.o.Hierarchy.Recycle(*t)
		s.tree.value, s.tree.err = nil, errClosed
	}
}

// Tree returns the memory hierarchy with names.
func (s *Snapshot) Tree() (*oom.Tree, error) {
	return s.tree.get(func() (*oom.Tree, error) {
		if s.h.o.Hierarchy == nil {
			return nil, s.h.o.HierarchyErr
		}
		if err := s.late(); err != nil {
			return nil, err
		}
		tree, skipped, err := s.h.o.Hierarchy.Read()
		s.skipped.Add(skipped)
		if err != nil {
			return nil, err
		}
		s.h.o.Names.Name(&tree)
		s.skipped.WorkloadsFolded += tree.Folded
		return &tree, nil
	})
}

// Node returns the node with its margins.
func (s *Snapshot) Node() (*oom.NodeState, error) {
	return s.node.get(func() (*oom.NodeState, error) {
		node, err := s.h.o.Proc.Node()
		if err != nil {
			return nil, err
		}
		state := &oom.NodeState{Node: node}
		tree, err := s.Tree()
		if err != nil {
			// Without cgroups the node's own numbers still stand.
			tree = &oom.Tree{}
		}
		s.margins = predict.Compute(&node, tree)
		state.Margin = margin(&s.margins.Node, tree)
		available, _, ok := s.h.o.Kubelet.Eviction(&node, tree)
		if ok && hasKubelet(tree) {
			state.EvictionAvailable = available
			state.EvictionThreshold = oom.Of(s.h.o.Kubelet.Threshold.Bytes(node.Total.Or(0)))
		}
		return state, nil
	})
}

// hasKubelet tells whether a kubelet runs here: it makes the root of its pods'
// cgroups before any pod.
func hasKubelet(tree *oom.Tree) bool {
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if g.Kind == oom.KindPod || strings.HasSuffix(strings.TrimSuffix(g.Path, ".slice"), "kubepods") {
			return true
		}
	}
	return false
}

func margin(m *predict.Margin, tree *oom.Tree) oom.Margin {
	out := oom.Margin{Bytes: m.Bytes, Ratio: m.Ratio, Level: m.Level, Known: m.Known}
	if m.Known && m.Group != predict.Node {
		out.Cgroup = tree.Groups[m.Group].Path
	}
	return out
}
