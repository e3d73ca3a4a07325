// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// containerRows is the table of containers. A narrow terminal shows no limit: the
// bar says enough. Container and victim share the width that the numbers leave.
func containerRows(p *page, f *Frame, o Options) []row {
	limit := func(text string) string {
		if p.width < wideEnough {
			return ""
		}
		return fmt.Sprintf(" %9s", text)
	}
	list := f.containers(o)
	all := make([]string, len(list))
	for i, r := range list {
		all[i] = text.Escape(name(r.Workload))
	}
	names := p.share(max(24, p.width-len(limit(""))-39)*2/3, all)
	p.line(bold, fmt.Sprintf("%-*s%s %9s %4s %-10s %-9s  %s", names, "CONTAINER", limit("LIMIT"), "MARGIN", "USED", "", "LIMIT OF", "DIES NEXT"))
	victims := f.victims()
	var rows []row
	for i, r := range list {
		line := fit(fitMiddle(all[i], names), names) + limit(size(r.Limit))
		if !r.Margin.Known {
			rows = append(rows, row{plain, line + "         ?"})
			continue
		}
		dying := ""
		if v := victims[r.Margin.Cgroup]; v != nil {
			dying = victim(v, false)
		}
		line += fmt.Sprintf(" %9s %s %-9s  %s", text.Bytes(r.Margin.Bytes), used(r.Margin.Ratio), r.Margin.Level, dying)
		rows = append(rows, row{alarm(r.Margin.Ratio), line})
	}
	return rows
}

// processRows is the table of processes, the first to die first.
func processRows(p *page, f *Frame, o Options) []row {
	names := max(12, p.width-67)
	p.line(bold, fmt.Sprintf("%7s %-15s %5s %5s %9s %9s %9s  %s", "PID", "NAME", "SCORE", "ADJ", "RSS", "SWAP", "BADNESS", "CONTAINER"))
	var rows []row
	for _, r := range f.processes(o) {
		rows = append(rows, row{plain, fmt.Sprintf("%7d %s %5s %5d %9s %9s %9s  %s",
			r.PID, fit(text.Escape(r.Comm), 15), r.Score, r.Adj, text.Bytes(r.RSS), text.Bytes(r.Swap), text.Signed(r.Badness), fitMiddle(text.Escape(name(r.Workload)), names))})
	}
	return rows
}

// protectionRows tells what the OOM killer may not touch, and whose
// oom_score_adj is not what its QoS class implies.
func protectionRows(p *page, f *Frame, o Options) []row {
	if f.Processes != nil {
		p.line(plain, fmt.Sprintf("held by processes that are never killed (oom_score_adj -1000): %s", size(f.Processes.Unkillable)))
	}
	list := f.protected(o)
	all := make([]string, len(list))
	for i, r := range list {
		all[i] = text.Escape(name(r.Workload))
	}
	names := p.share(max(20, p.width-49), all)
	p.line(bold, fmt.Sprintf("%-*s %-10s %7s %11s", names, "CONTAINER", "QOS", "ADJ MAX", "REQUEST"))
	var rows []row
	for i, r := range list {
		adj := "?"
		if r.Processes.Adj {
			adj = fmt.Sprint(r.Processes.AdjMax)
		}
		style, note := plain, ""
		if r.Processes.Mismatch == oom.Of(1) {
			style, note = yellow, "not its class'"
		}
		request := ""
		if f.Request != nil {
			if v := f.Request(r); v.IsValue() {
				request = "~" + size(v)
			}
		}
		rows = append(rows, row{style, strings.TrimRight(fmt.Sprintf("%s %-10s %7s %11s  %s", fit(fitMiddle(all[i], names), names), r.QoS, adj, request, note), " ")})
	}
	return rows
}
