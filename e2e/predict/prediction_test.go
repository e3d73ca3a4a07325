// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// outcome is what was predicted in one case, and what happened.
type outcome struct {
	plan    *plan
	members []int // pids, as the plan has the parts.
	total   uint64
	left    int64 // bytes, at the time of the prediction.
	victims predict.Victims
	seen    []oom.Process // of the scope, at the time of the prediction.
	byScore int           // pids of the two usual guesses.
	byRSS   int
	guess   int // pid of the prediction.
	also    []int
	report  report
	slack   int64 // pages by which per-CPU counters may be off.
}

func (o *outcome) right() bool { return len(o.report.killed) > 0 && o.report.killed[0] == o.guess }

// clear tells whether the lead is more than what the counters and the growth
// to come can turn around.
func (o *outcome) clear() bool { return o.victims.Lead > o.slack+o.left/page }

// TestPrediction draws random memcg OOMs and compares who was killed with who
// was predicted when at least 1 % of the limit was left.
func TestPrediction(t *testing.T) {
	b := newBench(t)
	log := openKernelLog(t)
	if b.version == 2 { // emulated guests are slow.
		log.quiet = 100 * time.Millisecond
	}
	var all []*outcome
	for i := range cases(t, 200) {
		p := drawPlan(b.rng, b.version, b.adjLow)
		for !p.killable() {
			p = drawPlan(b.rng, b.version, b.adjLow)
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			all = append(all, b.predictAndKill(t, log, &p))
		})
	}
	text, right, clear := predictionTable(b, all)
	writeEvidence(t, b, "prediction", text)
	// Near ties say nothing; a handful of cases may hold a few more than a tenth.
	if near := len(all) - clear; near > len(all)/10+2 {
		t.Errorf("%d of %d leads are near ties: too few cases say anything", near, len(all))
	}
	if 100*right < 98*clear {
		t.Errorf("%d of %d clear predictions were right, want 98 %%", right, clear)
	}
}

func (b *bench) predictAndKill(t *testing.T, log *kernelLog, p *plan) *outcome {
	s := b.setUp(t, p)
	s.approach(t, p.limit*15/1000)
	log.skip(t)
	view := b.look(t, true)
	scope := view.group(t, s.scope)
	o := &outcome{
		plan: p, left: int64(view.margins.Groups[scope].Bytes), victims: view.choose(t, s.scope),
		total: view.rules.Total(&view.node, &view.tree, scope),
		slack: 3 * int64(max(32, 2*view.node.CPUs)) * int64(view.node.CPUs),
	}
	if o.left < p.limit/100 {
		t.Errorf("only %d of %d bytes were left at the prediction", o.left, p.limit)
	}
	if o.victims.Primary < 0 {
		t.Fatalf("nobody predicted: %+v", o.victims)
	}
	o.guess = int(view.procs[o.victims.Primary].PID)
	for _, i := range o.victims.All {
		o.also = append(o.also, int(view.procs[i].PID))
	}
	for _, m := range s.members {
		o.members = append(o.members, m.pid)
	}
	o.see(t, view)
	s.provoke(t)
	o.report = log.collect(s.pids, 5*time.Second)
	s.checkDead(t, o)
	return o
}

// see keeps what was to be seen of the loads, and what the usual guesses are.
func (o *outcome) see(t *testing.T, view *snapshot) {
	t.Helper()
	for _, pid := range o.members {
		i, ok := view.process(pid)
		if !ok || view.exact(i) != nil {
			t.Fatalf("load %d is gone before the OOM", pid)
		}
		o.seen = append(o.seen, view.procs[i])
	}
	o.byScore = most(o.seen, func(p *oom.Process) uint64 { return p.Score.Or(0) })
	o.byRSS = most(o.seen, func(p *oom.Process) uint64 { return p.RSS })
}

// verdict is how the tables say whether the prediction was right.
func (o *outcome) verdict() string {
	switch {
	case !o.right() && o.clear():
		return "**wrong**"
	case !o.right():
		return "wrong, near tie"
	case !o.clear():
		return "right, near tie"
	}
	return "right"
}

// most returns the pid of the process with the largest value.
func most(procs []oom.Process, value func(*oom.Process) uint64) int {
	best := slices.MaxFunc(procs, func(a, b oom.Process) int {
		return int(int64(value(&a)) - int64(value(&b)))
	})
	return int(best.PID)
}

// checkDead holds the log against the processes that really ended.
func (s *scene) checkDead(t *testing.T, o *outcome) {
	t.Helper()
	if len(o.report.killed) == 0 {
		t.Fatal("a load was killed without a line in the kernel log")
	}
	for _, m := range s.members {
		if m.pid == o.report.killed[0] {
			<-m.ended
			if !m.killed {
				t.Errorf("load %d was killed, says the log, but it was not", m.pid)
			}
		}
	}
}

func predictionTable(b *bench, all []*outcome) (text string, right, clear int) {
	var rows, misses strings.Builder
	var score, rss, near, nearRight, groups, groupsRight int
	for i, o := range all {
		killed := o.report.killed[0]
		if o.clear() {
			clear++
			right += count(o.right())
		} else {
			near++
			nearRight += count(o.right())
		}
		score += count(o.byScore == killed)
		rss += count(o.byRSS == killed)
		if len(o.also) > 1 && o.right() {
			groups++
			groupsRight += count(sameSet(o.also, o.report.killed))
		}
		fmt.Fprintf(&rows, "| %d | %s | %.0f | %d | %s | %d | %d | %s | %s | %s | %s | %s |\n", i, o.plan.level,
			float64(o.plan.limit)/mib, len(o.plan.parts), letter(o, o.members[o.plan.grower]),
			o.left/page, o.victims.Lead, letter(o, o.guess), letter(o, killed), o.verdict(),
			letter(o, o.byScore), letter(o, o.byRSS))
		if !o.right() {
			fmt.Fprintf(&misses, "- Case %d: %s\n", i, o.explain())
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "Linux %s, cgroup v%d, %s, seed %d, %d cases.\n\n", b.kernel, b.version, today(), b.seed, len(all))
	fmt.Fprintf(&out, "| prediction | right | of |\n|---|---|---|\n")
	fmt.Fprintf(&out, "| this exporter's, clear lead | %d | %d |\n| this exporter's, near tie | %d | %d |\n", right, clear, nearRight, near)
	fmt.Fprintf(&out, "| highest oom_score | %d | %d |\n| highest RSS | %d | %d |\n", score, len(all), rss, len(all))
	if groups > 0 {
		fmt.Fprintf(&out, "| all who die by memory.oom.group | %d | %d |\n", groupsRight, groups)
	}
	fmt.Fprintf(&out, "\n%s\n", missesOrNone(misses.String()))
	fmt.Fprintf(&out, "| case | limit of | MiB | processes | grows | left | lead | predicted | killed | | highest oom_score | highest RSS |\n|%s\n%s",
		strings.Repeat("---|", 12), rows.String())
	return out.String(), right, clear
}

// explain compares what was seen at the prediction with what the killer saw.
func (o *outcome) explain() string {
	killed := o.report.killed[0]
	text := fmt.Sprintf("%s was predicted with a lead of %d pages, %d were left; %s was killed.",
		letter(o, o.guess), o.victims.Lead, o.left/page, letter(o, killed))
	for _, pid := range []int{o.guess, killed} {
		i := slices.IndexFunc(o.seen, func(p oom.Process) bool { return int(p.PID) == pid })
		p := &o.seen[i]
		pages := int64(p.RSS+p.Swap+p.PageTables)/page + int64(p.Adj)*int64(o.total/1000)
		text += fmt.Sprintf(" %s: %d pages at the prediction", letter(o, pid), pages)
		if k, ok := o.report.tasks[pid]; ok {
			text += fmt.Sprintf(", %d in the killer's table", int64(k.rss+k.tables+k.swap)+int64(k.adj)*int64(o.total/1000))
		}
		text += "."
	}
	if !o.clear() {
		text += " Growth and counters turned around so small a lead."
	}
	return text
}
