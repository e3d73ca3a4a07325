// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// View is what the ledger shows at one moment. It is shared and must not be
// modified.
type View struct {
	oom.KillTotals           // Sources and TraceEventsLost are left to the caller.
	Epoch          time.Time // zero: counting has not begun.
	Step           int64     // of vmstat since the epoch; without vmstat, our own count.

	Estimated uint64 // of the duplicates: without the log, by memory.oom.group's counter.
	Forged    uint64 // lines of the log without a kill.
	Late      uint64 // lines of the log whose kill was published before they came.
	Unbacked  uint64 // steps of cgroups' counters without a kill.
	Debt      int64  // what vmstat went back by.

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
		Epoch: c.Epoch, Step: c.Vmstat - c.Base,
		Estimated: c.Estimated, Forged: c.Forged, Late: c.Late, Unbacked: c.Unbacked, Debt: l.cases.debt,
		KillTotals: oom.KillTotals{
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

// Balance returns an error where the numbers do not balance; see the package
// comment.
func (v *View) Balance() error {
	var attributed, byLevel uint64
	for i := range v.Workloads {
		attributed += v.Workloads[i].Kills
	}
	attributed += v.Evicted
	for _, n := range v.ByLevel {
		byLevel += n
	}
	if sum := int64(attributed+v.Unattributed+v.Pending+v.Duplicates) - v.Debt; sum != v.Step {
		return fmt.Errorf("vmstat moved by %d, but %d attributed + %d unattributed + %d pending + %d duplicates - %d debt",
			v.Step, attributed, v.Unattributed, v.Pending, v.Duplicates, v.Debt)
	}
	if byLevel != attributed+v.Unattributed {
		return fmt.Errorf("%d kills by level, but %d attributed + %d unattributed", byLevel, attributed, v.Unattributed)
	}
	return nil
}

// NotBelow returns an error where a counter is lower than in an earlier view of
// the same boot: with a state file that never happens, over any restart. A
// workload may be missing only if its kills are among the evicted.
func (v *View) NotBelow(earlier View) error {
	for _, c := range []struct {
		name     string
		was, now uint64
	}{
		{"unattributed", earlier.Unattributed, v.Unattributed},
		{"duplicates", earlier.Duplicates, v.Duplicates},
		{"evicted", earlier.Evicted, v.Evicted},
	} {
		if c.now < c.was {
			return fmt.Errorf("%s went from %d to %d", c.name, c.was, c.now)
		}
	}
	now := make(map[oom.Workload]oom.WorkloadKills, len(v.Workloads))
	for _, w := range v.Workloads {
		now[w.Workload] = w
	}
	evicted := v.Evicted - earlier.Evicted
	for _, was := range earlier.Workloads {
		w, ok := now[was.Workload]
		if !ok && was.Kills <= evicted {
			evicted -= was.Kills
			continue
		}
		if w.Kills < was.Kills || w.OOMs < was.OOMs || w.Survived < was.Survived {
			return fmt.Errorf("%v went from %d kills, %d OOMs, %d survived to %d, %d, %d",
				was.Workload, was.Kills, was.OOMs, was.Survived, w.Kills, w.OOMs, w.Survived)
		}
	}
	for level, was := range earlier.ByLevel {
		if v.ByLevel[level] < was {
			return fmt.Errorf("kills of level %v went from %d to %d", level, was, v.ByLevel[level])
		}
	}
	return nil
}

// Records returns the last kills, oldest first, also those of before the
// epoch. They must not be modified.
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
