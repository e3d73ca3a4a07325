// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strconv"
	"strings"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// columns names the columns of a task table, the name not included.
type columns []string

const tasksTitle = "Tasks state (memory values in pages):"

// parseColumns parses the table's header: "[  pid  ]   uid  tgid total_vm …
// oom_score_adj name".
func parseColumns(s string) (columns, bool) {
	inside, rest, ok := strings.Cut(strings.TrimPrefix(s, "["), "]")
	if !ok || !strings.HasPrefix(s, "[") || strings.TrimSpace(inside) != "pid" {
		return nil, false
	}
	fields := strings.Fields(rest)
	n := len(fields)
	if n < 6 || n > 32 || fields[n-1] != "name" || fields[n-2] != "oom_score_adj" && fields[n-2] != "oom_adj" {
		return nil, false
	}
	return append(columns{"pid"}, fields[:n-1]...), true
}

// parseRow parses a row. The name is what follows the last number and one
// space, whatever it holds.
func (c columns) parseRow(s string, pageSize uint64) (Task, bool) {
	inside, rest, ok := strings.Cut(strings.TrimPrefix(s, "["), "]")
	if !ok || !strings.HasPrefix(s, "[") {
		return Task{}, false
	}
	var t Task
	if !t.set("pid", strings.TrimSpace(inside), pageSize) {
		return Task{}, false
	}
	for _, name := range c[1:] {
		rest = strings.TrimLeft(rest, " ")
		value, after, found := strings.Cut(rest, " ")
		if !found || !t.set(name, value, pageSize) {
			return Task{}, false
		}
		rest = after
	}
	if len(rest) > maxComm {
		return Task{}, false
	}
	t.Comm = rest
	return t, true
}

// set stores one number of a row. Columns are in pages, but for pgtables_bytes.
func (t *Task) set(column, value string, pageSize uint64) bool {
	if column == "oom_score_adj" {
		adj, err := strconv.ParseInt(value, 10, 16)
		t.Adj = int(adj)
		return err == nil
	}
	if column == "oom_adj" {
		return allDigits(strings.TrimPrefix(value, "-")) // up to 2.6.35; a hint since.
	}
	n := parseNumber(value)
	size := pages(value, pageSize)
	switch column {
	case "pid":
		t.PID = int(n.Or(0))
		return n.IsSet() && t.PID > 0
	case "tgid":
		t.TGID = int(n.Or(0))
	case "uid":
		t.UID = n
	case "total_vm":
		t.TotalVM = size
	case "rss":
		t.RSS = size
	case "rss_anon":
		t.RSSAnon = size
	case "rss_file":
		t.RSSFile = size
	case "rss_shmem":
		t.RSSShmem = size
	case "pgtables_bytes":
		t.PageTables = n
	case "nr_ptes", "nr_pmds", "nr_puds":
		t.PageTables = oom.Of(t.PageTables.Or(0)).Plus(size)
		t.OldTables = true
	case "swapents":
		t.Swap = size
	}
	return n.IsSet()
}

// rescale converts the sizes of a table that was read with another page size.
func (t *Task) rescale(from, to uint64) {
	for _, a := range []*oom.Amount{&t.TotalVM, &t.RSS, &t.RSSAnon, &t.RSSFile, &t.RSSShmem, &t.Swap} {
		rescale(a, from, to)
	}
	if t.OldTables {
		rescale(&t.PageTables, from, to)
	}
}

func rescale(a *oom.Amount, from, to uint64) {
	if n, ok := a.Get(); ok && from > 0 && n/from < maxPages {
		*a = oom.Of(n / from * to)
	}
}

// learnPageSize finds out the page size: the task table has the victim's
// total_vm in pages, the Killed line in kB.
func (r *Report) learnPageSize(v oom.Victim) {
	total, ok := v.TotalVM.Get()
	row := r.Task(v)
	if !ok || row == nil || total == 0 {
		return
	}
	inTable := row.TotalVM.Or(0) / r.PageSize
	if inTable == 0 || total%inTable != 0 {
		return
	}
	size := total / inTable
	if size == r.PageSize || size != 4<<10 && size != 16<<10 && size != 64<<10 && size != 8<<10 {
		return
	}
	for i := range r.Tasks {
		r.Tasks[i].rescale(r.PageSize, size)
	}
	n := &r.Node
	for _, a := range []*oom.Amount{&n.RAM, &n.Reserved, &n.Anon, &n.File, &n.Shmem, &n.Unevictable, &n.Free, &n.Slab, &n.Unreclaimable} {
		rescale(a, r.PageSize, size)
	}
	r.PageSize = size
}

// Task returns the victim's row of the task table, nil if it has none.
func (r *Report) Task(v oom.Victim) *Task {
	for i := range r.Tasks {
		if t := &r.Tasks[i]; t.PID == v.PID || v.TGID != 0 && t.TGID == v.TGID {
			return t
		}
	}
	return nil
}
