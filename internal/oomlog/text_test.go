// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
)

// saved makes records of a saved log, in which anything may be missing.
func saved(lines ...string) []kmsg.Record {
	recs := log(lines...)
	for i := range recs {
		recs[i].Saved, recs[i].Split = true, true
	}
	return recs
}

func TestSavedLogs(t *testing.T) {
	const (
		header = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
		row    = "[      1]     0     1       10        5     4096        0             0 x"
	)
	for _, tc := range []struct {
		name string
		log  []kmsg.Record
		want string
	}{
		{"whole", saved(invoked, chose("/a", 1), killed(1)), "k 1 /a; r 1"},
		{"from the table on", saved(header, row, chose("/a", 1), killed(1)), "k 1 /a partial; r 1 partial"},
		{"a row alone", saved(row), "r 0 partial"},
		{"the machine's memory for another reason", saved("Mem-Info:", "131072 pages RAM"), ""},
		{"the kill of another", saved(invoked, chose("/a", 1), strings.Replace(killed(2), "(x)", "(y)", 1)), "r 0 partial; k 2  partial; r 1 headless partial"},
		{"two choices", saved(invoked, chose("/a", 1), chose("/b", 2), killed(2)), "r 0 partial; k 2 /b partial; r 1 partial"},
		{"long after", saved(invoked, "+2m", killed(1)), "r 0 partial; k 1  partial; r 1 headless partial"},
		{"another boot", saved(invoked, "Linux version 6.1.0", killed(1)), "r 0 partial; k 1  partial; r 1 headless partial"},
		{"the stats of another", saved(invoked, "Memory cgroup stats for /b:", chose("/a", 1), killed(1)), "r 0 partial; k 1 /a partial; r 1 partial"},
		{"the memory of another", saved(invoked, "131072 pages RAM", chose("/a", 1), killed(1)), "r 0 partial; k 1 /a partial; r 1 partial"},
		{"the first of a group again", saved(chose("/a", 1), killed(1), killed(1)), "k 1 /a partial; k 1 /a group dup partial; r 2 partial"},
		{"cut behind the name", saved("Out of memory: Killed process 7 (x)"), "k 7  partial; r 1 headless partial"},
		{"cut within the name", saved("Out of memory: Killed process 7 (x"), ""},
		{"a cut path is none", saved("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/sho"), "r 0 partial"},
		{"a panic", saved(invoked, "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled"), "r 0"},
		{"another panic", saved("Kernel panic - not syncing: Fatal exception"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := parseRecords(tc.log)
			if s := brief(got.events); s != tc.want {
				t.Errorf("%s\nwant %s", s, tc.want)
			}
			for _, r := range got.reports {
				if r.LimitPath == "/sho" {
					t.Error("the beginning of a path is taken for a path")
				}
			}
		})
	}
}

// A live log is not judged by its clock: those of some machines jump.
func TestLiveLogsKeepTheirReports(t *testing.T) {
	recs := log(invoked, chose("/a", 1), killed(1))
	recs[1].Stamp -= 30e9
	if got := brief(parseRecords(recs).events); got != "k 1 /a; r 1" {
		t.Error(got)
	}
}

func TestChosen(t *testing.T) {
	r := parseRecords(saved(chose("/a", 7))).reports[0]
	if r.Chosen == nil || r.Chosen.PID != 7 || r.Chosen.Comm != "x" || r.VictimPath != "/a" {
		t.Errorf("%+v", r)
	}
	r = parseRecords(saved("Out of memory: Kill process 12 (x) score 1 or sacrifice child")).reports[0]
	if r.Chosen == nil || r.Chosen.PID != 12 || !r.Global {
		t.Errorf("%+v", r)
	}
}

func TestBinding(t *testing.T) {
	for _, tc := range []struct {
		name                string
		memory, memsw, kmem Usage
	}{
		{"memory", Usage{Usage: kb(64), Limit: kb(64)}, Usage{Usage: kb(64), Limit: kb(64)}, Usage{}},
		{"memory+swap", Usage{Usage: kb(224600), Limit: kb(262144)}, Usage{Usage: kb(524288), Limit: kb(524288)}, Usage{}},
		{"kmem", Usage{Usage: kb(100), Limit: kb(262144)}, Usage{Usage: kb(100), Limit: kb(524288)}, Usage{Usage: kb(64), Limit: kb(64)}},
		{"memory", Usage{}, Usage{}, Usage{}},
	} {
		r := Report{Memory: tc.memory, Memsw: tc.memsw, Kmem: tc.kmem}
		if name, _ := r.Binding(); name != tc.name {
			t.Errorf("%+v: %s, want %s", r, name, tc.name)
		}
	}
}
