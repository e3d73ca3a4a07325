// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// capture is a real log, record by record, as the kernel gave it out.
func capture(t testing.TB, name string) []kmsg.Record {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpus, name+".kmsg.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var recs []kmsg.Record
	if _, err := kmsg.ReadLog(bytes.NewReader(b), kmsg.LogOptions{}, func(r kmsg.Record) {
		if !r.FromKernel() {
			return
		}
		// A piece that the kernel has marked: no other form shows the mark.
		if r.Cont && len(recs) > 0 {
			recs[len(recs)-1].Text += r.Text
			return
		}
		recs = append(recs, r)
	}); err != nil {
		t.Fatal(err)
	}
	return recs
}

// facts are what a log says, by kill and by name: "pid 12: limit" -> "/a".
type facts map[string]string

func factsOf(reports []oomlog.Report) facts {
	f := facts{}
	for i := range reports {
		r := &reports[i]
		for j := range r.Kills {
			if k := &r.Kills[j]; !k.Duplicate {
				f.addKill(k)
				if j == 0 {
					f.addReport(r, k)
				}
			}
		}
	}
	return f
}

func (f facts) add(pid int, name string, value any, known bool) {
	if known {
		f[fmt.Sprintf("%d %s", pid, name)] = fmt.Sprint(value)
	}
}

func (f facts) addKill(k *oom.Kill) {
	v := &k.Victim
	f.add(v.PID, "comm", Clean(v.Comm, maxComm), true)
	for name, a := range map[string]oom.Amount{
		"uid": v.UID, "total-vm": v.TotalVM, "anon": v.AnonRSS, "file": v.FileRSS, "shmem": v.ShmemRSS,
		"tables": v.PageTables, "swap": v.Swap, "usage": k.Usage, "limit of": k.Limit,
	} {
		f.add(v.PID, name, a, a.IsSet())
	}
	f.add(v.PID, "adj", v.Adj, v.AdjKnown)
	f.add(v.PID, "tgid", v.TGID, v.TGID != 0)
	f.add(v.PID, "constraint", k.Constraint, k.Constraint != "")
	f.add(v.PID, "global", true, k.Global)
	f.add(v.PID, "limit", k.LimitPath, k.LimitPath != "")
	f.add(v.PID, "victim", k.VictimPath, k.VictimPath != "")
	f.add(v.PID, "sysrq", true, k.Sysrq)
	f.add(v.PID, "allocating", true, k.Allocating)
	f.add(v.PID, "group", true, k.GroupKill)
	if t := k.Trigger; t != nil {
		f.add(v.PID, "trigger", Clean(t.Comm, maxComm), true)
		f.add(v.PID, "trigger's pid", t.PID, t.PID != 0)
		f.add(v.PID, "gfp", t.GFPMask, true)
		f.add(v.PID, "order", t.Order, true)
	}
}

func (f facts) addReport(r *oomlog.Report, k *oom.Kill) {
	pid := k.Victim.PID
	f.add(pid, "release", r.Release.Text, r.Release.Text != "")
	n := r.Node
	for name, a := range map[string]oom.Amount{
		"ram": n.RAM, "free": n.Free, "node's anon": n.Anon, "node's file": n.File, "slab": n.Unreclaimable,
		"kmem": r.Kmem.Usage, "memsw": r.Memsw.Limit, "swap of": r.Swap.Limit, "failcnt": r.Memory.Failcnt,
	} {
		f.add(pid, name, a, a.IsSet())
	}
	f.add(pid, "mems", r.MemsAllowed, r.MemsAllowed != "")
	for i := range r.Tasks {
		t := &r.Tasks[i]
		f.add(pid, fmt.Sprintf("row %d", t.PID), fmt.Sprint(Clean(t.Comm, maxComm), t.RSS, t.Swap, t.PageTables, t.Adj, t.UID), true)
	}
	for _, s := range r.Stats {
		f.add(pid, "stat "+s.Key, s.Value, true)
	}
}

// reference reads records themselves, without any form. With names that hold a
// newline records stay whole, which most forms can't show.
func reference(recs []kmsg.Record, odd bool) facts {
	c := newCollector(Options{})
	for _, r := range recs {
		split := "\n"
		if odd {
			split = "\x00"
		}
		for line := range strings.SplitSeq(r.Text, split) {
			r := r
			r.Text, r.Split, r.Saved, r.Lost = line, true, true, 0
			c.feed(r)
		}
	}
	return factsOf(c.finish())
}

func read(t testing.TB, text string) facts {
	t.Helper()
	c := newCollector(testOptions())
	in := Input{Open: opener(text)}
	if _, err := in.read(c, testOptions()); err != nil {
		t.Fatal(err)
	}
	return factsOf(c.finish())
}

// part is what is left of a log.
type part struct {
	name string
	cut  func([]kmsg.Record) []kmsg.Record
}

var grepped = regexp.MustCompile(`(?i)killed process|oom-kill:|Task in `)

func parts() []part {
	return []part{
		{"whole", func(recs []kmsg.Record) []kmsg.Record { return recs }},
		{"head lost", func(recs []kmsg.Record) []kmsg.Record { return recs[firstChoice(recs)*2/3:] }},
		{"tail lost", func(recs []kmsg.Record) []kmsg.Record { return recs[:len(recs)*2/3] }},
		{"grep", func(recs []kmsg.Record) []kmsg.Record {
			return slices.DeleteFunc(slices.Clone(recs), func(r kmsg.Record) bool { return !grepped.MatchString(r.Text) })
		}},
	}
}

func firstChoice(recs []kmsg.Record) int {
	return max(0, slices.IndexFunc(recs, func(r kmsg.Record) bool { return strings.HasPrefix(r.Text, "oom-kill:") }))
}

// exact captures hold names that not every form can show.
func isOdd(name string) bool { return strings.Contains(name, "comm") }

func captureNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(corpus + "*.kmsg.txt")
	if err != nil || len(files) < 40 {
		t.Fatal(files, err)
	}
	var names []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".kmsg.txt")
		again := strings.HasSuffix(name, "burst") && !strings.HasPrefix(name, "6.12")
		if !again && !strings.Contains(name, "nokill") && !strings.Contains(name, "seek") {
			names = append(names, name)
		}
	}
	return names
}

// maxRecords keeps the test short: some captures repeat themselves.
const maxRecords = 400

// What is read of a log is the same in every form, as far as it stands in what
// is left of it.
func TestFormsSayTheSame(t *testing.T) {
	table := newEvidence()
	for i, name := range captureNames(t) {
		recs := capture(t, name)
		recs = recs[:min(len(recs), maxRecords)]
		whole := reference(recs, isOdd(name))
		for n, p := range parts() {
			left := p.cut(recs)
			want := reference(left, isOdd(name))
			checkKnown(t, name+", "+p.name, whole, want)
			for j, f := range allForms() {
				if n > 0 && (i+j+n)%3 != 0 {
					continue // each form meets a third of the parts.
				}
				if f.lossy && isOdd(name) || f.clockless && strings.Contains(name, "burst") || len(left) == 0 {
					continue
				}
				got := read(t, f.render(left))
				if isOdd(name) {
					checkKnown(t, name+", "+p.name+", "+f.name, whole, got)
					continue
				}
				table.add(f.name, p.name, want, got)
				if diff := difference(want, got); diff != "" {
					t.Errorf("%s, %s, %s:\n%s", name, p.name, f.name, diff)
				}
			}
		}
	}
	golden(t, "../../../docs/evidence/explain-forms.md", table.String())
}

// checkKnown holds that a part of a log says nothing that the whole does not.
func checkKnown(t *testing.T, where string, whole, part facts) {
	t.Helper()
	for key, value := range part {
		if was, ok := whole[key]; ok && was != value && !strings.Contains(was, `\x0a`) {
			t.Errorf("%s: %s is %q, was %q", where, key, value, was)
		} else if !ok && strings.HasSuffix(key, " comm") {
			t.Errorf("%s: a kill that was not: %s %s", where, key, value)
		}
	}
}

func difference(want, got facts) string {
	var all []string
	for key, value := range want {
		if got[key] != value {
			all = append(all, fmt.Sprintf("  %s: %q, want %q", key, got[key], value))
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok {
			all = append(all, fmt.Sprintf("  %s: %q, want none", key, value))
		}
	}
	slices.Sort(all)
	if len(all) > 8 {
		all = append(all[:8], fmt.Sprintf("  and %d more", len(all)-8))
	}
	return strings.Join(all, "\n")
}

// evidence counts the facts that were read.
type evidence struct {
	forms []string
	cells map[string][2]int
}

func newEvidence() *evidence { return &evidence{cells: map[string][2]int{}} }

func (e *evidence) add(form, part string, want, got facts) {
	if !slices.Contains(e.forms, form) {
		e.forms = append(e.forms, form)
	}
	n := e.cells[form+part]
	for key, value := range want {
		if got[key] == value {
			n[0]++
		}
	}
	n[1] += len(want)
	e.cells[form+part] = n
}

// String is the page.
func (e *evidence) String() string {
	var b strings.Builder
	b.WriteString("# What explain reads of a log in each form\n\n" +
		"Written by `go test ./internal/report -run TestFormsSayTheSame -update`. Real captures of Linux 5.10, 6.1, 6.12 and 6.18 on cgroup v1\n" +
		"and v2 are rendered in each form, whole and in parts. A cell counts the facts that were read, of those that stand in what is left: the\n" +
		"victim and its sizes, the cgroups, the limit, the trigger, the machine's memory, each row of the task table and each key of memory.stat.\n" +
		"None may be wrong. Names that hold control characters are left out of the forms that can't show them.\n\n| form |")
	for _, p := range parts() {
		b.WriteString(" " + p.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(parts())) + "\n")
	for _, form := range e.forms {
		b.WriteString("| " + form + " |")
		for _, p := range parts() {
			n := e.cells[form+p.name]
			fmt.Fprintf(&b, " %d of %d |", n[0], n[1])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
