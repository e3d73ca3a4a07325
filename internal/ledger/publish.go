// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// publish closes the case of a kill that a read of the cgroups has shown.
func (l *Ledger) publish(f finding) { l.publishCase(l.takeCase(&f), f) }

// takeCase removes the open case that the evidence is of.
func (l *Ledger) takeCase(f *finding) *killCase {
	if at, ok := f.time(); ok {
		return l.cases.takeOf(at, f.shown)
	}
	return l.cases.take(f.shown)
}

// time is when the kernel killed, by its line or the sighting.
func (f *finding) time() (at time.Time, ok bool) {
	switch {
	case f.line != nil:
		return f.line.Kill.Time, !f.line.Kill.Approximate && !f.line.Kill.Time.IsZero()
	case f.witness != nil:
		return f.witness.Time, true
	}
	return time.Time{}, false
}

// publishOldest closes the case that has waited longest.
func (l *Ledger) publishOldest(f finding) { l.publishCase(l.cases.takeAt(0), f) }

// publishCase counts the kill for good.
func (l *Ledger) publishCase(c *killCase, f finding) {
	if c == nil {
		return
	}
	if f.line != nil {
		f.decision = f.line.Decision
	}
	c.finding = f
	k := c.kill()
	k.ID = l.nextID()
	level, limit := l.cgroups.levelOf(f)
	k.Level, k.LimitPath = level, limit
	l.counts.Levels[level]++
	l.counts.LastKill = latest(l.counts.LastKill, k.Time)
	if f.path == "" {
		l.counts.Unattributed++
	} else {
		c.workload = l.count(c, k.Time)
		if !f.vague {
			k.Workload, k.VictimPath, k.Evidence = c.workload, f.path, f.evidence
		}
	}
	if level == oom.LevelPod {
		l.countPod(limit, k.Time)
	}
	delete(l.evidence.witnesses, k.Victim.PID)
	c.record = &k
	l.cases.close(c, l.o.Now())
	l.totals.records = appendBounded(l.totals.records, c.record, l.o.MaxRecords)
	l.outbox = append(l.outbox, k)
	l.changed()
}

// nextID returns the ID of the next kill: unique on this node, even across
// restarts without a state file, since those begin with a higher vmstat.
func (l *Ledger) nextID() string {
	l.counts.Published++
	return killID(l.o.BootID, "", uint64(l.counts.Base)+l.counts.Published)
}

// killID makes an ID from the boot's ID, a number and a letter for its sort.
func killID(boot, sort string, n uint64) string {
	const bootLen = 8 // hex digits; enough to tell the boots of one node apart.
	if boot == "" {
		boot = "noboot"
	}
	return fmt.Sprintf("%s-%s%d", boot[:min(len(boot), bootLen)], sort, n)
}

// kill returns what is known of the kill itself.
func (c *killCase) kill() oom.Kill {
	if c.line != nil {
		return c.line.Kill
	}
	k := oom.Kill{Time: c.opened, Approximate: true, Partial: true}
	if w := c.witness; w != nil {
		k.Time, k.Approximate = w.Time, false
		k.Victim, k.Trigger = w.Victim, w.Trigger
	}
	return k
}

// count counts the kill for its workload.
func (l *Ledger) count(c *killCase, at time.Time) oom.Workload {
	who, path := oom.Identity{StandIn: true}, c.path
	if c.cgroup != nil {
		path = c.cgroup.row.Path
	}
	if c.cgroup != nil && !c.cgroup.who.StandIn {
		who = c.cgroup.who
	} else if known, _, ok := l.cgroups.whoIs(c.path); ok {
		who = known
	}
	w, standIn := workloadOf(who, path)
	if l.totals.unmarked.IsZero() {
		l.totals.unmarked = l.o.Now()
	}
	t := l.totals.workloads.note(w, standIn, c.path, at, l.o.Now())
	t.Kills++
	if l.cases.firstOf(c.decision, w) {
		t.OOMs++
	}
	if l.cgroups.alive(c.cgroup) && !c.removed {
		l.totals.survivors = append(l.totals.survivors, survivor{
			ID: c.cgroup.row, Workload: w, Due: c.opened.Add(l.o.SurviveAfter),
		})
	}
	return w
}

// countPod counts a kill for the pod whose limit was hit.
func (l *Ledger) countPod(path string, at time.Time) {
	who, _, ok := l.cgroups.whoIs(path)
	if !ok || who.Workload.Pod == "" {
		return
	}
	pod := oom.Workload{Namespace: who.Workload.Namespace, Pod: who.Workload.Pod}
	l.totals.pods.note(pod, who.StandIn, path, at, l.o.Now()).Kills++
}

// rememberHistory names the log's kills from before the epoch; they are recorded
// and never counted.
func (l *Ledger) rememberHistory() {
	for _, k := range l.evidence.history {
		k.History = true
		k.ID = killID(l.o.BootID, "h", k.Seq)
		l.counts.LastKill = latest(l.counts.LastKill, k.Time)
		if k.VictimPath != "" {
			if who, _, ok := l.cgroups.whoIs(k.VictimPath); ok {
				w, standIn := workloadOf(who, k.VictimPath)
				k.Workload, k.Evidence = w, byReport
				l.totals.workloads.note(w, standIn, k.VictimPath, k.Time, l.o.Now())
			}
		}
		if k.LimitPath != "" && k.Level == oom.LevelUnknown {
			k.Level = l.cgroups.levelAt(k.LimitPath)
		}
		l.totals.records = appendBounded(l.totals.records, &k, l.o.MaxRecords)
	}
	if len(l.evidence.history) > 0 {
		l.changed()
	}
	l.evidence.history = nil
}

// survivor is a cgroup that must still have processes when it is due for its
// kill to count as one that the workload survived.
type survivor struct {
	ID       oom.GroupID  `json:"id"`
	Workload oom.Workload `json:"workload"`
	Due      time.Time    `json:"due"`
}

// dueSurvivors takes out those that are due.
func (t *totals) dueSurvivors(now time.Time) []survivor {
	n := 0
	for n < len(t.survivors) && !t.survivors[n].Due.After(now) {
		n++
	}
	due := append([]survivor(nil), t.survivors[:n]...)
	t.survivors = append(t.survivors[:0], t.survivors[n:]...)
	return due
}

// countSurvivors checks whether the cgroups of past kills still have processes.
// It is called without the lock.
func (l *Ledger) countSurvivors(due []survivor) {
	populated := make(map[oom.GroupID]bool, len(due))
	for _, s := range due {
		if _, ok := populated[s.ID]; !ok {
			populated[s.ID] = l.o.Counters.Populated(s.ID)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range due {
		if t := l.totals.workloads[s.Workload]; t != nil && populated[s.ID] {
			t.Survived++
			l.changed()
		}
	}
}
