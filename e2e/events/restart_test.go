// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// restarts is how often the exporter is killed in the middle of kills.
const restarts = 20

// exporterAt starts an exporter on a port that a Prometheus may know.
func exporterAt(t *testing.T, port int, args ...string) *lab.Exporter {
	t.Helper()
	args = append(args, fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port))
	return lab.AwaitExporter(t, lab.Start(t, exec.Command(lab.Binary(t), args...)), port)
}

// kill9 kills the exporter for good.
func kill9(t *testing.T, e *lab.Exporter) {
	t.Helper()
	e.Signal(t, syscall.SIGKILL)
	e.Wait(t, 10*time.Second)
}

// draw draws a time.
func (b *bench) draw(from, to time.Duration) time.Duration {
	return b.slow(from + time.Duration(b.rng.Int64N(int64(to-from))))
}

// TestRestartsWithState kills the exporter 20 times while a storm goes on, each
// time right after a scrape, before a Prometheus that scrapes it besides. The
// state file carries the counters over: none may fall, and increase() is what
// really happened.
func TestRestartsWithState(t *testing.T) {
	b := newBench(t)
	port, state := lab.FreePort(t), "--state.file="+filepath.Join(t.TempDir(), "state")
	e := exporterAt(t, port, state)
	every := long(time.Second, 500*time.Millisecond)
	p := startPrometheus(t, port, every)
	all := b.containers(t, 64, groupLimit)
	before := b.baseline(t, e)
	vmstat := lab.NodeKills(t)
	p.awaitScrape(t, time.Now())
	begin := time.Now()
	over, pause := long(30*time.Second, 18*time.Second), long(2500*time.Millisecond, time.Second)
	storm := lab.StartStorm(t, b.Hierarchy, groupLimit, b.plan(all, 30*int(over/time.Second), over))
	var down time.Duration
	fell := 0
	shown := e.Scrape(t).KillCounters()
	for range restarts {
		<-time.After(b.draw(100*time.Millisecond, pause))
		last := e.Scrape(t).KillCounters()
		kill9(t, e)
		began := time.Now()
		e = exporterAt(t, port, state)
		down += time.Since(began)
		next := e.Scrape(t).KillCounters()
		for _, list := range [][]string{lab.Fallen(shown, last), lab.Fallen(last, next)} {
			fell += len(list)
			for _, text := range list {
				t.Error("a counter fell: ", text)
			}
		}
		shown = next
	}
	deaths, took := storm.Deaths(t)
	now := b.settled(t, e, before)
	truth := float64(lab.NodeKills(t) - vmstat)
	d := now.since(before)
	right, wrong := d.right(deaths)
	if d.counted() != truth || d.pending != 0 {
		t.Errorf("counted %v of %v kills, %v pending", d.counted(), truth, d.pending)
	}
	if err := d.balance(); err != nil {
		t.Error(err)
	}
	if bar := 0.99; right < bar*float64(len(deaths)) || wrong > 0 {
		t.Errorf("%v of %d kills in the right container, %v in a wrong one", right, len(deaths), wrong)
	}
	if aside := strays(t, strings.TrimPrefix(state, "--state.file=")); len(aside) > 0 {
		t.Errorf("a file was set aside, or left unfinished: %q", aside)
	}
	p.awaitScrape(t, time.Now())
	resets, increase, real := p.since(t, begin)
	if resets != 0 || increase != real || real < float64(len(deaths)) {
		t.Errorf("Prometheus saw %v resets of %d kills, and increase() is %v, want none and %v", resets, len(deaths), increase, real)
	}
	b.evidence(t, "restarts-with-state", "# kill -9 in a storm, with a state file\n\n"+
		fmt.Sprintf("The exporter is killed by SIGKILL right after a scrape, at random moments of a storm in 64 containers, and started again at once, with --state.file. "+
			"A Prometheus scrapes it each %v. Fallen are the series of kill counters that were lower in the first scrape after a restart than in the last one before; "+
			"resets and increase() of oom_kills_total are Prometheus' own.\n\n", every)+
		b.by("TestRestartsWithState")+"| restarts | not running, together | kills | took | vmstat | counted / true | attributed / kills | to a wrong group | fallen | resets | increase() / true |\n|---|---|---|---|---|---|---|---|---|---|---|\n"+
		fmt.Sprintf("| %d | %.1f s | %d | %.1f s | %.0f | %.3f | %.3f | %.0f | %d | %.0f | %.3f |\n", restarts, down.Seconds(), len(deaths), took.Seconds(), truth,
			d.counted()/truth, right/float64(len(deaths)), wrong, fell, resets, increase/real))
}

// life is one run of the exporter, from its start to its violent end in the
// middle of a storm. The numbers of kills are vmstat's.
type life struct {
	before, killed float64 // when it was started, when it had been killed.
	ready, ended   time.Time
}

// TestRestartsWithoutState kills the exporter 20 times in the middle of kills
// and asks a Prometheus by how much the counters, which begin at 0 each time,
// have increased. What happens after the last scrape of a life nobody can
// know, so the truth is what vmstat said in that scrape; no kill is made while
// the exporter is down, since a counter that has passed its old value by the
// next scrape does not look like one that began anew.
func TestRestartsWithoutState(t *testing.T) {
	b := newBench(t)
	port := lab.FreePort(t)
	every, storm := long(time.Second, 250*time.Millisecond), long(3*time.Second, 2*time.Second)
	p := startPrometheus(t, port, every)
	all := b.containers(t, 64, groupLimit)
	var lives []life
	for range restarts {
		lives = append(lives, b.live(t, p, port, all, storm))
	}
	s := p.seen(t, lives)
	if s.increase < s.least || s.increase > s.most {
		t.Errorf("increase() is %v, want %v to %v", s.increase, s.least, s.most)
	}
	if s.increase > s.running {
		t.Errorf("increase() is %v, more than the %v kills that were made", s.increase, s.running)
	}
	if want := s.increase - s.unattributed; s.containers != want {
		t.Errorf("increase() by container is %v, want %v", s.containers, want)
	}
	b.evidence(t, "restarts-without-state", "# kill -9 in a storm, without a state file\n\n"+
		fmt.Sprintf("A Prometheus scrapes the exporter each %v. The exporter is killed by SIGKILL in the middle of a storm of %d kills in %v and started again when the storm is over. ", every, kills(storm), storm)+
		"Seen is what oom_node_kills_total had moved by in the last scrape of each run, less what was pending in it; increase() is Prometheus' own, over all the runs.\n\n"+
		b.by("TestRestartsWithoutState")+"| runs | kills while it ran | seen by a scrape | increase(oom_kills_total) | increase(oom_container_kills_total) | unattributed |\n|---|---|---|---|---|---|\n"+
		fmt.Sprintf("| %d | %.0f | %.0f | %.0f | %.0f | %.0f |\n", len(lives), s.running, s.least, s.increase, s.containers, s.unattributed))
}

// kills is how many a storm of that time has.
func kills(over time.Duration) int { return int(20 * over / time.Second) }

// live runs the exporter until it is killed.
func (b *bench) live(t *testing.T, p *prometheus, port int, all []container, over time.Duration) life {
	t.Helper()
	l := life{before: float64(lab.NodeKills(t))}
	e := exporterAt(t, port)
	l.ready = time.Now()
	p.awaitScrape(t, l.ready.Add(300*time.Millisecond))
	storm := lab.StartStorm(t, b.Hierarchy, groupLimit, b.plan(all, kills(over), over))
	<-time.After(b.draw(over/2, over-100*time.Millisecond))
	kill9(t, e)
	l.ended = time.Now()
	l.killed = float64(lab.NodeKills(t))
	storm.Deaths(t)
	return l
}

// strays are the files beside the state file that are none of the exporter's own.
func strays(t *testing.T, state string) (strays []string) {
	t.Helper()
	files, err := filepath.Glob(state + "?*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains([]string{".lock", ".recordings", ".rings", ".verdicts"}, strings.TrimPrefix(file, state)) {
			strays = append(strays, file)
		}
	}
	return strays
}
