// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// A closed case and a line that comes late meet here; so do the two kinds of
// evidence for one duplicate.

// meetWitnessed joins a line with the case that was published because its process
// was seen dying.
func (l *Ledger) meetWitnessed(ln *line) bool {
	if ln.Kill.Duplicate || !l.counts.HasVmstat {
		return false
	}
	return l.meet(ln, func(c *killCase) bool {
		w := c.witness
		return w != nil && w.Victim.PID == ln.Kill.Victim.PID && (w.Victim.Comm == "" || w.Victim.Comm == ln.Kill.Victim.Comm)
	})
}

// meetNamed joins a line with a case that was published for its cgroup; with
// expected, only with one whose line cannot have been lost.
func (l *Ledger) meetNamed(ln *line, expected bool) bool {
	g := l.cgroups.byPath[ln.Path]
	return l.meet(ln, func(c *killCase) bool {
		if expected && c.opened.Before(l.evidence.lostUntil()) {
			return false
		}
		if ln.Kill.GroupKill && within(c.path, ln.Path) || c.removed && within(ln.Path, c.path) {
			return true
		}
		return c.path == ln.Path && (c.cgroup == nil || c.cgroup == g)
	})
}

// meet gives the line to the oldest published case that has none and fits.
func (l *Ledger) meet(ln *line, fits func(*killCase) bool) bool {
	c := l.cases.find(func(c *killCase) bool { return c.lineless() && fits(c) })
	if c == nil {
		return false
	}
	l.giveLine(c, ln)
	l.counts.Late++
	l.changed()
	return true
}

// giveLine completes a published case with its line. Only the record of the
// kill changes; what was counted stays.
func (l *Ledger) giveLine(c *killCase, ln *line) {
	c.line, c.guessed, c.vague = ln, false, false
	if c.record == nil {
		return
	}
	k := ln.Kill
	if c.witness != nil {
		c.witness.complete(&k)
	}
	k.Level, k.LimitPath = c.record.Level, c.record.LimitPath
	k.Workload, k.VictimPath, k.Evidence = c.workload, c.path, c.evidence
	*c.record = k
}

// meetEstimate joins the second line of a first victim, or a leftover line of a
// group kill, with a duplicate that was estimated for its cgroup; with expected,
// only with one whose line cannot have been lost.
func (l *Ledger) meetEstimate(path string, expected bool) bool {
	var after time.Time
	if expected {
		after = l.evidence.lostUntil()
	}
	if !l.cgroups.takeEstimate(path, after) {
		return false
	}
	l.counts.Late++
	l.changed()
	return true
}

// replaceGuess gives a line to a case of its cgroup that was published with
// the line of another kill; that line is free again.
func (l *Ledger) replaceGuess(g *cgroup, ln *line) bool {
	c := l.cases.find(func(c *killCase) bool { return c.cgroup == g && c.guessed && c.line != nil })
	if c == nil {
		return false
	}
	own, other := *ln, *c.line
	l.giveLine(c, &own)
	other.read = own.read
	other.refuted = own.Path
	*ln = other
	ln.Path, ln.By = "", ""
	l.changed()
	return true
}

// dropLateLines drops the oldest lines without a name where there are more
// lines than open cases, since that many cases were closed before their lines
// came.
func (l *Ledger) dropLateLines() {
	var n int64
	for _, ln := range l.evidence.lines {
		if l.reads.vmstatDone > ln.vmstatRead {
			n++
		}
	}
	excess := n - int64(len(l.cases.open))
	l.useLines(func(ln *line) bool {
		if excess <= 0 || l.reads.vmstatDone <= ln.vmstatRead || ln.Path != "" {
			return false
		}
		c := l.cases.find((*killCase).lineless)
		if c == nil {
			return false
		}
		c.line, c.guessed = ln, true
		excess--
		l.counts.Late++
		return true
	})
}

// estimateDuplicates closes as duplicates what group kills have probably
// counted twice, where no line of the log tells: one for each group kill with at
// least two counted kills.
func (l *Ledger) estimateDuplicates(ready func(step) bool) {
	for _, g := range l.cgroups.stepped {
		if len(g.steps) == 0 || !ready(g.steps[0]) {
			continue
		}
		if p := g.groupKilled(); p != nil {
			l.estimate(p)
		}
	}
}

func (l *Ledger) estimate(p *cgroup) {
	decision := l.evidence.nextDecision(nil)
	var all int64
	var below []*cgroup
	for _, g := range l.cgroups.stepped {
		if n := g.unjoined(); n > 0 && within(g.id.Path, p.id.Path) {
			g.together = decision
			all += n
			below = append(below, g)
		}
	}
	joined := l.cases.count(func(c *killCase) bool {
		return c.shown+1 >= p.group.read && within(c.path, p.id.Path) && c.line.ofGroupKill()
	})
	n := min(p.group.kills, all, all+joined-p.group.kills, int64(len(l.cases.open)))
	p.group.kills = 0
	for ; n > 0; n-- {
		most := below[0]
		for _, g := range below {
			if g.unjoined() > most.unjoined() {
				most = g
			}
		}
		most.join()
		l.closeEstimate(p)
	}
}

// estimateRemoved takes a duplicate off the kills in a cgroup's removed
// children, if group kills are among them.
func (l *Ledger) estimateRemoved(p *cgroup) bool {
	r := &p.removed
	r.groupKills = min(r.groupKills, r.kills-r.groupKills)
	if r.groupKills <= 0 {
		return false
	}
	r.groupKills--
	r.kills--
	l.closeEstimate(p)
	return true
}

// closeEstimate closes a case as a duplicate whose line has not come.
func (l *Ledger) closeEstimate(p *cgroup) {
	p.group.estimated++
	p.group.at = l.o.Now()
	l.counts.Estimated++
	l.closeDuplicate(nil)
}
