// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	invoked = "x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
	sizes   = " total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
)

func chose(path string, pid int) string {
	return fmt.Sprintf("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"+
		"oom_memcg=%s,task_memcg=%s,task=x,pid=%d,uid=0", path, path, pid)
}

func killed(pid int) string {
	return fmt.Sprintf("Memory cgroup out of memory: Killed process %d (x)%s", pid, sizes)
}

func together(path string) string {
	return "Tasks in " + path + " are going to be killed due to memory.oom.group set"
}

// log makes records a microsecond apart. "+5s" is a pause, "lost 3" a loss,
// "c;…" a continuation, "user;…" a record of user space.
func log(lines ...string) []kmsg.Record {
	var recs []kmsg.Record
	stamp, seq, lost := time.Minute, uint64(100), uint64(0)
	for _, line := range lines {
		if d, err := time.ParseDuration(strings.TrimPrefix(line, "+")); err == nil && line[0] == '+' {
			stamp += d
			continue
		}
		if n, err := fmt.Sscanf(line, "lost %d", &lost); n == 1 && err == nil {
			seq += lost
			continue
		}
		r := kmsg.Record{
			Priority: 4, Seq: seq, Stamp: stamp, HasStamp: true, Lost: lost, Text: line,
			ReadAt: time.Unix(0, 0).Add(stamp),
		}
		if text, ok := strings.CutPrefix(line, "c;"); ok {
			r.Cont, r.Text = true, text
		}
		if text, ok := strings.CutPrefix(line, "user;"); ok {
			r.Priority, r.Text = 12, text
		}
		recs = append(recs, r)
		stamp, seq, lost = stamp+time.Microsecond, seq+1, 0
	}
	return recs
}

// brief tells events in short: k pid path [group] [dup] [partial], g path,
// s n, r kills [headless] [partial] [nokill].
func brief(events []Event) string {
	var words []string
	add := func(word string, set bool) string {
		if set {
			return " " + word
		}
		return ""
	}
	for _, e := range events {
		switch e.Kind {
		case KindKill:
			k := e.Kill
			words = append(words, fmt.Sprintf("k %d %s", k.Victim.PID, k.VictimPath)+
				add("group", k.GroupKill)+add("dup", k.Duplicate)+add("partial", k.Partial))
		case KindGroup:
			words = append(words, "g "+e.Group)
		case KindSuppressed:
			words = append(words, fmt.Sprintf("s %d", e.Suppressed))
		case KindReport:
			r := e.Report
			words = append(words, fmt.Sprintf("r %d", len(r.Kills))+
				add("headless", r.Headless)+add("partial", r.Partial)+add("nokill", r.NoKillable))
		}
	}
	return strings.Join(words, "; ")
}

func TestParser(t *testing.T) {
	broken := chose("/a", 1)
	at := func(part string) (string, string) {
		i := strings.Index(broken, part)
		return broken[:i], "c;" + broken[i:]
	}
	atComma, restComma := at(",mems_allowed")
	atPath, restPath := at("/a,task=")
	for _, tc := range []struct {
		name string
		log  []kmsg.Record
		want string
	}{
		{"whole", log(invoked, chose("/a", 1), killed(1)), "k 1 /a; r 1"},
		{"a thread of the chosen process", log(invoked, chose("/a", 1), killed(2)), "k 2 /a; r 1"},
		{"two in a row", log(invoked, chose("/a", 1), killed(1), invoked, chose("/b", 2), killed(2)), "k 1 /a; r 1; k 2 /b; r 1"},
		{"without reports", log(killed(1), killed(2)), "k 1  partial; k 2  partial; r 2 headless partial"},
		{
			"the choice is used up", log(invoked, chose("/a", 1), killed(1), killed(2)),
			"k 1 /a; r 1; k 2  partial; r 1 headless partial",
		},
		{"suppressed", log("oom_kill_process: 38 callbacks suppressed", invoked, chose("/a", 1), killed(1)), "s 38; k 1 /a; r 1"},
		{"the head is missing", log(chose("/a", 1), killed(1)), "k 1 /a partial; r 1 partial"},
		{"the choice is missing", log(invoked, killed(1)), "k 1  partial; r 1 partial"},
		{"the end is missing", log(invoked, chose("/a", 1)), "r 0 partial"},
		{"the end is missing, another follows", log(invoked, chose("/a", 1), invoked, chose("/b", 2), killed(2)), "r 0 partial; k 2 /b; r 1"},
		{"foreign lines", log(invoked, "eth0: up", chose("/a", 1), "usb 1-1: new device", "c; more of it", killed(1)), "k 1 /a; r 1"},
		{"broken at a comma", log(invoked, atComma, restComma, killed(1)), "k 1 /a; r 1"},
		{"broken after a key", log(invoked, atPath, restPath, killed(1)), "k 1 /a; r 1"},
		{"broken by a foreign line", log(invoked, atPath, "eth0: up", "c; foreign", "user;/x,task=y,pid=9,uid=9", restPath, killed(1)), "k 1 /a; r 1"},
		{"broken, the rest is missing", log(invoked, atPath, killed(1)), "k 1  partial; r 1 partial"},
		{"broken, the rest is lost", log(invoked, atPath, "lost 1", killed(1)), "r 0 partial; k 1  partial; r 1 headless partial"},
		{"broken, not marked", log(invoked, atPath, strings.TrimPrefix(restPath, "c;"), killed(1)), "k 1 /a; r 1"},
		{"forged", log("user;"+invoked, "user;"+chose("/a", 1), "user;"+killed(1), "user;oom_kill_process: 5 callbacks suppressed"), ""},
		{"forged into a report", log(invoked, "user;"+chose("/b", 2), chose("/a", 1), "user;"+killed(2), killed(1)), "k 1 /a; r 1"},
		{"nobody to kill", log(invoked, "Out of memory and no killable processes..."), "r 0 nokill"},
		{"nobody to kill, no head", log("Out of memory and no killable processes..."), "r 0 partial nokill"},
		{"already exiting", log(invoked, chose("/a", 1), "Memory cgroup out of memory: OOM victim 1 (x) is already exiting. Skip killing the task",
			killed(2)), "r 0; k 2  partial; r 1 headless partial"},
		{"lost before a report", log("lost 9", invoked, chose("/a", 1), killed(1)), "k 1 /a; r 1"},
		{"lost in a report", log(invoked, "lost 1", chose("/a", 1), killed(1)), "k 1 /a partial; r 1 partial"},
		{
			"so much lost that another report may follow", log(invoked, "memory: usage 4kB, limit 4kB, failcnt 1", "lost 9", chose("/b", 2), killed(2)),
			"r 0 partial; k 2 /b partial; r 1 partial",
		},
		{"lost before the right kill", log(invoked, chose("/a", 1), "lost 1", killed(1)), "k 1 /a partial; r 1 partial"},
		{"lost before another kill", log(invoked, chose("/a", 1), "lost 90", killed(2)), "r 0 partial; k 2  partial; r 1 headless partial"},
		{
			"another kind of kill", log(invoked, chose("/a", 1), "Out of memory: Killed process 2 (x)"+sizes),
			"r 0 partial; k 2  partial; r 1 headless partial",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := brief(parseRecords(tc.log).events); got != tc.want {
				t.Errorf("%s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestGroupKills(t *testing.T) {
	row := func(pid int) string {
		return fmt.Sprintf("[%7d] %5d %5d %8d %8d %8d %8d         %5d x", pid, 0, pid, 10, 5, 4096, 0, 0)
	}
	const header = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
	for _, tc := range []struct {
		name string
		log  []kmsg.Record
		want string
	}{
		{
			"three", log(invoked, chose("/g/a", 1), killed(1), together("/g"), killed(2), killed(1), killed(3)),
			"k 1 /g/a; g /g; k 2 /g group; k 1 /g/a group dup; k 3 /g group; r 4",
		},
		{"one", log(invoked, chose("/g", 1), killed(1), together("/g"), killed(1)), "k 1 /g; g /g; k 1 /g group dup; r 2"},
		{
			"one duplicate at most", log(invoked, chose("/g", 1), killed(1), together("/g"), killed(1), killed(1)),
			"k 1 /g; g /g; k 1 /g group dup; r 2; k 1  partial; r 1 headless partial",
		},
		{
			"a member's pid again", log(invoked, chose("/g", 1), killed(1), together("/g"), killed(2), killed(2)),
			"k 1 /g; g /g; k 2 /g group; r 2; k 2  partial; r 1 headless partial",
		},
		{
			"without a report", log(killed(9), killed(1), together("/g"), killed(2), killed(1)),
			"k 9  partial; k 1  partial; r 1 headless partial; g /g; k 2 /g group partial; k 1 /g group dup partial; r 3 headless partial",
		},
		{
			"two without reports", log(killed(1), together("/g"), killed(1), killed(2), together("/h"), killed(3), killed(2)),
			"k 1  partial; g /g; k 1 /g group dup partial; k 2 /g group partial; r 2 headless partial; " +
				"g /h; k 3 /h group partial; k 2 /h group dup partial; r 3 headless partial",
		},
		{
			"over after a while", log(invoked, chose("/g", 1), killed(1), together("/g"), killed(1), "+1s", killed(2)),
			"k 1 /g; g /g; k 1 /g group dup; r 2; k 2  partial; r 1 headless partial",
		},
		{
			"a slow console, but listed", log(invoked, header, row(1), row(2), chose("/g", 1), killed(1), together("/g"), "+1s", killed(2)),
			"k 1 /g; g /g; k 2 /g group; r 2",
		},
		{
			"over with the next report", log(invoked, chose("/g", 1), killed(1), together("/g"), invoked, chose("/b", 2), killed(2)),
			"k 1 /g; g /g; r 1; k 2 /b; r 1",
		},
		{
			"another kind of kill", log(invoked, chose("/g", 1), killed(1), together("/g"), "Out of memory: Killed process 2 (x)"+sizes),
			"k 1 /g; g /g; r 1; k 2  partial; r 1 headless partial",
		},
		{
			"the first one is lost", log(invoked, chose("/g", 1), "lost 2", together("/g"), killed(2)),
			"r 0 partial; g /g; k 2 /g group partial; r 1 headless partial",
		},
		{
			"what follows is lost", log(invoked, chose("/g", 1), killed(1), together("/g"), "lost 5", killed(2)),
			"k 1 /g; g /g; r 1; k 2  partial; r 1 headless partial",
		},
		{
			"a member is exiting", log(invoked, chose("/g", 1), killed(1), together("/g"),
				"Memory cgroup out of memory: OOM victim 5 (x) is already exiting. Skip killing the task", killed(2)),
			"k 1 /g; g /g; k 2 /g group; r 2",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := parseRecords(tc.log)
			if s := brief(got.events); s != tc.want {
				t.Errorf("%s\nwant %s", s, tc.want)
			}
		})
	}
	got := parseRecords(log(invoked, chose("/g/a", 1), killed(1), together("/g"), killed(2)))
	first := got.reports[0].Kills[0]
	if !first.GroupKill || got.reports[0].GroupPath != "/g" {
		t.Errorf("the report does not know that its first kill was a group's: %+v", first)
	}
	for _, e := range got.events {
		if e.Kind == KindGroup && e.Seq != first.Seq {
			t.Errorf("the group's first kill is %d, want %d", e.Seq, first.Seq)
		}
	}
}

// What was read before a loss is not told of a kill after it.
func TestLossKeepsReportsApart(t *testing.T) {
	got := parseRecords(log(invoked, "memory: usage 4kB, limit 4kB, failcnt 1", "lost 9", chose("/b", 2), killed(2)))
	if k := got.kills[0]; k.Trigger != nil || k.Usage.IsSet() || k.LimitPath != "/b" {
		t.Errorf("kill %+v", k)
	}
}

func TestSysrq(t *testing.T) {
	global := strings.Replace(chose("/a", 1), "CONSTRAINT_MEMCG", "CONSTRAINT_NONE", 1)
	global = strings.Replace(global, "oom_memcg=/a", "global_oom", 1)
	for _, log := range [][]kmsg.Record{
		log("sysrq: Manual OOM execution", strings.Replace(invoked, "order=0", "order=-1", 1), global, "Out of memory: Killed process 1 (x)"+sizes),
		log("SysRq : Manual OOM execution", invoked, global, "Out of memory: Killed process 1 (x)"+sizes),
	} {
		got := parseRecords(log)
		if len(got.kills) != 1 || !got.kills[0].Sysrq || got.kills[0].Partial || got.kills[0].Level != oom.LevelNode {
			t.Errorf("%+v", got.kills)
		}
	}
}

func TestStats(t *testing.T) {
	got := parseRecords(log("user;"+killed(1), "user;x", "lost 7", "x", killed(2), "Out of memory: Killed process x", "Killed process 1 (x)"))
	if want := (Stats{Records: 6, Refused: 2, Lost: 7, Kills: 1, Unparsed: 2}); got.stats != want {
		t.Errorf("%+v, want %+v", got.stats, want)
	}
}

// A newline in a comm splits records in every form but the device's.
func TestSplitLines(t *testing.T) {
	whole := readCapture(t, "6.18-v1-20-comm-oddities")
	want := parse(t, whole)
	var recs []kmsg.Record
	if _, err := kmsg.ReadLog(strings.NewReader(whole), kmsg.LogOptions{}, func(r kmsg.Record) {
		for text := range strings.SplitSeq(strings.TrimSuffix(r.Text, "\n"), "\n") {
			r := r
			r.Text, r.Split, r.Cont = text, true, false
			recs = append(recs, r)
		}
	}); err != nil {
		t.Fatal(err)
	}
	got := parseRecords(recs)
	if len(got.kills) != len(want.kills) {
		t.Fatalf("%d kills, want %d", len(got.kills), len(want.kills))
	}
	for i := range got.kills {
		g, w := got.kills[i], want.kills[i]
		g.Trigger, w.Trigger = nil, nil
		if g != w {
			t.Errorf("kill %d:\n%+v, want\n%+v", i, g, w)
		}
	}
}

// Bounds: a report does not grow with what is in the log.
func TestBounds(t *testing.T) {
	p := New(Options{MaxTasks: 3, MaxKills: 4})
	lines := []string{invoked, "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name"}
	for pid := range 10 {
		lines = append(lines, fmt.Sprintf("[%5d]     0 %5d       10        5       1        0             0 x", pid+1, pid+1))
	}
	lines = append(lines, chose("/g", 1), killed(1), together("/g"))
	for pid := range 10 {
		lines = append(lines, killed(pid+1))
	}
	kills := 0
	var reports []*Report
	collect := func(events []Event) {
		for _, e := range events {
			if e.Kind == KindKill {
				kills++
			}
			if e.Kind == KindReport {
				reports = append(reports, e.Report)
			}
		}
	}
	for _, r := range log(lines...) {
		collect(p.Add(r))
	}
	collect(p.Flush())
	if kills != 11 {
		t.Errorf("%d kills are told, want 11", kills)
	}
	r := reports[0]
	if len(r.Tasks) != 3 || r.TasksOmitted != 7 || len(r.Kills) != 4 || r.KillsOmitted == 0 {
		t.Errorf("%d tasks and %d more, %d kills and %d more", len(r.Tasks), r.TasksOmitted, len(r.Kills), r.KillsOmitted)
	}
}

func BenchmarkParser(b *testing.B) {
	recs := log(invoked, "memory: usage 4kB, limit 4kB, failcnt 1", chose("/a", 1), killed(1))
	for range 60 {
		recs = append(recs, log("eth0: link is up")...)
	}
	for b.Loop() {
		p := New(Options{})
		for _, r := range recs {
			p.Add(r)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(recs)), "ns/record")
}
