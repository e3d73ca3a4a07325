// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

type eventCollector struct{ *Set }

func (c eventCollector) update(s Scrape, out *sink) error {
	// The groups come first: a kill between the two readings then waits for
	// the next scrape instead of showing without its workload.
	groups, err := s.Groups()
	totals := c.o.Kills.KillTotals()
	countsSince(out, &totals)
	c.workloads(out, groups, &totals)
	c.pods(out, groups, &totals)
	c.causes(out, &totals)
	c.node(s, out, &totals)
	for _, l := range oom.Levels() {
		out.add(kills, float64(totals.ByLevel[l]), c.labels.pairs(shapeLevel, l.String()))
	}
	out.add(pendingKills, float64(totals.Pending), nil)
	out.add(unattributedKills, float64(totals.Unattributed), nil)
	out.add(evictedKills, float64(totals.Evicted), nil)
	out.add(killDuplicates, float64(totals.Duplicates), nil)
	out.add(recordsLost, float64(totals.RecordsLost), nil)
	out.amount(traceEventsLost, totals.TraceEventsLost, nil)
	if totals.HasState {
		out.add(stateUnsaved, totals.Unsaved.Seconds(), nil)
	}
	if !totals.LastKill.IsZero() {
		out.add(nodeLastKill, seconds(totals.LastKill), nil)
	}
	c.recorder(out)
	for _, src := range totals.Sources {
		up := 0.0
		if src.Up {
			up = 1
		}
		out.add(sourceUp, up, c.labels.pairs(shapeSource, src.Name))
	}
	return err
}

// countsSince says since when the counters of kills count. A workload whose count
// was dropped begins again at 0 when it comes back, which then need not be the
// epoch.
func countsSince(out *sink, totals *oom.KillTotals) {
	out.countsSince(epochKills, totals.Epoch)
	workloads := totals.Epoch
	if totals.Evicted > 0 {
		workloads = time.Time{}
	}
	out.countsSince(epochWorkloads, workloads)
}

// recorder adds how well the flight recorder does.
func (c eventCollector) recorder(out *sink) {
	if c.o.Recorder == nil {
		return
	}
	h := c.o.Recorder.Health()
	out.add(recorderInterval, h.Interval.Seconds(), nil)
	out.add(recorderCgroups, float64(h.Cgroups), nil)
	out.add(recorderFast, float64(h.Fast), nil)
	out.add(recorderOver, float64(h.Over), nil)
	out.add(recorderSamples, float64(h.Samples), nil)
	out.add(recorderRecordings, float64(h.Recordings), nil)
	out.add(recorderDropped, float64(h.RecordingsDropped), nil)
	if h.HasFile {
		out.add(recorderUnsaved, h.Unsaved.Seconds(), nil)
	}
}

// node adds the raw count of the same moment as the rest, so that each scrape
// balances. Before counting begins it is read like all else.
func (c eventCollector) node(s Scrape, out *sink, totals *oom.KillTotals) {
	raw := totals.NodeKills
	if n, err := s.Node(); err == nil {
		out.countsSince(epochBoot, n.BootTime)
		if !raw.IsSet() {
			raw = n.OOMKills
		}
	}
	out.amount(nodeKills, raw, nil)
}

// workloads adds the totals of the killed and a 0 for every live container
// that was spared, so that increase() sees its first kill.
func (c eventCollector) workloads(out *sink, groups *oom.Groups, totals *oom.KillTotals) {
	killed := make(map[oom.Workload]bool, len(totals.Workloads))
	for i := range totals.Workloads {
		w := &totals.Workloads[i]
		killed[w.Workload] = true
		if !c.o.Keep.keeps(w.Workload) {
			continue
		}
		pairs := c.labels.pairs(shapeWorkload, w.Workload.Namespace, w.Workload.Pod, w.Workload.Container)
		out.add(containerKills, float64(w.Kills), pairs)
		out.add(containerOOMs, float64(w.OOMs), pairs)
		out.add(containerSurvived, float64(w.Survived), pairs)
		c.lastKill(out, w, pairs)
	}
	if groups == nil {
		return
	}
	for i := range groups.Containers {
		r := &groups.Containers[i]
		w := r.Workload
		if killed[w] || !c.o.Keep.keeps(w) {
			continue
		}
		pairs := c.labels.pairs(shapeWorkload, w.Namespace, w.Pod, w.Container)
		out.add(containerKills, 0, pairs)
		if r.Limit.IsValue() {
			out.add(containerOOMs, 0, pairs)
			out.add(containerSurvived, 0, pairs)
		}
	}
}

// lastKill tells of the last kill of a workload what a notification needs.
func (c eventCollector) lastKill(out *sink, w *oom.WorkloadKills, pairs *labels) {
	if !w.LastKill.IsZero() {
		out.add(containerLastKill, seconds(w.LastKill), pairs)
	}
	k := w.Last
	if k == nil {
		return
	}
	out.add(containerLastKillInfo, 1, c.labels.pairs(shapeWorkloadKill, w.Workload.Namespace, w.Workload.Pod, w.Workload.Container, k.Victim.Comm, k.Level.String()))
	out.amount(containerLastKillResident, k.Victim.AnonRSS.Plus(k.Victim.FileRSS).Plus(k.Victim.ShmemRSS), pairs)
	out.amount(containerLastKillLimit, k.Limit, pairs)
}

// causes adds why the kills came about, and what the limits should be.
func (c eventCollector) causes(out *sink, totals *oom.KillTotals) {
	for i := range totals.Causes {
		k := &totals.Causes[i]
		if !c.o.Keep.keeps(k.Workload) {
			continue
		}
		grew := string(k.Grew)
		if grew == "" {
			grew = "unknown"
		}
		pairs := c.labels.pairs(shapeWorkloadCause, k.Workload.Namespace, k.Workload.Pod, k.Workload.Container, string(k.Cause), grew)
		out.add(containerKillCauses, float64(k.Kills), pairs)
		if k.Last {
			out.add(containerLastCause, 1, pairs)
		}
	}
	if c.o.Advice == nil || !c.enabled[containerAdvised] {
		return
	}
	for _, a := range c.o.Advice() {
		if c.o.Keep.keeps(a.Workload) {
			out.amount(containerAdvised, a.Advised, c.labels.pairs(shapeWorkload, a.Workload.Namespace, a.Workload.Pod, a.Workload.Container))
		}
	}
}

func (c eventCollector) pods(out *sink, groups *oom.Groups, totals *oom.KillTotals) {
	type pod struct{ namespace, name string }
	killed := make(map[pod]bool, len(totals.Pods))
	add := func(namespace, name string, n uint64) {
		if c.o.Keep.keepsPod(oom.Workload{Namespace: namespace, Pod: name}) {
			out.add(podLimitKills, float64(n), c.labels.pairs(shapePod, namespace, name))
		}
	}
	for _, p := range totals.Pods {
		killed[pod{p.Namespace, p.Pod}] = true
		add(p.Namespace, p.Pod, p.LimitKills)
	}
	if groups == nil {
		return
	}
	for i := range groups.Pods {
		r := &groups.Pods[i]
		w := r.Workload
		if r.Limit.IsValue() && !killed[pod{w.Namespace, w.Pod}] {
			add(w.Namespace, w.Pod, 0)
		}
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
