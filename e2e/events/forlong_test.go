// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// endurance is a storm in containers that are made for one kill each, over so long a
// time that all that is remembered of them has to be bounded.
type endurance struct {
	lasts, restart time.Duration // the exporter is killed as often.
	every          time.Duration // scrapes.
	keep           int           // --dead.keep.
}

const (
	killsASecond = 50
	briefLife    = 400 * time.Millisecond
	// moreRSS is by how much all that is remembered may raise the exporter's peak.
	moreRSS = 64 * mib
	// mostState bounds what is saved: the state file and what lies beside it.
	mostState = 16 * mib
)

// span is what was seen in one life of the exporter: the most that any scrape had.
type span struct {
	after        time.Duration
	kills        float64
	dead, series int
	state, files int64 // bytes: of the state file, and of all files in its directory.
	peak         uint64
	evicted      float64
	restarts     int
}

// TestKilledForLong has containers made, killed and removed, 50 a second, for ten
// minutes, with kill -9 of the exporter in between. What is remembered of them is
// bounded, each kill is in the books, and no counter falls, that of the kills of
// evicted workloads least of all.
func TestKilledForLong(t *testing.T) {
	run := endurance{lasts: 6 * time.Second, restart: 2500 * time.Millisecond, every: 500 * time.Millisecond, keep: 40}
	if full() {
		run = endurance{lasts: 10 * time.Minute, restart: 2 * time.Minute, every: 5 * time.Second, keep: 1000}
	}
	b := newBench(t)
	lab.QuietConsole(t)
	dir, port := t.TempDir(), lab.LastingPort(t)
	args := []string{"--state.file=" + filepath.Join(dir, "state"), fmt.Sprintf("--dead.keep=%d", run.keep)}
	e := exporterAt(t, port, args...)
	before := b.baseline(t, e)
	calm := e.Status(t)["VmHWM"]
	vmstat := lab.NodeKills(t)
	storm := lab.StartStorm(t, b.Hierarchy, groupLimit, b.planBrief(t, run.lasts))
	rows := []span{{}}
	last, begin := e.Scrape(t), time.Now()
	for next := run.restart; !storm.Ended(); <-time.After(run.every) {
		if time.Since(begin) >= b.slow(next) {
			kill9(t, e)
			e = exporterAt(t, port, args...)
			rows = append(rows, span{restarts: len(rows)})
			next += run.restart
		}
		now := e.Scrape(t)
		checkNoneFell(t, last, now)
		last = now
		rows[len(rows)-1].note(t, time.Since(begin), now, e, dir)
	}
	deaths, took := storm.Deaths(t)
	d := b.settled(t, e, before).since(before)
	if truth := float64(lab.NodeKills(t) - vmstat); d.counted() != truth || truth < float64(len(deaths)) {
		t.Errorf("counted %v of %v kills", d.counted(), truth)
	}
	if err := d.balance(); err != nil {
		t.Error(err)
	}
	// An exporter that starts looks for the dead at once.
	kill9(t, e)
	e = exporterAt(t, port, args...)
	lab.Eventually(t, 30*time.Second, "the dead beyond --dead.keep are evicted", func() bool { return deadOf(e.Scrape(t)) <= run.keep })
	checkNoneFell(t, last, e.Scrape(t))
	if d.evicted == 0 {
		t.Error("nobody was evicted")
	}
	checkSpans(t, rows, run, calm)
	b.forLongEvidence(t, run, rows, d, len(deaths), took)
}

// planBrief plans kills in containers that live for a moment.
func (b *bench) planBrief(t *testing.T, lasts time.Duration) []lab.Death {
	t.Helper()
	p := b.pod(t, lab.Unlimited)
	plan := make([]lab.Death, int(lasts.Seconds())*killsASecond)
	for i := range plan {
		plan[i] = lab.Death{At: b.slow(lasts) * time.Duration(i) / time.Duration(len(plan)), Life: briefLife, Comm: b.comm(), Path: b.name(p).path}
	}
	return plan
}

// checkNoneFell checks the counters that have no workload in their labels, and that
// the kills of workloads, evicted or not, became no fewer.
func checkNoneFell(t *testing.T, last, now lab.Metrics) {
	t.Helper()
	for _, families := range [][]string{
		{"oom_evicted_kills_total"},
		{"oom_unattributed_kills_total"},
		{"oom_node_kills_total"},
		{"oom_kills_total"},
		{"oom_container_kills_total", "oom_evicted_kills_total"},
	} {
		var was, is float64
		for _, f := range families {
			was, is = was+last.Sum(f), is+now.Sum(f)
		}
		if is < was {
			t.Errorf("%s fell from %v to %v", strings.Join(families, " + "), was, is)
		}
	}
}

// deadOf is how many workloads of these tests are shown that are gone.
func deadOf(m lab.Metrics) (n int) {
	for _, s := range m.Find("oom_container_kills_total") {
		pod, name := lab.Label(s, "pod"), lab.Label(s, "container")
		if strings.Contains(pod, podMark) && !m.Has("oom_container_memory_usage_bytes", "pod", pod, "container", name) {
			n++
		}
	}
	return n
}

// note takes a scrape in.
func (s *span) note(t *testing.T, after time.Duration, m lab.Metrics, e *lab.Exporter, dir string) {
	t.Helper()
	series := 0
	for _, family := range m {
		series += len(family.Metric)
	}
	s.after, s.kills, s.evicted = after, m.Sum("oom_kills_total"), m.Sum("oom_evicted_kills_total")
	s.dead, s.series = max(s.dead, deadOf(m)), max(s.series, series)
	s.peak = max(s.peak, e.Status(t)["VmHWM"])
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all int64
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // a temporary file that has just been renamed.
		}
		all += info.Size()
		if entry.Name() == "state" {
			s.state = max(s.state, info.Size())
		}
	}
	s.files = max(s.files, all)
}

// checkSpans holds each life against the bounds, and the last one against the
// first that had as much to remember.
func checkSpans(t *testing.T, rows []span, run endurance, calm uint64) {
	t.Helper()
	// The dead are told from the living every 10 s; a scrape takes its time.
	most := run.keep + killsASecond*15
	for _, s := range rows {
		if s.dead > most {
			t.Errorf("after %v %d dead workloads are shown, want at most %d", s.after, s.dead, most)
		}
		if s.files > mostState || s.peak > calm+moreRSS {
			t.Errorf("after %v %d KiB are saved, and the peak RSS is %d MiB, %d MiB before", s.after, s.files>>10, s.peak/mib, calm/mib)
		}
	}
	if len(rows) < 4 {
		return
	}
	early, late := rows[1], rows[len(rows)-1]
	for what, n := range map[string][2]float64{
		"series":        {float64(early.series), float64(late.series)},
		"bytes saved":   {float64(early.files), float64(late.files)},
		"peak RSS, MiB": {float64(early.peak / mib), float64(late.peak / mib)},
	} {
		if full() && n[1] > 1.25*n[0]+8 {
			t.Errorf("%s grew from %v to %v", what, n[0], n[1])
		}
	}
}

func (b *bench) forLongEvidence(t *testing.T, run endurance, rows []span, d books, kills int, took time.Duration) {
	t.Helper()
	var table strings.Builder
	for _, s := range rows {
		fmt.Fprintf(&table, "| %v | %d | %.0f | %d | %d | %d | %d | %d | %.0f |\n",
			s.after.Round(time.Second), s.restarts, s.kills, s.dead, s.series, s.state>>10, s.files>>10, s.peak/mib, s.evicted)
	}
	b.evidence(t, "killed-for-long", "# Containers that are killed, for a long time\n\n"+
		fmt.Sprintf("%d containers in %v, each made for one process that runs into its limit and removed %v later, with --dead.keep=%d. "+
			"The exporter is killed by SIGKILL every %v and started again, with --state.file. Each row is the time up to then since the row before; workloads, series, sizes and RSS are the most that a scrape every %v found.\n\n",
			kills, took.Round(time.Second), briefLife, run.keep, run.restart, run.every)+
		b.by("TestKilledForLong")+
		"| after | restarts | kills | dead workloads shown | series in all | state file, KiB | all files, KiB | peak RSS, MiB | kills of the evicted |\n|---|---|---|---|---|---|---|---|---|\n"+
		table.String()+
		fmt.Sprintf("\nAt the end the books balance: of %.0f kills that the kernel counted %.0f are those of workloads that are shown, %.0f of evicted ones, %.0f have no name, %.0f were counted twice and taken off. No counter fell.\n",
			d.vmstat, d.attributed, d.evicted, d.unattributed, d.duplicates))
}
