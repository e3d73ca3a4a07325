// SPDX-License-Identifier: Apache-2.0

package collector

import "github.com/oom-exporter/oom_exporter/internal/oom"

type containerCollector struct{ *Set }

func (c containerCollector) update(s Scrape, out *sink) error {
	groups, err := s.Groups()
	if err != nil {
		return err
	}
	t := c.table
	if groups.Source != "" {
		t.listedCgroups.emit(out, groups)
	}
	if t.containerProcesses.wanted() {
		// If the processes can't be read, the other families are still exposed.
		_, err = s.Processes()
	}
	for i := range groups.Containers {
		r := &groups.Containers[i]
		if !c.o.Keep.keeps(r.Workload) {
			continue
		}
		t.containers.emit(out, r)
		if r.Processes.Known {
			t.containerProcesses.emit(out, r)
		}
		t.containerLevels.emit(out, r)
		t.containerInfos.emit(out, r)
	}
	return err
}

// hasInfo tells whether the container is a pod's or a container runtime's. The paths of
// kubelet's cgroupfs driver do not name the runtime; a QoS class shows that it is a pod's.
func hasInfo(r *oom.Row) bool {
	return r.QoS != "" || r.Runtime != "" && r.Runtime != "systemd"
}

// underOOM is known only where OOM kills are disabled (v1's oom_kill_disable).
func underOOM(r *oom.Row) (float64, bool) {
	if r.KillDisabled.Or(0) == 0 {
		return 0, false
	}
	return amount(r.UnderOOM)
}

// swap is what the cgroup has in swap: from a file of its own on v2, from memory.stat
// on v1.
func swap(g *oom.Group) oom.Amount {
	if g.SwapUsage.IsSet() {
		return g.SwapUsage
	}
	return g.Stat.Swap
}

// limitMargin is the own limit minus the working set, floored at 0.
func limitMargin(r *oom.Row) oom.Amount {
	limit, ok := r.Limit.Get()
	used, ok2 := r.WorkingSet().Get()
	if !ok || !ok2 {
		return oom.Amount{}
	}
	return oom.Of(limit - min(limit, used))
}

// limitMarginRatio is limitMargin divided by the limit.
func limitMarginRatio(r *oom.Row) (float64, bool) {
	margin, ok := limitMargin(r).Get()
	limit := r.Limit.Or(0)
	if !ok || limit == 0 {
		return 0, false
	}
	return float64(margin) / float64(limit), true
}
