// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// renderKeys shows what the keys do.
func renderKeys(o Options) string {
	p := newPage(o)
	p.line(bold, "Keys of oom_exporter top")
	p.line(plain, "")
	for _, k := range Keys() {
		p.line(plain, fmt.Sprintf("%-16s  %s", k[0], k[1]))
	}
	p.line(plain, "")
	p.line(dim, o.Status)
	return p.b.String()
}

// renderDetails shows one container in full: its whole name, its memory, and
// the limit that is reached first.
func renderDetails(f *Frame, w oom.Workload, o Options) string {
	p := newPage(o)
	p.line(bold, text.Escape(name(w)))
	var row *oom.Row
	for _, r := range f.containers(Options{}) {
		if r.Workload == w {
			row = r
		}
	}
	if row == nil {
		p.line(plain, "It is no longer running.")
		p.line(dim, o.Status)
		return p.b.String()
	}
	item := func(label, value string) {
		if value != "" && value != "-" {
			p.line(plain, fmt.Sprintf("%-14s  %s", label, value))
		}
	}
	item("cgroup", text.Escape(row.Path))
	if m := &row.Margin; m.Known {
		item("kill margin", text.Bytes(m.Bytes)+", used "+strings.TrimSpace(used(m.Ratio)))
		item("limit reached", strings.TrimSpace(m.Level.String()+" "+text.Escape(m.Cgroup)))
		if v := f.victims()[m.Cgroup]; v != nil {
			item("dies next", victim(v, true))
		}
	}
	p.line(plain, "")
	for _, a := range []struct {
		label string
		value oom.Amount
	}{
		{"own limit", row.Limit},
		{"usage", row.Usage},
		{"working set", row.WorkingSet()},
		{"unreclaimable", row.Unreclaimable},
		{"anonymous", row.Stat.Anon},
		{"shared, tmpfs", row.Stat.Shmem},
		{"kernel", row.Stat.Kernel},
		{"page cache", row.Stat.File},
		{"swap", row.SwapUsage},
	} {
		item(a.label, size(a.value))
	}
	item("QoS class", string(row.QoS))
	if row.Processes.Adj {
		item("oom_score_adj", fmt.Sprintf("%d at most, %d processes", row.Processes.AdjMax, row.Processes.Count))
	}
	for _, r := range f.processes(Options{}) {
		if r.Workload == w {
			item(fmt.Sprintf("process %d", r.PID), fmt.Sprintf("%s, %s resident, badness %s", text.Escape(r.Comm), text.Bytes(r.RSS), text.Signed(r.Badness)))
		}
	}
	p.line(plain, "")
	p.line(dim, o.Status)
	return p.b.String()
}
