// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"math"
	"slices"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

const (
	// aMinute is how long a start or a burst may take, in seconds: what takes longer
	// leaves time to react.
	aMinute = 60.0
	// leakTime is how long a rise has to last to be called a leak if that is less
	// than half of the container's life: a shorter one may be the work of one
	// large job.
	leakTime = 600.0
	// staleGap is how old the last sample may be: in a longer gap, a burst cannot
	// be told from a rise.
	staleGap = 30.0
	// fewPoints is how many samples a shape needs to be seen at all; enough is
	// how many to be sure of it.
	fewPoints, enough = 3, 8
	// near is the part of the limit that the usual level has to fill for the
	// limit, and not what came on top, to be the reason.
	near = 0.85
	// most is the part of a growth that one container, process or kind of
	// memory must have contributed to be named for it; little is the part that
	// another may have contributed all the same.
	most, little = 0.6, 0.3
	// loweredTime is how long after a limit was lowered a kill can be put down
	// to that.
	loweredTime = 120.0
)

// asked is a kill that somebody asked for.
func (s *scene) asked() finding {
	if s.kill.Sysrq {
		return unknown("Not known: somebody asked for this kill by sysrq, so no limit was the reason.")
	}
	return lookOn()
}

// unseen says what is missing.
func (s *scene) unseen() finding {
	n := len(s.victim) - 1 // the last is the kill itself.
	level := s.kill.Level
	switch {
	case !s.shared && (level == oom.LevelPod || level == oom.LevelSlice):
		return unknown("Not known: the cgroup whose limit ran out was not recorded.")
	case math.IsNaN(s.atKill):
		return unknown("Not known: neither the kernel's report nor a sample says which limit ran out.")
	case n < 1 && s.age >= 0 && s.age <= aMinute && s.victimSize() >= most*s.limit:
		// Whatever the process had, it took since the cgroup was made.
		return finding{cause: oom.CauseStartup, from: -s.age}
	case n < 1 && s.age >= 0:
		return unknown("Not known: no sample was taken; the container lived for %s.", span(s.age))
	case n < 1:
		return unknown("Not known: no sample was taken of this container.")
	case s.gap > staleGap:
		return unknown("Not known: the last sample was taken %s before the kill.", span(s.gap))
	}
	return lookOn()
}

// limitLowered finds a limit that was lowered to what was in use: with the old
// limit, nothing would have been killed.
func (s *scene) limitLowered() finding {
	if len(s.owner) < 2 || math.IsNaN(s.limit) || math.IsInf(s.limit, 1) {
		return lookOn()
	}
	before, at := math.NaN(), 0
	for i, p := range slices.Backward(s.owner) {
		if p.limit > s.limit*1.01 {
			before, at = p.limit, i
			break
		}
		if p.t < -loweredTime {
			break
		}
	}
	const (
		inUse  = 0.85 // of the new limit; reclaim has freed the rest.
		enough = 0.95 // of the old one, at the kill.
	)
	switch {
	case math.IsNaN(before) || -s.owner[at].t > loweredTime:
		return lookOn()
	case s.atKill > enough*before:
		return lookOn() // it would have died under the old limit, too.
	case s.owner[at].level < inUse*s.limit && s.owner.at(s.owner[at].t+1) < inUse*s.limit:
		return lookOn()
	}
	return finding{cause: oom.CauseLimitLowered, sure: true, from: s.owner[at].t, low: before}
}

// node is what the kernel says itself.
func (s *scene) node() finding {
	switch {
	case s.kill.Level == oom.LevelNode, s.kill.Level == oom.LevelNUMA, s.kill.Level == oom.LevelUnknown && s.kill.Global:
		return finding{cause: oom.CauseNode, sure: true, from: -leakTime}
	}
	return lookOn()
}

// windows are the times over which growth under a shared limit is looked at, the
// shortest first: whoever grew last brought it over the limit.
func windows() []float64 { return []float64{5, 10, 30, 60, 300, 1200, 6 * 3600, 24 * 3600} }

// sibling asks who brought the growth under a shared limit.
func (s *scene) sibling() finding {
	if !s.shared || len(s.owner) < fewPoints {
		return lookOn()
	}
	const growth = 0.1 // of the limit: less says nothing about who brought it.
	for _, w := range windows() {
		total := s.atKill - s.owner.at(-w)
		if total < growth*s.limit {
			continue
		}
		own := s.victim[len(s.victim)-1].level - s.victim.at(-w)
		other := s.othersGrowth(w, total, own)
		switch {
		case other >= most*total && own <= little*total:
			return finding{cause: oom.CauseSibling, sure: len(s.owner) > enough, from: -w, low: s.owner.at(-w)}
		case own >= most*total:
			return lookOn() // the shape of its growth says more.
		case other+own < most*total && s.owner.at(-w)-s.sizesAt(-w) > growth*s.limit:
			return lookOn() // some of it belongs to no container: see restartDebt.
		case other >= little*total:
			return unknown("Not known: in the last %s this container grew by %s and another by %s of the %s that ran into the limit of both.",
				span(w), size(own), size(other), size(total))
		}
	}
	return lookOn()
}

// siblingTime is how far back siblings are recorded.
const siblingTime = 110.0

// othersGrowth is what another container grew by. For times longer than siblings
// are recorded, it is the same share of the growth as in the last two minutes,
// and no more than the victim leaves.
func (s *scene) othersGrowth(w, total, own float64) float64 {
	if w <= siblingTime {
		return s.otherGrowth(w) + s.unseenGrowth()
	}
	late := s.otherGrowth(siblingTime) + s.unseenGrowth()
	if lately := s.atKill - s.owner.at(-siblingTime); late > 0 && lately > 0 {
		return min(total*late/lately, total-max(0, own))
	}
	return late
}

// unseenGrowth is what others than the victim took under the shared limit since
// the siblings were last sampled; the kernel's report has the victim's size.
func (s *scene) unseenGrowth() float64 {
	last, seen := 0.0, false
	for i := range s.rec.Siblings {
		if c := s.siblingCurve(i); len(c) > 0 {
			last, seen = min(last, c[len(c)-1].t), true
		}
	}
	if !seen || len(s.victim) == 0 {
		return 0
	}
	since := func(c curve) float64 { return c[len(c)-1].level - c.at(last) }
	return max(0, since(s.owner)-since(s.victim))
}

// otherGrowth is what the sibling that grew most grew by.
func (s *scene) otherGrowth(w float64) float64 {
	top := 0.0
	for i := range s.rec.Siblings {
		if c := s.siblingCurve(i); len(c) > 0 {
			top = max(top, c[len(c)-1].level-c.at(-w))
		}
	}
	return top
}

func (s *scene) siblingCurve(i int) curve {
	at := s.kill.Time
	if at.IsZero() {
		at = s.rec.Taken
	}
	return newCurve(&s.rec.Siblings[i], at, s.kill.Approximate)
}

// sizesAt is the total size of the recorded containers at t.
func (s *scene) sizesAt(t float64) float64 {
	sum := s.victim.at(t)
	for i := range s.rec.Siblings {
		if c := s.siblingCurve(i); len(c) > 0 {
			sum += c.at(t)
		}
	}
	return sum
}

// restartDebt finds tmpfs or kernel memory that was there when the container
// began, and did not come from it.
func (s *scene) restartDebt() finding {
	const (
		soon   = 5.0  // seconds after the start: what is there then was there before.
		weight = 0.25 // of the limit, to have been the reason.
		calm   = 0.15 // of itself, by which it may have changed since.
	)
	if s.age < 0 {
		return lookOn()
	}
	began := s.owner.since(-s.age)
	for _, part := range []int{partShmem, partKernel} {
		var seen []point
		for _, p := range began {
			if !math.IsNaN(p.part[part]) {
				seen = append(seen, p)
			}
		}
		if len(seen) < fewPoints || seen[0].t > -s.age+soon {
			continue
		}
		first, last := seen[0].part[part], seen[len(seen)-1].part[part]
		rest := s.atKill - first
		if first >= weight*s.limit && math.Abs(last-first) <= calm*first && rest < s.limit*(1-weight/2) {
			return finding{cause: oom.CauseRestartDebt, sure: len(seen) > enough, from: -s.age, low: first, debt: part}
		}
	}
	return lookOn()
}

// processes finds growth that more processes of the same size explain.
func (s *scene) processes() finding {
	const (
		many   = 10   // fewer may be what a program starts with.
		growth = 0.05 // of the limit.
		apiece = 0.25 // of the limit, that the largest process may have.
	)
	var seen []point
	for _, p := range s.victim {
		if p.procs > 0 {
			seen = append(seen, p)
		}
	}
	if len(seen) < fewPoints || s.victimSize() > apiece*s.limit {
		return lookOn()
	}
	first, last := seen[0], seen[len(seen)-1]
	grown := last.level - first.level
	if last.procs < many || last.procs-first.procs < many/2 || grown < growth*s.limit {
		return lookOn()
	}
	halfway := first // not first itself: the parent has little memory, and the first children have just been born.
	for _, p := range seen {
		if last.level-p.level >= grown/2 {
			halfway = p
		}
	}
	if bornSince(halfway, last) < most {
		return lookOn()
	}
	return finding{cause: oom.CauseProcesses, sure: len(seen) > enough, from: first.t, low: first.level}
}

// bornSince is the part of the growth from p to last that the processes born in between
// explain, if each has the mean size at p, or at last where that is smaller.
func bornSince(p, last point) float64 {
	mean := min(p.level/p.procs, last.level/last.procs)
	return (last.procs - p.procs) * mean / (last.level - p.level)
}

// startup is a container that died before it had run for a minute, while it was
// still growing.
func (s *scene) startup() finding {
	const (
		still   = 0.05 // of the limit, by which a steady level may waver.
		plateau = 0.5  // of its life, in the middle: if it is steady there, it did run.
	)
	if s.age < 0 || s.age > aMinute {
		return lookOn()
	}
	c := s.victim.since(-s.age)
	from, to := -s.age*(0.5+plateau/2), -s.age*(0.5-plateau/2)
	if len(c) > fewPoints && c[0].t < from { // what did not move was not sampled again.
		mid := []float64{c.at(from), c.at(to)}
		for _, p := range c.since(from).until(to) {
			mid = append(mid, p.level)
		}
		slices.Sort(mid)
		if mid[len(mid)-1]-mid[0] < still*s.limit {
			return lookOn()
		}
	}
	return finding{cause: oom.CauseStartup, sure: len(c) > fewPoints, from: -s.age, low: c[0].level}
}

// ran is the part of the victim's life in which it ran: without the start.
func (s *scene) ran() curve {
	c := s.victim
	if s.age < 0 {
		return c
	}
	const start = 0.1 // of a short life; a minute of a long one.
	from := -s.age + min(aMinute, start*s.age)
	c = c.since(from)
	for len(c) > 0 && c[0].span && c[0].t < from+spanLength {
		c = c[1:]
	}
	// What does not move is not sampled again: it stood at its last level.
	if n := len(s.victim) - len(c); n > 0 && !s.victim[n-1].span && len(c) > 0 && c[0].t > from {
		stood := s.victim[n-1]
		stood.t = from
		c = append(curve{stood}, c...)
	}
	return c
}

// spanLength is the length of a coarse span, in seconds.
const spanLength = 300.0

func span(seconds float64) string {
	const longest = 100 * 365 * 86400
	if math.IsNaN(seconds) || math.Abs(seconds) > longest {
		return "more than 100 years"
	}
	return text.Duration(time.Duration(seconds * float64(time.Second)))
}

func size(bytes float64) string {
	if math.IsNaN(bytes) || math.IsInf(bytes, 0) {
		return "?"
	}
	return text.Size(uint64(max(0, bytes)))
}
