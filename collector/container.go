// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

type containerCollector struct{ *Set }

func (c containerCollector) update(s Scrape, out *sink) error {
	groups, err := s.Groups()
	if err != nil {
		return err
	}
	if wantsProcesses(&c.enabled) {
		// Without the processes the rest still stands.
		_, err = s.Processes()
	}
	for i := range groups.Containers {
		r := &groups.Containers[i]
		if !c.o.Keep.keeps(r.Workload) {
			continue
		}
		w := r.Workload
		pairs := c.labels.pairs(shapeWorkload, w.Namespace, w.Pod, w.Container)
		containerMemory(out, r, pairs)
		containerProcess(out, r, pairs)
		if r.Margin.Known {
			out.add(containerKillMarginInfo, 1, c.labels.pairs(shapeWorkloadLevel, w.Namespace, w.Pod, w.Container, r.Margin.Level.String()))
		}
		// kubelet's cgroupfs driver does not tell the runtime; the class shows a pod.
		if r.QoS != "" || r.Runtime != "" && r.Runtime != "systemd" {
			out.add(containerInfo, 1, c.labels.pairs(shapeWorkloadInfo, w.Namespace, w.Pod, w.Container, r.Runtime, string(r.QoS), r.Image))
		}
	}
	return err
}

// wantsProcesses tells whether a family is on that needs a pass over /proc.
func wantsProcesses(on *[families]bool) bool {
	return on[containerScoreMax] || on[containerAdjMax] || on[containerMismatch] || on[containerProcesses]
}

func containerMemory(out *sink, r *oom.Row, pairs *labels) {
	usage, workingSet, limit, margin := common(r)
	out.amount(containerUsage, usage, pairs)
	out.amount(containerWorkingSet, workingSet, pairs)
	out.amount(containerLimit, limit, pairs)
	out.amount(containerHigh, r.High, pairs)
	out.amount(containerUnreclaimable, r.Unreclaimable, pairs)
	out.amount(containerLimitMargin, margin, pairs)
	if m, ok := margin.Get(); ok {
		if l, _ := limit.Get(); l > 0 {
			out.add(containerLimitMarginRatio, float64(m)/float64(l), pairs)
		}
	}
	if r.Margin.Known {
		out.add(containerKillMargin, float64(r.Margin.Bytes), pairs)
		out.add(containerKillMarginRatio, r.Margin.Ratio, pairs)
	}
	st := &r.Stat
	out.amount(containerAnon, st.Anon, pairs)
	out.amount(containerShmem, st.Shmem, pairs)
	out.amount(containerKernel, st.Kernel, pairs)
	out.amount(containerFile, st.File, pairs)
	out.amount(containerActiveFile, st.ActiveFile, pairs)
	out.amount(containerInactiveFile, st.InactiveFile, pairs)
	out.amount(containerSlabReclaimable, st.SlabReclaimable, pairs)
	out.amount(containerUnevictable, st.Unevictable, pairs)
	out.amount(containerSwap, swap(r.Group), pairs)
	out.amount(containerPeak, r.Peak, pairs)
	out.amount(containerLimitHits, r.MaxHits, pairs)
	out.amount(containerHighHits, r.HighHits, pairs)
	out.micros(containerWaiting, r.Pressure.WaitingMicros, pairs)
	out.micros(containerStalled, r.Pressure.StalledMicros, pairs)
	out.amount(containerStart, r.StartTime, pairs)
	if v, ok := r.KillDisabled.Get(); ok && v != 0 {
		out.amount(containerUnderOOM, r.UnderOOM, pairs)
	}
}

func containerProcess(out *sink, r *oom.Row, pairs *labels) {
	p := &r.Processes
	if !p.Known {
		return
	}
	out.add(containerProcesses, float64(p.Count), pairs)
	out.amount(containerScoreMax, p.ScoreMax, pairs)
	if p.Adj {
		out.add(containerAdjMax, float64(p.AdjMax), pairs)
	}
	out.amount(containerMismatch, p.Mismatch, pairs)
}

// swap is what the group has in swap: its own file on v2, a key of
// memory.stat on v1.
func swap(g *oom.Group) oom.Amount {
	if g.SwapUsage.IsSet() {
		return g.SwapUsage
	}
	return g.Stat.Swap
}

// common computes the numbers that containers, pods and slices share.
func common(r *oom.Row) (usage, workingSet, limit, margin oom.Amount) {
	usage, workingSet, limit = r.Usage, r.WorkingSet(), r.Limit
	l, ok := limit.Get()
	ws, ok2 := workingSet.Get()
	if ok && ok2 {
		margin = oom.Of(l - min(l, ws))
	}
	return usage, workingSet, limit, margin
}
