// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// makeLoadLeak leaks by request, and the requests come and go.
func makeLoadLeak(r *rand.Rand, c float64) world {
	base, n := between(r, 0.05, 0.4)*c, noise(r)
	life, period := logBetween(r, 1800, 20*3600), logBetween(r, 300, 7200)
	swing, phase := between(r, 0.1, 0.8), between(r, 0, 2*math.Pi)
	wobble := between(r, 0, 0.01) * c
	turn := 2 * math.Pi / period
	level := func(t float64) float64 {
		served := t + swing/turn*(math.Cos(phase)-math.Cos(turn*t+phase))
		return base*warm(t, 20) + (c-base)*served/life + wobble*n(t)
	}
	w := world{name: "with the load", limit: fixed(c), longest: life * 2}
	w.size, w.grew = kinds(r, level)
	return w
}

// calm is a made-up container that does not leak, until a time.
func calm(r *rand.Rand, c float64) (w world, until float64) {
	base, n := between(r, 0.1, 0.6)*c, noise(r)
	wobble := between(r, 0, 0.03) * c
	until = logBetween(r, 900, 20*3600)
	fills := logBetween(r, 0.02, 1) * until
	top := between(r, 0.3, 0.8) * c
	period := logBetween(r, 30, until)
	shapes := []struct {
		name  string
		level func(t float64) float64
	}{
		{"plateau", func(float64) float64 { return base }},
		{"cache that fills more and more slowly", func(t float64) float64 { return top * (1 - math.Exp(-t/fills)) }},
		{"cache that fills and is full", func(t float64) float64 { return top * min(1, t/(fills/2)) }},
		{"waves", func(t float64) float64 { return base + 0.3*c*(1+math.Sin(2*math.Pi*t/period))/2 }},
		{"teeth", func(t float64) float64 { return base + 0.35*c*math.Mod(t, period)/period }},
		{"at the limit", func(float64) float64 { return 0.92 * c }},
	}
	s := shapes[r.IntN(len(shapes))]
	w = world{name: s.name, limit: fixed(c)}
	w.size, _ = kinds(r, func(t float64) float64 { return min(0.99*c, s.level(t)*warm(t, 20)+wobble*n(t)) })
	return w, until
}

// seenAt is the forecast for a made-up container at a time of its life.
func seenAt(r *rand.Rand, w *world, t float64) (oom.Leak, bool) {
	w.lossy = 0.02
	track := w.track(r, t, func(t, hits float64) oom.Sample { return w.sample(r, t, hits) })
	return LeakAhead(&track, at(t))
}

// looked is what was said of the made-up containers of one shape.
type looked struct {
	all, said, held int
	ratios          []float64 // of the time that was left to the one that was stated.
}

func (l *looked) add(o *looked) {
	l.all, l.said, l.held = l.all+o.all, l.said+o.said, l.held+o.held
	l.ratios = append(l.ratios, o.ratios...)
}

// forecastLeaks looks at leaks until so many have been forecast.
func forecastLeaks(each int) map[string]*looked {
	byShape := map[string]*looked{}
	for seed, said := uint64(0), 0; said < each; seed++ {
		r := rand.New(rand.NewPCG(seed, 2))
		c := logBetween(r, 32, 32<<10) * (1 << 20)
		w := makeLeak(r, c)
		if seed%4 == 0 {
			w = makeLoadLeak(r, c)
		}
		end := w.end()
		if math.IsNaN(end) {
			continue
		}
		now := end * between(r, 0.5, 0.98)
		l := &looked{all: 1}
		if a, ok := seenAt(r, &w, now); ok {
			stated, left := a.In.Seconds(), end-now
			l.said, l.ratios = 1, []float64{left / max(1, stated)}
			if math.Abs(left-stated) <= LeakBand*stated {
				l.held = 1
			}
			said++
		}
		if byShape[w.name] == nil {
			byShape[w.name] = &looked{}
		}
		byShape[w.name].add(l)
	}
	return byShape
}

// forecastCalm looks at containers that do not leak.
func forecastCalm(each int) map[string]*looked {
	byShape := map[string]*looked{}
	for seed := range uint64(each) {
		r := rand.New(rand.NewPCG(seed, 3))
		w, until := calm(r, logBetween(r, 32, 32<<10)*(1<<20))
		if byShape[w.name] == nil {
			byShape[w.name] = &looked{}
		}
		l := byShape[w.name]
		l.all++
		if _, ok := seenAt(r, &w, until*between(r, 0.2, 1)); ok {
			l.said++
		}
	}
	return byShape
}

// total adds up all shapes, each of which is a row.
func total(byShape map[string]*looked, row func(name string, l *looked)) (sum looked) {
	for _, name := range slices.Sorted(maps.Keys(byShape)) {
		l := byShape[name]
		slices.Sort(l.ratios)
		row(name, l)
		sum.add(l)
	}
	slices.Sort(sum.ratios)
	return sum
}

// TestForecastsOfLeaks holds the band that is stated to what comes: it must neither
// be too narrow nor too wide. And what does not leak is not said to.
func TestForecastsOfLeaks(t *testing.T) {
	const each = 1000
	var rows, calmRows strings.Builder
	row := func(name string, l *looked) {
		fmt.Fprintf(&rows, "| %s | %d | %d | %.1f %% | %.2f | %.2f | %.2f |\n", name, l.all, l.said, 100*float64(l.held)/float64(max(1, l.said)),
			quantile(l.ratios, 0.1), quantile(l.ratios, 0.5), quantile(l.ratios, 0.9))
	}
	leaks := total(forecastLeaks(each), row)
	row("all", &leaks)
	calm := total(forecastCalm(each), func(name string, l *looked) {
		fmt.Fprintf(&calmRows, "| %s | %d | %d |\n", name, l.all, l.said)
	})
	page := fmt.Sprintf(`# Forecasts of leaks

What oom_container_leak_seconds_to_limit says of %d made-up containers that leak, each at a random time in the later half of its life, and of %d that
do not. Limits, sizes, rates and noise are drawn, and 2 %% of the samples are missing. The bars: the leak reaches the limit within %.0f %% of the stated
time, earlier or later, in 80 +- 5 %% of all, and of those that do not leak at most 1 %% are said to.

Written by `+"`go test ./internal/verdict -update`"+`. Left / stated is the time that was left in truth, as a part of the stated one.

| leak | looked at | forecast | within the band | left / stated, 10 %% | median | 90 %% |
|---|---|---|---|---|---|---|
%s
| no leak | looked at | forecast |
|---|---|---|
%s| all | %d | %d |
`, leaks.all, calm.all, 100*LeakBand, rows.String(), calmRows.String(), calm.all, calm.said)
	t.Log(page)
	if share := float64(leaks.held) / float64(leaks.said); share < 0.75 || share > 0.85 {
		t.Errorf("%.1f %% within the band, want 80 +- 5", 100*share)
	}
	if calm.said*100 > calm.all {
		t.Errorf("%d of %d that do not leak are said to, want at most 1 %%", calm.said, calm.all)
	}
	golden(t, filepath.Join("..", "..", "docs", "evidence", "leak-forecasts.md"), page)
}
