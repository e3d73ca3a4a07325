// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"cmp"
	"math"
	"slices"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// shortRise is for how long before a burst the level has to be seen.
const shortRise = 600.0

// before is the level at which the container stood until up to a minute before
// the kill.
type before struct {
	curve
	until           float64 // seconds before the kill.
	base, low, high float64
	slope           float64 // bytes a second.
}

// before looks at the time up to a minute before the kill, and where there is
// little of it, up to shortly before.
func (s *scene) before() (before, bool) {
	ran := s.ran()
	for _, until := range []float64{aMinute, aMinute / 3, aMinute / 10} {
		c := ran.since(-until - shortRise).until(-until)
		if len(c) < fewPoints || c[len(c)-1].t-c[0].t < until/2 {
			continue
		}
		b := before{curve: c, until: until}
		all := c.sorted()
		b.base, b.low, b.high = quantile(all, 0.5), quantile(all, 0.05), quantile(all, 0.95)
		x, y := c.grid(31)
		b.slope = newFit(x, y).slope
		return b, true
	}
	return before{}, false
}

// steady is a level near the limit, that was hit long before the kill.
func (s *scene) steady() finding {
	b, ok := s.before()
	if !ok || b.base < near*s.limit {
		return lookOn()
	}
	const rising = 0.1 // of the limit, over what was seen: a leak's last part.
	ran := s.ran()
	x, y := ran.floors(ran[0].t, 0, 10)
	if f := newFit(x, y); len(x) > fewPoints && f.slope*-ran[0].t > rising*s.limit && f.straight > most {
		return lookOn()
	}
	hits, stalled, known := pressed(b.curve)
	switch {
	case !known:
		return finding{cause: oom.CauseSteady, from: b.curve[0].t, low: b.base}
	case hits >= most || stalled >= 0.01:
		return finding{cause: oom.CauseSteady, sure: len(b.curve) > enough, from: b.curve[0].t, low: b.base}
	}
	return lookOn()
}

// pressed tells in which part of the steps the limit was hit again, and in
// which part of the time all tasks waited for memory.
func pressed(c curve) (hits, stalled float64, known bool) {
	const parts = 5 // of the time: a single episode is not for long.
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
		faster  = 4    // times the rise of before.
		larger  = 1.3  // times the highest rise of before: else such rises are usual.
		settled = 0.1  // of the burst, that may have been risen before.
		both    = 0.2  // of it, from which two causes are seen.
	)
	end := s.victim[len(s.victim)-1].level
	jump := end - b.base
	swing := b.high - b.low
	ran := s.ran().until(-b.until)
	if jump < worth*s.limit || jump < 1.5*swing || max(0, b.slope)*b.until*faster > jump || jump < larger*ran.usualRise() {
		return lookOn()
	}
	drift := s.drift(ran)
	switch {
	case drift >= both*jump:
		return unknown("Not known: it rose by %s in %s, and then by %s in less than a minute: a leak and a burst fit as well.",
			size(drift), span(-b.until-ran[0].t), size(jump))
	case drift > settled*jump:
		return finding{cause: oom.CauseBurst, from: s.jumpFrom(b), low: b.base}
	}
	return finding{cause: oom.CauseBurst, sure: len(b.curve) > enough, from: s.jumpFrom(b), low: b.base}
}

// drift is by how much the floor rose in the later half of what was seen: a
// program that has filled its caches once is steady all the same.
func (s *scene) drift(c curve) float64 {
	const later = 0.5
	c = c.since(c[0].t * later)
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

// jumpFrom is when the burst left the level of before.
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
		trifle = 0.02 // of the limit: what falls by less is none.
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
	const closer = 3 // times its length: a short rise at the end of a long life is looked at again, from near.
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
	if r.from <= c[0].t+0.02*-c[0].t && s.age > 0 {
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
		from: r.from, low: r.low, slope: r.slope,
	}
}

// sawtooth judges a curve that falls again and again by its troughs: what comes
// after the last of them may fall, too.
func (s *scene) sawtooth(c curve, teeth []extreme) finding {
	const (
		teethNeeded = 3
		worth       = 0.1 // of the limit.
		straight    = 0.8
		flat        = 0.25 // of what a tooth is high.
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
			from: x[0], low: max(0, f.at0+f.slope*x[0]), slope: f.slope,
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

// maxTasks is how many processes a verdict names.
const maxTasks = 5

// taskGrowth is by how much the recorded processes grew, the most first; the
// victim's size is the kernel's own.
func (s *scene) taskGrowth() []oom.TaskGrowth {
	var out []oom.TaskGrowth
	victim := false
	v := &s.kill.Victim
	for i := range s.rec.Victim.Tasks {
		task := &s.rec.Victim.Tasks[i]
		n := min(len(task.RSS), len(task.Times))
		for n > 0 && !s.kill.Time.IsZero() && !s.kill.Approximate && task.Times[n-1].After(s.kill.Time) {
			n--
		}
		if n == 0 {
			continue
		}
		g := oom.TaskGrowth{PID: task.PID, Comm: task.Comm, From: task.RSS[0], To: task.RSS[n-1]}
		if int(g.PID) == v.PID || int(g.PID) == v.TGID {
			victim = true
			g.To = max(g.To, v.AnonRSS.Or(0)+v.FileRSS.Or(0)+v.ShmemRSS.Or(0))
		}
		out = append(out, g)
	}
	if !victim && v.PID != 0 && v.AnonRSS.IsValue() {
		to := v.AnonRSS.Or(0) + v.FileRSS.Or(0) + v.ShmemRSS.Or(0)
		// Where it was not followed, what it had before is not known.
		out = append(out, oom.TaskGrowth{PID: int32(v.PID), Comm: v.Comm, From: to, To: to})
	}
	slices.SortStableFunc(out, func(a, b oom.TaskGrowth) int {
		if c := cmp.Compare(grewBy(b), grewBy(a)); c != 0 {
			return c
		}
		return cmp.Compare(b.To, a.To)
	})
	return out[:min(len(out), maxTasks)]
}

func grewBy(g oom.TaskGrowth) int64 { return int64(g.To) - int64(g.From) }

// siblingGrowth is what the siblings did since t.
func (s *scene) siblingGrowth(t float64) []oom.SiblingGrowth {
	var out []oom.SiblingGrowth
	for i := range s.rec.Siblings {
		c := s.siblingCurve(i)
		if len(c) == 0 {
			continue
		}
		out = append(out, oom.SiblingGrowth{
			Workload: s.rec.Siblings[i].Workload, From: uint64(max(0, c.at(t))), To: uint64(max(0, c[len(c)-1].level)),
		})
	}
	slices.SortStableFunc(out, func(a, b oom.SiblingGrowth) int {
		return cmp.Compare(int64(b.To)-int64(b.From), int64(a.To)-int64(a.From))
	})
	return out
}

// grew is the kind of memory that the growth was of.
func (s *scene) grew(f *finding) oom.Memory {
	kinds := [parts]oom.Memory{oom.MemoryAnon, oom.MemoryShmem, oom.MemoryKernel, oom.MemoryFile}
	c := s.victim
	switch f.cause {
	case oom.CauseRestartDebt:
		return kinds[f.debt]
	case oom.CauseSibling:
		c = s.owner
	case oom.CauseNode:
		c = newCurve(&s.rec.Node, s.kill.Time, s.kill.Approximate)
	}
	var read curve
	for _, p := range c {
		if !math.IsNaN(p.part[partAnon]) {
			read = append(read, p)
		}
	}
	var by [parts]float64
	if n := len(read); n > 0 {
		from := s.partsBefore(f, read)
		for i := range by {
			by[i] = read[n-1].part[i] - from[i]
		}
		s.addUnseen(&by, &read[n-1], f)
	} else {
		by = [parts]float64{float64(s.kill.Victim.AnonRSS.Or(0)), float64(s.kill.Victim.ShmemRSS.Or(0))}
	}
	if f.cause != oom.CauseUnknown {
		by[partFile] = 0 // reclaim could have freed it.
	}
	sum, top := 0.0, -1
	for i, n := range by {
		if n > 0 {
			sum += n
			if top < 0 || n > by[top] {
				top = i
			}
		}
	}
	switch {
	case top < 0:
		return ""
	case by[top] >= most*sum:
		return kinds[top]
	}
	return oom.MemoryMixed
}

// partsBefore is what was there before the growth: nothing, where a level and
// not a growth was the reason.
func (s *scene) partsBefore(f *finding, read curve) (from [parts]float64) {
	switch f.cause {
	case oom.CauseStartup, oom.CauseSteady, oom.CauseLimitLowered, oom.CauseUnknown:
		return from
	}
	i := 0
	for i+1 < len(read)-1 && read[i+1].t <= f.from {
		i++
	}
	for k, n := range read[i].part {
		if !math.IsNaN(n) {
			from[k] = n
		}
	}
	return from
}

// addUnseen adds what grew after the last sample, as far as the kernel's report
// of the victim tells its kind.
func (s *scene) addUnseen(by *[parts]float64, last *point, f *finding) {
	if f.cause == oom.CauseNode || f.cause == oom.CauseSibling {
		return
	}
	v := &s.kill.Victim
	if grown := float64(v.AnonRSS.Or(0)) - last.part[partAnon]; grown > 0 {
		by[partAnon] += grown
	}
	if grown := float64(v.ShmemRSS.Or(0)) - last.part[partShmem]; grown > 0 {
		by[partShmem] += grown
	}
}
