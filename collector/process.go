// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"strconv"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

type processCollector struct{ *Set }

func (c processCollector) update(s Scrape, out *sink) error {
	ps, err := s.Processes()
	if err != nil {
		return err
	}
	shown := map[int32]bool{}
	for i := range ps.Top {
		c.sample(out, &ps.Top[i], shown)
	}
	for i := range ps.Victims {
		c.sample(out, &ps.Victims[i].Process, shown)
	}
	return nil
}

// sample adds a process once, however many lists it is on.
func (c processCollector) sample(out *sink, p *oom.ProcessRow, shown map[int32]bool) {
	if shown[p.PID] || p.PID == 0 {
		return
	}
	shown[p.PID] = true
	w := p.Workload
	pairs := c.labels.pairs(shapeProcess, w.Namespace, w.Pod, w.Container, pid(p.PID), p.Comm)
	out.amount(processScore, p.Score, pairs)
	out.add(processAdj, float64(p.Adj), pairs)
	out.add(processBadness, float64(p.Badness), pairs)
	out.add(processResident, float64(p.RSS), pairs)
	out.add(processSwap, float64(p.Swap), pairs)
}

type predictCollector struct{ *Set }

func (c predictCollector) update(s Scrape, out *sink) error {
	ps, err := s.Processes()
	if err != nil {
		return err
	}
	for i := range ps.Victims {
		v := &ps.Victims[i]
		p := &v.Process
		w := p.Workload
		out.add(nextVictim, float64(v.Badness), c.labels.pairs(shapeVictim,
			v.Scope.String(), v.Cgroup, w.Namespace, w.Pod, w.Container, pid(p.PID), p.Comm))
	}
	return nil
}

// pid is the label of a process; empty if no process can be killed.
func pid(n int32) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}
