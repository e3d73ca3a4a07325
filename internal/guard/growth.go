// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"math"
	"time"
)

// A group that does not grow is never hit, however near its limit it is, unless its
// tasks hang there already: a kill needs growth that was seen over the threshold and
// that would reach the limit soon. Three rules tell a leak from a workload that fills
// its memory quickly and then stops. Growth must have gone on for confirmTime over the
// threshold; it must have used up half of the margin; and the last rise must be so
// recent that another can be expected.
const (
	confirmTime = 9 * time.Millisecond
	// patience is how long growth may pause before it counts as ended. Three times
	// the longest of the last pauses counts instead if it is more, up to patienceMax.
	patience    = 25 * time.Millisecond
	patienceMax = 2 * time.Second
	// climbTime is how long usage that fell from the limit must rise again to be growth.
	climbTime = 100 * time.Millisecond
	// A gap of more than blindTime between two readings makes all earlier readings
	// worthless: the guard may have been stopped.
	blindTime = time.Second
	// standingPause is the longest time between two readings of a group that does
	// not grow, over its threshold.
	standingPause = 50 * time.Millisecond
	// stepAhead is how long before the next expected step of a stepwise growth
	// the guard acts.
	stepAhead = 40 * time.Millisecond
	// victimTime is how long a process that the kernel has killed may need to give back
	// its memory.
	victimTime = 500 * time.Millisecond
	// maxRises bounds the rises that are remembered.
	maxRises = 64
	// page is the least that the kernel charges; charge is the batch that it charges
	// ahead for each CPU (MEMCG_CHARGE_BATCH).
	page   = 4 << 10
	charge = 64 * page
	// hugePage is a transparent huge page, where pages have 4 KiB.
	hugePage = 512 * page
	// chargeTime is how long growth by one charge must take for the guard to have the time
	// to wait for it.
	chargeTime = 40 * time.Millisecond
	// shortSpan is the time over which the latest growth is measured.
	shortSpan = 10 * time.Millisecond
)

// growth is how that part of a group's memory that can't be reclaimed has grown lately.
// It follows the highest size seen, so that memory that comes and goes is not growth.
type growth struct {
	limit, threshold uint64
	ahead, beyond    uint64 // see Margin.

	rises   []rise // ascending in time and size; the first is where it began.
	current uint64
	most    uint64    // largest size read since growth began.
	fellAt  time.Time // when the size was first seen to have fallen from the limit.
	low     rise      // smallest size since fellAt, and when it was last seen.
	at      time.Time // of the last reading.
	free    uint64    // what reclaim can free, at the last look; sizes are without it.
	least   uint64    // what the group holds for certain, at the last look,
	surest  uint64    // and the same if one more CPU has charged ahead, see certain.
	huge    bool      // there were transparent huge pages at the last look.
	dipped  bool      // the size has been smaller since the last rise.
	over    int       // index of the first rise over the threshold, -1: none.
	run     int       // index of the rise that began the current growth.
	hits    uint64    // limit hits at the last look.
	hitAt   time.Time // when hits was last seen to have risen.
	hitSeen bool
	victim  rise   // size when the kernel was seen to have killed; zero once it has fallen.
	stuck   bool   // tasks hang at the limit: v1 with oom_kill_disable.
	pinned  uint64 // kernel memory that reclaim has left.
	chosen  chosen // whom to kill, if it comes to that.
	done    done   // the stages that were done.
}

// rise is a size that was reached for the first time.
type rise struct {
	at     time.Time
	size   uint64
	dipped bool // the size was smaller between the rise before and this one.
}

// reset forgets the growth and what was done about it.
func (g *growth) reset() {
	*g = growth{limit: g.limit, threshold: g.threshold, ahead: g.ahead, beyond: g.beyond, free: g.free, huge: g.huge, over: -1}
}

// overtaken starts over after a kill by the kernel.
func (g *growth) overtaken(now time.Time, usage, free uint64) {
	before := g.current
	g.reset()
	g.free = free
	g.victim = rise{at: now, size: max(before, usage-free)}
}

// awaits tells whether a victim of the kernel may still hold its memory. Until that is
// freed the kernel kills nobody else, and growth says nothing about what comes after.
func (g *growth) awaits(now time.Time) bool {
	return !g.victim.at.IsZero() && now.Sub(g.victim.at) <= victimTime
}

// setLimit sets the limit; growth that was seen under another one no longer counts.
func (g *growth) setLimit(t *Target) {
	if g.limit != t.Limit || g.threshold != t.Threshold {
		g.limit, g.threshold, g.ahead, g.beyond = t.Limit, t.Threshold, t.ahead, t.beyond
		g.reset()
	}
}

func (g *growth) margin() uint64 { return g.limit - g.threshold }

// grain is how much a size must change to be taken for growth. It is less where a huge
// page may have left so little room below the limit that growth would go unseen.
func (g *growth) grain() uint64 {
	grain := g.margin() / 64
	if g.huge && g.left() < hugePage {
		grain = min(grain, g.left()/16)
	}
	return max(grain, 8<<10)
}

// blurred tells whether usage says too little about what the group holds: the CPUs may
// have charged more ahead than the margin has room for.
func (g *growth) blurred() bool { return g.ahead > max(charge, g.margin()/4) }

// slack is how far a size may fall only because what was charged ahead was taken back.
func (g *growth) slack() uint64 { return max(g.margin()/4, g.ahead) }

// see takes one reading.
func (g *growth) see(now time.Time, size uint64) {
	if len(g.rises) > 0 && (now.Sub(g.at) > blindTime || now.Before(g.at)) {
		g.reset()
	}
	g.current, g.at = size, now
	g.most = max(g.most, size)
	if size+g.slack() < g.victim.size {
		g.victim = rise{}
	}
	if len(g.rises) == 0 {
		g.start(now, size)
		return
	}
	last := g.rises[len(g.rises)-1].size
	g.dipped = g.dipped || size+g.grain() < last
	switch {
	case size+g.slack() < last, size < g.threshold && last >= g.threshold:
		g.start(now, size)
	case size > last+g.grain():
		g.rise(now, size)
	case g.isDrained():
		g.climb(now, size)
	default:
		g.low = rise{}
	}
}

// climb follows a group that was at its limit and uses less now, because what was charged
// ahead for it has been taken back. So close to the limit the kernel charges nothing
// ahead, so a steady rise from there is growth, even to a size that was seen before.
func (g *growth) climb(now time.Time, size uint64) {
	low := g.low
	switch {
	case low.at.IsZero():
		g.low, g.fellAt = rise{at: now, size: size}, now
	case size <= low.size+g.grain():
		g.low = rise{at: now, size: min(size, low.size)}
	case size > low.size+2*g.grain() && now.Sub(low.at) >= climbTime:
		g.start(low.at, low.size)
		g.rise(now, size)
		g.run, g.most = 0, size
	}
}

// correct takes a reading, and how much of it reclaim can free. If that has become more,
// the sizes since the last look may have been cache, not growth. If the limit was hit, all
// that was charged ahead has been taken back. Otherwise a smaller size proves nothing:
// what a CPU has charged ahead comes and goes.
func (g *growth) correct(now time.Time, usage, free uint64) {
	cached := free > g.free+2*g.grain()
	g.free = free
	size := usage - free
	if g.fell(size) && (cached || g.hitAt.Equal(now) && g.wasFull()) {
		g.start(now, size)
		g.current, g.at = size, now
		return
	}
	g.see(now, size)
}

// fell tells whether a size is smaller than the last rise by more than twice the grain.
func (g *growth) fell(size uint64) bool {
	return len(g.rises) > 0 && size+2*g.grain() < g.last().size
}

// wasFull tells whether the group was seen at its limit.
func (g *growth) wasFull() bool { return g.most+min(g.grain(), charge/4) >= g.limit }

// isDrained tells whether a group may have fallen from its limit only because what was
// charged ahead for it has been taken back.
func (g *growth) isDrained() bool { return g.fell(g.current) && g.wasFull() }

// start starts over with a size that is not a rise: what it rose from is not known.
func (g *growth) start(now time.Time, size uint64) {
	g.rises = append(g.rises[:0], rise{at: now, size: size})
	g.run, g.over, g.most, g.low, g.dipped = 0, -1, size, rise{}, false
	if size >= g.threshold {
		g.over = 0
	}
}

func (g *growth) rise(now time.Time, size uint64) {
	alive := g.alive(now)
	if len(g.rises) >= maxRises {
		const drop = maxRises / 2
		g.rises = append(g.rises[:0], g.rises[drop:]...)
		g.run, g.over = max(0, g.run-drop), max(-1, g.over-drop)
		if g.over < 0 && g.rises[0].size >= g.threshold {
			g.over = 0
		}
	}
	g.rises = append(g.rises, rise{at: now, size: size, dipped: g.dipped})
	g.dipped = false
	if !alive {
		g.run = len(g.rises) - 1
	}
	if g.over < 0 && size >= g.threshold {
		g.over = len(g.rises) - 1
	}
}

// hit takes the count of limit hits, and whether tasks hang at the limit.
func (g *growth) hit(now time.Time, hits uint64, stuck bool) {
	if g.hitSeen && hits > g.hits {
		g.hitAt = now
	}
	g.hits, g.hitSeen, g.stuck = hits, true, stuck
}

// last is the rise seen last.
func (g *growth) last() rise { return g.rises[len(g.rises)-1] }

// alive tells whether the growth that was seen goes on, as far as can be known.
func (g *growth) alive(now time.Time) bool {
	n := len(g.rises)
	if n < 2 {
		return n == 1 && now.Sub(g.rises[0].at) <= patience
	}
	longest := time.Duration(0)
	for i := n - 1; i > max(0, n-4); i-- {
		longest = max(longest, g.rises[i].at.Sub(g.rises[i-1].at))
	}
	return now.Sub(g.last().at) <= min(max(patience, 3*longest), patienceMax)
}

// from is the index of the first rise of the current growth that is over the
// threshold.
func (g *growth) from() int { return max(g.run, g.over) }

// confirmed tells whether growth was seen over the threshold for long enough
// not to be the end of a quick start.
func (g *growth) confirmed() bool {
	return g.over >= 0 && g.last().at.Sub(g.rises[g.from()].at) >= confirmTime
}

// rate is the growth over the threshold in bytes a second: on the whole, or lately if
// that is more. What the CPUs may have charged ahead does not count.
func (g *growth) rate() float64 {
	if g.over < 0 || len(g.rises) == 0 {
		return 0
	}
	last, from := g.last(), g.from()
	rate := g.speed(from)
	for i := len(g.rises) - 1; i >= from; i-- {
		if last.at.Sub(g.rises[i].at) >= shortSpan {
			return max(rate, g.speed(i))
		}
	}
	return rate
}

// speed is the growth from a rise to the last one in bytes a second, without what the
// CPUs may have charged ahead, and without a huge page that may still be unused.
func (g *growth) speed(from int) float64 {
	a, b := g.rises[from], g.last()
	passed := b.at.Sub(a.at)
	if passed <= 0 {
		return 0
	}
	grown := b.size - a.size
	grown -= min(grown, g.ahead-min(g.ahead, charge))
	for i := len(g.rises) - 1; i > from; i-- {
		if g.isLeap(i) {
			grown -= min(grown, hugePage)
			break
		}
	}
	return float64(grown) / max(passed, shortest).Seconds()
}

// isLeap tells whether a rise may be a huge page, which is charged as a whole when the
// first byte of it is written.
func (g *growth) isLeap(i int) bool {
	return g.huge && i > 0 && g.rises[i].size-g.rises[i-1].size >= hugePage-charge-g.beyond
}

// hasRoom tells whether half of the margin may be gone only because of a huge page, which
// the group may take long to use. What follows the page is not known until the limit is
// hit or usage has risen three more times: two rises may be CPUs that charge ahead.
func (g *growth) hasRoom(now time.Time) bool {
	if g.left()+hugePage <= g.margin()/2 || g.isHit(now) {
		return false
	}
	last := len(g.rises) - 1
	return g.isLeap(last) || g.isLeap(last-1) || g.isLeap(last-2)
}

// left is how far the limit is.
func (g *growth) left() uint64 { return g.limit - min(g.current, g.limit) }

// timeLeft is the time to the limit at the growth seen; math.MaxInt64 if there is no
// confirmed growth.
func (g *growth) timeLeft(now time.Time) time.Duration {
	rate := g.rate()
	if rate <= 0 || !g.alive(now) || !g.confirmed() {
		return math.MaxInt64
	}
	seconds := float64(g.left()) / rate
	if seconds > time.Hour.Seconds() {
		return math.MaxInt64
	}
	return time.Duration(seconds * float64(time.Second))
}

// reaches is the time to the limit at the current growth, whether that is over the
// threshold or still below it.
func (g *growth) reaches(now time.Time) time.Duration {
	if len(g.rises) < 2 || !g.alive(now) {
		return math.MaxInt64
	}
	begun, last := g.rises[g.run], g.last()
	rate := g.speed(g.run)
	if last.at.Sub(begun.at) < confirmTime || rate <= 0 {
		return math.MaxInt64
	}
	return time.Duration(min(float64(g.left())/rate, time.Hour.Seconds()) * float64(time.Second))
}

// ends tells whether the group reaches its limit so soon that somebody must be
// killed now.
func (g *growth) ends(now time.Time, toLimit time.Duration) bool {
	return g.endsByRate(now, toLimit) || g.nextStepHits(now)
}

// endsByRate tells so by the rate of the current growth, or because tasks hang already.
// A limit hit slows growth down, so the growth seen is then too low to go by.
func (g *growth) endsByRate(now time.Time, toLimit time.Duration) bool {
	if g.current < g.threshold || len(g.rises) == 0 {
		return false
	}
	if g.stuck {
		return true
	}
	if g.hasRoom(now) {
		return false
	}
	left := g.timeLeft(now)
	return left != math.MaxInt64 && (left <= toLimit || g.isHit(now)) && g.isLate()
}

// steps describes growth by regular steps with pauses between them: the largest step, and
// the shortest and the longest time from one step to the next. Steps differ in size by
// what the kernel charges ahead. Huge pages are not such steps: where there is no room for
// one, small pages are charged.
func (g *growth) steps() (size uint64, least, most time.Duration, ok bool) {
	const known = 4
	n := len(g.rises)
	if n < known+1 {
		return 0, 0, 0, false
	}
	least = math.MaxInt64
	smallest := uint64(math.MaxUint64)
	for i := n - known; i < n; i++ {
		apart, step := g.rises[i].at.Sub(g.rises[i-1].at), g.rises[i].size-g.rises[i-1].size
		size, smallest = max(size, step), min(smallest, step)
		least, most = min(least, apart), max(most, apart)
	}
	regular := most <= 2*least && size-smallest <= size/2+charge && !g.isLeap(n-1)
	return size, least, most, regular && least >= patience && size <= g.margin()
}

// nextStepHits tells whether the next step is due and would reach the limit. It is not
// due in the first half of a pause: after that it can be seen whether the threads really
// pause or only wait for a CPU.
func (g *growth) nextStepHits(now time.Time) bool {
	if g.current < g.threshold {
		return false
	}
	size, least, most, ok := g.steps()
	since := now.Sub(g.last().at)
	return ok && g.current+size+page >= g.limit && since >= max(least/2, least-stepAhead) && since <= 2*most
}

// pause is how long the group may go unread while it is over its threshold: half the
// time that it needs to reach the size at which somebody is killed or, if it does not
// grow, an eighth of the time since it last grew, within bounds.
func (g *growth) pause(now time.Time, toLimit, least time.Duration) time.Duration {
	most := standingPause
	if len(g.rises) == 0 {
		return least
	}
	if _, _, _, ok := g.steps(); ok {
		most = stepAhead / 2
	}
	stood := now.Sub(g.last().at)
	rate := g.rate()
	if !g.alive(now) || rate <= 0 {
		return min(max(least, stood/8), most)
	}
	if !g.confirmed() {
		return least
	}
	zone := min(rate*toLimit.Seconds(), float64(g.margin()/2))
	far := (float64(g.left()) - zone) / rate / 2
	return min(max(least, time.Duration(max(0, far)*float64(time.Second))), most)
}
