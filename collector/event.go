// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

type eventCollector struct{ *Set }

func (c eventCollector) update(s Scrape, out *sink) error {
	// The groups come first: reading them looks up the names of new containers, so
	// that the totals can name the kills of these.
	groups, err := s.Groups()
	totals := c.o.Kills.KillTotals()
	countsSince(out, &totals)
	c.workloads(out, groups, &totals)
	c.pods(out, groups, &totals)
	c.causes(out, &totals)
	c.advice(out)
	c.leaks(out)
	c.node(s, out, totals)
	for _, l := range oom.Levels() {
		c.table.levels.emitCopy(out, levelKills{l, totals.ByLevel[l]})
	}
	for i := range totals.Sources {
		c.table.sources.emit(out, &totals.Sources[i])
	}
	if c.o.Recorder != nil {
		c.table.recorder.emitCopy(out, c.o.Recorder.Health())
	}
	return err
}

// levelKills are the kills by the limits of one level.
type levelKills struct {
	level oom.Level
	kills uint64
}

// workloadKills are the kills of a workload. A workload that is not limited has no limit
// of its own and no kill yet: then the only series is that of its kills.
type workloadKills struct {
	oom.WorkloadKills
	limited bool
}

// leaks adds when the containers that leak will reach their limits.
func (c eventCollector) leaks(out *sink) {
	if c.o.Leaks == nil || !c.table.leaks.wanted() {
		return
	}
	for _, l := range c.o.Leaks() {
		if c.o.Keep.keeps(l.Workload) {
			c.table.leaks.emitCopy(out, l)
		}
	}
}

// advice adds the advised limits.
func (c eventCollector) advice(out *sink) {
	if c.o.Advice == nil || !c.table.advice.wanted() {
		return
	}
	for _, a := range c.o.Advice() {
		if c.o.Keep.keeps(a.Workload) {
			c.table.advice.emitCopy(out, a)
		}
	}
}

// countsSince says since when the counters of kills count. A workload whose count was
// dropped starts again at 0 when it comes back: once any was dropped, those of the
// workloads need not have started at the epoch.
func countsSince(out *sink, totals *oom.KillTotals) {
	out.countsSince(epochKills, totals.Epoch)
	workloads := totals.Epoch
	if totals.Evicted > 0 {
		workloads = time.Time{}
	}
	out.countsSince(epochWorkloads, workloads)
}

// node adds the totals. The kernel's own count is as of the same moment as the
// other counters, so that they balance in each scrape; before the ledger counts,
// the node's own read is used.
func (c eventCollector) node(s Scrape, out *sink, totals oom.KillTotals) {
	if n, err := s.Node(); err == nil {
		out.countsSince(epochBoot, n.BootTime)
		if !totals.NodeKills.IsSet() {
			totals.NodeKills = n.OOMKills
		}
	}
	c.table.totals.emitCopy(out, totals)
}

// workloads adds the totals of workloads that had kills, and a 0 for every other
// live container, so that increase() sees its first kill.
func (c eventCollector) workloads(out *sink, groups *oom.Groups, totals *oom.KillTotals) {
	killed := make(map[oom.Workload]bool, len(totals.Workloads))
	for i := range totals.Workloads {
		w := &totals.Workloads[i]
		killed[w.Workload] = true
		if !c.o.Keep.keeps(w.Workload) {
			continue
		}
		c.table.kills.emitCopy(out, workloadKills{*w, true})
		if w.Last != nil {
			c.table.lastKills.emit(out, w)
			c.table.lastKillInfos.emit(out, w)
		}
	}
	if groups == nil {
		return
	}
	none := c.table.kills.blank()
	for i := range groups.Containers {
		r := &groups.Containers[i]
		if killed[r.Workload] || !c.o.Keep.keeps(r.Workload) {
			continue
		}
		none.Workload, none.limited = r.Workload, r.Limit.IsValue()
		c.table.kills.emit(out, none)
	}
}

// resident is the whole resident memory of a victim.
func resident(v *oom.Victim) oom.Amount {
	return v.AnonRSS.Plus(v.FileRSS).Plus(v.ShmemRSS)
}

// causes adds the causes of kills.
func (c eventCollector) causes(out *sink, totals *oom.KillTotals) {
	for i := range totals.Causes {
		if k := &totals.Causes[i]; c.o.Keep.keeps(k.Workload) {
			c.table.causes.emit(out, k)
		}
	}
}

// pods adds the kills by the limits of pods, and a 0 for every other live pod
// with a limit.
func (c eventCollector) pods(out *sink, groups *oom.Groups, totals *oom.KillTotals) {
	type pod struct{ namespace, name string }
	killed := make(map[pod]bool, len(totals.Pods))
	for i := range totals.Pods {
		p := &totals.Pods[i]
		killed[pod{p.Namespace, p.Pod}] = true
		if c.o.Keep.keepsPod(oom.Workload{Namespace: p.Namespace, Pod: p.Pod}) {
			c.table.podKills.emit(out, p)
		}
	}
	if groups == nil {
		return
	}
	none := c.table.podKills.blank()
	for i := range groups.Pods {
		r := &groups.Pods[i]
		w := r.Workload
		if r.Limit.IsValue() && !killed[pod{w.Namespace, w.Pod}] && c.o.Keep.keepsPod(w) {
			none.Namespace, none.Pod = w.Namespace, w.Pod
			c.table.podKills.emit(out, none)
		}
	}
}
