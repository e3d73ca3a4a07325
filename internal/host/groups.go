// SPDX-License-Identifier: Apache-2.0

package host

import (
	"cmp"
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Groups returns the containers, pods and slices with their margins.
func (s *Snapshot) Groups() (*oom.Groups, error) {
	return s.groups.get(func() (*oom.Groups, error) {
		tree, err := s.Tree()
		if err != nil {
			return nil, err
		}
		_, nodeErr := s.Node()
		states := s.h.cache.updateGroups(tree)
		g := &oom.Groups{Source: tree.Source}
		s.rowOf = make([]int32, len(tree.Groups))
		buffers := s.h.cache.takeRows()
		hasProcesses := withProcesses(tree)
		nested := nestedLimits(tree, s.margins.Groups, hasProcesses)
		containers, pods := newRows(buffers.containers, hasProcesses), newRows(buffers.pods, hasProcesses)
		for _, i := range byAge(states) {
			group := &tree.Groups[i]
			s.rowOf[i] = -1
			row := oom.Row{Group: group, MaxHits: group.Events.Max, HighHits: group.Events.High}
			if nodeErr == nil {
				row.Margin, row.Unreclaimable = margin(&s.margins.Groups[i], tree), s.margins.Unreclaimable[i]
			}
			switch group.Kind {
			case oom.KindContainer:
				n, limited := nested[i]
				if !limited && !s.shown(group) {
					continue
				}
				if limited {
					row.Margin = margin(&s.margins.Groups[n], tree)
				}
				s.rowOf[i] = containers.put(i, row)
			case oom.KindPod:
				pods.put(i, row)
			case oom.KindSlice:
				if group.Limit.IsValue() {
					g.Slices = append(g.Slices, row)
				}
			}
		}
		g.Containers, g.Pods = containers.list, pods.list
		return g, nil
	})
}

// shown tells whether a workload has series: a systemd unit without a limit has none
// until one of its processes is killed, unless a limit inside it binds.
func (s *Snapshot) shown(g *oom.Group) bool {
	return s.h.o.UnlimitedUnits || g.Runtime != "systemd" || g.Limit.IsValue()
}

// byAge orders the groups by when they were first seen, the oldest first.
func byAge(states []*groupState) []int {
	order := make([]int, len(states))
	sorted := true
	for i := range order {
		order[i] = i
		sorted = sorted && (i == 0 || states[i-1].born < states[i].born)
	}
	if !sorted {
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(states[a].born, states[b].born) })
	}
	return order
}

// rows holds one row per workload. If several groups have the same labels, such as
// the allocations of one task or the old and the new cgroup around a restart, the
// counters are summed and all gauges are those of one group, see takesPlace.
type rows struct {
	list         []oom.Row
	group        []int // of each row, its index in the tree.
	at           map[oom.Workload]int32
	hasProcesses []bool // by index in the tree.
}

// newRows uses the memory of earlier rows again.
func newRows(old []oom.Row, hasProcesses []bool) rows {
	return rows{
		list: old[:0], group: make([]int, 0, len(old)), at: make(map[oom.Workload]int32, len(old)),
		hasProcesses: hasProcesses,
	}
}

// put adds a row or lets it take the place of an older one; it returns where.
func (r *rows) put(group int, row oom.Row) int32 {
	at, ok := r.at[row.Workload]
	if !ok {
		at = int32(len(r.list))
		r.at[row.Workload] = at
		r.list, r.group = append(r.list, row), append(r.group, group)
		return at
	}
	old := &r.list[at]
	maxHits, highHits := add(old.MaxHits, row.MaxHits), add(old.HighHits, row.HighHits)
	if r.takesPlace(at, group, &row) {
		*old, r.group[at] = row, group
	}
	old.MaxHits, old.HighHits = maxHits, highHits
	return at
}

// takesPlace tells whether a younger group provides the gauges instead of the one
// in the row. The group that has processes does; if both or neither have, the one
// nearer to a kill; if the margins are equal or one is unknown, the younger.
func (r *rows) takesPlace(at int32, group int, row *oom.Row) bool {
	old := &r.list[at]
	if now, before := r.hasProcesses[group], r.hasProcesses[r.group[at]]; now != before {
		return now
	}
	if !row.Margin.Known || !old.Margin.Known || row.Margin.Bytes == old.Margin.Bytes {
		return true
	}
	return row.Margin.Bytes < old.Margin.Bytes
}

// add adds two counters, either of which may be missing.
func add(a, b oom.Amount) oom.Amount {
	switch {
	case !a.IsValue():
		return b
	case !b.IsValue():
		return a
	}
	return a.Plus(b)
}
