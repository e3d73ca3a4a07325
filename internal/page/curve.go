// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// curve is a drawing of memory over time, in two widths: text in a drawing
// shrinks with it, so a phone gets one of its own.
type curve struct {
	Label        string // what it shows, for those who do not see it.
	Wide, Narrow drawing
	Legend       []legend
}

type legend struct{ Class, Text string }

// drawing is laid out in the units of its view box.
type drawing struct {
	Width, Height            float64
	Left, Right, Top, Bottom float64 // the plot's edges.
	Lines                    []line
	Areas                    []line
	X, Y                     []tick
}

type line struct{ Class, Points string }

type tick struct {
	At   float64
	Text string
	End  bool // the last one, aligned to the edge.
}

// plot is what is to be drawn: sizes over times.
type plot struct {
	from, to time.Time
	top      float64
	lines    []plotLine
	area     *plotArea
	ticks    []plotTick
}

type plotTick struct {
	at   time.Time
	text string
}

type plotLine struct {
	class  string
	times  []time.Time
	values []float64 // NaN: not known.
}

type plotArea struct {
	class     string
	times     []time.Time
	low, high []float64
}

// drawBefore draws the last minutes before a kill: usage, what reclaim cannot
// free, and the limit. It is nil where too little was recorded.
func drawBefore(t *oom.Track, killed time.Time) *curve {
	samples := until(t.Fine, killed)
	if len(samples) < 2 {
		samples = until(t.Medium, killed)
	}
	if len(samples) < 2 {
		return nil
	}
	p := plot{from: samples[0].Time, to: samples[len(samples)-1].Time}
	if killed.After(p.to) {
		p.to = killed
	}
	usage, limit := plotLine{class: "usage"}, plotLine{class: "limit"}
	held := plotArea{class: "held"}
	for i := range samples {
		s := &samples[i]
		usage.add(s.Time, s.Usage)
		limit.add(s.Time, s.Limit)
		if s.Unreclaimable.IsValue() { // it is not read with every sample.
			held.add(s.Time, oom.Of(0), s.Unreclaimable)
		}
	}
	p.area, p.lines = &held, []plotLine{limit, usage}
	p.fit()
	span := p.addTicks("kill")
	last := &samples[len(samples)-1]
	return p.draw(
		fmt.Sprintf("Memory in the %s before the kill: usage from %s to %s, limit %s.", text.Duration(span), amount(samples[0].Usage), amount(last.Usage), amount(last.Limit)),
		[]legend{{"limit", "limit"}, {"usage", "usage"}, {"held", "cannot be reclaimed"}},
	)
}

// until returns the samples up to the kill: what came after it is the
// container's next life.
func until(samples []oom.Sample, killed time.Time) []oom.Sample {
	n := len(samples)
	for n > 0 && samples[n-1].Time.After(killed) {
		n--
	}
	return samples[:n]
}

// drawDay draws the last day of a workload.
func drawDay(t *oom.Track) *curve {
	if len(t.Coarse) < 2 {
		return nil
	}
	first, last := &t.Coarse[0], &t.Coarse[len(t.Coarse)-1]
	p := plot{from: first.Start, to: last.Start.Add(last.Length)}
	band, held := plotArea{class: "held"}, plotLine{class: "usage"}
	for i := range t.Coarse {
		s := &t.Coarse[i]
		middle := s.Start.Add(s.Length / 2)
		band.add(middle, s.UsageMin, s.UsageMax)
		held.add(middle, s.UnreclaimableMax)
	}
	p.area, p.lines = &band, []plotLine{held}
	p.fit()
	span := p.addTicks("now")
	return p.draw(
		fmt.Sprintf("Memory in the last %s: usage between %s and %s.", text.Duration(span), text.Bytes(uint64(band.least())), text.Bytes(uint64(band.most()))),
		[]legend{{"usage", "most that could not be reclaimed"}, {"held", "usage, least to most in 5 minutes"}},
	)
}

// addTicks labels the quarters of the time that is drawn with how long before
// the end they are, and returns how long that time is.
func (p *plot) addTicks(end string) time.Duration {
	span := p.to.Sub(p.from)
	for _, part := range []float64{1, 0.75, 0.5, 0.25} {
		back := time.Duration(part * float64(span))
		p.ticks = append(p.ticks, plotTick{p.to.Add(-back), "-" + text.Duration(back)})
	}
	p.ticks = append(p.ticks, plotTick{p.to, end})
	return span
}

func (l *plotLine) add(t time.Time, a oom.Amount) {
	l.times, l.values = append(l.times, t), append(l.values, number(a))
}

func (a *plotArea) add(t time.Time, low, high oom.Amount) {
	a.times, a.low, a.high = append(a.times, t), append(a.low, number(low)), append(a.high, number(high))
}

func (a *plotArea) least() float64 { return extreme(a.low, math.Min) }

func (a *plotArea) most() float64 { return extreme(a.high, math.Max) }

func extreme(values []float64, better func(a, b float64) float64) float64 {
	best, known := 0.0, false
	for _, v := range values {
		switch {
		case math.IsNaN(v):
		case !known:
			best, known = v, true
		default:
			best = better(best, v)
		}
	}
	return best
}

func number(a oom.Amount) float64 {
	if n, ok := a.Get(); ok {
		return float64(n)
	}
	return math.NaN()
}

// fit makes room for all that is drawn.
func (p *plot) fit() {
	p.top = p.area.most()
	for i := range p.lines {
		p.top = max(p.top, extreme(p.lines[i].values, math.Max))
	}
	p.top = max(p.top*1.08, 1)
	if !p.to.After(p.from) {
		p.to = p.from.Add(time.Second)
	}
}

func (p *plot) draw(label string, legends []legend) *curve {
	return &curve{Label: label, Wide: p.layOut(960, 300, 5), Narrow: p.layOut(340, 220, 3), Legend: legends}
}

// layOut draws into width times height, with at most so many ticks below it.
func (p *plot) layOut(width, height float64, ticks int) drawing {
	d := drawing{Width: width, Height: height, Left: 78, Right: width - 8, Top: 10, Bottom: height - 26}
	x := func(t time.Time) float64 {
		return d.Left + (d.Right-d.Left)*float64(t.Sub(p.from))/float64(p.to.Sub(p.from))
	}
	y := func(v float64) float64 { return d.Bottom - (d.Bottom-d.Top)*v/p.top }
	step := niceStep(p.top)
	for v := 0.0; v <= p.top; v += step {
		d.Y = append(d.Y, tick{At: round(y(v)), Text: text.Bytes(uint64(v))})
	}
	every := max(1, (len(p.ticks)-1)/(ticks-1))
	for i := 0; i < len(p.ticks); i += every {
		d.X = append(d.X, tick{At: round(x(p.ticks[i].at)), Text: p.ticks[i].text, End: i == len(p.ticks)-1})
	}
	d.Areas = p.area.outline(x, y)
	for i := range p.lines {
		l := &p.lines[i]
		for _, points := range stretches(l.times, l.values, x, y) {
			d.Lines = append(d.Lines, line{l.class, strings.Join(points, " ")})
		}
	}
	return d
}

// outline returns the area's known stretches, there and back.
func (a *plotArea) outline(x func(time.Time) float64, y func(float64) float64) []line {
	var list []line
	var there, back []string
	flush := func() {
		if len(there) > 1 {
			points := there
			for _, p := range slices.Backward(back) {
				points = append(points, p)
			}
			list = append(list, line{a.class, strings.Join(points, " ")})
		}
		there, back = nil, nil
	}
	for i, t := range a.times {
		if math.IsNaN(a.low[i]) || math.IsNaN(a.high[i]) {
			flush()
			continue
		}
		there, back = append(there, point(x(t), y(a.high[i]))), append(back, point(x(t), y(a.low[i])))
	}
	flush()
	return list
}

// stretches are the parts of a line between what is not known.
func stretches(times []time.Time, values []float64, x func(time.Time) float64, y func(float64) float64) [][]string {
	var list [][]string
	var points []string
	flush := func() {
		if len(points) > 1 {
			list = append(list, points)
		}
		points = nil
	}
	for i, t := range times {
		if math.IsNaN(values[i]) {
			flush()
			continue
		}
		points = append(points, point(x(t), y(values[i])))
	}
	flush()
	return list
}

func point(x, y float64) string { return fmt.Sprintf("%g,%g", round(x), round(y)) }

func round(v float64) float64 { return math.Round(v*10) / 10 }

// niceStep returns a step of 1, 2 or 5 times a power of ten in the unit of a
// size, so that at most six steps fit into it.
func niceStep(top float64) float64 {
	unit := 1.0
	for unit*1024 <= top {
		unit *= 1024
	}
	for _, n := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500} {
		if top/(n*unit) <= 6 {
			return n * unit
		}
	}
	return top / 4
}
