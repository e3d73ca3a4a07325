// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"cmp"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// table has each family on one line, with how it takes its value from a row of its
// kind. The lines, in the files table_*.go, are in the order of docs/metrics.md.
type table struct {
	families []family
	wants    func(*family) bool // the families that are on.

	containers         *rows[oom.Row]
	containerProcesses *rows[oom.Row] // only where the processes are known.
	containerLevels    *rows[oom.Row]
	containerInfos     *rows[oom.Row]
	kills              *rows[workloadKills]
	lastKills          *rows[oom.WorkloadKills] // only where Last is known.
	lastKillInfos      *rows[oom.WorkloadKills] // the same.
	causes             *rows[oom.CauseKills]
	advice             *rows[oom.Advice]
	leaks              *rows[oom.Leak]
	pods, slices       *rows[oom.Row]
	podKills           *rows[oom.PodKills]
	processes          *rows[oom.ProcessRow]
	victims            *rows[oom.NextVictim]
	node               *rows[oom.NodeState]
	unkillable         *rows[oom.Processes]
	listed             *rows[oom.Processes]
	listedCgroups      *rows[oom.Groups]
	clock              *rows[time.Time]
	totals             *rows[oom.KillTotals]
	levels             *rows[levelKills]
	sources            *rows[oom.Source]
	recorder           *rows[oom.RecorderHealth]
	runs               *rows[collectorRun]
	skips              *rows[skipCount]
}

func newTable(wants func(*family) bool) *table {
	t := &table{wants: wants}
	t.workloadRows()
	t.nodeRows()
	t.containerFamilies()
	t.containerKillFamilies()
	t.podFamilies()
	t.processFamilies()
	t.nodeFamilies()
	t.eventFamilies()
	t.scrapeFamilies()
	return t
}

// allFamilies are all of the table, on or off.
func allFamilies() []family {
	return newTable(func(*family) bool { return false }).families
}

// workloadRows makes the kinds of rows of workloads, pods and slices, with their
// collectors and labels.
func (t *table) workloadRows() {
	workload := func(c *labelCache, r *oom.Row) *labels { return c.workload(r.Workload) }
	t.containers = rowsOf(t, "container", shapeWorkload, workload)
	t.containerProcesses = rowsOf(t, "container", shapeWorkload, workload)
	t.containerLevels = rowsOf(t, "container", shapeWorkloadLevel, func(c *labelCache, r *oom.Row) *labels {
		return c.pairs(shapeWorkloadLevel, r.Workload.Namespace, r.Workload.Pod, r.Workload.Container, r.Margin.Level.String())
	})
	t.containerInfos = rowsOf(t, "container", shapeWorkloadInfo, func(c *labelCache, r *oom.Row) *labels {
		return c.pairs(shapeWorkloadInfo, r.Workload.Namespace, r.Workload.Pod, r.Workload.Container, r.Runtime, string(r.QoS), r.Image)
	})
	t.kills = rowsOf(t, "event", shapeWorkload, func(c *labelCache, r *workloadKills) *labels { return c.workload(r.Workload) })
	t.lastKills = rowsOf(t, "event", shapeWorkload, func(c *labelCache, r *oom.WorkloadKills) *labels { return c.workload(r.Workload) })
	t.lastKillInfos = rowsOf(t, "event", shapeWorkloadKill, func(c *labelCache, r *oom.WorkloadKills) *labels {
		return c.pairs(shapeWorkloadKill, r.Workload.Namespace, r.Workload.Pod, r.Workload.Container, r.Last.Victim.Comm, r.Last.Level.String())
	})
	t.causes = rowsOf(t, "event", shapeWorkloadCause, func(c *labelCache, r *oom.CauseKills) *labels {
		return c.pairs(shapeWorkloadCause, r.Workload.Namespace, r.Workload.Pod, r.Workload.Container, string(r.Cause), cmp.Or(string(r.Grew), "unknown"))
	})
	t.advice = rowsOf(t, "event", shapeWorkload, func(c *labelCache, r *oom.Advice) *labels { return c.workload(r.Workload) })
	t.leaks = rowsOf(t, "event", shapeWorkload, func(c *labelCache, r *oom.Leak) *labels { return c.workload(r.Workload) })
	t.pods = rowsOf(t, "pod", shapePod, func(c *labelCache, r *oom.Row) *labels {
		return c.pairs(shapePod, r.Workload.Namespace, r.Workload.Pod)
	})
	t.podKills = rowsOf(t, "event", shapePod, func(c *labelCache, r *oom.PodKills) *labels { return c.pairs(shapePod, r.Namespace, r.Pod) })
	t.slices = rowsOf(t, "slice", shapeCgroup, func(c *labelCache, r *oom.Row) *labels { return c.pairs(shapeCgroup, r.Path) })
}

// nodeRows makes the kinds of rows of processes, of the node and of the exporter
// itself.
func (t *table) nodeRows() {
	t.processes = rowsOf(t, "process", shapeProcess, func(c *labelCache, r *oom.ProcessRow) *labels {
		return c.pairs(shapeProcess, r.Workload.Namespace, r.Workload.Pod, r.Workload.Container, pid(r.PID), r.Comm)
	})
	t.victims = rowsOf(t, "predict", shapeVictim, func(c *labelCache, r *oom.NextVictim) *labels {
		p := &r.Process
		return c.pairs(shapeVictim, r.Scope.String(), r.Cgroup, p.Workload.Namespace, p.Workload.Pod, p.Workload.Container, pid(p.PID), p.Comm)
	})
	t.node = rowsOf[oom.NodeState](t, "node", shapeNone, nil)
	t.unkillable = rowsOf[oom.Processes](t, "node", shapeNone, nil)
	t.listed = rowsOf(t, "process", shapeSource, func(c *labelCache, r *oom.Processes) *labels { return c.pairs(shapeSource, r.Source) })
	t.listedCgroups = rowsOf(t, "container", shapeSource, func(c *labelCache, r *oom.Groups) *labels { return c.pairs(shapeSource, r.Source) })
	t.clock = rowsOf[time.Time](t, "node", shapeNone, nil)
	t.totals = rowsOf[oom.KillTotals](t, "event", shapeNone, nil)
	t.levels = rowsOf(t, "event", shapeLevel, func(c *labelCache, r *levelKills) *labels { return c.pairs(shapeLevel, r.level.String()) })
	t.sources = rowsOf(t, "event", shapeSource, func(c *labelCache, r *oom.Source) *labels { return c.pairs(shapeSource, r.Name) })
	t.recorder = rowsOf[oom.RecorderHealth](t, "event", shapeNone, nil)
	t.runs = rowsOf(t, "", shapeCollector, func(c *labelCache, r *collectorRun) *labels { return c.pairs(shapeCollector, r.name) })
	t.skips = rowsOf(t, "", shapeKind, func(c *labelCache, r *skipCount) *labels { return c.pairs(shapeKind, r.kind) })
}
