// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The growth, in bytes a second, that must be expected of a group at any time: little
// where the kernel tells when a mark is crossed, or where the group at the top shows
// growth; much where nothing does.
const (
	floorArmed   = 8 << 20
	floorCovered = 4 << 20
	floorAlone   = 128 << 20
)

const (
	// tickMin and tickMax bound the time between two readings of the groups at the top.
	// In between, it is the time in which the nearest group would go 6/8 of its way to
	// the threshold at the fastest growth that must be met. Another eighth may pass
	// without a look, so one eighth is left, and the margin.
	tickMin = 50 * time.Millisecond
	tickMax = time.Second
	// idleCovered is how long a group may go unread while its top hardly moves.
	idleCovered = time.Minute
	// blindScan is the scan interval where nothing tells of new groups.
	blindScan = 30 * time.Second
	// pause is the least time between two looks at the same group: for one at its
	// limit, the kernel sends notices all the time.
	pause = 5 * time.Millisecond
)

// watched is a target with what the loop knows of it.
type watched struct {
	Target
	token    uint32
	meter    Meter
	armed    bool   // the kernel tells when a mark is crossed.
	early    uint64 // usage from which it is polled even if armed.
	gauge    gauge  // of the usage.
	growth   growth // of the part that reclaim can't free, near the limit.
	surveyed time.Time
	prepared bool          // reclaim was tried in the current growth.
	kills    oom.Amount    // kills by the kernel so far.
	cooled   time.Time     // the end of the cool-down.
	used     time.Duration // by looks that came to nothing.
	spentAt  time.Time     // when used was last brought up to date.
	held     bool          // the group is not looked at before it is due, whatever happens.
	distance uint64
	due      time.Time
	read     time.Time // when its usage was last read.
	hurried  bool      // something has happened: it must be read.
	judged   time.Time
	busy     bool
	over     bool
	probing  probing
	top      *top
	seen     uint64 // top.grown when the usage was last read,
	moved    uint64 // and top.moved.
	outcome  Outcome
}

// step does all that is due and returns how long to wait.
func (g *Guard) step(ctx context.Context) time.Duration {
	g.takeScan()
	g.takeResults()
	g.takeProbed()
	now := g.o.Now()
	g.stats.update(func(s *Stats) { s.Stepped = now })
	ticked := g.readTops(now)
	if g.changed || !g.next.After(now) || g.alarmed() {
		g.visit(ctx, now)
	}
	next := g.next
	if !g.tick.IsZero() || ticked {
		if soon := now.Add(max(g.ticks, tickMin)); ticked || soon.Before(g.tick) {
			g.tick = soon
		}
		next = earlier(next, g.tick)
	}
	return max(0, next.Sub(now))
}

// visit goes through all groups, meets those that are due, and sets when it must run
// again. At rest that is seldom: a thousand groups do not fit into a CPU's caches.
func (g *Guard) visit(ctx context.Context, now time.Time) {
	g.changed = false
	g.next, g.ticks = now.Add(g.o.Pace.Max), tickMax
	for _, t := range g.tops {
		t.alarm = math.MaxUint64
	}
	for token, w := range g.watched {
		if w.busy {
			continue
		}
		if w.top != nil && w.top.grown-w.seen > w.distance/8 && w.judged.IsZero() && !w.held {
			w.due = now
		}
		if w.stirred() && w.judged.IsZero() && !w.held {
			w.due = earlier(w.due, together(w.read, g.rest(w, w.gauge.usage)))
		}
		if !w.due.After(now) && !g.postpone(w, now) && !g.meet(ctx, w, now) {
			g.drop(token)
			g.wantScan()
			continue
		}
		if w.busy {
			continue
		}
		g.next = earlier(g.next, w.due)
		if w.top != nil && w.judged.IsZero() {
			w.top.alarm = min(w.top.alarm, w.seen+w.distance/8)
		}
		if w.distance > 0 {
			g.ticks = min(g.ticks, w.soonest())
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// postpone tells whether a group that is due need not be read, because the group at its
// top has hardly moved, up or down, since the last reading. If so, it sets a new due time.
func (g *Guard) postpone(w *watched, now time.Time) bool {
	if w.top == nil || w.stirred() || w.hurried || w.distance == 0 || w.top.moved-w.moved > w.distance/16 || now.Sub(w.read) >= idleCovered {
		return false
	}
	rest := g.rest(w, w.gauge.usage)
	if now.Sub(w.top.at) > rest/4 {
		return false // what is known of the top is too old for this group.
	}
	w.gauge.see(now, w.gauge.usage)
	if now.Sub(w.read) < time.Second {
		w.due = together(now, rest)
		return true
	}
	// This is not a pause in growth, and the tops will tell when it grows: all such
	// groups are looked at in one visit.
	most := g.o.Pace.Max
	w.due = now.Add(most - time.Duration(now.UnixNano()%int64(most)))
	return true
}

// together is when a group is due again after a rest, up to a quarter sooner so
// that groups are due at the same times: a wake costs more than a read.
func together(now time.Time, rest time.Duration) time.Time {
	grid := int64(time.Millisecond)
	for grid <= int64(rest)/8 {
		grid *= 2
	}
	due := now.Add(rest)
	if early := time.Duration(due.UnixNano() % grid); early < rest {
		return due.Add(-early)
	}
	return due
}

// meet reads one group and sets when to look again. It returns false when the
// group is gone.
func (g *Guard) meet(ctx context.Context, w *watched, now time.Time) bool {
	usage, err := w.meter.Usage()
	if err != nil {
		return false
	}
	if w.held {
		w.held = false
		w.meter.Mute(false)
	}
	w.gauge.see(now, usage)
	w.read, w.hurried = now, false
	if w.top != nil {
		w.seen, w.moved = w.top.grown, w.top.moved
	}
	if usage >= w.Threshold {
		w.distance = 0
		g.approach(ctx, w, now, usage)
		return true
	}
	if w.over || usage >= w.early {
		w.growth.setLimit(&w.Target)
		w.growth.see(now, usage-min(w.growth.free, usage))
		g.probe(w, now, usage)
	}
	w.below(g)
	w.distance = w.Threshold - usage
	if w.distance > (w.Limit-w.Threshold)/4 { // a smaller fall does not end a growth.
		w.growth.done = done{}
	}
	w.due = together(now, g.rest(w, usage))
	return true
}

// below notes that the usage is below the threshold: whatever was done about
// the group has had its effect, and what crosses the threshold next is new.
func (w *watched) below(g *Guard) {
	w.over, w.judged, w.surveyed, w.prepared = false, time.Time{}, time.Time{}, false
	if !w.cooled.IsZero() {
		w.cooled = time.Time{}
		g.limiter.recovered(w.GroupID)
	}
}

const (
	// surveyAge is how long the size of a group's cache, as found by a look, is used.
	surveyAge = 10 * time.Second
	// drainedAge is the same where the limit may have been hit since.
	drainedAge = 50 * time.Millisecond
	// cooling is the time between two readings of a group that is in its cool-down.
	cooling = 5 * time.Millisecond
)

// approach follows a group over its threshold. Reading its usage is enough where little
// of that is cache; otherwise, and where the group is about to reach its limit, a worker
// takes a closer look.
func (g *Guard) approach(ctx context.Context, w *watched, now time.Time, usage uint64) {
	if !w.over {
		w.over = true
		g.stats.update(func(s *Stats) { s.Crossings++ })
	}
	if now.Before(w.cooled) {
		w.due = now.Add(cooling)
		return
	}
	if w.surveyed.IsZero() || w.growth.free > (w.Limit-w.Threshold)/8 {
		g.hand(ctx, w, now)
		return
	}
	w.growth.setLimit(&w.Target)
	w.growth.see(now, usage-min(w.growth.free, usage))
	switch {
	case w.growth.ends(now, g.o.TimeToLimit), now.Sub(w.surveyed) > surveyAge, w.growth.isDrained() && w.surveyed.Before(w.growth.fellAt) && now.Sub(w.surveyed) > drainedAge:
		g.hand(ctx, w, now)
	case g.stageDue(&w.growth, w.growth.timeLeft(now)):
		g.hand(ctx, w, now)
	case !w.prepared && w.growth.timeLeft(now) <= reclaimAhead:
		w.prepared = true
		g.hand(ctx, w, now)
	default:
		w.due = aligned(now, w.growth.pause(now, g.o.TimeToLimit, g.o.Pace.Min))
	}
}

// aligned is when a group is due after a rest. Groups that do not grow are all due at
// the same times, since a wake costs more than a read.
func aligned(now time.Time, rest time.Duration) time.Time {
	if rest < standingPause {
		return now.Add(rest)
	}
	return now.Add(rest - time.Duration(now.UnixNano()%int64(rest)))
}

// fastest is the growth that must be expected of a group: the fastest seen, but no more
// than what can be acted on in time.
func (w *watched) fastest() float64 {
	return min(w.gauge.fastest, float64(w.Limit-w.Threshold)/hopeless.Seconds())
}

// soonest is 6/8 of the time that the group needs to reach its threshold if it grows
// by its margin in twice the hopeless time.
func (w *watched) soonest() time.Duration {
	return time.Duration(float64(w.distance) / float64(w.Limit-w.Threshold) * 6 / 8 * float64(2*hopeless))
}

// rest is how long a group below its threshold is left alone.
func (g *Guard) rest(w *watched, usage uint64) time.Duration {
	pace := g.o.Pace
	switch {
	case w.armed && (w.top == nil || usage >= w.early):
		pace.Floor = floorArmed
	case w.stirred():
		many := max(crowd, g.unarmed)
		pace.Floor = max(floorCovered, floorAlone*crowd/uint64(many))
		pace.Max = min(pace.Max, stirredMax*time.Duration(many)/crowd)
	case w.top != nil:
		pace.Floor = floorCovered
	default:
		pace.Floor = floorAlone
	}
	if g.cached(w) {
		pace.Min = max(pace.Min, cachedMin)
	}
	return pace.next(w.distance, w.fastest())
}

// hand gives a group over its threshold to a worker, if one is free.
func (g *Guard) hand(ctx context.Context, w *watched, now time.Time) {
	select {
	case g.slots <- struct{}{}:
	default:
		w.due = now.Add(g.o.Pace.Min)
		return
	}
	w.busy = true
	t, token := w.Target, w.token
	t.kills = w.kills
	g.running.Go(func() {
		release := g.leave()
		a := g.judge(context.WithoutCancel(ctx), t, &w.growth, now)
		release()
		g.results <- result{token, a}
		g.o.Bell.Wake()
	})
}

// leave gives a worker's slot back when the function that it returns is called, or after
// slotTime: a group that takes long must not keep others waiting.
func (g *Guard) leave() func() {
	var once sync.Once
	give := func() { once.Do(func() { <-g.slots }) }
	late := time.AfterFunc(slotTime, func() {
		if g.stuck.Add(1) <= maxStuck {
			give()
		}
	})
	return func() {
		if !late.Stop() {
			g.stuck.Add(-1)
		}
		give()
	}
}

// takeResults takes what the workers have given back.
func (g *Guard) takeResults() {
	for {
		select {
		case r := <-g.results:
			g.finish(r)
		default:
			return
		}
	}
}

func (g *Guard) finish(r result) {
	a := &r.action
	w := g.watched[r.token]
	if w == nil {
		g.tell(a, "")
		return
	}
	g.tell(a, w.outcome)
	now := g.o.Now()
	w.busy, w.outcome, w.judged, g.changed = false, a.Outcome, now, true
	w.noteProbe()
	if a.Usage > 0 { // it was looked at.
		w.kills, w.surveyed = a.kills, now
	}
	if a.Target.Limit != w.Limit {
		g.resize(w)
	}
	w.due = now.Add(g.after(w, a, now))
}

// after is how long a group is left alone after a look.
func (g *Guard) after(w *watched, a *Action, now time.Time) time.Duration {
	switch a.Outcome {
	case OutcomeKilled, OutcomeIncomplete:
		w.cooled = now.Add(g.o.CoolDown)
		w.growth.reset()
		return cooling
	case OutcomeBelow:
		w.below(g)
		w.distance = a.Target.Threshold - min(a.Usage, a.Target.Threshold)
		return w.spend(a, now, g.rest(w, a.Usage))
	case OutcomeReclaimable:
		p := Pace{Min: 2 * pause, Max: g.o.Pace.Max, Floor: floorAlone}
		return w.spend(a, now, p.next(a.Reclaimable-min(g.spared(a.Target.Limit), a.Reclaimable), w.growth.rate()))
	case OutcomeStanding, OutcomeOvertaken, OutcomeTerminated:
		rest := w.growth.pause(now, g.o.TimeToLimit, g.o.Pace.Min)
		if w.growth.free > (w.Limit-w.Threshold)/8 {
			return w.spend(a, now, rest)
		}
		return rest
	case OutcomeRateLimited, OutcomeDying, OutcomeCoolDown:
		return 100 * time.Millisecond
	case OutcomeGone:
		g.wantScan()
		return 100 * time.Millisecond
	case OutcomeSwitchedOff, OutcomeFailed:
		return time.Second
	default:
		return max(g.o.CoolDown, 100*time.Millisecond)
	}
}

// Looks that come to nothing, such as those at a group that page cache keeps at its
// limit, take at most a hundredth of a CPU per group in the long run. The time measured
// for a look is about a fifth of what it costs in all on a busy node.
const (
	lookShare = 500
	lookBurst = 30 * time.Millisecond
	// cachedMin is the least time between two readings of a group with more cache than
	// its margin: the memory that can't be reclaimed has more than a margin to go.
	cachedMin = 20 * time.Millisecond
)

// cached tells whether a group had so much cache at the last look that it was in
// no danger.
func (g *Guard) cached(w *watched) bool {
	return float64(w.growth.free) > float64(w.Limit)*g.o.ReclaimableShare && w.growth.free > 2*(w.Limit-w.Threshold)
}

// spend notes how long a look took, and returns how long to wait for the next one: rest
// or, once lookBurst is used up, perhaps longer and then without notices in between.
func (w *watched) spend(a *Action, now time.Time, rest time.Duration) time.Duration {
	if !w.spentAt.IsZero() {
		w.used -= min(w.used, now.Sub(w.spentAt)/lookShare)
	}
	w.spentAt = now
	w.used = min(w.used+a.Reaction, 2*lookBurst)
	// The memory that can't be reclaimed has this many margins to go. At the fastest
	// growth that must be met, each takes 50 ms; half of that is waited.
	room := float64(a.Reclaimable)/float64(w.Limit-w.Threshold) - 1
	most := time.Duration(max(0, room) * float64(25*time.Millisecond))
	if hold := min(lookShare*a.Reaction, most, time.Second); w.used > lookBurst && hold > rest {
		w.held = true
		w.meter.Mute(true)
		return hold
	}
	return rest
}

// hear takes the notices of a Wait.
func (g *Guard) hear(notices []Notice) {
	if len(notices) == 0 {
		return
	}
	g.changed = true
	now := g.o.Now()
	for _, n := range notices {
		switch n.Kind {
		case NoticeTree:
			g.wantScan()
		case NoticePressure:
			for _, w := range g.watched {
				if !w.armed {
					w.hurry(now, false)
				}
			}
		case NoticeLimit:
			if w := g.watched[n.Token]; w == nil || w.busy {
				g.wantScan()
			} else {
				g.resize(w)
				w.due = now
			}
		default:
			if w := g.watched[n.Token]; w != nil {
				w.hurry(now, true)
			}
		}
	}
	g.stats.update(func(s *Stats) {
		for _, n := range notices {
			s.Notices[n.Kind]++
		}
	})
}

// hurry makes a group due, though not just after a worker has looked at it. itself says
// that the notice is about the group itself: then it is read even if its top has not moved.
func (w *watched) hurry(now time.Time, itself bool) {
	w.hurried = w.hurried || itself
	at := now
	if w.held {
		return
	}
	if soon := w.judged.Add(pause); !w.judged.IsZero() && soon.After(now) {
		at = soon
	}
	if at.Before(w.due) {
		w.due = at
	}
}
