// SPDX-License-Identifier: Apache-2.0

package report

import "math"

// curveRows is how high a curve is.
const curveRows = 8

// cell is one column of a curve, in bytes; NaN where nothing was sampled.
type cell struct{ level, usage, limit float64 }

// eighths are the blocks of one to seven eighths of a row.
const eighths = "▁▂▃▄▅▆▇"

// glyph is what the column shows in a row of a curve as high as top.
func (c *cell) glyph(row int, top float64) rune {
	height := top / curveRows
	low := float64(row) * height
	filled := int(math.Round((c.level - low) / height * 8))
	switch {
	case !math.IsNaN(c.level) && filled >= 8:
		return '█'
	case c.limit > low && c.limit <= low+height && (math.IsNaN(c.level) || filled <= 0):
		return '─'
	case !math.IsNaN(c.level) && filled >= 1:
		return []rune(eighths)[filled-1]
	case c.usage >= low+height/2:
		return '░'
	}
	return ' '
}

// resample divides the series from a time to the kill into columns, each with
// its highest values; between samples the last one holds. top is the highest of
// all.
func resample(s *Series, from float64, columns int) (top float64, cells []cell) {
	nan := math.NaN()
	cells = make([]cell, columns)
	for i := range cells {
		cells[i] = cell{nan, nan, nan}
	}
	last := cell{nan, nan, nan}
	next := 0
	for i := range cells {
		end := from - from*float64(i+1)/float64(columns)
		seen := cell{nan, nan, nan}
		for ; next < len(s.Points) && (s.Points[next].Seconds <= end || i == columns-1); next++ {
			at := pointCell(&s.Points[next], &last)
			if s.Points[next].Seconds >= from {
				seen = cell{highest(seen.level, at.level), highest(seen.usage, at.usage), highest(seen.limit, at.limit)}
			}
			last = at
		}
		if math.IsNaN(seen.level) {
			seen = last
		}
		cells[i] = seen
		for _, v := range []float64{seen.level, seen.usage, seen.limit} {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				top = max(top, v)
			}
		}
	}
	return top, cells
}

// pointCell returns a point as a cell; what the point lacks is taken from last.
func pointCell(p *Point, last *cell) cell {
	c := *last
	for _, f := range []struct {
		to   *float64
		from *uint64
	}{{&c.level, p.Unreclaimable}, {&c.usage, p.Usage}, {&c.limit, p.Limit}} {
		if f.from != nil {
			*f.to = float64(*f.from)
		}
	}
	return c
}

// highest returns the higher of two numbers, either of which may be NaN.
func highest(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	if math.IsNaN(b) {
		return a
	}
	return max(a, b)
}
