// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// fakeLister lists literals.
type fakeLister struct {
	procs []oom.Process
	err   error
	scans int
}

func (f *fakeLister) Scan(dst []oom.Process) ([]oom.Process, oom.Skipped, error) {
	f.scans++
	return append(dst[:0], f.procs...), oom.Skipped{ProcessesOverBound: 2}, f.err
}

// listed is a node whose processes are listed with their sizes, this test among them.
func listed() (*fakeLister, *fakeProc, *fakeTree) {
	proc, tree := small()
	proc.procs = append(proc.procs, oom.Process{PID: int32(os.Getpid())})
	proc.exact[int32(os.Getpid())] = oom.Process{RSS: 20 * mib, Start: 77, Comm: "self"}
	l := &fakeLister{}
	for _, p := range proc.procs {
		e := proc.exact[p.PID]
		e.PID, e.Adj, e.Exact, e.Group = p.PID, p.Adj, true, -1
		l.procs = append(l.procs, e)
	}
	return l, proc, tree
}

func TestListedProcesses(t *testing.T) {
	l, proc, tree := listed()
	now := time.Unix(1e9, 0)
	var told []error
	tasks, err := NewTasks(l, proc, now, func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	h := New(Options{Proc: proc, Tasks: tasks, Hierarchy: tree, Names: asGiven{}, Top: 3, NearRatio: 0.10, Now: func() time.Time { return now }})
	scrape := func() (*oom.Processes, oom.Skipped) {
		t.Helper()
		s := h.Scrape(time.Time{})
		ps, err := s.Processes()
		if err != nil {
			t.Fatal(err)
		}
		return ps, s.Skipped()
	}
	proc.looks = nil
	ps, skipped := scrape()
	if ps.Source != oom.ByBPF || proc.scans != 0 || len(proc.looks) != 0 || skipped.ProcessesOverBound != 2 {
		t.Errorf("by %s, %d scans of /proc, looks %v, skipped %+v", ps.Source, proc.scans, proc.looks, skipped)
	}
	for _, row := range ps.Top {
		if score, ok := row.Score.Get(); !ok || score == 0 || !row.Exact {
			t.Errorf("%+v", row.Process)
		}
	}
	want, _ := New(Options{Proc: proc, Hierarchy: tree, Names: asGiven{}, Top: 3, NearRatio: 0.10}).Scrape(time.Time{}).Processes()
	if len(ps.Victims) != len(want.Victims) || len(ps.Top) != len(want.Top) {
		t.Fatalf("%d victims and %d on the top, want %d and %d", len(ps.Victims), len(ps.Top), len(want.Victims), len(want.Top))
	}
	for i := range want.Victims {
		if got := ps.Victims[i].Process; got.PID != want.Victims[i].Process.PID || got.Badness != want.Victims[i].Process.Badness {
			t.Errorf("victim %d is %+v, want %+v", i, got, want.Victims[i].Process)
		}
	}
	l.err = errors.New("lost")
	for range 2 { // it is not tried again.
		if ps, _ = scrape(); ps.Source != oom.ByProcfs || len(ps.Top) != len(want.Top) {
			t.Errorf("by %s, %d on the top", ps.Source, len(ps.Top))
		}
	}
	if len(told) != 1 || !errors.Is(told[0], l.err) || l.scans != 3 {
		t.Errorf("told %v after %d scans", told, l.scans)
	}
}

// TestAListIsChecked compares a list with /proc at the start and once an hour.
func TestAListIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(l *fakeLister, p *fakeProc)
		says   string
	}{
		"as it is":    {func(*fakeLister, *fakeProc) {}, ""},
		"one differs": {func(l *fakeLister, _ *fakeProc) { l.procs[0].Comm = "other" }, ""},
		"most have gone": {func(_ *fakeLister, p *fakeProc) {
			clear(p.exact)
			p.exact[int32(os.Getpid())] = oom.Process{RSS: 20 * mib, Start: 77, Comm: "self"}
		}, ""},
		"fails":                  {func(l *fakeLister, _ *fakeProc) { l.err = errors.New("not permitted") }, "not permitted"},
		"nothing":                {func(l *fakeLister, _ *fakeProc) { l.procs = nil }, "not listed"},
		"another host":           {func(_ *fakeLister, p *fakeProc) { clear(p.exact) }, "another host"},
		"another PID namespace":  {func(l *fakeLister, _ *fakeProc) { each(l, func(p *oom.Process) { p.Start += 5 }) }, "not listed"},
		"names at another place": {func(l *fakeLister, _ *fakeProc) { each(l, func(p *oom.Process) { p.Comm = "x" + p.Comm }) }, "name"},
		"sizes at another place": {func(l *fakeLister, _ *fakeProc) { each(l, func(p *oom.Process) { p.RSS += 64 * mib }) }, "rss"},
		"adj at another place":   {func(l *fakeLister, _ *fakeProc) { each(l, func(p *oom.Process) { p.Adj++ }) }, "oom_score_adj"},
	} {
		l, proc, _ := listed()
		c.change(l, proc)
		_, err := NewTasks(l, proc, time.Now(), nil)
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		l, proc, _ = listed()
		now := time.Unix(1e9, 0)
		told := 0
		tasks, err := NewTasks(l, proc, now, func(error) { told++ })
		if err != nil {
			t.Fatal(err)
		}
		c.change(l, proc)
		if _, _, ok := tasks.scan(nil, now.Add(checkEvery-time.Second)); !ok && l.err == nil {
			t.Errorf("%s: compared before the hour", name)
		}
		if _, _, ok := tasks.scan(nil, now.Add(checkEvery)); ok != (c.says == "") || (told > 0) == ok {
			t.Errorf("%s: believed %v, told %d times", name, ok, told)
		}
	}
}

func each(l *fakeLister, change func(*oom.Process)) {
	for i := range l.procs {
		change(&l.procs[i])
	}
}
