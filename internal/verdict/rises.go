// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"math"
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// shortRise is how far back before a burst the level is looked at, in seconds.
const shortRise = 600.0

// before is the level at which the container stood until a minute or less before
// the kill.
type before struct {
	curve                   // what was sampled then.
	from, until     float64 // seconds from the kill, negative; seconds before the kill.
	base, low, high float64
	slope           float64 // bytes a second.
}

// before looks at the time until a minute before the kill or, if too little of
// that was seen, until a few seconds before it. Each moment has the same weight:
// what did not move was not sampled again.
func (s *scene) before() (before, bool) {
	ran := s.ran()
	if len(ran) < fewPoints {
		return before{}, false
	}
	for _, until := range []float64{aMinute, aMinute / 3, aMinute / 10} {
		b := before{from: max(ran[0].t, -until-shortRise), until: until}
		if -until-b.from < until/2 {
			continue
		}
		b.curve = ran.since(b.from).until(-until)
		var x, y []float64
		for i := range gridPoints {
			t := b.from + (-until-b.from)*float64(i)/(gridPoints-1)
			x, y = append(x, t), append(y, ran.at(t))
		}
		b.slope = newFit(x, y).slope
		slices.Sort(y)
		b.base, b.low, b.high = quantile(y, 0.5), quantile(y, 0.05), quantile(y, 0.95)
		return b, true
	}
	return before{}, false
}

// long tells whether it was seen for long enough to be sure.
func (b *before) long() bool { return -b.until-b.from >= aMinute }

// steady is a level near a limit that was hit long before the kill.
func (s *scene) steady() finding {
	b, ok := s.before()
	if !ok || b.base < near*s.limit {
		return lookOn()
	}
	const rising = 0.1 // of the limit, over the time seen: more is a leak's last part.
	ran := s.ran()
	x, y := ran.floors(ran[0].t, 0, 10)
	if f := newFit(x, y); len(x) > fewPoints && f.slope*-ran[0].t > rising*s.limit && f.straight > most {
		return lookOn()
	}
	hits, stalled, known := pressed(b.curve)
	switch {
	case !known:
		return finding{cause: oom.CauseSteady, from: b.from, low: b.base}
	case hits >= most || stalled >= 0.01:
		return finding{cause: oom.CauseSteady, sure: b.long(), from: b.from, low: b.base}
	}
	return lookOn()
}

// pressed tells in what share of the parts of the time the limit was hit again,
// and for what share of the time all tasks waited for memory.
func pressed(c curve) (hits, stalled float64, known bool) {
	const parts = 5 // of the time, so that a single episode counts for little.
	if len(c) == 0 {
		return 0, 0, false
	}
	from, to := c[0].t, c[len(c)-1].t
	var first, last point
	hit := map[int]bool{}
	seen := map[int]bool{}
	prev := math.NaN()
	for _, p := range c {
		slot := min(parts-1, int(float64(parts)*(p.t-from)/max(1e-9, to-from)))
		if !math.IsNaN(p.hits) {
			if !math.IsNaN(prev) {
				seen[slot] = true
				hit[slot] = hit[slot] || p.hits > prev
			}
			prev = p.hits
			known = true
		}
		if !math.IsNaN(p.stalled) {
			if first.t == 0 {
				first = p
			}
			last = p
			known = true
		}
	}
	n := 0.0
	for slot := range seen {
		if hit[slot] {
			n++
		}
	}
	if len(seen) > 0 {
		hits = n / float64(len(seen))
	}
	if last.t > first.t {
		stalled = (last.stalled - first.stalled) / (last.t - first.t)
	}
	return hits, stalled, known
}

// burst is a rise of less than a minute from a level that was steady.
func (s *scene) burst() finding {
	b, ok := s.before()
	if !ok {
		return lookOn()
	}
	const (
		worth   = 0.05 // of the limit: what a burst must rise by.
		faster  = 4    // times what the earlier slope would bring.
		larger  = 1.3  // times the highest earlier rise: else such rises are usual.
		settled = 0.1  // of the burst, by which the floor may have risen before.
		both    = 0.2  // of the burst: if the floor rose by that, a leak fits as well.
		begun   = 0.25 // of the burst, that may have been there a minute before the kill.
	)
	end := s.victim[len(s.victim)-1].level
	jump := end - b.base
	swing := b.high - b.low
	ran := s.ran().until(-b.until)
	if jump < worth*s.limit || jump < 1.5*swing || max(0, b.slope)*b.until*faster > jump || jump < larger*ran.usualRise() {
		return lookOn()
	}
	if s.victim.at(-b.until)-b.base > begun*jump {
		return lookOn()
	}
	drift := ran.drift()
	switch {
	case drift >= both*jump:
		return unknown("Not known: it rose by %s in %s, and then by %s in less than a minute: a leak and a burst fit as well.",
			size(drift), span(-b.until-b.from), size(jump))
	case drift > settled*jump:
		return finding{cause: oom.CauseBurst, from: s.jumpFrom(b), low: b.base}
	}
	return finding{cause: oom.CauseBurst, sure: b.long(), from: s.jumpFrom(b), low: b.base}
}

// drift is by how much the floor rose in the later half of what was seen: a
// program that has filled its caches once is steady all the same.
func (c curve) drift() float64 {
	const later = 0.5
	if len(c) > 0 {
		c = c.since(c[0].t * later)
	}
	if len(c) < fewPoints {
		return 0
	}
	x, y := c.floors(c[0].t, c[len(c)-1].t+1e-9, 6)
	if len(x) < fewPoints {
		return 0
	}
	f := newFit(x, y)
	if f.straight < 0.5 {
		return 0
	}
	return max(0, f.slope*(x[len(x)-1]-x[0])*6/5)
}

// usualRise is the highest rise of less than a minute, or within one span, in
// the later half of what was seen.
func (c curve) usualRise() float64 {
	top := 0.0
	if len(c) == 0 {
		return top
	}
	c = c.since(c[0].t / 2)
	from := 0
	for i := range c {
		for c[i].t-c[from].t > aMinute && (!c[i].span || i-from > 1) {
			from++
		}
		for k := from; k < i; k++ {
			top = max(top, c[i].level-c[k].level)
		}
	}
	return top
}

// jumpFrom is when the burst left the earlier level.
func (s *scene) jumpFrom(b before) float64 {
	end := s.victim[len(s.victim)-1].level
	edge := b.base + max(0.1*(end-b.base), b.high-b.base)
	for i := len(s.victim) - 2; i >= 0; i-- {
		if p := s.victim[i]; p.level <= edge || p.t < -b.until {
			return p.t
		}
	}
	return -b.until
}

// leak is a floor that rose steadily for most of what was seen.
func (s *scene) leak() finding {
	const (
		swing  = 0.2  // of the range: what falls by more is not noise but a sawtooth.
		trifle = 0.05 // of the limit: what falls by less is no sawtooth.
	)
	c := s.ran()
	if len(c) < fewPoints+2 {
		return lookOn()
	}
	all := c.sorted()
	depth := max(swing*(all[len(all)-1]-all[0]), trifle*s.limit)
	if teeth := c.troughs(depth); len(teeth) > 0 {
		return s.sawtooth(c, teeth)
	}
	r := c.lastRise()
	const closer = 3 // times its length: a short rise late in a long life gets a closer look.
	for range 2 {
		if near := c.since(closer * r.from); len(near) > enough && closer*r.from > c[0].t {
			r = near.lastRise()
		}
	}
	return s.rising(&r, c)
}

// rising judges a rise without a fall.
func (s *scene) rising(r *rise, c curve) finding {
	const (
		worth    = 0.1 // of the limit.
		straight = 0.85
		sure     = 0.93
	)
	lasted := -r.from
	const seen = 0.8 // of its life: else what is recorded does not reach back to its start.
	if r.from <= c[0].t+0.02*-c[0].t && -c[0].t >= seen*s.age && s.age > 0 {
		lasted = s.age // from its very start.
	}
	grown := s.atKill - r.low
	if s.shared {
		grown = c[len(c)-1].level - r.low
	}
	life := s.age
	if life < 0 {
		life = -c[0].t
	}
	switch {
	case grown < worth*s.limit || r.slope <= 0 || r.explains < straight:
		return lookOn()
	case lasted <= aMinute && lasted < life*0.8:
		return finding{cause: oom.CauseBurst, from: r.from, low: r.low}
	case lasted < leakTime && lasted < life/2:
		return unknown("Not known: it rose by %s in %s: too long for a burst, too short to be called a leak.", size(grown), span(lasted))
	}
	return finding{
		cause: oom.CauseLeak, sure: r.explains >= sure && lasted >= leakTime && len(c) > enough && s.age >= 0,
		from: r.from, low: r.low, slope: r.slope, reached: r.at0,
	}
}

// sawtooth judges a curve that falls again and again by its troughs: what comes
// after the last of them may fall, too.
func (s *scene) sawtooth(c curve, teeth []extreme) finding {
	const (
		teethNeeded = 3
		worth       = 0.1 // of the limit.
		straight    = 0.8
		flat        = 0.25 // of a tooth's height.
	)
	last := teeth[len(teeth)-1].t
	ran := c.until(last)
	x, y := ran.floors(c[0].t, last+1e-9, min(10, len(teeth)))
	if len(teeth) < teethNeeded || len(x) < teethNeeded {
		return unknown("Not known: it fell again %s before the kill; %d such falls were seen, too few to say whether what remains grew.", span(-last), len(teeth))
	}
	f := newFit(x, y)
	lasted := last - x[0]
	grown := f.slope * lasted
	height := s.atKill - f.at0
	life := s.age
	if life < 0 {
		life = -c[0].t
	}
	switch {
	case grown >= worth*s.limit && f.straight >= straight && (lasted >= leakTime || lasted >= life/2):
		return finding{
			cause: oom.CauseLeak, sure: f.straight > 0.9 && lasted >= leakTime && s.age >= 0,
			from: x[0], low: max(0, f.at0+f.slope*x[0]), slope: f.slope, reached: f.at0,
		}
	case grown < flat*height || f.straight < 0.5:
		return unknown("Not known: it rose and fell %d times, back to about %s each time, and the last rise of %s went over the limit.", len(teeth), size(f.at0), size(height))
	}
	return unknown("Not known: what remains after each of %d falls grew by %s in %s, which does not explain the kill.", len(teeth), size(grown), span(lasted))
}

// nothing says why no cause was found.
func (s *scene) nothing() finding {
	c := s.ran()
	if len(c) < fewPoints+2 {
		return unknown("Not known: only %d samples of the time after the start.", max(0, len(c)-1))
	}
	all := c.sorted()
	return unknown("Not known: between %s and %s in %s, without a rise that a leak or a burst would show.",
		size(all[0]), size(all[len(all)-1]), span(-c[0].t))
}
