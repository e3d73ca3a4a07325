// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// settleByCounters publishes the claims that no line will come for any more:
// at the next read where there is no log, else after a while.
func (l *Ledger) settleByCounters(now time.Time) {
	ready := func(c claim) bool {
		return l.log == LogAbsent && l.done > c.read || now.Sub(c.At) >= lineWait
	}
	l.estimateDuplicates(ready)
	for _, g := range l.claimed {
		for l.slots.n > 0 && len(g.claims) > 0 && ready(g.claims[0]) {
			f := finding{group: g, path: g.id.Path, evidence: byCounter, decision: l.nextDecision(g)}
			f.pid, f.witness = l.takeWitness(g.id.Path)
			f.read, _ = g.unclaim()
			l.publish(f)
		}
	}
}

// settleRipe publishes what has waited long enough for evidence.
func (l *Ledger) settleRipe(now time.Time) {
	wait := l.o.PendingFor
	if l.log == LogAbsent {
		wait = min(wait, witnessWait)
	}
	free := l.slots.known(l.done) - l.reserved(now.Add(-wait))
	for n := min(free, l.slots.ripe(now.Add(-wait), l.done)); n > 0; n-- {
		p := l.oldestGone()
		if p != nil && l.estimateGone(p) {
			continue
		}
		if p == nil && l.log == LogAbsent && l.slots.ripe(now.Add(-l.o.PendingFor), l.done) == 0 {
			return
		}
		f := finding{oldest: true, decision: l.nextDecision(nil)}
		if p != nil {
			p.gone--
			f.group, f.path, f.evidence, f.read = p, p.id.Path, byCounter, l.done
		}
		l.keep(func(ln *line) bool {
			if f.line != nil || ln.Path != "" || ln.Kill.Duplicate {
				return false
			}
			f.line = ln
			return true
		})
		l.publish(f)
	}
}

// reserved returns how many slots belong to evidence that is still being put
// together: claims, and lines that came after the time.
func (l *Ledger) reserved(after time.Time) (n int64) {
	for _, g := range l.claimed {
		n += g.claimable()
	}
	for _, ln := range l.lines {
		if ln.At.After(after) {
			n++
		}
	}
	return n
}

// oldestGone returns the group that has waited longest with a kill in a child
// that is gone.
func (l *Ledger) oldestGone() *group {
	var found *group
	for _, g := range l.orphaned {
		if g.gone > 0 && (found == nil || g.goneAt.Before(found.goneAt) ||
			g.goneAt.Equal(found.goneAt) && g.id.Path < found.id.Path) {
			found = g
		}
	}
	return found
}

// nextDecision numbers an OOM that no line tells of.
func (l *Ledger) nextDecision(g *group) uint64 {
	if g != nil && g.together != 0 {
		return g.together
	}
	l.decision++
	return l.decision
}

// estimateDuplicates takes off what group kills have probably counted twice,
// where no line of the log tells: one a group kill of two or more.
func (l *Ledger) estimateDuplicates(ready func(claim) bool) {
	for _, g := range l.claimed {
		if len(g.claims) == 0 || !ready(g.claims[0]) {
			continue
		}
		for p := g; p != nil; p = p.parent {
			if p.twice > 0 {
				l.estimate(p)
				break
			}
		}
	}
}

func (l *Ledger) estimate(p *group) {
	l.decision++
	var all int64
	var below []*group
	for _, g := range l.claimed {
		if n := g.claimable(); n > 0 && within(g.id.Path, p.id.Path) {
			g.together = l.decision
			all += n
			below = append(below, g)
		}
	}
	twice := min(p.twice, all-p.twice, l.slots.n)
	p.twice = 0
	for ; twice > 0; twice-- {
		most := below[0]
		for _, g := range below {
			if g.claimable() > most.claimable() {
				most = g
			}
		}
		most.unclaim()
		l.counts.Estimated++
		l.closeDuplicate()
	}
}

// estimateGone takes one off the kills in a group's children that are gone, if
// group kills are among them.
func (l *Ledger) estimateGone(p *group) bool {
	p.goneTwice = min(p.goneTwice, p.gone-p.goneTwice)
	if p.goneTwice <= 0 {
		return false
	}
	p.goneTwice--
	p.gone--
	l.counts.Estimated++
	l.closeDuplicate()
	return true
}

// settleByWitness publishes kills in groups that are gone and that only
// somebody saw who watched: there are more kills than lines for them.
func (l *Ledger) settleByWitness(now time.Time) {
	for pid, w := range l.witnesses {
		if now.Sub(w.taken) >= witnessAge {
			delete(l.witnesses, pid)
			continue
		}
		waited := now.Sub(w.taken) >= lineWait || l.log == LogAbsent && l.done > w.read
		if !waited || l.done <= w.read || l.slots.n <= int64(len(l.lines)) {
			continue
		}
		g := l.byPath[w.path]
		if l.alive(g) && g.counted() && g.first <= w.read {
			continue
		}
		l.takeGone(w.path)
		l.publish(finding{
			group: g, path: w.path, evidence: byTracefs, read: l.done,
			decision: l.nextDecision(nil), witness: &w, pid: pid,
		})
	}
}

// takeWitness returns who saw a victim in the group and is of no line, the
// first one first.
func (l *Ledger) takeWitness(path string) (int, *witness) {
	found := 0
	for pid, w := range l.witnesses {
		if w.path == path && (found == 0 || w.taken.Before(l.witnesses[found].taken)) {
			found = pid
		}
	}
	if found == 0 {
		return 0, nil
	}
	w := l.witnesses[found]
	return found, &w
}

// dropLate drops the oldest lines without a name where there are more lines
// than slots, since kills were published before their lines came.
func (l *Ledger) dropLate(now time.Time) {
	if now.Sub(l.unlinedAt) > time.Minute {
		l.unlined = 0
	}
	var n int64
	for _, ln := range l.lines {
		if l.vdone > ln.vread {
			n++
		}
	}
	excess := min(n-l.slots.n, l.unlined)
	l.keep(func(ln *line) bool {
		if excess <= 0 || l.vdone <= ln.vread || ln.Path != "" {
			return false
		}
		excess--
		l.unlined--
		l.counts.Late++
		l.changed()
		return true
	})
}

// dropUnbacked drops what names kills that vmstat does not have.
func (l *Ledger) dropUnbacked(now time.Time) {
	if l.slots.n > 0 {
		return
	}
	l.keep(func(ln *line) bool {
		if l.vdone <= ln.vread || now.Sub(ln.At) < lineWait {
			return false
		}
		switch {
		case ln.Kill.Duplicate:
			l.counts.Late++
		case !l.counts.Restored && ln.At.Sub(l.counts.Epoch) < lineWait:
			l.history = append(l.history, ln.Kill) // it was on its way at the epoch.
		default:
			l.counts.Forged++
		}
		l.changed()
		return true
	})
	for _, g := range l.claimed {
		for len(g.claims) > 0 && now.Sub(g.claims[0].At) >= 2*lineWait {
			l.counts.Unbacked += uint64(g.claims[0].N)
			g.claims = append(g.claims[:0], g.claims[1:]...)
			l.changed()
		}
	}
	for _, g := range l.orphaned {
		if g.gone > 0 && now.Sub(g.goneAt) >= l.o.PendingFor {
			g.gone = 0
		}
	}
}

// unmet is a kill that was published as somebody saw it, without its line.
type unmet struct {
	group *group // may be nil.
	comm  string
	at    time.Time
}

// met tells whether the line is that of a kill that is published already.
func (l *Ledger) met(k *oom.Kill) bool {
	u, ok := l.unmet[k.Victim.PID]
	if !ok || k.Duplicate || !l.counts.HasVmstat {
		return false
	}
	delete(l.unmet, k.Victim.PID)
	if u.comm != "" && u.comm != k.Victim.Comm {
		return false // the pid was used again.
	}
	if u.group != nil && u.group.bare > 0 {
		u.group.bare--
	}
	l.unlined = max(l.unlined-1, 0)
	l.counts.Late++
	l.changed()
	return true
}
