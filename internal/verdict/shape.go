// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"math"
	"slices"
)

// fit is a straight line through points, by least squares.
type fit struct {
	slope, at0 float64 // at0 is its value at the kill.
	straight   float64 // R squared: 1 is a straight line.
}

func newFit(x, y []float64) fit {
	n := float64(len(x))
	var sx, sy, sxx, sxy, syy float64
	for i := range x {
		sx += x[i]
		sy += y[i]
		sxx += x[i] * x[i]
		sxy += x[i] * y[i]
		syy += y[i] * y[i]
	}
	vx, vy, cov := sxx-sx*sx/n, syy-sy*sy/n, sxy-sx*sy/n
	if vx <= 0 {
		return fit{at0: sy / max(n, 1)}
	}
	f := fit{slope: cov / vx}
	f.at0 = (sy - f.slope*sx) / n
	if vy > 0 {
		f.straight = cov * cov / (vx * vy)
	}
	return f
}

// extreme is a peak or a trough.
type extreme struct{ t, level float64 }

// troughs returns the lowest points between two peaks that both stand above
// them by more than depth. Smaller movements are noise.
func (c curve) troughs(depth float64) []extreme {
	var found []extreme
	if len(c) == 0 {
		return nil
	}
	high, low := c[0], c[0]
	falling := false
	for _, p := range c {
		if !falling {
			if p.level > high.level {
				high = p
			}
			if high.level-p.level > depth {
				falling, low = true, p
			}
			continue
		}
		if p.level < low.level {
			low = p
		}
		if p.level-low.level > depth {
			found = append(found, extreme{low.t, low.level})
			falling, high = false, p
		}
	}
	return found
}

// floors divides the time from a to b into n parts and returns the minimum of
// each that has points, at the middle of its part.
func (c curve) floors(a, b float64, n int) (x, y []float64) {
	width := (b - a) / float64(n)
	for i := range n {
		from := a + float64(i)*width
		low := math.Inf(1)
		for _, p := range c.since(from).until(from + width) {
			low = min(low, p.level)
		}
		if !math.IsInf(low, 1) {
			x, y = append(x, from+width/2), append(y, low)
		}
	}
	return x, y
}

// grid samples the curve's level at n equidistant moments.
func (c curve) grid(n int) (x, y []float64) {
	from, to := c[0].t, c[len(c)-1].t
	for i := range n {
		t := from + (to-from)*float64(i)/float64(n-1)
		x, y = append(x, t), append(y, c.at(t))
	}
	return x, y
}

// gridPoints is at how many moments a curve is sampled to find where its rise
// began: they divide it into a hundred parts.
const gridPoints = 101

// rise is the time for which a curve has risen without a break up to the kill.
type rise struct {
	fit
	from     float64 // when it began, in seconds before the kill.
	low      float64 // what it rose from.
	straight float64 // how much of its rise a straight line explains.
	explains float64 // how much of the whole curve a level stretch and that line explain.
}

// lastRise finds where a level stretch ends and a straight rise to the end
// begins: the break that leaves the least unexplained.
func (c curve) lastRise() rise {
	x, y := c.grid(gridPoints)
	n := len(x)
	mean, total := 0.0, 0.0
	for _, v := range y {
		mean += v / float64(n)
	}
	for _, v := range y {
		total += (v - mean) * (v - mean)
	}
	best, least := rise{from: x[0], low: y[0]}, math.Inf(1)
	for k := 0; k < n-2; k++ {
		f, flat, left := hinge(x, y, k)
		if left < least {
			least = left
			best = rise{fit: f, from: x[k], low: flat}
		}
	}
	if total > 0 {
		best.explains = 1 - least/total
	}
	k, _ := slices.BinarySearch(x, best.from)
	best.straight = newFit(x[k:], y[k:]).straight
	return best
}

// hinge fits a level up to x[k], and from there a line that begins at it.
func hinge(x, y []float64, k int) (f fit, level, left float64) {
	// y = level + slope*max(0, x-x[k]): linear in both.
	n := float64(len(x))
	var su, suu, sy, suy float64
	for i := range x {
		u := max(0, x[i]-x[k])
		su, suu, sy, suy = su+u, suu+u*u, sy+y[i], suy+u*y[i]
	}
	det := n*suu - su*su
	if det <= 0 {
		return f, y[0], math.Inf(1)
	}
	f.slope = (n*suy - su*sy) / det
	level = (sy - f.slope*su) / n
	f.at0 = level + f.slope*(x[len(x)-1]-x[k])
	for i := range x {
		d := y[i] - level - f.slope*max(0, x[i]-x[k])
		left += d * d
	}
	return f, level, left
}
