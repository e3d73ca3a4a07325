// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package scale

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// figures are those of one target at one size.
type figures struct {
	name          string
	cpu, wall     time.Duration // medians.
	floor         float64       // median of the ratios to the floor of the same round.
	bytes, series int
	wire          int
	rss, peak     uint64
	charged       int64
	descriptors   int
	rest          time.Duration // CPU in 60 s without a scrape, -1: not measured.
}

// result is one size.
type result struct {
	size
	floor             time.Duration
	groups, processes int // what the floor went over.
	figures           []figures
}

func parseSizes(t testing.TB, text string) (sizes []size) {
	t.Helper()
	for part := range strings.SplitSeq(text, ",") {
		numbers := [3]int{}
		words := strings.Split(part, "/")
		ok := len(words) == 2 || len(words) == 3
		for i := 0; ok && i < len(words); i++ {
			n, err := strconv.Atoi(words[i])
			numbers[i], ok = n, err == nil && n > 0
		}
		if !ok {
			t.Fatalf("OOM_E2E_SCALE_SIZES=%s: want GROUPS/PROCESSES[/PERCENT],...", text)
		}
		sizes = append(sizes, size{numbers[0], numbers[1], numbers[2]})
	}
	return sizes
}

func number(t testing.TB, variable string, standard int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%s: want a number", variable, text)
	}
	return n
}

// measure scrapes all targets in turn, a round of the floor before each round.
func measure(t *testing.T, s size) result {
	pods := load(t, s)
	f := startFloor(t)
	targets := []*target{ourselves(t), restless(t), inKernel(t, "oom_exporter-bpf"), inKernel(t, "oom_exporter-bpf-refresh-1", "--limits.refresh=1")}
	if path := os.Getenv("OOM_E2E_BEFORE"); path != "" { // an older oom_exporter.
		targets = append(targets, exporter(t, "oom_exporter-before", path), exporter(t, "oom_exporter-before-bpf", path, "--source.bpf=require"))
	}
	if os.Getenv("OOM_E2E_SCALE_PEERS") != "0" {
		targets = append(targets, peers(t)...)
	}
	rounds := number(t, "OOM_E2E_SCALE_ROUNDS", 20)
	f.pass(t)
	for range 16 { // the first passes learn what there is, and what is at rest.
		targets[0].scraped(t)
	}
	spent, walls, ratios := make([][]time.Duration, len(targets)), make([][]time.Duration, len(targets)), make([][]float64, len(targets))
	last := make([]*answer, len(targets))
	var floors []time.Duration
	r := result{size: s}
	for round := range rounds {
		for k := range targets { // who comes first in a round pays for more than the last.
			i := (k + round) % len(targets)
			x := targets[i]
			if x.rounds > 0 && round >= x.rounds {
				continue
			}
			var base, used time.Duration
			undisturbed(t, 5, func() {
				if s.busy > 0 {
					pods.ask(t, fmt.Sprint("stir ", s.busy))
				}
				base, r.groups, r.processes = f.pass(t)
				last[i], used = x.scraped(t)
			})
			floors, spent[i], walls[i] = append(floors, base), append(spent[i], used), append(walls[i], last[i].wall)
			ratios[i] = append(ratios[i], float64(used)/float64(base))
		}
	}
	r.floor = median(floors)
	for i, x := range targets {
		st := x.p.Status(t)
		r.figures = append(r.figures, figures{
			name: x.name, cpu: median(spent[i]), wall: median(walls[i]), floor: median(ratios[i]),
			bytes: len(last[i].text), wire: last[i].bytes, series: last[i].series(),
			rss: st["VmRSS"], peak: st["VmHWM"], charged: x.charged(t), descriptors: x.descriptors(t), rest: -1,
		})
	}
	rest(t, targets, r.figures)
	return r
}

// undisturbed does the work again, a number of times at most, if a process was
// killed meanwhile: kills are work of their own.
func undisturbed(t testing.TB, times int, work func()) (quiet bool) {
	t.Helper()
	for range times {
		before := kills(t)
		work()
		if kills(t) == before {
			return true
		}
	}
	return false
}

// kills is how many processes the kernel has killed since boot.
func kills(t testing.TB) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		t.Fatal(err)
	}
	return lab.Keys(string(b))["oom_kill"]
}

// rest measures what the targets use while nobody scrapes them.
func rest(t testing.TB, targets []*target, figures []figures) {
	t.Helper()
	// Go collects garbage every two minutes if nothing else makes it: that is in.
	seconds := number(t, "OOM_E2E_SCALE_REST", 120)
	if seconds == 0 {
		return
	}
	before, used := make([]time.Duration, len(targets)), make([]time.Duration, len(targets))
	quiet := undisturbed(t, 2, func() {
		for i, x := range targets {
			before[i] = cpu(t, x.p.PID)
		}
		<-time.After(time.Duration(seconds) * time.Second)
		for i, x := range targets {
			used[i] = (cpu(t, x.p.PID) - before[i]) * 60 / time.Duration(seconds)
		}
	})
	for i := range figures {
		if quiet {
			figures[i].rest = used[i]
		}
	}
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
