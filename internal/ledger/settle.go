// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// settle publishes what the evidence allows by now; see the package comment.
func (l *Ledger) settle(now time.Time) {
	if len(l.lines) == 0 && l.slots.n == 0 && len(l.claimed) == 0 {
		return
	}
	l.settleDuplicates()
	l.settleNamed()
	l.dropLate(now)
	l.settleByElimination(now)
	l.settleByCounters(now)
	l.settleByWitness(now)
	l.settleRipe(now)
	l.dropUnbacked(now)
	l.prune()
}

// covered tells whether a read of all groups that began after the line came
// has ended.
func (l *Ledger) covered(ln *line) bool { return l.done > ln.read }

// keep drops the lines for which used returns true.
func (l *Ledger) keep(used func(*line) bool) {
	kept := l.lines[:0]
	for _, ln := range l.lines {
		if !used(ln) {
			kept = append(kept, ln)
		}
	}
	clear(l.lines[len(kept):])
	l.lines = kept
}

// settleDuplicates closes a slot for each second line of a group kill's first
// victim, and takes off what the group's counter has too much.
func (l *Ledger) settleDuplicates() {
	l.keep(func(ln *line) bool {
		if !ln.Kill.Duplicate || l.slots.n == 0 {
			return false
		}
		path := l.firstPath(ln)
		g := l.claimant(path, true)
		if g == nil && !l.covered(ln) {
			return false
		}
		if g != nil {
			g.unclaim()
		} else if p := l.takeGone(path); p != nil && p.goneTwice > 0 {
			p.goneTwice--
		}
		if g := l.nearest(path, func(g *group) bool { return g.twice > 0 }); g != nil {
			g.twice--
		}
		l.closeDuplicate()
		return true
	})
}

// closeDuplicate closes a slot for the second count of a first victim.
func (l *Ledger) closeDuplicate() {
	l.slots.close(l.done)
	l.counts.Duplicates++
	l.changed()
}

// firstPath returns the group of a duplicate, which is that of the first line
// with its pid.
func (l *Ledger) firstPath(dup *line) string {
	for _, ln := range l.lines {
		if ln != dup && !ln.Kill.Duplicate && ln.Kill.Victim.PID == dup.Kill.Victim.PID && ln.Path != "" {
			return ln.Path
		}
	}
	if path := l.victims.path[dup.Kill.Victim.PID]; path != "" {
		return path
	}
	return dup.Path
}

// claimant returns the group with this path whose counter claims a kill; with
// below, one of those below will do.
func (l *Ledger) claimant(path string, below bool) *group {
	if path == "" {
		return nil
	}
	var found *group
	for _, g := range l.claimed {
		switch {
		case len(g.claims) == 0:
		case g.id.Path == path:
			return g
		case below && found == nil && within(g.id.Path, path):
			found = g
		}
	}
	return found
}

// nearest returns the innermost group at or above the path that fits.
func (l *Ledger) nearest(path string, fits func(*group) bool) *group {
	for path != "" {
		if g := l.byPath[path]; g != nil && fits(g) {
			return g
		}
		if path == "/" {
			return nil
		}
		i := strings.LastIndexByte(path, '/')
		path = path[:max(i, 0)]
		if i == 0 {
			path = "/"
		}
	}
	return nil
}

// takeGone notes that a kill in a group that is gone has been found out, and
// returns the group above it that knew of one.
func (l *Ledger) takeGone(path string) *group {
	g := l.nearest(path, func(g *group) bool { return g.gone > 0 })
	if g != nil {
		g.gone--
	}
	return g
}

// settleNamed publishes the lines that something names: at once where the
// group's counter agrees, and else when a read of all groups did not find the
// group, or where the kernel itself has said so.
func (l *Ledger) settleNamed() {
	l.keep(func(ln *line) bool {
		if ln.Kill.Duplicate || l.slots.n == 0 {
			return false
		}
		l.name(ln)
		if ln.Path == "" {
			return false
		}
		f := finding{line: ln, path: ln.Path, evidence: ln.By, read: l.done}
		if g := l.claimant(ln.Path, ln.Kill.GroupKill); g != nil {
			f.read, _ = g.unclaim()
			f.group, f.path = g, g.id.Path
			l.publish(f)
			return true
		}
		if !l.covered(ln) {
			return false
		}
		g := l.byPath[ln.Path]
		if g != nil && g.bare > 0 { // the line of a kill that is published.
			g.bare--
			l.unlined--
			l.counts.Late++
			return true
		}
		known := g != nil && g.first <= ln.read // else the path was used again.
		same := known && l.alive(g) && g.counted()
		other := known && g.guessed > 0 && (ln.By == byReport || !same)
		if other {
			g.guessed-- // it is that kill's line, and this one's the other.
		}
		if other || same && ln.By != byReport {
			ln.refuted, ln.Path, ln.By = ln.Path, "", ""
			return false
		}
		if known {
			f.group = g
		}
		l.takeGone(ln.Path)
		l.publish(f)
		return true
	})
}

// settleByElimination joins the lines that nothing names with the claims that
// are left. With the claims of one group and a line for each slot there is no
// doubt; else the group gets its count, and the line a record without group.
func (l *Ledger) settleByElimination(now time.Time) {
	l.prune()
	unnamed := 0
	for _, ln := range l.lines {
		if ln.Path == "" && l.covered(ln) && !ln.Kill.Duplicate {
			unnamed++
		}
	}
	if unnamed == 0 || len(l.claimed) == 0 {
		return
	}
	sure := len(l.claimed) == 1 && int64(len(l.lines)) == l.slots.n &&
		int64(unnamed) <= l.claimed[0].claimable()
	l.keep(func(ln *line) bool {
		if ln.Path != "" || ln.Kill.Duplicate || !l.covered(ln) || l.slots.n == 0 {
			return false
		}
		if !sure && now.Sub(ln.At) < witnessWait {
			return false
		}
		g := l.oldestClaim()
		if g == nil || !sure && now.Sub(g.claims[0].At) < witnessWait {
			return false // its own line may be on its way.
		}
		f := finding{line: ln, group: g, path: g.id.Path, evidence: byCounter, vague: !sure}
		f.read, _ = g.unclaim()
		l.publish(f)
		return true
	})
}

// oldestClaim returns the group that has waited longest.
func (l *Ledger) oldestClaim() *group {
	var found *group
	for _, g := range l.claimed {
		if len(g.claims) > 0 && (found == nil || g.claims[0].At.Before(found.claims[0].At)) {
			found = g
		}
	}
	return found
}

// openSlots counts kills where vmstat does not.
func (l *Ledger) openSlots(n int64) {
	l.counts.Vmstat += n
	l.slots.open(n, l.o.Now(), l.began)
	l.changed()
}

// remember names the log's kills of before the epoch; they are records and
// never counted.
func (l *Ledger) remember() {
	for _, k := range l.history {
		k.History = true
		l.counts.LastKill = latest(l.counts.LastKill, k.Time)
		if k.VictimPath != "" {
			if who, _, ok := l.whoIs(k.VictimPath); ok {
				w, standIn := workloadOf(who, k.VictimPath)
				k.Workload, k.Evidence = w, byReport
				e := l.workloads.page(w)
				e.Last, e.Seen = latest(e.Last, k.Time), l.o.Now()
				e.StandIn, e.Path = standIn, k.VictimPath
			}
		}
		if k.LimitPath != "" && k.Level == oom.LevelUnknown {
			k.Level = l.levelAt(k.LimitPath)
		}
		l.records = appendBounded(l.records, k, l.o.MaxRecords)
	}
	if len(l.history) > 0 {
		l.changed()
	}
	l.history = nil
}
