// SPDX-License-Identifier: Apache-2.0

// Package top shows the host in a terminal: containers by kill margin with the
// limit that binds and the next victim in it, processes by badness, and what
// is protected. Frames are made from the model and rendered by pure functions;
// the terminal itself is bubbletea's.
package top

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Frame is what the host looked like at one moment.
type Frame struct {
	Time      time.Time
	Host      string
	Node      *oom.NodeState
	Groups    *oom.Groups
	Processes *oom.Processes
	// Request returns the memory request that the container's oom_score_adj
	// implies, roughly; unset where it implies none. May be nil.
	Request func(*oom.Row) oom.Amount
}

// Source makes frames; an incomplete one comes with an error that names what is
// missing.
type Source func() (Frame, error)

// Pane is one of the views.
type Pane int

// The panes, in the order of the tab key.
const (
	Containers Pane = iota
	Processes
	Protection
	panes
)

func (p Pane) String() string {
	return [...]string{"containers", "processes", "protection"}[p]
}

// Order says by what containers are sorted.
type Order int

// The orders, as the s key goes through them.
const (
	ByRatio Order = iota
	ByMargin
	ByUsage
	ByName
	orders
)

func (o Order) String() string {
	return [...]string{"margin ratio", "margin", "unreclaimable", "name"}[o]
}

// Options say what of a frame is shown and how.
type Options struct {
	Pane    Pane
	Order   Order
	Reverse bool
	Filter  string // part of a name; case does not matter.
	Width   int    // 0: as wide as the names are.
	Height  int    // 0: all rows.
	Cursor  int    // the chosen row; it is among those shown if Height bounds them.
	Color   bool
	Status  string // the last line; empty: none.
}

// victims finds the next victim of a limit by the path of its cgroup; the
// node's is at the empty path.
func (f *Frame) victims() map[string]*oom.NextVictim {
	m := map[string]*oom.NextVictim{}
	if f.Processes != nil {
		for i := range f.Processes.Victims {
			v := &f.Processes.Victims[i]
			m[v.Cgroup] = v
		}
	}
	return m
}

// containers are the rows that the filter leaves, in order.
func (f *Frame) containers(o Options) []*oom.Row {
	var rows []*oom.Row
	if f.Groups == nil {
		return nil
	}
	for i := range f.Groups.Containers {
		if r := &f.Groups.Containers[i]; matches(o.Filter, name(r.Workload)) {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b *oom.Row) int {
		return cmp.Or(compare(o.Order, a, b), cmp.Compare(name(a.Workload), name(b.Workload)))
	})
	if o.Reverse {
		slices.Reverse(rows)
	}
	return rows
}

// protected are the containers that have a QoS class or only negative values of
// oom_score_adj.
func (f *Frame) protected(o Options) []*oom.Row {
	return slices.DeleteFunc(f.containers(o), func(r *oom.Row) bool {
		return r.QoS == "" && (!r.Processes.Adj || r.Processes.AdjMax >= 0)
	})
}

// compare puts what is nearer to its kill, or bigger, first. Rows that only the
// node binds all have its margin and come after those with a limit; rows without
// a margin come last.
func compare(order Order, a, b *oom.Row) int {
	if order == ByName {
		return 0
	}
	if order == ByUsage {
		return cmp.Compare(b.Unreclaimable.Or(0), a.Unreclaimable.Or(0))
	}
	switch {
	case a.Margin.Known != b.Margin.Known:
		if a.Margin.Known {
			return -1
		}
		return 1
	case nodeBound(a) != nodeBound(b):
		if nodeBound(b) {
			return -1
		}
		return 1
	case order == ByMargin:
		return cmp.Compare(a.Margin.Bytes, b.Margin.Bytes)
	default:
		return cmp.Compare(a.Margin.Ratio, b.Margin.Ratio)
	}
}

func nodeBound(r *oom.Row) bool { return r.Margin.Known && r.Margin.Level == oom.LevelNode }

// processes are the listed processes that the filter leaves.
func (f *Frame) processes(o Options) []*oom.ProcessRow {
	var rows []*oom.ProcessRow
	if f.Processes == nil {
		return nil
	}
	for i := range f.Processes.Top {
		if p := &f.Processes.Top[i]; matches(o.Filter, p.Comm) || matches(o.Filter, name(p.Workload)) {
			rows = append(rows, p)
		}
	}
	if o.Reverse {
		slices.Reverse(rows)
	}
	return rows
}

func matches(filter, text string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(filter))
}

// name is a workload on one line.
func name(w oom.Workload) string {
	if w.Pod == "" && w.Namespace == "" {
		return w.Container
	}
	return w.Namespace + "/" + w.Pod + "/" + w.Container
}
