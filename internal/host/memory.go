// SPDX-License-Identifier: Apache-2.0

package host

import (
	"sync"
	"sync/atomic"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// stays is for how many scrapes a process keeps its series after it left the
// top: a process at the edge must not come and go.
const stays = 3

// memory is what one scrape leaves to the next.
type memory struct {
	mu     sync.Mutex
	scrape uint64
	born   uint64                      // number of the group seen last.
	groups map[oom.GroupID]*groupState // live groups.
	top    map[int32]*topState         // by pid.
	procs  []oom.Process               // a buffer for the next pass.
	passes uint64                      // over the processes.
	sizes  map[int32]sizes             // by pid: what was read exactly, lately.
	rows   rowBuffers                  // for the next scrape.
	still  []int32                     // likewise.
	strays []int32                     // processes that were looked for and found in no group, ascending.
	paths  atomic.Bool                 // /proc/PID/cgroup has the paths of the tree.
}

type groupState struct {
	born   uint64       // order in which groups were first seen.
	seen   uint64       // scrape in which the group was last there.
	oldest atomic.Int32 // pid of the oldest process, 0 if not known.
}

type topState struct {
	start uint64
	left  int // scrapes for which it stays.
}

func newMemory() memory {
	return memory{groups: map[oom.GroupID]*groupState{}, top: map[int32]*topState{}, sizes: map[int32]sizes{}}
}

// meet notes the groups of a pass and forgets those that are gone. It returns
// the state of each group.
func (m *memory) meet(tree *oom.Tree) []*groupState {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scrape++
	states := make([]*groupState, len(tree.Groups))
	for i := range tree.Groups {
		id := tree.Groups[i].GroupID
		st := m.groups[id]
		if st == nil {
			m.born++
			st = &groupState{born: m.born}
			m.groups[id] = st
		}
		st.seen = m.scrape
		states[i] = st
	}
	for id, st := range m.groups {
		if st.seen != m.scrape {
			delete(m.groups, id)
		}
	}
	return states
}

// state returns what is remembered of a live group.
func (m *memory) state(id oom.GroupID) *groupState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups[id]
}

// borrow takes the process buffer; concurrent scrapes get a new one.
func (m *memory) borrow() []oom.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passes++
	m.sweep()
	b := m.procs
	m.procs = nil
	return b
}

// newStrays returns those processes, by index, that are in no group and were not
// among the strays before. Those that are none any more are forgotten.
func (m *memory) newStrays(procs []oom.Process) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []int
	known, left := m.strays, m.strays[:0]
	for i := range procs {
		pid := procs[i].PID
		if procs[i].Group >= 0 {
			continue
		}
		for len(known) > 0 && known[0] < pid {
			known = known[1:]
		}
		if len(known) > 0 && known[0] == pid {
			left = append(left, pid)
			continue
		}
		found = append(found, i)
	}
	m.strays = left
	return found
}

func (m *memory) keepStrays(procs []oom.Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.strays = m.strays[:0]
	for i := range procs {
		if procs[i].Group < 0 {
			m.strays = append(m.strays, procs[i].PID)
		}
	}
}

// rowBuffers are as long as the lists were last.
type rowBuffers struct{ containers, pods []oom.Row }

// takeRows takes the buffers for rows; concurrent scrapes get new ones.
func (m *memory) takeRows() rowBuffers {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.rows
	m.rows = rowBuffers{}
	return b
}

func (m *memory) giveRows(b rowBuffers) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = b
}

// takeStill takes the buffer for processes at rest, and giveStill brings it back.
func (m *memory) takeStill() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.still
	m.still = nil
	return b[:0]
}

func (m *memory) giveStill(b []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.still = b
}

func (m *memory) giveBack(b []oom.Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.procs = b
}

// keepTop notes the processes that are on the top now and returns the pids
// of those that were there lately and stay.
func (m *memory) keepTop(now []oom.ProcessRow) map[int32]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	listed := make(map[int32]bool, len(now))
	for i := range now {
		p := &now[i]
		listed[p.PID] = true
		m.top[p.PID] = &topState{start: p.Start, left: stays}
	}
	keep := map[int32]uint64{}
	for pid, st := range m.top {
		if listed[pid] {
			continue
		}
		if st.left--; st.left <= 0 {
			delete(m.top, pid)
			continue
		}
		keep[pid] = st.start
	}
	return keep
}
