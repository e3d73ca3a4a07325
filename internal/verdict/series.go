// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"math"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// maxSeries bounds the points of a series.
const maxSeries = 400

// Series is what a recording shows of the cgroup whose limit ran out, ending
// with the kill, and its name. It is empty where nothing was recorded.
func Series(rec *oom.Recording, kill *oom.Kill) (of string, points []oom.SeriesPoint) {
	s := newScene(rec, kill)
	c, of := s.owner, s.ownerName()
	if n := len(c); n < 2 {
		return of, nil
	}
	step := 1
	for len(c)/step > maxSeries {
		step++
	}
	for i := range c {
		if i%step == 0 || i == len(c)-1 {
			points = append(points, oom.SeriesPoint{
				Seconds: math.Round(c[i].t*10) / 10, Usage: amount(c[i].usage), Unreclaimable: amount(c[i].level), Limit: amount(c[i].limit),
			})
		}
	}
	last := &points[len(points)-1]
	last.Usage, last.Limit = last.Unreclaimable, amount(s.limit)
	return of, points
}

func amount(f float64) oom.Amount {
	switch {
	case math.IsNaN(f):
		return oom.Amount{}
	case math.IsInf(f, 1):
		return oom.Unlimited()
	}
	return oom.Of(uint64(max(0, f)))
}
