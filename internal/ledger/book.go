// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"sort"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// counts are the numbers that are not those of one workload.
type counts struct {
	Epoch     time.Time `json:"epoch"`
	HasVmstat bool      `json:"has_vmstat"`
	Vmstat    int64     `json:"vmstat"` // its last value; without it, a count of our own.
	Base      int64     `json:"base"`   // its value at the epoch.
	Seq       uint64    `json:"seq"`    // of the log's last kill.
	Baselined bool      `json:"baselined"`

	Levels       [levels]uint64 `json:"levels"`
	Unattributed uint64         `json:"unattributed"`
	Evicted      uint64         `json:"evicted"`
	Duplicates   uint64         `json:"duplicates"`
	Estimated    uint64         `json:"estimated"` // of the duplicates, without the log.
	Lost         uint64         `json:"lost"`      // records of the log.
	Forged       uint64         `json:"forged"`    // lines without a kill.
	Late         uint64         `json:"late"`      // lines of kills that were published before.
	Unbacked     uint64         `json:"unbacked"`  // steps of groups without a kill.
	Dropped      uint64         `json:"dropped"`   // lines over the bound.
	LastKill     time.Time      `json:"last_kill"`

	// Restored says that this run went on from a state file, and
	// savedVmstat with which number.
	Restored    bool  `json:"-"`
	savedVmstat int64 //
}

// levels is one more than the last oom.Level.
const levels = int(oom.LevelNode) + 1

// entry is the page of one workload, or of one pod's limit.
type entry struct {
	Kills    uint64    `json:"kills"`
	OOMs     uint64    `json:"ooms,omitempty"`
	Survived uint64    `json:"survived,omitempty"`
	Last     time.Time `json:"last"`
	Seen     time.Time `json:"seen"` // when it was last known to live, or was killed.
	StandIn  bool      `json:"stand_in,omitempty"`
	Path     string    `json:"path,omitempty"` // where to ask for its real name.
}

// book holds a page for each workload with kills.
type book map[oom.Workload]*entry

// page returns the workload's page.
func (b book) page(w oom.Workload) *entry {
	e := b[w]
	if e == nil {
		e = &entry{}
		b[w] = e
	}
	return e
}

// rename moves a page to another name; what is there is added to.
func (b book) rename(from, to oom.Workload) {
	e := b[from]
	if e == nil || from == to {
		return
	}
	delete(b, from)
	e.StandIn = false
	other := b[to]
	if other == nil {
		b[to] = e
		return
	}
	other.Kills += e.Kills
	other.OOMs += e.OOMs
	other.Survived += e.Survived
	other.Last = latest(other.Last, e.Last)
	other.Seen = latest(other.Seen, e.Seen)
}

// evict removes the pages of those that are dead for longer than age, and the
// longest dead beyond number. It returns their kills.
func (b book) evict(now time.Time, age time.Duration, number int) (kills uint64) {
	type dead struct {
		w    oom.Workload
		seen time.Time
	}
	var all []dead
	for w, e := range b {
		if e.Seen.Before(now) {
			all = append(all, dead{w, e.Seen})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].seen.After(all[j].seen) })
	for i, d := range all {
		if i >= number || now.Sub(d.seen) > age {
			kills += b[d.w].Kills
			delete(b, d.w)
		}
	}
	return kills
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// workloadOf returns the labels of a group: its name, or its path where there
// is none.
func workloadOf(who oom.Identity, path string) (w oom.Workload, standIn bool) {
	if who.Workload != (oom.Workload{}) {
		return who.Workload, who.StandIn
	}
	return oom.Workload{Container: path}, who.StandIn
}

// standIns asks again for the names of those that are counted by their ids.
func (l *Ledger) standIns() {
	for w, e := range l.workloads {
		if who, ok := l.realName(e); ok {
			l.workloads.rename(w, who)
			l.renameSurvivors(w, who)
			l.renameRecords(w, who)
			l.changed()
		}
	}
	for w, e := range l.pods {
		if who, ok := l.realName(e); ok {
			who.Container = ""
			l.pods.rename(w, who)
			l.changed()
		}
	}
}

func (l *Ledger) renameRecords(from, to oom.Workload) {
	for i := range l.records {
		if l.records[i].Workload == from {
			l.records[i].Workload = to
		}
	}
}

// realName returns the name of a page that has ids for one, if it is known by
// now.
func (l *Ledger) realName(e *entry) (oom.Workload, bool) {
	if !e.StandIn {
		return oom.Workload{}, false
	}
	who, _, ok := l.whoIs(e.Path)
	return who.Workload, ok && !who.StandIn && who.Workload != (oom.Workload{})
}

// markGap is how often the living are told from the dead.
const markGap = 10 * time.Second

// mark notes which workloads live, and lets the dead go that are too many or
// too old.
func (l *Ledger) mark(t oom.Tree, now time.Time) {
	if len(l.workloads)+len(l.pods) == 0 || now.Sub(l.marked) < markGap {
		return
	}
	l.marked = now
	for i := range t.Groups {
		g := &t.Groups[i]
		if g.Owner != i {
			continue
		}
		w, _ := workloadOf(g.Identity, clean(g.Path))
		if e := l.workloads[w]; e != nil {
			e.Seen = now
		}
		if e := l.pods[w]; e != nil {
			e.Seen = now
		}
	}
	before := len(l.workloads) + len(l.pods)
	l.counts.Evicted += l.workloads.evict(now, l.o.KeepAge, l.o.KeepDead)
	l.pods.evict(now, l.o.KeepAge, l.o.KeepDead)
	if len(l.workloads)+len(l.pods) != before {
		l.changed()
	}
}
