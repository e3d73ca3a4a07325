// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// View is the books at one moment. It is shared: nobody may write to it.
type View struct {
	oom.KillTotals           // Sources is left to who knows them.
	Epoch          time.Time // zero: counting has not begun.
	Step           int64     // of vmstat since the epoch; without vmstat, our own count.

	Estimated uint64 // of the duplicates: without the log, by memory.oom.group's counter.
	Forged    uint64 // lines of the log without a kill.
	Late      uint64 // lines of the log whose kill was published before they came.
	Unbacked  uint64 // steps of groups' counters without a kill.
	Debt      int64  // what vmstat went back by.
}

// View returns the books. At rest it returns the same again and again.
func (l *Ledger) View() View {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.view == nil {
		l.view = l.draw()
	}
	return *l.view
}

func (l *Ledger) draw() *View {
	c := &l.counts
	v := &View{
		Epoch: c.Epoch, Step: c.Vmstat - c.Base,
		Estimated: c.Estimated, Forged: c.Forged, Late: c.Late, Unbacked: c.Unbacked, Debt: l.slots.debt,
		KillTotals: oom.KillTotals{
			Workloads: make([]oom.WorkloadKills, 0, len(l.workloads)),
			Pods:      make([]oom.PodKills, 0, len(l.pods)),
			ByLevel:   make(map[oom.Level]uint64, levels),
			Pending:   uint64(l.slots.n), Unattributed: c.Unattributed, Evicted: c.Evicted,
			Duplicates: c.Duplicates, RecordsLost: c.Lost, LastKill: c.LastKill,
		},
	}
	if c.HasVmstat {
		v.NodeKills = oom.Of(uint64(c.Vmstat))
	}
	for _, level := range oom.Levels() {
		v.ByLevel[level] = c.Levels[level]
	}
	for w, e := range l.workloads {
		v.Workloads = append(v.Workloads, oom.WorkloadKills{
			Workload: w, Kills: e.Kills, OOMs: e.OOMs, Survived: e.Survived, LastKill: e.Last,
		})
	}
	for w, e := range l.pods {
		v.Pods = append(v.Pods, oom.PodKills{Namespace: w.Namespace, Pod: w.Pod, LimitKills: e.Kills})
	}
	return v
}

// Balance returns an error where the books do not balance; see the package
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

// Records returns a copy of the last kills, oldest first, also those of
// before the epoch.
func (l *Ledger) Records() []oom.Kill {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]oom.Kill(nil), l.records...)
}
