// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// trace is what a workload needs, second by second; spikes between two seconds
// are in peaks.
type trace struct {
	shape        string
	level, peaks []float64 // peaks[i] is the highest of the second after level[i].
}

func (tr *trace) peak() float64 {
	top := 0.0
	for _, v := range tr.peaks {
		top = max(top, v)
	}
	return top
}

// day is a working day; more only takes longer.
const day = 8 * 3600

// replayShapes are how workloads that live need memory. Each has a first day,
// that is recorded, and a second, drawn anew, that the advice has to last for.
func replayShapes() map[string]func(r *rand.Rand, c float64) func(t float64, n float64) float64 {
	return map[string]func(r *rand.Rand, c float64) func(t, n float64) float64{
		"flat": func(*rand.Rand, float64) func(t, n float64) float64 {
			return func(_, n float64) float64 { return 0.9 + 0.01*n }
		},
		"daily wave": func(r *rand.Rand, _ float64) func(t, n float64) float64 {
			return func(t, n float64) float64 { return 0.6 + 0.3*math.Sin(2*math.Pi*t/day) + 0.02*n }
		},
		"garbage collector": func(r *rand.Rand, _ float64) func(t, n float64) float64 {
			period := logBetween(r, 20, 600)
			return func(t, n float64) float64 { return 0.5 + 0.45*math.Mod(t, period)/period + 0.01*n }
		},
		"requests": func(*rand.Rand, float64) func(t, n float64) float64 {
			return func(_, n float64) float64 { return 0.5 + 0.15*(1+n) }
		},
		"hourly job": func(r *rand.Rand, _ float64) func(t, n float64) float64 {
			takes := between(r, 30, 300)
			return func(t, n float64) float64 {
				l := 0.4 + 0.02*n
				if math.Mod(t, 3600) < takes {
					l += 0.5
				}
				return l
			}
		},
		"spikes of a second": func(r *rand.Rand, _ float64) func(t, n float64) float64 {
			each := between(r, 200, 2000)
			return func(t, n float64) float64 {
				l := 0.5 + 0.02*n
				if math.Mod(t, each) < 1 {
					l += 0.4 + 0.02*n
				}
				return l
			}
		},
		"cache that fills": func(r *rand.Rand, _ float64) func(t, n float64) float64 {
			fills := logBetween(r, 600, 20000)
			return func(t, n float64) float64 { return 0.2 + 0.7*(1-math.Exp(-t/fills)) + 0.01*n }
		},
		"start higher than the rest": func(r *rand.Rand, _ float64) func(t, n float64) float64 {
			takes := between(r, 10, 90)
			return func(t, n float64) float64 {
				if t < takes {
					return 0.9*t/takes + 0.01*n
				}
				return 0.5 + 0.02*n
			}
		},
		"batches of any size": func(r *rand.Rand, _ float64) func(t, n float64) float64 {
			seed := r.Uint64()
			return func(t, n float64) float64 {
				h := (uint64(t/120) + seed) * 0x9e3779b97f4a7c15
				return 0.3 + 0.55*float64(h>>40)/(1<<24) + 0.02*n
			}
		},
	}
}

// draw makes one day of a shape.
func draw(name string, f func(t, n float64) float64, c float64, n func(float64) float64) trace {
	tr := trace{shape: name, level: make([]float64, day), peaks: make([]float64, day)}
	for i := range tr.level {
		t := float64(i)
		tr.level[i] = c * f(t, n(t))
		tr.peaks[i] = max(tr.level[i], c*f(t+0.5, n(t+0.5)))
	}
	return tr
}

// recorded is the track that the flight recorder keeps of a day.
func (tr *trace) recorded() oom.Track {
	var track oom.Track
	for from := 0; from < day; from += 300 {
		low, high := math.Inf(1), 0.0
		for _, v := range tr.level[from:min(day, from+300)] {
			low, high = min(low, v), max(high, v)
		}
		track.Coarse = append(track.Coarse, oom.Span{
			Start: at(float64(from)), Length: 300 * time.Second, UnreclaimableMin: oom.Of(uint64(low)), UnreclaimableMax: oom.Of(uint64(high)),
		})
	}
	return track
}

// scraped are the sizes that a scrape sees, each so many seconds.
func (tr *trace) scraped(each, phase int) []float64 {
	var out []float64
	for i := phase; i < day; i += each {
		out = append(out, tr.level[i])
	}
	return out
}

// formulas are how a limit is made out of the first day.
func formulas() []struct {
	name  string
	limit func(tr *trace, phase int) float64
} {
	top := func(all []float64) float64 {
		m := 0.0
		for _, v := range all {
			m = max(m, v)
		}
		return m
	}
	return []struct {
		name  string
		limit func(tr *trace, phase int) float64
	}{
		{"oom_exporter advise", func(tr *trace, _ int) float64 {
			track := tr.recorded()
			need, _ := NeedOf(&track)
			return float64(need.Limit)
		}},
		{"KRR: highest of samples, 60 s apart, + 15 %", func(tr *trace, phase int) float64 { return 1.15 * top(tr.scraped(60, phase)) }},
		{"VPA: 90th percentile of peaks of samples + 15 %", func(tr *trace, phase int) float64 {
			// Of one day there is one peak in its histogram, in buckets of 5 %.
			return 1.15 * math.Exp(math.Ceil(math.Log(top(tr.scraped(60, phase)))/math.Log(1.05))*math.Log(1.05))
		}},
		{"last working set + 20 %", func(tr *trace, _ int) float64 { return 1.2 * tr.level[day-1] }},
	}
}

// TestReplay gives each workload the limit that its first day advises, and has
// it live its second.
func TestReplay(t *testing.T) {
	const seed, each = 4242, 23 // 9 shapes: 207 workloads.
	type result struct {
		survived, n int
		slack       float64
	}
	results := make([]result, len(formulas()))
	died := map[string]int{}
	for name, make := range replayShapes() {
		for k := range each {
			r := rand.New(rand.NewPCG(seed, uint64(len(name)*1000+k)))
			c := logBetween(r, 64, 16<<10) * testMiB
			f := make(r, c)
			first, second := draw(name, f, c, noise(r)), draw(name, f, c, noise(r))
			phase := r.IntN(60)
			peak := max(first.peak(), second.peak())
			for i, way := range formulas() {
				limit := way.limit(&first, phase)
				results[i].n++
				results[i].slack += limit/peak - 1
				if limit >= peak {
					results[i].survived++
				} else if i == 0 {
					died[name]++
				}
			}
		}
	}
	var rows strings.Builder
	for i, way := range formulas() {
		res := results[i]
		fmt.Fprintf(&rows, "| %s | %.1f %% | %+.1f %% |\n", way.name, 100*float64(res.survived)/float64(res.n), 100*res.slack/float64(res.n))
	}
	ours := results[0]
	if float64(ours.survived) < 0.99*float64(ours.n) || ours.slack/float64(ours.n) > 0.15 {
		t.Errorf("%d of %d survive at a slack of %.1f %%: %v", ours.survived, ours.n, 100*ours.slack/float64(ours.n), died)
	}
	golden(t, filepath.Join("..", "..", "docs", "evidence", "advice-replay.md"), fmt.Sprintf(`# Replay of workloads under the advised limit

%d made-up workloads of %d shapes (flat, a daily wave, a garbage collector's sawtooth, requests, an hourly job, spikes of a second, a cache that fills, a
start that needs more than the rest, batches of any size; 64 MiB to 16 GiB). The first day, of eight hours, is recorded; the limit that it advises has to last for it and for a
second day with other noise. Slack is how far the limit is above the highest need of both days, on the average; the bars for ours are 99 %% and 15 %%.

The formulas of others are as they are documented, on samples of the same days. VPA keeps one peak a day in buckets that grow by 5 %%; of one day every percentile
is that peak.

Written by `+"`go test ./internal/verdict -update`"+`, seed %d.

| limit | survive | mean slack |
|---|---|---|
%s`, ours.n, len(replayShapes()), seed, rows.String()))
}
