// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// storms are the sizes that every test of storms has.
var storms = []struct {
	kills int
	over  time.Duration
}{
	{1, 2 * time.Second}, {10, 2 * time.Second}, {50, 2 * time.Second}, {200, 2 * time.Second}, {1000, 20 * time.Second},
}

// outcome is what one storm came to.
type outcome struct {
	kills                   int
	took                    time.Duration
	truth, counted          float64
	right, wrong, rightGone float64
	unattributed, lost      float64
	cpu                     time.Duration
}

const outcomeHead = "| storm | kills | took | vmstat | counted / true | attributed / kills | to a wrong group | when the groups are gone | log records lost | CPU a kill |\n" +
	"|---|---|---|---|---|---|---|---|---|---|\n"

func (o *outcome) row(name string) string {
	cpu := ""
	if o.kills >= storm {
		cpu = fmt.Sprintf("%.2f ms", o.perKill().Seconds()*1e3)
	}
	return fmt.Sprintf("| %s | %d | %.1f s | %.0f | %.3f | %.3f | %.0f | %.3f | %.0f | %s |\n", name, o.kills, o.took.Seconds(), o.truth,
		o.counted/o.truth, o.right/float64(o.kills), o.wrong, o.rightGone/float64(o.kills), o.lost, cpu)
}

func (o *outcome) perKill() time.Duration { return o.cpu / time.Duration(o.kills) }

// check holds the outcome against the bars.
func (o *outcome) check(t *testing.T) {
	t.Helper()
	if o.truth < float64(o.kills) {
		t.Errorf("vmstat moved by %v for %d kills", o.truth, o.kills)
	}
	if o.counted != o.truth {
		t.Errorf("counted %v of %v kills", o.counted, o.truth)
	}
	const bar = 0.99
	if o.right < bar*float64(o.kills) {
		t.Errorf("%v of %d kills attributed to the right group while the groups lived (%v to a wrong one, %v to none)", o.right, o.kills, o.wrong, o.unattributed)
	}
	if o.rightGone != o.right {
		t.Errorf("%v attributed kills became %v when the groups were gone", o.right, o.rightGone)
	}
	if o.wrong > (1-bar)*float64(o.kills) {
		t.Errorf("%v of %d kills attributed to a wrong group", o.wrong, o.kills)
	}
}

// storm is how many kills are one when it comes to the CPU: a few cost what
// looking at them costs, however many they are.
const storm = 200

// tries is how often CPU time is measured before it is too much: what others do
// on the machine only adds to it.
const tries = 3

// quiet is how long a storm is left alone before it is looked at: a scrape
// makes the exporter look, too, and costs CPU that is not the kills'.
const quiet = 3 * time.Second

// outcome makes a storm in 64 containers and removes them.
func (b *bench) outcome(t *testing.T, e *lab.Exporter, kills int, over time.Duration) outcome {
	t.Helper()
	all := b.containers(t, 64, groupLimit)
	before := b.settled(t, e, readBooks(t, e))
	vmstat, cpu := lab.NodeKills(t), e.CPUTime(t)
	deaths, took := b.storm(t, b.plan(all, kills, over))
	if kills >= storm {
		<-time.After(quiet)
	}
	o := outcome{kills: kills, took: took, cpu: e.CPUTime(t) - cpu}
	now := b.settled(t, e, before)
	o.truth = float64(lab.NodeKills(t) - vmstat)
	d := now.since(before)
	o.counted, o.unattributed, o.lost = d.counted(), d.unattributed, d.lost
	o.right, o.wrong = d.right(deaths)
	if err := d.balance(); err != nil {
		t.Error(err)
	}
	removeAll(t, all)
	readBooks(t, e) // the first scrape without them.
	<-time.After(long(2*time.Second, time.Second))
	o.rightGone, _ = readBooks(t, e).since(before).right(deaths)
	return o
}

// TestStorms holds the numbers of kills against vmstat, and their containers
// against where they were made.
func TestStorms(t *testing.T) { newBench(t).storms(t) }

func (b *bench) storms(t *testing.T) {
	e := lab.StartExporter(t, "--no-recorder")
	b.baseline(t, e)
	var rows strings.Builder
	for _, s := range storms {
		t.Run(fmt.Sprint(s.kills), func(t *testing.T) {
			rows.WriteString(b.stormRow(t, e, s.kills, s.over, time.Millisecond).row(fmt.Sprintf("%d in %v", s.kills, s.over)))
		})
	}
	// The flight recorder samples the 64 containers, all of which are near their
	// limits, and says of each kill why.
	t.Run("recorder", func(t *testing.T) {
		e := lab.StartExporter(t)
		b.baseline(t, e)
		last := storms[len(storms)-1]
		rows.WriteString(b.stormRow(t, e, last.kills, last.over, 2*time.Millisecond).row(fmt.Sprintf("%d in %v, with the flight recorder", last.kills, last.over)))
	})
	b.evidence(t, "storms", "# Storms: every kill counted, in the right container\n\n"+
		"Processes run into the limits of 64 containers. True is what oom_kill of /proc/vmstat has moved by; a kill is attributed right when "+
		"oom_container_kills_total of the container in which it was made has it, while the containers live, and again when they are removed.\n\n"+
		b.by("TestStorms")+outcomeHead+rows.String())
}

// stormRow makes a storm, and again where a kill cost more CPU than the bar, which
// what else the machine does may be the reason of.
func (b *bench) stormRow(t *testing.T, e *lab.Exporter, kills int, over, bar time.Duration) *outcome {
	o := b.outcome(t, e, kills, over)
	o.check(t)
	costs := []time.Duration{o.perKill()}
	for b.stretch == 1 && kills >= storm && o.perKill() > bar { // else an emulated machine's time.
		if len(costs) == tries {
			t.Errorf("a kill cost %v of CPU, more than %v", costs, bar)
			break
		}
		o = b.outcome(t, e, kills, over)
		o.check(t)
		costs = append(costs, o.perKill())
	}
	return &o
}

// TestStormAmongMany measures what a kill costs among 1,000 cgroups, where a read
// of all their counters is what costs.
func TestStormAmongMany(t *testing.T) {
	b := newBench(t)
	many := b.containers(t, 1000, groupLimit)
	e := lab.StartExporter(t)
	b.baseline(t, e)
	var rows strings.Builder
	const bar = 2 * time.Millisecond // also on a machine that has other things to do.
	for _, s := range []struct {
		kills int
		over  time.Duration
	}{{storm, 10 * time.Second}, {storm, 2 * time.Second}, {3 * storm, 6 * time.Second}} {
		for try := 1; ; try++ {
			before := b.settled(t, e, readBooks(t, e))
			vmstat, cpu := lab.NodeKills(t), e.CPUTime(t)
			deaths, took := b.storm(t, b.plan(many, s.kills, s.over))
			<-time.After(quiet)
			o := outcome{kills: s.kills, took: took, cpu: e.CPUTime(t) - cpu}
			d := b.settled(t, e, before).since(before)
			o.truth = float64(lab.NodeKills(t) - vmstat)
			o.counted, o.unattributed, o.lost = d.counted(), d.unattributed, d.lost
			o.right, o.wrong = d.right(deaths)
			o.rightGone = o.right
			o.check(t)
			if o.perKill() <= bar || try == tries {
				if o.perKill() > bar {
					t.Errorf("%d kills in %v: one cost %v of CPU, more than %v", s.kills, s.over, o.perKill(), bar)
				}
				rows.WriteString(o.row(fmt.Sprintf("%d in %v", s.kills, s.over)))
				break
			}
		}
	}
	b.evidence(t, "storms-among-many", "# Storms among 1,000 cgroups\n\n"+
		"Processes run into the limits of 1,000 containers. The CPU of a kill is that of the whole exporter over the storm and the 3 s after it; nobody scrapes meanwhile.\n\n"+
		b.by("TestStormAmongMany")+strings.Replace(outcomeHead, "when the groups are gone", "at the end", 1)+rows.String())
}
