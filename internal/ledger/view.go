// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// View is what the ledger shows at one moment. It is shared and must not be
// modified.
type View struct {
	oom.KillTotals       // Sources and TraceEventsLost are left to the caller.
	Step           int64 // of vmstat since the epoch; without vmstat, our own count.

	Estimated uint64 // of the duplicates: without the log, by memory.oom.group's counter.
	Forged    uint64 // lines of the log without a kill.
	Late      uint64 // lines of the log whose kill was published before they came.
	Unbacked  uint64 // steps of cgroups' counters without a kill.
	Debt      int64  // by how much vmstat went back beyond the open cases.

	records []oom.Kill // in a view that is saved.
}

// View returns the numbers: with a state file, those that it holds. At rest it
// returns the same again and again.
func (l *Ledger) View() View {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := *l.visible()
	out.HasState, out.Unsaved = l.saver.path != "", l.saver.unsavedFor(l.o.Now())
	return out
}

// visible returns what may be shown.
func (l *Ledger) visible() *View {
	s := &l.saver
	switch {
	case s.path == "":
		if l.view == nil {
			l.view = l.draw()
		}
		return l.view
	case !s.holds(l.o.Now()) && s.exposed < s.changes:
		s.shown, s.exposed = l.draw(), s.changes
		s.shown.records = l.totals.copyRecords()
	}
	return s.shown
}

func (l *Ledger) draw() *View {
	c := &l.counts
	v := &View{
		Step:      c.Vmstat - c.Base,
		Estimated: c.Estimated, Forged: c.Forged, Late: c.Late, Unbacked: c.Unbacked, Debt: l.cases.debt,
		KillTotals: oom.KillTotals{
			Epoch:     c.Epoch,
			Workloads: make([]oom.WorkloadKills, 0, len(l.totals.workloads)),
			Pods:      make([]oom.PodKills, 0, len(l.totals.pods)),
			ByLevel:   make(map[oom.Level]uint64, levels),
			Pending:   uint64(len(l.cases.open)), Unattributed: c.Unattributed, Evicted: c.Evicted,
			Duplicates: c.Duplicates, RecordsLost: c.Lost, LastKill: c.LastKill,
		},
	}
	if c.HasVmstat {
		v.NodeKills = oom.Of(uint64(c.Vmstat))
	}
	for _, level := range oom.Levels() {
		v.ByLevel[level] = c.Levels[level]
	}
	last := l.totals.lastRecords()
	for w, t := range l.totals.workloads {
		v.Workloads = append(v.Workloads, oom.WorkloadKills{
			Workload: w, Kills: t.Kills, OOMs: t.OOMs, Survived: t.Survived, LastKill: t.Last, Last: last[w],
		})
	}
	for w, t := range l.totals.pods {
		v.Pods = append(v.Pods, oom.PodKills{Namespace: w.Namespace, Pod: w.Pod, LimitKills: t.Kills})
	}
	return v
}

// Records returns the last kills, oldest first, those from before the epoch
// included. They must not be modified.
func (l *Ledger) Records() []oom.Kill {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.saver.path == "" {
		return l.totals.copyRecords()
	}
	return l.visible().records
}

// lastRecords returns each workload's newest record, as a copy: a line that comes
// late completes the record itself.
func (t *totals) lastRecords() map[oom.Workload]*oom.Kill {
	last := map[oom.Workload]*oom.Kill{}
	for _, k := range t.records {
		if was := last[k.Workload]; k.Workload != (oom.Workload{}) && (was == nil || !k.Time.Before(was.Time)) {
			last[k.Workload] = k
		}
	}
	for w, k := range last {
		copied := *k
		last[w] = &copied
	}
	return last
}

func (t *totals) copyRecords() []oom.Kill {
	all := make([]oom.Kill, 0, len(t.records))
	for _, k := range t.records {
		all = append(all, *k)
	}
	return all
}

// Counted returns how many kills the kernel has counted since the epoch.
func (l *Ledger) Counted() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts.Vmstat - l.counts.Base
}
