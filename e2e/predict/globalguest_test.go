// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// globalOutcome is one OOM of the whole node.
type globalOutcome struct {
	outcome
	last   int64 // bytes left by the last scrape before the kill.
	memory int64 // MemTotal.
}

// marginRight tells whether the node was nearly out of memory for the exporter, too.
func (o *globalOutcome) marginRight() bool { return 100*o.last < 3*o.memory }

func (o *globalOutcome) percent(n int64) float64 { return 100 * float64(n) / float64(o.memory) }

func globalInGuest(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0); err != nil {
		t.Fatal(err)
	}
	log := openKernelLog(t)
	log.quiet = 100 * time.Millisecond
	e := lab.StartExporter(t, "--web.min-interval=0s")
	var all []*globalOutcome
	for i := range cases(t, 12) {
		t.Run(fmt.Sprint(i), func(t *testing.T) { all = append(all, b.exhaust(t, log, e)) })
	}
	text, right, clear := globalTable(b, all)
	t.Log(text)
	if err := os.WriteFile(globalFile(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if right < clear || clear == 0 {
		t.Errorf("%d of %d clear predictions were right", right, clear)
	}
}

// exhaust has one drawn case run the node out of memory.
func (b *bench) exhaust(t *testing.T, log *kernelLog, e *lab.Exporter) *globalOutcome {
	p := b.drawGlobal(ask(t, e).left)
	s := b.setUp(t, &p)
	fillCache(t, filepath.Join(b.dir, "cache"), 96*mib, b.rng)
	log.skip(t)
	o := &globalOutcome{memory: int64(b.look(t, false).node.Total.Or(0))}
	o.plan = &p
	for _, m := range s.members {
		o.members = append(o.members, m.pid)
	}
	before := ask(t, e)
	for now := before; now.kills == before.kills; now = ask(t, e) {
		o.last = now.left
		if o.guess == 0 && now.left <= o.memory*25/1000 {
			s.predicted(t, o, now)
		}
		// Not the whole way at once: a margin that is too large must not kill yet.
		step := (now.left - o.memory*22/1000) * 7 / 8 / page * page
		if err := s.grower.do("grow %d", min(max(step, mib), 256*mib)); err != nil && s.alive(s.grower) {
			t.Fatal(err)
		}
	}
	if o.guess == 0 {
		t.Fatalf("the kernel killed when %d of %d bytes were left by the exporter", o.last, o.memory)
	}
	o.report = log.collect(s.pids, 5*time.Second)
	s.checkDead(t, &o.outcome)
	if !o.report.global {
		t.Error("it was not an OOM of the node")
	}
	if !o.marginRight() {
		t.Errorf("the last margin before the kill is %d bytes of %d", o.last, o.memory)
	}
	return o
}

// alive tells whether the load has not ended.
func (s *scene) alive(m *member) bool {
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// predicted keeps what the exporter says, and what the usual guesses would be.
func (s *scene) predicted(t *testing.T, o *globalOutcome, now said) {
	t.Helper()
	view := s.b.look(t, true)
	o.left, o.guess, o.victims.Lead = now.left, now.victim, now.lead
	o.total = view.rules.Total(&view.node, &view.tree, predict.Node)
	o.slack = 3 * int64(max(32, 2*view.node.CPUs)) * int64(view.node.CPUs)
	if !s.pids[o.guess] {
		t.Fatalf("pid %d is predicted, which is none of the case's", o.guess)
	}
	if o.left < o.memory/100 {
		t.Errorf("only %d of %d bytes were left at the prediction", o.left, o.memory)
	}
	o.see(t, view)
}

// globalTable is the part of the document that this guest fills.
func globalTable(b *bench, all []*globalOutcome) (text string, right, clear int) {
	var rows, misses strings.Builder
	var score, rss, near, nearRight, margins int
	for i, o := range all {
		killed := o.report.killed[0]
		switch {
		case o.clear():
			clear++
			right += count(o.right())
		default:
			near++
			nearRight += count(o.right())
		}
		score += count(o.byScore == killed)
		rss += count(o.byRSS == killed)
		margins += count(o.marginRight())
		fmt.Fprintf(&rows, "| %d | %d | %s | %d | %d | %s | %s | %s | %s | %s | %.2f | %.2f |\n", i, len(o.plan.parts), letter(&o.outcome, o.members[o.plan.grower]),
			o.left/page, o.victims.Lead, letter(&o.outcome, o.guess), letter(&o.outcome, killed), o.verdict(),
			letter(&o.outcome, o.byScore), letter(&o.outcome, o.byRSS), o.percent(o.last), o.percent(int64(o.report.slab)*page))
		if !o.right() {
			fmt.Fprintf(&misses, "- Case %d: %s\n", i, o.explain())
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "## Linux %s, cgroup v%d\n\n%s, seed %d, %d OOMs of the node.\n\n", b.kernel, b.version, today(), b.seed, len(all))
	fmt.Fprintf(&out, "| | right | of |\n|---|---|---|\n")
	fmt.Fprintf(&out, "| this exporter's prediction, clear lead | %d | %d |\n| this exporter's, near tie | %d | %d |\n", right, clear, nearRight, near)
	fmt.Fprintf(&out, "| highest oom_score | %d | %d |\n| highest RSS | %d | %d |\n", score, len(all), rss, len(all))
	fmt.Fprintf(&out, "| last margin below 3 %% | %d | %d |\n\n%s\n", margins, len(all), missesOrNone(misses.String()))
	fmt.Fprintf(&out, "| case | processes | grows | left | lead | predicted | killed | | highest oom_score | highest RSS | last margin %% | slab left %% |\n|%s\n%s\n",
		strings.Repeat("---|", 12), rows.String())
	return out.String(), right, clear
}
