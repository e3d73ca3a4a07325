// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// How many records are looked at to tell the order of a log, how many are kept of
// one that is newest first, and how many hosts are told apart.
const (
	orderSample = 2000
	maxReversed = 200000
	maxHosts    = 4096
)

// collector gathers the reports of one or more logs, each machine's by a
// parser of its own.
type collector struct {
	pageSize uint64
	hosts    map[string]*hostLog
	order    []string // the hosts as they came.
	reports  []oomlog.Report

	unread  int    // lines that look like a kill, but can't be read.
	example string // the first of them.

	waiting  []kmsg.Record // until the order of the log is known.
	known    bool
	reversed bool
}

// hostLog is the log of one machine.
type hostLog struct {
	parser *oomlog.Parser
	last   kmsg.Record
	any    bool
	boots  int
	mark   string
}

func newCollector(opts Options) *collector {
	return &collector{pageSize: opts.PageSize, hosts: map[string]*hostLog{}}
}

// add takes the next record of a log.
func (c *collector) add(rec kmsg.Record) {
	if c.known && !c.reversed || !rec.Saved {
		c.feed(rec)
		return
	}
	if len(c.waiting) < maxReversed {
		c.waiting = append(c.waiting, rec)
	}
	if !c.known && len(c.waiting) >= orderSample {
		c.known, c.reversed = true, newestFirst(c.waiting)
		if !c.reversed {
			c.release()
		}
	}
}

// end ends one log; another may follow.
func (c *collector) end() {
	if !c.known {
		c.reversed = newestFirst(c.waiting)
	}
	if c.reversed {
		slices.Reverse(c.waiting)
	}
	c.release()
	c.known, c.reversed = false, false
}

func (c *collector) release() {
	for _, rec := range c.waiting {
		c.feed(rec)
	}
	c.waiting = nil
}

// newestFirst tells whether a log begins with its end: by its clocks and by the
// order of a report's lines, which must agree where both tell.
func newestFirst(records []kmsg.Record) bool {
	clock, words := 0, 0
	last := map[string]kmsg.Record{}
	rank := 0
	for _, rec := range records {
		if before, ok := last[rec.Host]; ok {
			clock += compareClocks(before, rec)
		}
		last[rec.Host] = rec
		if n := oomlog.Place(rec.Text); n > 0 {
			if rank > 0 && n > rank {
				words++
			}
			if rank > 0 && n < rank {
				words--
			}
			rank = n
		}
	}
	if clock != 0 && words != 0 {
		return clock < 0 && words < 0
	}
	return clock+words < 0
}

func compareClocks(a, b kmsg.Record) int {
	if !a.Time.IsZero() && !b.Time.IsZero() && !a.Time.Equal(b.Time) {
		return b.Time.Compare(a.Time)
	}
	if a.HasStamp && b.HasStamp {
		return cmp.Compare(b.Stamp, a.Stamp)
	}
	return 0
}

// feed hands a record to its machine's parser.
func (c *collector) feed(rec kmsg.Record) {
	h := c.host(rec.Host)
	if h.any && sameLine(h.last, rec) {
		return // logged twice: by console and journal, or by two daemons.
	}
	h.number(&rec)
	h.last, h.any = rec, true
	before := h.parser.Stats().Unparsed
	c.take(h.parser.Add(rec))
	if h.parser.Stats().Unparsed > before {
		if c.unread++; c.unread == 1 {
			c.example = rec.Text
		}
	}
}

func (c *collector) host(name string) *hostLog {
	h := c.hosts[name]
	if h == nil {
		if len(c.hosts) >= maxHosts {
			name = ""
			if h = c.hosts[name]; h != nil {
				return h
			}
		}
		h = &hostLog{parser: oomlog.New(oomlog.Options{PageSize: c.pageSize}), boots: 1}
		c.hosts[name] = h
		c.order = append(c.order, name)
	}
	return h
}

// sameLine tells whether a line only repeats the one before it.
func sameLine(a, b kmsg.Record) bool {
	if !a.Saved || !b.Saved || a.Text != b.Text || strings.TrimSpace(b.Text) == "" || !strings.Contains(b.Text, " ") {
		return false
	}
	if a.HasStamp && b.HasStamp && a.Stamp != b.Stamp {
		return false
	}
	return a.Time.IsZero() || b.Time.IsZero() || a.Time.Equal(b.Time)
}

// number counts the boots of a machine whose log does not name them.
func (h *hostLog) number(rec *kmsg.Record) {
	mark, marked := strings.CutPrefix(rec.Boot, "mark ")
	switch {
	case marked && mark != h.mark:
		h.mark = mark
		if h.any {
			h.boots++
		}
	case !rec.Saved:
		return
	case h.any && !marked && rec.HasStamp && h.last.HasStamp && rec.Stamp < h.last.Stamp-time.Second,
		h.any && !rec.HasStamp && strings.HasPrefix(rec.Text, "Linux version "):
		h.boots++
	}
	if rec.Boot == "" || marked {
		rec.Boot = strconv.Itoa(h.boots)
	}
}

// finish ends all logs and returns the reports, each told once.
func (c *collector) finish() []oomlog.Report {
	c.end()
	for _, name := range c.order {
		c.take(c.hosts[name].parser.Flush())
	}
	for i := range c.reports {
		r := &c.reports[i]
		if h := c.hosts[r.Host]; h != nil && h.boots == 1 && r.Boot == "1" {
			r.Boot = "" // there is no other to tell it from.
		}
	}
	reports := joinGroups(dropReaped(c.reports))
	if len(c.order) > 1 {
		sortByTime(reports)
	}
	reports = dropRepeated(reports)
	for i := range reports {
		addChosen(&reports[i])
	}
	return reports
}

// sortByTime puts the reports of several machines in order, where all have a
// time.
func sortByTime(reports []oomlog.Report) {
	for i := range reports {
		if reports[i].Time.IsZero() {
			return
		}
	}
	slices.SortStableFunc(reports, func(a, b oomlog.Report) int { return a.Time.Compare(b.Time) })
}

func (c *collector) take(events []oomlog.Event) {
	for _, e := range events {
		if e.Kind == oomlog.KindReport {
			c.reports = append(c.reports, *e.Report)
		}
	}
}
