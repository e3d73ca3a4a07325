// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"cmp"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	topTasks   = 5   // the largest of a cgroup, which are followed,
	keptTasks  = 12  // at most, together with those that have been followed before.
	mostPIDs   = 256 // that are read of a cgroup at most.
	mostReads  = 2048
	taskWindow = 2 * time.Minute
	taskPoints = 128
)

// taskSet is the largest processes of a cgroup.
type taskSet []*task

// task is the resident memory of one process over the last samples.
type task struct {
	pid    int32
	start  uint64
	comm   string
	points []point // oldest first.
}

// point is the resident memory at one time, in pages of 4 KiB.
type point struct {
	at  stamp
	rss packed
}

// taskReading is what was read of a process.
type taskReading struct {
	pid int32
	rss uint64
}

// largest returns the readings of the largest processes, and of those that are
// followed already. It reuses readings.
func (s taskSet) largest(readings []taskReading) []taskReading {
	slices.SortFunc(readings, func(a, b taskReading) int { return cmp.Compare(b.rss, a.rss) })
	kept := readings[:min(len(readings), topTasks)]
	for _, r := range readings[len(kept):] {
		if s.find(r.pid) != nil && len(kept) < keptTasks {
			kept = append(kept, r)
		}
	}
	return kept
}

func (s taskSet) find(pid int32) *task {
	for _, t := range s {
		if t.pid == pid {
			return t
		}
	}
	return nil
}

// add notes what was read of a process. The parameter who is its identity, nil if that
// was not read; a new process is noted only with it.
func (s *taskSet) add(at stamp, r taskReading, who *oom.Process) {
	t := s.find(r.pid)
	if t == nil || who != nil && t.start != who.Start {
		if who == nil {
			return
		}
		s.remove(r.pid)
		t = &task{pid: r.pid, start: who.Start, comm: who.Comm}
		*s = append(*s, t)
	}
	drop := 0
	for drop < len(t.points) && (at.since(t.points[drop].at) > taskWindow || len(t.points)-drop >= taskPoints) {
		drop++
	}
	t.points = append(slices.Delete(t.points, 0, drop), point{at, pack(oom.Of(r.rss), pages)})
}

// shrank tells whether it has lost half of its memory: then another process may
// have its pid by now.
func (t *task) shrank(rss uint64) bool {
	n := len(t.points)
	return n > 0 && float64(rss/pages) < t.points[n-1].rss.or(0)/2
}

func (s *taskSet) remove(pid int32) {
	*s = slices.DeleteFunc(*s, func(t *task) bool { return t.pid == pid })
}

// tidy forgets processes that have not been seen for a while.
func (s *taskSet) tidy(at stamp) {
	*s = slices.DeleteFunc(*s, func(t *task) bool {
		return len(t.points) == 0 || at.since(t.points[len(t.points)-1].at) > taskWindow
	})
}

// copied returns a copy that is not written to any more.
func (s taskSet) copied() []task {
	out := make([]task, 0, len(s))
	for _, t := range s {
		c := *t
		c.points = slices.Clone(t.points)
		out = append(out, c)
	}
	return out
}

// followTasks reads the largest processes of the cgroups that are near.
func (r *Recorder) followTasks(at stamp, near []*track) {
	reads := mostReads
	for i := range near {
		t := near[(i+int(r.turn))%len(near)] // each has its turn at being the first.
		if t.kind == oom.KindPod || t.kind == oom.KindSlice || t.kind == oom.KindRoot || !t.hasMoved(at, stillAfter) && len(t.tasks) > 0 {
			continue
		}
		r.pids = r.o.Source.PIDs(r.pids[:0], t.Handle, mostPIDs)
		count := len(r.pids)
		pids := r.pids[:min(count, mostPIDs)]
		if reads -= len(pids); reads < 0 {
			return
		}
		r.readings = r.readings[:0]
		for _, pid := range pids {
			if rss, err := r.o.Processes.Resident(pid); err == nil && rss > 0 {
				r.readings = append(r.readings, taskReading{pid, rss})
			}
		}
		r.follow(at, t, count)
	}
}

// follow notes the largest of what was read of a cgroup's processes.
func (r *Recorder) follow(at stamp, t *track, count int) {
	kept := t.tasks.largest(r.readings) // only this goroutine writes to tasks.
	known := make([]*oom.Process, len(kept))
	for i, k := range kept {
		if old := t.tasks.find(k.pid); old != nil && !old.shrank(k.rss) {
			continue
		}
		p := oom.Process{PID: k.pid}
		if r.o.Processes.Exact(&p) == nil {
			known[i] = &p
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range kept {
		t.tasks.add(at, k, known[i])
	}
	t.tasks.tidy(at)
	t.processes = pack(oom.Of(uint64(count)), ones)
}
