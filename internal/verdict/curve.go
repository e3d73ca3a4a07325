// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The parts of memory that a point can tell apart.
const (
	partAnon = iota
	partShmem
	partKernel
	partFile
	parts
)

// point is one moment of a cgroup. What was not read is NaN.
type point struct {
	t       float64 // seconds from the kill; before it, so negative.
	usage   float64 // bytes.
	level   float64 // the part of them that reclaim cannot free.
	part    [parts]float64
	limit   float64 // math.Inf(1): none.
	hits    float64 // of the limit, since the cgroup was made.
	stalled float64 // seconds in which all tasks waited for memory.
	procs   float64
	guessed bool // level was not read but inferred from usage.
	span    bool // of the coarse ring: an extreme of five minutes.
}

// curve is a cgroup's past, oldest first.
type curve []point

// newCurve joins the rings of a track: each where no finer one reaches.
// Samples after the kill are left out: they show what it has freed.
func newCurve(track *oom.Track, kill time.Time, approximate bool) curve {
	var c curve
	fine := beforeKill(track.Fine, kill, approximate)
	medium := beforeKill(track.Medium, kill, approximate)
	fineFrom := firstTime(fine, kill)
	mediumFrom := fineFrom
	if len(medium) > 0 && medium[0].Time.Before(fineFrom) {
		mediumFrom = medium[0].Time
	}
	for i := range track.Coarse {
		s := &track.Coarse[i]
		if !s.Start.Add(s.Length).After(mediumFrom) {
			c = append(c, spanPoints(s, kill)...)
		}
	}
	for i := range medium {
		if medium[i].Time.Before(fineFrom) {
			c = append(c, samplePoint(&medium[i], kill))
		}
	}
	for i := range fine {
		c = append(c, samplePoint(&fine[i], kill))
	}
	slices.SortStableFunc(c, func(a, b point) int { return cmp.Compare(a.t, b.t) })
	return c.settled()
}

// afterglow is how long after an approximate time of death a sample may still
// be from before the death, and the reverse.
const afterglow = 15 * time.Second

// beforeKill cuts off what was sampled after the kill. The time of a kill from
// the kernel's log may be off; then the fall of usage tells where it was.
func beforeKill(all []oom.Sample, kill time.Time, approximate bool) []oom.Sample {
	if !approximate {
		n, _ := slices.BinarySearchFunc(all, kill, func(s oom.Sample, t time.Time) int { return s.Time.Compare(t) })
		return all[:n]
	}
	last := len(all)
	for last > 0 && all[last-1].Time.After(kill.Add(afterglow)) {
		last--
	}
	top := last - 1
	for i := last - 1; i >= 0 && all[i].Time.After(kill.Add(-afterglow)); i-- {
		if all[top].Usage.Less(all[i].Usage) {
			top = i
		}
	}
	const fallen = 0.8 // of the peak, or less: a process has gone.
	if top >= 0 && float64(all[last-1].Usage.Or(0)) < fallen*float64(all[top].Usage.Or(0)) {
		return all[:top+1]
	}
	return all[:last]
}

func firstTime(samples []oom.Sample, otherwise time.Time) time.Time {
	if len(samples) > 0 {
		return samples[0].Time
	}
	return otherwise
}

func samplePoint(s *oom.Sample, kill time.Time) point {
	p := point{
		t: min(0, s.Time.Sub(kill).Seconds()), usage: float(s.Usage), level: float(s.Unreclaimable), limit: float(s.Limit),
		hits: float(s.LimitHits), stalled: float(s.StalledMicros) / 1e6, procs: float(s.Processes),
		part: [parts]float64{float(s.Anon), float(s.Shmem), float(s.Kernel), float(s.File)},
	}
	if math.IsNaN(p.level) {
		p.level, p.guessed = p.usage, true
	}
	return p
}

// spanPoints are the minimum and then the maximum of a span: in that order a
// steady rise stays one, and a fall shows at the next span.
func spanPoints(s *oom.Span, kill time.Time) []point {
	low, high, guessed := s.UnreclaimableMin, s.UnreclaimableMax, false
	if !low.IsValue() || !high.IsValue() {
		low, high, guessed = s.UsageMin, s.UsageMax, true
	}
	if !low.IsValue() || !high.IsValue() {
		return nil
	}
	at := func(share float64) point {
		p := blank(s.Start.Sub(kill).Seconds() + share*s.Length.Seconds())
		p.guessed, p.span = guessed, true
		return p
	}
	a, b := at(1./3), at(2./3)
	a.level, b.level = float(low), float(high)
	return []point{a, b}
}

func blank(t float64) point {
	nan := math.NaN()
	return point{t: t, usage: nan, level: nan, limit: nan, hits: nan, stalled: nan, procs: nan, part: [parts]float64{nan, nan, nan, nan}}
}

// settled fills in the levels of samples that have only usage: such a sample is
// taken when usage has hardly moved, so what was reclaimable still is. If no
// level was read at all, usage stands for it; points without either are left out.
func (c curve) settled() curve {
	slack := 0.0
	known := slices.ContainsFunc(c, func(p point) bool { return !p.guessed && !p.span })
	out := c[:0]
	for _, p := range c {
		switch {
		case p.span:
		case !p.guessed && !math.IsNaN(p.usage):
			slack = max(0, p.usage-p.level)
		case p.guessed && known:
			p.level = max(0, p.level-slack)
		}
		if !math.IsNaN(p.level) {
			out = append(out, p)
		}
	}
	return out
}

func float(a oom.Amount) float64 {
	if a.IsUnlimited() {
		return math.Inf(1)
	}
	if n, ok := a.Get(); ok {
		return float64(n)
	}
	return math.NaN()
}

// since returns the points from t on.
func (c curve) since(t float64) curve {
	i, _ := slices.BinarySearchFunc(c, t, func(p point, t float64) int { return cmp.Compare(p.t, t) })
	return c[i:]
}

// until returns the points up to t.
func (c curve) until(t float64) curve {
	i, _ := slices.BinarySearchFunc(c, t, func(p point, t float64) int {
		if p.t <= t {
			return -1
		}
		return 1
	})
	return c[:i]
}

// sorted returns the levels alone, in ascending order.
func (c curve) sorted() []float64 {
	out := make([]float64, len(c))
	for i := range c {
		out[i] = c[i].level
	}
	slices.Sort(out)
	return out
}

// quantile of sorted values; NaN of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[int(math.Round(q*float64(len(sorted)-1)))]
}

// at is the level at t, interpolated linearly between two points.
func (c curve) at(t float64) float64 {
	i, _ := slices.BinarySearchFunc(c, t, func(p point, t float64) int { return cmp.Compare(p.t, t) })
	switch {
	case len(c) == 0:
		return math.NaN()
	case i == 0:
		return c[0].level
	case i == len(c):
		return c[len(c)-1].level
	}
	a, b := c[i-1], c[i]
	if b.t == a.t {
		return b.level
	}
	return a.level + (b.level-a.level)*(t-a.t)/(b.t-a.t)
}
