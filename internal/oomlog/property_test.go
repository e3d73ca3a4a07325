// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func captureRecords(t *testing.T, name string) []kmsg.Record {
	t.Helper()
	return records(t, readCapture(t, name))
}

// foreign are lines that fall between those of a report: other drivers, other
// stack traces, and forgeries by user space.
var foreign = []kmsg.Record{
	{Priority: 6, Text: "eth0: link is up"},
	{Priority: 4, Text: "CPU: 1 UID: 0 PID: 999 Comm: other Not tainted 9.9.9 #1"},
	{Priority: 4, Text: "Call Trace:"},
	{Priority: 4, Text: " <TASK>"},
	{Priority: 6, Text: "[drm] initialised"},
	{Priority: 4, Cont: true, Text: " a piece of something else"},
	{Priority: 4, Cont: true, Text: "another piece"},
	{Priority: 6, Text: "audit: type=1400 comm=\"x\" name=\"/a,task=b,pid=1,uid=0\""},
	{Priority: 12, Text: "Memory cgroup out of memory: Killed process 1 (init)" + sizes},
	{Priority: 12, Text: "x invoked oom-killer: gfp_mask=0x0, order=0, oom_score_adj=0"},
	{Priority: 14, Cont: true, Text: "/evil,task=x,pid=1,uid=0"},
	{Priority: 12, Text: "Tasks in /evil are going to be killed due to memory.oom.group set"},
	{Priority: 6, Text: ""},
}

// disturb puts foreign lines between the records and breaks the choice at the
// borders of its pieces, as other CPUs' messages do.
func disturb(rnd *rand.Rand, recs []kmsg.Record) []kmsg.Record {
	var out []kmsg.Record
	noise := func() {
		for rnd.IntN(3) == 0 {
			r := foreign[rnd.IntN(len(foreign))]
			r.HasStamp = true
			if len(out) > 0 {
				r.Stamp = out[len(out)-1].Stamp
			}
			out = append(out, r)
		}
	}
	for _, r := range recs {
		noise()
		if r.Cont || !startsChoice(r.Text) || !wholeChoice(r.Text) {
			out = append(out, r)
			continue
		}
		for i, piece := range pieces(rnd, r.Text) {
			p := r
			p.Text = piece
			if i > 0 {
				noise()
				p.Cont, p.Priority = true, 4
			}
			out = append(out, p)
		}
	}
	for i := range out {
		out[i].Seq, out[i].Lost = uint64(i), 0
	}
	return out
}

// pieces cuts a choice at some of the borders of its pr_cont calls.
func pieces(rnd *rand.Rand, s string) []string {
	var cuts []int
	for _, border := range []string{",cpuset=", ",mems_allowed=", ",oom_memcg=", ",global_oom", ",task_memcg=", ",task="} {
		if i := strings.Index(s, border); i > 0 && rnd.IntN(3) == 0 {
			cuts = append(cuts, i)
		}
	}
	for _, key := range []string{",oom_memcg=", ",task_memcg="} {
		if i := strings.Index(s, key); i > 0 && rnd.IntN(3) == 0 {
			cuts = append(cuts, i+len(key))
		}
	}
	slices.Sort(cuts)
	var out []string
	from := 0
	for _, cut := range slices.Compact(cuts) {
		out = append(out, s[from:cut])
		from = cut
	}
	return append(out, s[from:])
}

// comparable is a kill without what the records' numbers are.
func comparable(kills []oom.Kill) []string {
	var out []string
	for _, k := range kills {
		trigger := ""
		if k.Trigger != nil {
			trigger = fmt.Sprintf("%+v", *k.Trigger)
		}
		k.Seq, k.Trigger = 0, nil
		out = append(out, fmt.Sprintf("%+v %s", k, trigger))
	}
	return out
}

func TestDisturbedCaptures(t *testing.T) {
	for _, c := range captures {
		recs := captureRecords(t, c.file)
		want := comparable(parseRecords(recs).kills)
		rounds := max(1, min(20, 20000/max(1, len(recs))))
		for seed := range uint64(rounds) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			got := comparable(parseRecords(disturb(rnd, recs)).kills)
			if !slices.Equal(got, want) {
				t.Fatalf("%s, seed %d:\n%s\nwant\n%s", c.file, seed, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// A log that is cut anywhere has the kills of its lines and no other.
func TestTruncatedCaptures(t *testing.T) {
	for _, c := range captures {
		recs := captureRecords(t, c.file)
		whole := parseRecords(recs).kills
		step := 1 + len(recs)/300
		for n := 0; n < len(recs); n += step {
			cut := parseRecords(recs[:n])
			want := whole
			for len(want) > 0 && (n == 0 || want[len(want)-1].Seq > recs[n-1].Seq) {
				want = want[:len(want)-1]
			}
			if !slices.Equal(comparable(cut.kills), comparable(want)) {
				t.Fatalf("%s, %d lines: %d kills, want %d", c.file, n, len(cut.kills), len(want))
			}
			checkTold(t, cut)
		}
	}
}

// A log that begins anywhere has the kills of its lines too, though perhaps
// without their reports.
func TestBeheadedCaptures(t *testing.T) {
	for _, c := range captures {
		recs := captureRecords(t, c.file)
		whole := parseRecords(recs).kills
		for i := 0; i < len(recs); i += 17 {
			got := parseRecords(recs[i:])
			rest := whole
			for len(rest) > 0 && rest[0].Seq < recs[i].Seq {
				rest = rest[1:]
			}
			if len(got.kills) != len(rest) {
				t.Fatalf("%s from line %d: %d kills, want %d", c.file, i, len(got.kills), len(rest))
			}
			for j, k := range got.kills {
				w := rest[j]
				if k.Victim.PID != w.Victim.PID || k.VictimPath != "" && k.VictimPath != w.VictimPath || k.LimitPath != "" && k.LimitPath != w.LimitPath {
					t.Fatalf("%s from line %d: %+v, want %+v", c.file, i, k, w)
				}
			}
			checkTold(t, got)
		}
	}
}

// Losing any one record costs at most what it said: paths are never mixed up.
func TestLossyCaptures(t *testing.T) {
	for _, name := range []string{"6.12-v2-group", "6.1-v2-global_adj", "5.10-v2-comm", "6.18-v1-32-long-path"} {
		recs := captureRecords(t, name)
		whole := parseRecords(recs).kills
		for i := range recs {
			lossy := slices.Clone(recs)
			if i+1 < len(lossy) {
				lossy[i+1].Lost = 1
			}
			lossy = slices.Delete(lossy, i, i+1)
			want := slices.DeleteFunc(slices.Clone(whole), func(k oom.Kill) bool { return k.Seq == recs[i].Seq })
			got := parseRecords(lossy).kills
			if len(got) != len(want) {
				t.Fatalf("%s without line %d: %d kills, want %d", name, i, len(got), len(want))
			}
			for j, k := range got {
				if k.Victim.Comm != want[j].Victim.Comm || k.VictimPath != "" && k.VictimPath != want[j].VictimPath ||
					k.LimitPath != "" && k.LimitPath != want[j].LimitPath {
					t.Errorf("%s without line %d (%q):\n%+v, want\n%+v", name, i, recs[i].Text, k, want[j])
				}
			}
		}
	}
}

// checkTold holds what is true of every parse: a kill is told once as an event
// and once in a report, in order.
func checkTold(t *testing.T, got parsed) {
	t.Helper()
	var told []uint64
	for _, r := range got.reports {
		if r.Headless && (r.Trigger != nil || !r.Partial) {
			t.Errorf("report %+v", r)
		}
		for _, k := range r.Kills {
			told = append(told, k.Seq)
		}
	}
	var seqs []uint64
	for _, k := range got.kills {
		seqs = append(seqs, k.Seq)
		if len(k.Victim.Comm) > maxComm || k.Victim.PID <= 0 {
			t.Errorf("kill %+v", k)
		}
	}
	if uint64(len(seqs)) != got.stats.Kills || !slices.Equal(told, seqs) {
		t.Errorf("told %v, in reports %v, counted %d", seqs, told, got.stats.Kills)
	}
}

func FuzzParser(f *testing.F) {
	for _, c := range []string{centos7Memcg, kernel414Global, kernel50, kernel52CPUSet, kernel73Thread} {
		f.Add(c)
	}
	for _, l := range [][]kmsg.Record{
		log(invoked, chose("/g", 1), killed(1), together("/g"), killed(2), killed(1)),
		log(killed(9), killed(1), together("/g"), "c;,task=x,pid=1,uid=0"),
	} {
		var lines []string
		for _, r := range l {
			lines = append(lines, fmt.Sprintf("4,%d,%d,-;%s", r.Seq, r.Stamp.Microseconds(), r.Text))
		}
		f.Add(strings.Join(lines, "\n"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		var recs []kmsg.Record
		_, err := kmsg.ReadLog(strings.NewReader(text), kmsg.LogOptions{}, func(r kmsg.Record) { recs = append(recs, r) })
		if err != nil || strings.HasPrefix(text, "\x1f\x8b") {
			return // UTF-16 and gzip.
		}
		got := parseRecords(recs)
		checkTold(t, got)
		// Nothing becomes a kill that does not say so.
		if n := strings.Count(text, "Killed process"); len(got.kills) > n {
			t.Errorf("%d kills out of %d lines", len(got.kills), n)
		}
	})
}
