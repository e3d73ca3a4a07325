// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// finding is one kill as far as it could be found out.
type finding struct {
	line     *line     // nil: the log did not tell.
	group    *group    // the victim's, where the books have it.
	path     string    // of the victim's group; empty: unattributed.
	evidence string    // what named it.
	read     uint64    // the read of the groups that showed it.
	vague    bool      // the line may be another kill's of the same moment.
	decision uint64    // the OOM it belongs to, where no line says so.
	witness  *witness  // who saw it, where no line did.
	pid      int       // the witness' process.
	opened   time.Time // when its slot was opened.
	oldest   bool      // it takes the oldest slot instead of the youngest.
}

// publish closes a slot with a kill, for good.
func (l *Ledger) publish(f finding) {
	at, ok := l.closeSlot(f)
	if !ok {
		return
	}
	f.opened = at
	k := f.kill()
	level, limit := l.levelOf(f)
	k.Level, k.LimitPath = level, limit
	l.counts.Levels[level]++
	l.counts.LastKill = latest(l.counts.LastKill, k.Time)
	if f.path == "" {
		l.counts.Unattributed++
	} else {
		w := l.enter(f, k.Time)
		if !f.vague {
			k.Workload, k.VictimPath, k.Evidence = w, f.path, f.evidence
		}
	}
	if level == oom.LevelPod {
		l.enterPod(limit, k.Time)
	}
	l.owe(f)
	delete(l.witnesses, k.Victim.PID)
	if !f.vague {
		l.victims.add(k.Victim.PID, f.path)
	}
	l.records = appendBounded(l.records, k, l.o.MaxRecords)
	l.outbox = append(l.outbox, k)
	l.changed()
}

// owe notes a kill whose own line may still come.
func (l *Ledger) owe(f finding) {
	now := l.o.Now()
	bare := f.line == nil && l.log != LogAbsent
	if bare {
		l.unlined++
		l.unlinedAt = now
	}
	if bare && f.witness != nil {
		l.unmet[f.pid] = unmet{group: f.group, comm: f.witness.comm, at: now}
	}
	if f.group == nil || f.oldest {
		return
	}
	switch {
	case bare:
		f.group.bare++
		f.group.guessedAt = now
	case f.line != nil && f.line.Path == "":
		f.group.guessed++
		f.group.guessedAt = now
	}
}

func (l *Ledger) closeSlot(f finding) (time.Time, bool) {
	if f.oldest {
		return l.slots.closeOldest()
	}
	return l.slots.close(f.read)
}

// kill returns what is known of the kill itself.
func (f *finding) kill() oom.Kill {
	if f.line != nil {
		return f.line.Kill
	}
	k := oom.Kill{Time: f.opened, Approximate: true, Partial: true}
	if f.witness != nil {
		k.Time, k.Approximate = f.witness.at, false
		k.Victim.PID, k.Victim.Comm = f.pid, f.witness.comm
	}
	return k
}

// enter counts the kill for its workload.
func (l *Ledger) enter(f finding, at time.Time) oom.Workload {
	var who oom.Identity
	if f.group != nil && !f.group.who.StandIn {
		who = f.group.who
	} else {
		var ok bool
		if who, _, ok = l.whoIs(f.path); !ok {
			who.StandIn = true
		}
	}
	path := f.path
	if f.group != nil {
		path = f.group.row.Path
	}
	w, standIn := workloadOf(who, path)
	e := l.workloads.page(w)
	e.Kills++
	e.Last = latest(e.Last, at)
	e.Seen = latest(e.Seen, l.o.Now())
	e.StandIn, e.Path = standIn, f.path
	decision := f.decision
	if f.line != nil {
		decision = f.line.Decision
	}
	if l.firstHit(hit{w, decision}) {
		e.OOMs++
	}
	if l.alive(f.group) && !f.oldest {
		l.survivors = append(l.survivors, survivor{ID: f.group.row, Workload: w, Due: f.opened.Add(l.o.SurviveAfter)})
	}
	return w
}

// enterPod counts a kill for the pod whose limit was its reason.
func (l *Ledger) enterPod(path string, at time.Time) {
	who, _, ok := l.whoIs(path)
	if !ok || who.Workload.Pod == "" {
		return
	}
	w := oom.Workload{Namespace: who.Workload.Namespace, Pod: who.Workload.Pod}
	e := l.pods.page(w)
	e.Kills++
	e.Last = latest(e.Last, at)
	e.Seen = latest(e.Seen, l.o.Now())
	e.StandIn, e.Path = who.StandIn, path
}

// hit is an OOM decision that hit a workload.
type hit struct {
	workload oom.Workload
	decision uint64
}

const maxHits = 4096

// firstHit tells whether the decision has not hit the workload before: the
// kills of one group kill are one OOM.
func (l *Ledger) firstHit(h hit) bool {
	if _, ok := l.hits[h]; ok {
		return false
	}
	if len(l.hits) >= maxHits {
		for old := range l.hits {
			if old.decision+maxHits/2 < l.decision {
				delete(l.hits, old)
			}
		}
	}
	l.hits[h] = struct{}{}
	return true
}

// survivor is a group that must still have processes when it is due, so that
// the kill was one that the workload survived.
type survivor struct {
	ID       oom.GroupID  `json:"id"`
	Workload oom.Workload `json:"workload"`
	Due      time.Time    `json:"due"`
}

// due takes the survivors out that are due.
func (l *Ledger) due(now time.Time) []survivor {
	n := 0
	for n < len(l.survivors) && !l.survivors[n].Due.After(now) {
		n++
	}
	due := append([]survivor(nil), l.survivors[:n]...)
	l.survivors = append(l.survivors[:0], l.survivors[n:]...)
	return due
}

// survived looks whether the groups of past kills still have processes. It is
// called without the lock.
func (l *Ledger) survived(due []survivor) {
	populated := make(map[oom.GroupID]bool, len(due))
	for _, s := range due {
		if _, ok := populated[s.ID]; !ok {
			populated[s.ID] = l.o.Counters.Populated(s.ID)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range due {
		if e := l.workloads[s.Workload]; e != nil && populated[s.ID] {
			e.Survived++
			l.changed()
		}
	}
}

func (l *Ledger) renameSurvivors(from, to oom.Workload) {
	for i := range l.survivors {
		if l.survivors[i].Workload == from {
			l.survivors[i].Workload = to
		}
	}
}

// recent remembers where pids died lately, for duplicates.
type recent struct {
	path map[int]string
	ring [256]int
	next int
}

func newRecent() *recent { return &recent{path: map[int]string{}} }

func (r *recent) add(pid int, path string) {
	if pid == 0 {
		return
	}
	if _, ok := r.path[pid]; !ok {
		delete(r.path, r.ring[r.next])
		r.ring[r.next] = pid
		r.next = (r.next + 1) % len(r.ring)
	}
	r.path[pid] = path
}
