// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// What names a victim's cgroup, the best first.
const (
	byReport  = "report"
	byCounter = "counter"
	byScan    = "scan"
)

// evidence is what is known about kills and has not been joined with a case yet.
type evidence struct {
	lines     []*line    // in the order of the log.
	backlog   []oom.Kill // lines without numbers, until the log is live.
	history   []oom.Kill // lines from before the epoch.
	witnesses map[int]witness
	scans     []scan
	decision  uint64    // the number of the last OOM.
	group     announced // the last group kill of the log.
	queued    *line     // the last line of the log, if it was queued.
	lost      time.Time // when records of the log were found to be lost.
}

const (
	maxLines     = 10_000
	maxWitnesses = 10_000
	// witnessAge is how long a witness is kept.
	witnessAge = 30 * time.Second
)

// announced is a group kill that the log has announced. Its lines follow without
// those of other kills between them.
type announced struct {
	path      string // of its cgroup; empty: none, or its lines are over.
	duplicate bool   // the second line of its first victim has come.
}

// lostUntil returns the time up to which a kill that was counted may have its
// line among the lost records.
func (e *evidence) lostUntil() time.Time {
	if e.lost.IsZero() {
		return e.lost
	}
	return e.lost.Add(lineWait)
}

// line is a Killed line of the kernel log.
type line struct {
	Kill     oom.Kill  `json:"kill"`
	At       time.Time `json:"at"`
	Path     string    `json:"path,omitempty"` // of the victim's cgroup, if anything names it.
	By       string    `json:"by,omitempty"`   // what names it.
	Decision uint64    `json:"decision"`       // the OOM that it belongs to.

	read, vmstatRead uint64 // reads of the cgroups and of vmstat begun before it came.
	scanned          bool   // it was looked for in the scans.
	announces        bool   // the log announces a group kill after it.
	refuted          string // a path that the counters contradict.
}

// ofGroupKill tells whether the line may be that of a process that a group kill
// took along; one that has not come (nil) may be.
func (ln *line) ofGroupKill() bool { return ln == nil || ln.Kill.GroupKill && !ln.announces }

// witness is a sighting of a dying process (tracefs, BPF) with its cgroup.
type witness struct {
	oom.Sighting
	taken time.Time
	read  uint64
}

// Log takes a kill from the kernel log. Seq is the kernel's number of its
// record, 0 where the source has none; a kill whose number is not above the
// last one is ignored.
func (l *Ledger) Log(k oom.Kill) {
	k.VictimPath, k.LimitPath = text.Escape(k.VictimPath), text.Escape(k.LimitPath)
	k.Victim.Comm = text.Escape(k.Victim.Comm)
	k.Evidence = ""
	l.mu.Lock()
	defer l.Wake()
	defer l.mu.Unlock()
	l.evidence.queued = nil
	if k.Seq != 0 {
		if k.Seq <= l.counts.Seq {
			return
		}
		l.counts.Seq, l.counts.LastLine = k.Seq, nil
	}
	if l.log == oom.LogAbsent {
		l.log = oom.LogLive
	}
	early := l.log == oom.LogBacklog && l.catchup // from before the epoch, or too close to tell.
	if !early {
		l.recall() // what came before it.
		l.evidence.queued = nil
	}
	switch {
	case k.History, l.counts.Epoch.IsZero(), early && !l.counts.Restored:
		if !k.Duplicate {
			l.evidence.history = appendBounded(l.evidence.history, k, l.o.MaxRecords)
		}
	case early && k.Seq == 0:
		l.evidence.backlog = appendBounded(l.evidence.backlog, k, maxLines)
		return
	default:
		l.addLine(k)
	}
	if k.Seq == 0 {
		l.counts.LastLine = markOf(&k)
	}
}

// lineMark tells a line from others where the log has no numbers: by what stands in the
// line itself, since the report before it may be gone when it is read again; and by
// whether it is the second line of a group kill's first victim.
type lineMark struct {
	PID       int        `json:"pid"`
	Comm      string     `json:"comm"`
	AnonRSS   oom.Amount `json:"anon"`
	FileRSS   oom.Amount `json:"file"`
	ShmemRSS  oom.Amount `json:"shmem"`
	Duplicate bool       `json:"duplicate,omitempty"`
}

func markOf(k *oom.Kill) *lineMark {
	v := &k.Victim
	return &lineMark{v.PID, v.Comm, v.AnonRSS, v.FileRSS, v.ShmemRSS, k.Duplicate}
}

// addLine queues a line from after the epoch. Where vmstat does not count, the
// line opens its case.
func (l *Ledger) addLine(k oom.Kill) {
	e := &l.evidence
	e.queued = nil
	switch {
	case !k.GroupKill:
		e.decision++
		l.endGroupKill()
	case k.Duplicate:
		e.group.duplicate = true
	}
	ln := &line{
		Kill: k, At: l.o.Now(), Path: k.VictimPath, Decision: e.decision,
		read: l.reads.begun, vmstatRead: l.reads.vmstatBegun,
	}
	if ln.Path != "" {
		ln.By = byReport
	}
	l.changed()
	if l.meetWitnessed(ln) {
		return
	}
	e.lines = appendBounded(e.lines, ln, maxLines)
	e.queued = ln
	if !l.counts.HasVmstat {
		l.openCases(1)
	}
}

// Group says that the last kill of the log was the first one of a group kill:
// memory.oom.group takes along what is in the cgroup and below it.
func (l *Ledger) Group(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.evidence.queued
	if ln == nil {
		return // its line is old, or already joined with its case.
	}
	path = text.Escape(path)
	l.evidence.group = announced{path: path}
	ln.announces = true
	if ln.Path == "" && !ln.Kill.GroupKill {
		ln.Path, ln.By = path, byReport
		ln.Kill.GroupKill = true
		l.changed()
	}
}

// endGroupKill notes that the lines of the last group kill are over. Where its
// first victim had no second line, the kernel counted no duplicate.
func (l *Ledger) endGroupKill() {
	group := l.evidence.group
	l.evidence.group = announced{}
	if group.path == "" || group.duplicate {
		return
	}
	if !l.cgroups.takeEstimate(group.path, time.Time{}) {
		l.cgroups.ownerOf(group.path).takeGroupKill()
	}
}

// recall queues the kills of the backlog that are newer than the saved state, where the
// log has no numbers.
func (l *Ledger) recall() {
	backlog := l.evidence.backlog
	if len(backlog) == 0 {
		return
	}
	l.evidence.backlog = nil
	for _, k := range backlog[l.firstUnread(backlog):] {
		l.addLine(k)
	}
	l.counts.LastLine = markOf(&backlog[len(backlog)-1])
}

// firstUnread returns where in the backlog the lines begin that are newer than the saved
// state: after the last line that it knows. Where that is gone from the log, they are
// the last ones, as many as there are kills whose lines had not been read.
func (l *Ledger) firstUnread(backlog []oom.Kill) int {
	if last := l.counts.LastLine; last != nil {
		for i := range slices.Backward(backlog) {
			if *markOf(&backlog[i]) == *last {
				return i + 1
			}
		}
	}
	n := l.counts.Vmstat - l.counts.linesRead
	if !l.counts.HasVmstat || n < 0 {
		n = 0
	}
	return max(len(backlog)-int(min(n, maxLines)), 0)
}

// Witness says that a process that is being killed was seen in a cgroup. A
// sighting in the root or in no cgroup is ignored: exiting processes end there.
func (l *Ledger) Witness(s oom.Sighting) {
	if s.Path == "" || s.Path == "/" {
		return
	}
	s.Path, s.Victim.Comm = text.Escape(s.Path), text.Escape(s.Victim.Comm)
	if s.Trigger != nil {
		trigger := *s.Trigger
		trigger.Comm = text.Escape(trigger.Comm)
		s.Trigger = &trigger
	}
	l.mu.Lock()
	defer l.Wake()
	defer l.mu.Unlock()
	e := &l.evidence
	if before, ok := e.witnesses[s.Victim.PID]; ok && before.Path == s.Path && s.CgroupID == 0 {
		return // another source has told more of it.
	}
	if len(e.witnesses) >= maxWitnesses {
		clear(e.witnesses)
	}
	e.witnesses[s.Victim.PID] = witness{Sighting: s, taken: l.o.Now(), read: l.reads.begun}
}

// complete adds to a kill what its line lacks and the sighting has.
func (w *witness) complete(k *oom.Kill) {
	if k.Trigger == nil {
		k.Trigger = w.Trigger
	}
}

// in tells whether the sighting was in this cgroup, as far as it knows.
func (w *witness) in(id oom.GroupID) bool {
	return w.Path == id.Path && (w.CgroupID == 0 || w.CgroupID == id.Inode)
}

// witnessIn returns the earliest sighting in the cgroup that no line has used.
func (e *evidence) witnessIn(id oom.GroupID) *witness {
	var found *witness
	for _, w := range e.witnesses {
		if w.in(id) && (found == nil || w.taken.Before(found.taken)) {
			found = &w
		}
	}
	return found
}

// nextDecision numbers an OOM for which the log has no line.
func (e *evidence) nextDecision(g *cgroup) uint64 {
	if g != nil && g.together != 0 {
		return g.together
	}
	e.decision++
	return e.decision
}

// useLines drops the lines for which used returns true.
func (l *Ledger) useLines(used func(*line) bool) {
	before := len(l.evidence.lines)
	l.evidence.lines = slices.DeleteFunc(l.evidence.lines, used)
	if len(l.evidence.lines) != before {
		l.changed()
	}
}

// nameLine looks for a sighting of the line's process. A member of a group kill may
// have been below the cgroup that the log names.
func (e *evidence) nameLine(ln *line) {
	if ln.Path != "" && !ln.Kill.GroupKill {
		return
	}
	pid := ln.Kill.Victim.PID
	if w, ok := e.witnesses[pid]; ok && ln.better(w.Path) {
		ln.Path, ln.By = w.Path, w.By
		w.complete(&ln.Kill)
		return
	}
	if ln.scanned {
		return
	}
	ln.scanned = true
	for _, scan := range slices.Backward(e.scans) {
		if path := scan.find(pid, ln.Kill.Victim.Comm); ln.better(path) {
			ln.Path, ln.By = path, byScan
			return
		}
	}
}

// better tells whether a path says more than what names the line so far.
func (ln *line) better(path string) bool {
	if path == "" || path == "/" || path == ln.refuted {
		return false
	}
	return ln.Path == "" || path != ln.Path && within(path, ln.Path)
}

// refute takes away the path that names the line.
func (ln *line) refute() { ln.refuted, ln.Path, ln.By = ln.Path, "", "" }

// scan is what is kept of one pass over the processes.
type scan struct {
	paths  []string // of the cgroups.
	placed []placed
	comms  map[int32]string // by pid, where it was read.
}

type placed struct{ pid, cgroup int32 }

// addScan keeps the pass as one of the last two, and reuses the oldest's memory.
func (e *evidence) addScan(procs []oom.Process, tree oom.Tree) {
	var s scan
	if len(e.scans) == 2 {
		s, e.scans = e.scans[0], append(e.scans[:0], e.scans[1])
	}
	s.paths, s.placed, s.comms = s.paths[:0], s.placed[:0], map[int32]string{}
	for i := range tree.Groups {
		s.paths = append(s.paths, tree.Groups[i].Path)
	}
	for i := range procs {
		p := &procs[i]
		if p.Group < 0 || int(p.Group) >= len(tree.Groups) {
			continue
		}
		s.placed = append(s.placed, placed{p.PID, p.Group})
		if p.Exact {
			s.comms[p.PID] = text.Escape(p.Comm)
		}
	}
	e.scans = append(e.scans, s)
}

// find returns the cgroup in which the scan saw the process. If its comm is known
// and differs, the pid was used again.
func (s scan) find(pid int, comm string) string {
	for _, p := range s.placed {
		if int(p.pid) != pid {
			continue
		}
		if seen := s.comms[p.pid]; seen != "" && comm != "" && seen != comm {
			return ""
		}
		return text.Escape(s.paths[p.cgroup])
	}
	return ""
}
