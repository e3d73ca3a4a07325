// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// lineWait is how long a cgroup's step waits for its line in the log, and
	// a line for its step of vmstat.
	lineWait = 2 * time.Second
	// witnessWait is how long a line that could belong to several cgroups waits
	// for a sighting of its process.
	witnessWait = time.Second
)

// openCases counts kills.
func (l *Ledger) openCases(n int64) {
	excess := l.cases.add(n, l.o.Now(), l.reads.begun)
	l.counts.Unattributed += uint64(excess)
	l.counts.Levels[oom.LevelUnknown] += uint64(excess)
	if !l.counts.HasVmstat {
		l.counts.Vmstat += n
	}
	l.changed()
}

// match joins the evidence with the cases as far as it can by now; see the
// package comment.
func (l *Ledger) match(now time.Time) {
	l.cases.forget(now)
	if len(l.evidence.lines) == 0 && len(l.cases.open) == 0 && len(l.cgroups.stepped) == 0 {
		return
	}
	l.matchDuplicates()
	l.matchNamedLines()
	l.dropLateLines()
	l.matchByElimination(now)
	l.matchSteps(now)
	l.matchWitnesses(now)
	l.closeRipe(now)
	l.dropUnbacked(now)
	l.cgroups.tidy()
}

// matchDuplicates closes a case for each second line of a group kill's first
// victim, unless that many duplicates have been estimated.
func (l *Ledger) matchDuplicates() {
	l.useLines(func(ln *line) bool {
		if !ln.Kill.Duplicate {
			return false
		}
		if l.meetEstimate(ln.Path, true) {
			return true
		}
		path := l.firstVictimPath(ln)
		g := l.cgroups.withStep(path, true)
		if len(l.cases.open) > 0 && g != nil {
			g.join()
			l.cgroups.ownerOf(ln.Path).takeGroupKill()
			l.closeDuplicate(ln)
			return true
		}
		if l.meetEstimate(ln.Path, false) {
			return true
		}
		if len(l.cases.open) == 0 || !l.reads.covered(ln) {
			return false
		}
		p := l.cgroups.takeRemoved(path)
		if g := l.cgroups.byPath[path]; p == nil && l.cgroups.alive(g) && g.counted() {
			l.counts.Late++ // the counter did not move.
			return true
		}
		if p != nil && p.removed.groupKills > 0 {
			p.removed.groupKills--
		} else {
			l.cgroups.ownerOf(ln.Path).takeGroupKill()
		}
		l.closeDuplicate(ln)
		return true
	})
}

// closeDuplicate closes a case as the second count of a first victim, whose second line
// is ln; nil: it has not come.
func (l *Ledger) closeDuplicate(ln *line) {
	if l.takeCase(&finding{line: ln, shown: l.reads.done}) != nil {
		l.counts.Duplicates++
		l.changed()
	}
}

// firstVictimPath returns the cgroup of a duplicate, which is that of the first
// line with its pid.
func (l *Ledger) firstVictimPath(dup *line) string {
	pid := dup.Kill.Victim.PID
	for _, ln := range l.evidence.lines {
		if ln != dup && !ln.Kill.Duplicate && ln.Kill.Victim.PID == pid && ln.Path != "" {
			return ln.Path
		}
	}
	c := l.cases.find(func(c *killCase) bool {
		return c.line != nil && !c.guessed && c.line.Kill.Victim.PID == pid && c.path != ""
	})
	if c == nil {
		return dup.Path
	}
	return c.path
}

// matchNamedLines publishes the lines that something names: immediately where
// the cgroup's counter agrees, and otherwise when a read of all cgroups did not
// find the cgroup any more.
func (l *Ledger) matchNamedLines() {
	l.useLines(func(ln *line) bool {
		if ln.Kill.Duplicate {
			return false
		}
		l.evidence.nameLine(ln)
		if ln.Path == "" {
			return false
		}
		// Lines come in the order of the kills, so published cases get theirs first.
		if l.meetNamed(ln, true) {
			return true
		}
		if len(l.cases.open) == 0 {
			return l.meetNamed(ln, false) || ln.Kill.GroupKill && l.meetEstimate(ln.Path, false)
		}
		f := finding{line: ln, path: ln.Path, evidence: ln.By, shown: l.reads.done}
		if g := l.cgroups.withStep(ln.Path, ln.Kill.GroupKill); g != nil {
			f.shown = g.join()
			f.cgroup, f.path = g, g.id.Path
			l.publish(f)
			return true
		}
		if !l.reads.covered(ln) {
			return false
		}
		if l.meetNamed(ln, false) {
			return true
		}
		g := l.cgroups.byPath[ln.Path]
		known := g.wasThere(ln.read, ln.By == byReport) // else the path was used again.
		unmoved := known && l.cgroups.alive(g) && g.counted()
		if known && (ln.By == byReport || !unmoved) && l.replaceGuess(g, ln) {
			return false
		}
		if unmoved {
			ln.refute()
			return false
		}
		if known {
			f.cgroup = g
		}
		l.cgroups.takeRemoved(ln.Path)
		l.publish(f)
		return true
	})
}

// matchByElimination joins the lines that nothing names with the steps that are
// left. With the steps of one cgroup and a line for each case there is no
// doubt; otherwise the kill counts for the cgroup, but the line's record names
// no cgroup.
func (l *Ledger) matchByElimination(now time.Time) {
	l.cgroups.tidy()
	nameless := func(ln *line) bool { return ln.Path == "" && !ln.Kill.Duplicate && l.reads.covered(ln) }
	var n int64
	for _, ln := range l.evidence.lines {
		if nameless(ln) {
			n++
		}
	}
	stepped := l.cgroups.stepped
	if n == 0 || len(stepped) == 0 {
		return
	}
	sure := len(stepped) == 1 && len(l.evidence.lines) == len(l.cases.open) &&
		n <= stepped[0].unjoined() && l.cases.find((*killCase).lineless) == nil
	missing := len(l.evidence.lines) < len(l.cases.open) // a duplicate's line may be missing.
	l.useLines(func(ln *line) bool {
		if !nameless(ln) || len(l.cases.open) == 0 || !sure && now.Sub(ln.At) < witnessWait {
			return false
		}
		g := l.cgroups.oldestStep(missing)
		if g == nil || !sure && now.Sub(g.steps[0].At) < witnessWait {
			return false // its own line may be on its way.
		}
		f := finding{line: ln, guessed: true, vague: !sure, cgroup: g, path: g.id.Path, evidence: byCounter}
		f.shown = g.join()
		l.publish(f)
		return true
	})
}

// matchSteps publishes the steps that no line will come for any more: at the
// next read where there is no log, else after a while.
func (l *Ledger) matchSteps(now time.Time) {
	ready := func(s step) bool {
		return l.log == oom.LogAbsent && l.reads.done > s.read || now.Sub(s.At) >= lineWait
	}
	l.estimateDuplicates(ready)
	for _, g := range l.cgroups.stepped {
		for len(l.cases.open) > 0 && len(g.steps) > 0 && ready(g.steps[0]) {
			f := finding{cgroup: g, path: g.id.Path, evidence: byCounter, decision: l.evidence.nextDecision(g)}
			f.witness = l.evidence.witnessIn(g.id)
			f.shown = g.join()
			l.publish(f)
		}
	}
}

// matchWitnesses publishes kills for which a sighting is the only evidence: no
// counter will show them, and there are more cases than lines.
func (l *Ledger) matchWitnesses(now time.Time) {
	for pid, w := range l.evidence.witnesses {
		if now.Sub(w.taken) >= witnessAge {
			delete(l.evidence.witnesses, pid)
			continue
		}
		if !l.hasWaited(&w, now) || l.reads.done <= w.read || len(l.cases.open) <= len(l.evidence.lines) {
			continue
		}
		g := l.cgroups.byPath[w.Path]
		if g != nil && !w.in(g.id) {
			g = nil // another one has the path now.
		}
		if g != nil && len(g.steps) > 0 {
			continue // it is published with the step.
		}
		if l.cgroups.alive(g) && g.counted() && g.wasThere(w.read, false) {
			continue // its counter would have moved.
		}
		l.cgroups.takeRemoved(w.Path)
		l.publish(finding{
			cgroup: g, path: w.Path, evidence: w.By, shown: l.reads.done,
			decision: l.evidence.nextDecision(nil), witness: &w,
		})
	}
}

// hasWaited tells whether no line will come any more for the kill that was seen.
func (l *Ledger) hasWaited(w *witness, now time.Time) bool {
	return l.log == oom.LogAbsent || now.Sub(w.taken) >= lineWait
}

// closeRipe publishes what has waited long enough: for the cgroup above a
// removed one, or as unattributed.
func (l *Ledger) closeRipe(now time.Time) {
	wait := l.o.PendingFor
	if l.log == oom.LogAbsent {
		wait = min(wait, witnessWait)
	}
	free := l.cases.readTwice(l.reads.done) - l.reserved(now.Add(-wait))
	several := len(l.evidence.lines) > 1 || len(l.cases.open) > 1
	for n := min(free, l.cases.ripe(now.Add(-wait), l.reads.done)); n > 0; n-- {
		p := l.cgroups.oldestRemoved()
		if p != nil && l.estimateRemoved(p) {
			continue
		}
		if p == nil && l.log == oom.LogAbsent && l.cases.ripe(now.Add(-l.o.PendingFor), l.reads.done) == 0 {
			return
		}
		f := finding{decision: l.evidence.nextDecision(nil)}
		if p != nil {
			p.removed.kills--
			f.cgroup, f.path, f.evidence, f.shown, f.removed = p, p.id.Path, byCounter, l.reads.done, true
		}
		l.useLines(func(ln *line) bool {
			if f.line != nil || ln.Path != "" || ln.Kill.Duplicate {
				return false
			}
			f.line, f.vague = ln, p != nil && several // any of the lines may be of this cgroup.
			return true
		})
		l.publishOldest(f)
	}
}

// reserved returns how many cases belong to evidence that is still being put
// together: steps, and lines that came after the time.
func (l *Ledger) reserved(after time.Time) (n int64) {
	for _, g := range l.cgroups.stepped {
		n += g.unjoined()
	}
	for _, ln := range l.evidence.lines {
		if ln.At.After(after) {
			n++
		}
	}
	return n
}

// dropUnbacked drops evidence of kills that vmstat does not have.
func (l *Ledger) dropUnbacked(now time.Time) {
	if len(l.cases.open) > 0 {
		return
	}
	l.useLines(func(ln *line) bool {
		if l.reads.vmstatDone <= ln.vmstatRead || now.Sub(ln.At) < lineWait {
			return false
		}
		switch {
		case ln.Kill.Duplicate:
			l.counts.Late++
		case !l.counts.Restored && ln.At.Sub(l.counts.Epoch) < lineWait: // it was on its way at the epoch.
			l.evidence.history = append(l.evidence.history, ln.Kill)
		default:
			l.counts.Forged++
		}
		return true
	})
	for _, g := range l.cgroups.stepped {
		for len(g.steps) > 0 && now.Sub(g.steps[0].At) >= 2*lineWait {
			l.counts.Unbacked += uint64(g.steps[0].N)
			g.steps = append(g.steps[:0], g.steps[1:]...)
			l.changed()
		}
	}
	for _, g := range l.cgroups.bereft {
		if g.removed.kills > 0 && now.Sub(g.removed.at) >= l.o.PendingFor {
			g.removed.kills = 0
		}
	}
}
