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

// books is what one scrape says of kills.
type books struct {
	vmstat, levels, attributed, evicted     float64
	unattributed, pending, duplicates, lost float64
	byLevel                                 map[string]float64
	kills                                   map[key]float64
	stable                                  bool // no kill came between.
}

func readBooks(t testing.TB, e *lab.Exporter) books {
	t.Helper()
	before := lab.NodeKills(t)
	b := booksOf(e.Scrape(t))
	b.stable = float64(before) == b.vmstat && before == lab.NodeKills(t)
	return b
}

func booksOf(m lab.Metrics) books {
	b := books{
		vmstat: m.Sum("oom_node_kills_total"), levels: m.Sum("oom_kills_total"), attributed: m.Sum("oom_container_kills_total"),
		evicted: m.Sum("oom_evicted_kills_total"), unattributed: m.Sum("oom_unattributed_kills_total"),
		pending: m.Sum("oom_pending_kills"), duplicates: m.Sum("oom_kill_duplicates_total"), lost: m.Sum("oom_kmsg_records_lost_total"),
		byLevel: map[string]float64{}, kills: map[key]float64{},
	}
	for _, s := range m.Find("oom_kills_total") {
		b.byLevel[lab.Label(s, "level")] += lab.Number(s)
	}
	for _, s := range m.Find("oom_container_kills_total") {
		b.kills[key{lab.Label(s, "pod"), lab.Label(s, "container")}] += lab.Number(s)
	}
	return b
}

// since is what was added to the books since then.
func (b books) since(then books) books {
	d := books{
		vmstat: b.vmstat - then.vmstat, levels: b.levels - then.levels, attributed: b.attributed - then.attributed,
		evicted: b.evicted - then.evicted, unattributed: b.unattributed - then.unattributed,
		pending: b.pending - then.pending, duplicates: b.duplicates - then.duplicates, lost: b.lost - then.lost,
		byLevel: map[string]float64{}, kills: map[key]float64{}, stable: b.stable,
	}
	for level, n := range b.byLevel {
		d.byLevel[level] = n - then.byLevel[level]
	}
	for k, n := range b.kills {
		d.kills[k] = n - then.kills[k]
	}
	return d
}

// counted is the kills that were published, in the words of vmstat.
func (b books) counted() float64 { return b.levels + b.duplicates }

// balance holds the equations of the books against numbers of /metrics alone.
func (b books) balance() error {
	if sum := b.attributed + b.evicted + b.unattributed + b.pending + b.duplicates; sum != b.vmstat {
		return fmt.Errorf("vmstat moved by %v, but %v attributed + %v evicted + %v unattributed + %v pending + %v duplicates",
			b.vmstat, b.attributed, b.evicted, b.unattributed, b.pending, b.duplicates)
	}
	if sum := b.attributed + b.evicted + b.unattributed; sum != b.levels {
		return fmt.Errorf("%v kills by level, but %v attributed + %v evicted + %v unattributed", b.levels, b.attributed, b.evicted, b.unattributed)
	}
	return nil
}

// right tells how many of the deaths the books have for the right container,
// and how many kills they have for a container that had fewer. What they have
// for a pod without saying which container is neither.
func (b books) right(deaths []lab.Death) (right, wrong float64) {
	truth := map[key]float64{}
	for _, d := range deaths {
		truth[keyOf(d.Path)]++
	}
	for k, n := range truth {
		right += min(n, b.kills[k])
		wrong += max(0, b.kills[k]-n)
	}
	for k, n := range b.kills {
		if truth[k] == 0 && strings.Contains(k.pod, podMark) && k.name != "" {
			wrong += n
		}
	}
	return right, wrong
}

// explain lists the containers with too many or too few kills.
func (b books) explain(deaths []lab.Death) string {
	var text strings.Builder
	truth := map[key]float64{}
	for _, d := range deaths {
		truth[keyOf(d.Path)]++
	}
	for _, d := range deaths {
		if k := keyOf(d.Path); b.kills[k] != truth[k] {
			fmt.Fprintf(&text, "%s: %v kills instead of %v; pid %d (%s) died after %v, gone after %v\n", k.name, b.kills[k], truth[k], d.PID, d.Comm, d.Died, d.Gone)
		}
	}
	for k, n := range b.kills {
		if n > 0 && truth[k] == 0 && strings.Contains(k.pod, podMark) {
			fmt.Fprintf(&text, "%s: %v kills instead of none\n", k.name, n)
		}
	}
	return text.String()
}

// podOnly is the kills that the books have for a pod of these tests without
// saying which container.
func (b books) podOnly() (sum float64) {
	for k, n := range b.kills {
		if strings.Contains(k.pod, podMark) && k.name == "" {
			sum += n
		}
	}
	return sum
}

// baseline waits until the exporter counts, and returns the books of a moment
// in which no kill happened. It needs a kill for this: before the first
// complete scan all kills are history.
func (b *bench) baseline(t testing.TB, e *lab.Exporter) books {
	t.Helper()
	warm := b.containers(t, 1, groupLimit)
	for try := 0; ; try++ {
		before := readBooks(t, e)
		deaths, _ := b.storm(t, b.plan(warm, 1, 0))
		after := b.settled(t, e, before)
		if right, _ := after.since(before).right(deaths); right == 1 && after.stable && after.pending == 0 {
			return after
		}
		if try == 10 {
			t.Fatalf("the exporter does not count: %+v, then %+v; it printed:\n%s", before, after, e.Output())
		}
	}
}

// settled waits until all kills are published and returns the books; those of
// the last look if that does not come.
func (b *bench) settled(t testing.TB, e *lab.Exporter, from books) books {
	t.Helper()
	tick := time.NewTicker(b.slow(500 * time.Millisecond))
	defer tick.Stop()
	for deadline := time.Now().Add(b.slow(30 * time.Second)); ; <-tick.C {
		now := readBooks(t, e)
		d := now.since(from)
		if now.stable && d.balance() == nil && now.pending == 0 || time.Now().After(deadline) {
			return now
		}
	}
}
