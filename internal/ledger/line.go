// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// What names a victim's group, from the best on.
const (
	byReport  = "report"
	byCounter = "counter"
	byTracefs = "tracefs"
	byScan    = "scan"
)

// line is a Killed line of the kernel log that waits for its slot.
type line struct {
	Kill     oom.Kill  `json:"kill"`
	At       time.Time `json:"at"`
	Path     string    `json:"path,omitempty"` // of the victim's group, if anything names it.
	By       string    `json:"by,omitempty"`   // what names it.
	Decision uint64    `json:"decision"`       // the OOM that it belongs to.

	read, vread uint64 // reads of the groups and of vmstat begun before it came.
	scanned     bool   // it was looked for in the scans.
	refuted     string // a path that the counters contradict.
}

// Log takes a kill from the kernel log. Seq is the number of its record, 0
// where the source has no numbers of the kernel; a number that is not above
// the last one is ignored.
func (l *Ledger) Log(k oom.Kill) {
	k.VictimPath, k.LimitPath = clean(k.VictimPath), clean(k.LimitPath)
	k.Evidence = ""
	l.mu.Lock()
	defer l.Wake()
	defer l.mu.Unlock()
	if k.Seq != 0 {
		if k.Seq <= l.counts.Seq {
			return
		}
		l.counts.Seq = k.Seq
	}
	if l.log == LogAbsent {
		l.log = LogLive
	}
	late := l.log == LogBacklog && l.catchup // of before the epoch, or too close to tell.
	switch {
	case k.History, l.counts.Epoch.IsZero(), late && !l.counts.Restored:
		if !k.Duplicate {
			l.history = appendBounded(l.history, k, l.o.MaxRecords)
		}
	case late && k.Seq == 0:
		l.backlog = appendBounded(l.backlog, k, maxLines)
	default:
		l.addLine(k)
	}
}

// addLine queues a line of after the epoch. Where vmstat does not count, the
// line is the count.
func (l *Ledger) addLine(k oom.Kill) {
	if !k.GroupKill {
		l.decision++
	}
	if l.met(&k) {
		return
	}
	ln := &line{
		Kill: k, At: l.o.Now(), Path: k.VictimPath, Decision: l.decision,
		read: l.began, vread: l.vbegan,
	}
	if ln.Path != "" {
		ln.By = byReport
	}
	if len(l.lines) >= maxLines {
		l.lines = append(l.lines[:0], l.lines[1:]...)
		l.counts.Dropped++
	}
	l.lines = append(l.lines, ln)
	if !l.counts.HasVmstat {
		l.openSlots(1)
	}
	l.changed()
}

// Group says that the last kill of the log was the first one of a group kill:
// memory.oom.group takes along what is in the group and below it.
func (l *Ledger) Group(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return
	}
	ln := l.lines[len(l.lines)-1]
	if ln.Path == "" && !ln.Kill.GroupKill {
		ln.Path, ln.By = clean(path), byReport
		ln.Kill.GroupKill = true
		l.changed()
	}
}

// recall makes lines of those in the backlog that are younger than the saved
// state, where the log has no numbers: there is one for each step of vmstat.
func (l *Ledger) recall() {
	n := l.counts.Vmstat - l.counts.savedVmstat
	if !l.counts.HasVmstat || n < 0 {
		n = 0
	}
	if n < int64(len(l.backlog)) {
		l.backlog = l.backlog[int64(len(l.backlog))-n:]
	}
	for _, k := range l.backlog {
		l.addLine(k)
	}
	l.backlog = nil
}

// Witness says that a process that is being killed was seen in a group. It
// names a kill and never makes one. The root and no group are not believed:
// that is where the dying are seen.
func (l *Ledger) Witness(pid int, path string, at time.Time, comm string) {
	path = clean(path)
	if path == "" || path == "/" {
		return
	}
	l.mu.Lock()
	defer l.Wake()
	defer l.mu.Unlock()
	if len(l.witnesses) >= maxWitnesses {
		clear(l.witnesses)
	}
	l.witnesses[pid] = witness{path: path, comm: comm, at: at, taken: l.o.Now(), read: l.began}
}

// witness is what somebody saw of a victim.
type witness struct {
	path, comm string
	at, taken  time.Time
	read       uint64
}

// SeeProcesses takes a pass over the processes and groups as evidence for
// kills to come. It keeps neither.
func (l *Ledger) SeeProcesses(procs []oom.Process, tree oom.Tree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var seen scan
	if len(l.scans) == 2 {
		seen, l.scans = l.scans[0], append(l.scans[:0], l.scans[1])
	}
	l.scans = append(l.scans, seen.of(procs, tree))
	l.seeLimits(tree)
	l.mark(tree, l.o.Now())
}

// scan is what is kept of one pass over the processes.
type scan struct {
	paths  []string // of the groups.
	placed []placed
	comms  map[int32]string // by pid, where it was read.
}

type placed struct{ pid, group int32 }

// of returns the scan of a pass, in the memory of an earlier one.
func (s scan) of(procs []oom.Process, tree oom.Tree) scan {
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
			s.comms[p.PID] = p.Comm
		}
	}
	return s
}

// find returns the group in which a scan saw the process. A name that is known
// and another one says that the pid was used again.
func (s scan) find(pid int, comm string) string {
	for _, p := range s.placed {
		if int(p.pid) != pid {
			continue
		}
		if seen := s.comms[p.pid]; seen != "" && comm != "" && seen != comm {
			return ""
		}
		return clean(s.paths[p.group])
	}
	return ""
}

// name looks for who saw the line's process. A process that a group kill took
// along may have been below the group that the log names.
func (l *Ledger) name(ln *line) {
	if ln.Path != "" && !ln.Kill.GroupKill {
		return
	}
	pid := ln.Kill.Victim.PID
	if w, ok := l.witnesses[pid]; ok && ln.better(w.path) {
		ln.Path, ln.By = w.path, byTracefs
		return
	}
	if ln.scanned {
		return
	}
	ln.scanned = true
	for _, scan := range slices.Backward(l.scans) {
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

// clean makes a path valid UTF-8, byte by byte, so that it survives the state
// file.
func clean(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(path); {
		r, size := utf8.DecodeRuneInString(path[i:])
		if r == utf8.RuneError && size == 1 {
			b.WriteString(`\x`)
			b.WriteByte(digits[path[i]>>4])
			b.WriteByte(digits[path[i]&15])
		} else {
			b.WriteString(path[i : i+size])
		}
		i += size
	}
	return b.String()
}

func appendBounded[T any](s []T, v T, most int) []T {
	if len(s) >= most {
		s = append(s[:0], s[1:]...)
	}
	return append(s, v)
}
