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
	if ps.Source != "" {
		c.table.listed.emit(out, ps)
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
	c.table.processes.emit(out, p)
}

type predictCollector struct{ *Set }

func (c predictCollector) update(s Scrape, out *sink) error {
	ps, err := s.Processes()
	if err != nil {
		return err
	}
	for i := range ps.Victims {
		c.table.victims.emit(out, &ps.Victims[i])
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
