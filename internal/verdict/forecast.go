// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"math"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// slowing is the part of its overall rate that a leak must have kept in its later
	// half: what fills a cache slows down.
	slowing = 0.75
	// LeakBand is the part of the forecast time by which a leak may reach the limit
	// earlier or later, in four of five cases; TestForecastsOfLeaks checks it.
	LeakBand = 0.13
)

// LeakAhead forecasts when a container that leaks reaches its own limit. It returns
// false unless the container surely leaks, and if the limit is further ahead than the
// leak has been seen for.
func LeakAhead(track *oom.Track, now time.Time) (oom.Leak, bool) {
	s := sceneOf(track, now)
	if s == nil {
		return oom.Leak{}, false
	}
	f := s.leak()
	if f.cause != oom.CauseLeak || !f.sure {
		return oom.Leak{}, false
	}
	c := s.ran().since(f.from)
	x, y := c.floors(f.from/2, 1e-9, 6)
	if late := newFit(x, y); len(x) > fewPoints && late.slope < slowing*f.slope {
		return oom.Leak{}, false
	}
	over := c.overLine(&f)
	in := max(0, (s.limit-f.reached-quantile(over, 0.95))/f.slope)
	if in > -f.from {
		return oom.Leak{}, false
	}
	return oom.Leak{Workload: track.Workload, In: time.Duration(in * float64(time.Second))}, true
}

// sceneOf is what is seen of a living container, as if it were killed now; nil
// where it has no limit.
func sceneOf(track *oom.Track, now time.Time) *scene {
	c := newCurve(track, now, false)
	limit := lastLimit(c)
	if len(c) == 0 || math.IsNaN(limit) || math.IsInf(limit, 1) || limit <= 0 {
		return nil
	}
	level := oom.Of(uint64(max(0, c[len(c)-1].level)))
	rec := &oom.Recording{Victim: *track, Taken: now}
	return newScene(rec, &oom.Kill{Time: now, Limit: oom.Of(uint64(limit)), Usage: level})
}

// overLine is by how much the later half of a leak was over its line, sorted: the
// teeth and the noise that reach the limit first.
func (c curve) overLine(f *finding) []float64 {
	var over []float64
	for i := range gridPoints {
		t := f.from / 2 * float64(i) / (gridPoints - 1)
		over = append(over, c.at(t)-f.reached-f.slope*t)
	}
	slices.Sort(over)
	return over
}
