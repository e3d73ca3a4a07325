// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// detail handles the lines inside a report. Lines that it does not know are
// other parts of the kernel talking in between, or of no use here.
func (p *Parser) detail(rec kmsg.Record, s string) bool {
	if p.cur == nil || p.section == sectionDone {
		if !rec.Saved || !beginsMiddle(s) {
			return false
		}
		p.open(rec)
		p.cur.middle, p.section = true, sectionStats
	}
	r := p.cur
	switch {
	case p.section == sectionHead && p.head(s):
		return true
	case strings.HasPrefix(s, "["):
		return p.table(s)
	case s == tasksTitle:
		p.section = sectionTable
		return true
	case strings.HasPrefix(s, statsPrefix):
		p.section = sectionStats
		if path, ok := strings.CutSuffix(s[len(statsPrefix):], ":"); ok && r.LimitPath == "" {
			r.LimitPath = path
		}
		r.addStats(s)
		r.addGroup(s)
		return true
	}
	if name, u, ok := parseUsage(s); ok {
		return r.setUsage(name, u)
	}
	if p.section == sectionStats && r.addStatLines(s) {
		return true
	}
	return r.Node.add(s, r.PageSize)
}

// head handles the first lines of a report: whose allocation it was.
func (p *Parser) head(s string) bool {
	t := p.cur.Trigger
	if t == nil {
		return false
	}
	if after, ok := strings.CutPrefix(s, t.Comm+" cpuset="); ok {
		t.CPUSetPath, p.cur.MemsAllowed, _ = strings.Cut(after, " mems_allowed=")
		return true
	}
	if t.PID != 0 {
		return false
	}
	// Two bytes at the beginning of a comm can look like a log level and
	// vanish from the first line. A trace of somebody else does not match.
	pid, comm, release, ok := parseCPU(s)
	if !ok || !strings.HasSuffix(comm, t.Comm) {
		return false
	}
	t.PID, t.Comm = pid, comm
	p.cur.Release = oom.ParseRelease(release)
	return true
}

// table handles the header and the rows of the task table. Where the header is
// missing, a row is read by the last header that was seen, or by a guess.
func (p *Parser) table(s string) bool {
	if c, ok := parseColumns(s); ok {
		p.columns, p.section = c, sectionTable
		return true
	}
	columns := p.columns
	if columns == nil || p.cur.middle && len(p.cur.Tasks) == 0 && p.section != sectionTable {
		if columns = guessColumns(s); columns == nil || findRow(s) != 0 {
			return false
		}
		p.columns = columns
	}
	t, ok := columns.parseRow(s, p.cur.PageSize)
	if !ok {
		return false
	}
	p.section = sectionTable
	if len(p.cur.Tasks) < p.opts.MaxTasks {
		p.cur.Tasks = append(p.cur.Tasks, t)
	} else {
		p.cur.TasksOmitted++
	}
	return true
}
