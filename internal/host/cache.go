// SPDX-License-Identifier: Apache-2.0

package host

import (
	"sync"
	"sync/atomic"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// topGrace is the number of scrapes for which a process keeps its series after it
// left the top list, so that a process at its edge does not flap.
const topGrace = 3

// scrapeCache is what is kept from one scrape to the next.
type scrapeCache struct {
	mu         sync.Mutex
	scrape     uint64
	born       uint64                      // number of groups seen so far.
	groups     map[oom.GroupID]*groupState // live groups.
	top        map[int32]*topState         // by pid.
	procs      []oom.Process               // a buffer for the next pass.
	passes     uint64                      // over the processes.
	sizes      map[int32]sizes             // by pid: what was read exactly, lately.
	rows       rowBuffers                  // for the next scrape.
	idle       []int32                     // likewise.
	unassigned []int32                     // PIDs that are in no group although that was checked, ascending.
	paths      atomic.Bool                 // /proc/PID/cgroup is known to have the paths of the tree.
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

func newScrapeCache() scrapeCache {
	return scrapeCache{groups: map[oom.GroupID]*groupState{}, top: map[int32]*topState{}, sizes: map[int32]sizes{}}
}

// updateGroups updates the states of the groups to those of the tree, and returns the state
// of each group.
func (m *scrapeCache) updateGroups(tree *oom.Tree) []*groupState {
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
func (m *scrapeCache) state(id oom.GroupID) *groupState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups[id]
}

// takeProcesses takes the process buffer; concurrent scrapes get a new one.
func (m *scrapeCache) takeProcesses() []oom.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passes++
	m.dropOldSizes()
	b := m.procs
	m.procs = nil
	return b
}

// newUnassigned returns the indexes of the processes that are in no group and were not
// known to be so. Those that are in a group by now are dropped from the list.
func (m *scrapeCache) newUnassigned(procs []oom.Process) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []int
	known, left := m.unassigned, m.unassigned[:0]
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
	m.unassigned = left
	return found
}

func (m *scrapeCache) keepUnassigned(procs []oom.Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unassigned = m.unassigned[:0]
	for i := range procs {
		if procs[i].Group < 0 {
			m.unassigned = append(m.unassigned, procs[i].PID)
		}
	}
}

// rowBuffers have the length that the lists had last.
type rowBuffers struct{ containers, pods []oom.Row }

// takeRows takes the buffers for rows; concurrent scrapes get new ones.
func (m *scrapeCache) takeRows() rowBuffers {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.rows
	m.rows = rowBuffers{}
	return b
}

func (m *scrapeCache) giveRows(b rowBuffers) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = b
}

// takeIdle takes the buffer for the PIDs that Scan is given; giveIdle returns it.
func (m *scrapeCache) takeIdle() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.idle
	m.idle = nil
	return b[:0]
}

func (m *scrapeCache) giveIdle(b []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = b
}

func (m *scrapeCache) giveProcesses(b []oom.Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.procs = b
}

// keepTop notes the processes that are in the top list now. It returns those that were
// in it lately and keep their series: start times by pid.
func (m *scrapeCache) keepTop(now []oom.ProcessRow) map[int32]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	listed := make(map[int32]bool, len(now))
	for i := range now {
		p := &now[i]
		listed[p.PID] = true
		m.top[p.PID] = &topState{start: p.Start, left: topGrace}
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
