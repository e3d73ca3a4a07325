// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// watch lets a size develop over time, reads it as the loop would, and returns
// the size at which somebody would be killed, 0 if never.
func watch(limit uint64, size func(at time.Duration) uint64, last, phase time.Duration) uint64 {
	none := func(time.Duration) uint64 { return 0 }
	return watchBlurred(limit, size, none, none, last, phase)
}

// watchBlurred is watch on CPUs that charge ahead, which is in the usage, and with
// statistics that lag behind. The limit is reached when the size has reached it:
// the kernel takes back what was charged ahead.
func watchBlurred(limit uint64, size, ahead, lag func(at time.Duration) uint64, last, phase time.Duration) uint64 {
	const toLimit, least = 250 * time.Millisecond, 2 * time.Millisecond
	m := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}
	threshold, _ := m.Threshold(limit)
	var g growth
	g.setLimit(&Target{Limit: limit, Threshold: threshold, ahead: charge})
	for at := phase; at < last; {
		now := time.Unix(0, 0).Add(at)
		real := size(at)
		if real >= limit {
			return 0
		}
		current := min(limit, real+ahead(at))
		g.see(now, current)
		g.least = max(real-lag(at), current-min(charge, g.margin()/4))
		g.surest = g.least
		if ends, _ := g.endsForCertain(now, toLimit); ends {
			return real
		}
		if current < threshold {
			at += least
			continue
		}
		at += g.pause(now, toLimit, least)
	}
	return 0
}

// linear grows at a rate in bytes a second, in steps of so long, up to a size.
func linear(from, to uint64, rate float64, step time.Duration) func(time.Duration) uint64 {
	return func(at time.Duration) uint64 {
		return min(to, from+uint64(rate*at.Truncate(step).Seconds()))
	}
}

var limits = []uint64{4 * mib, 16 * mib, 64 * mib, 256 * mib, 1024 * mib, 4096 * mib}

// TestStandingIsNoGrowth fills groups at every rate up to half a margin and more
// below their limits, where they stand: nobody is killed.
func TestStandingIsNoGrowth(t *testing.T) {
	for _, limit := range limits {
		margin := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}.Of(limit)
		for _, rest := range []float64{0.55, 0.6, 0.75, 0.9} {
			stand := limit - uint64(rest*float64(margin))
			for _, ms := range []float64{1, 2, 5, 10, 15, 20, 22, 25, 30, 40, 70, 100, 300, 1000} { // for one margin.
				for _, step := range []time.Duration{1, 10 * time.Millisecond} {
					for phase := range 10 {
						rate := float64(margin) / ms * 1000
						size := linear(limit-2*margin, stand, rate, step)
						if at := watch(limit, size, 5*time.Second, time.Duration(phase)*time.Millisecond/3); at > 0 {
							t.Errorf("limit %d MiB, stands %.2f margins below it, filled by a margin in %v ms by steps of %v: killed", limit/mib, rest, ms, step)
						}
					}
				}
			}
		}
	}
}

// TestChargesAheadAreNoGrowth fills groups up to 0.65 margins below their limits
// by a process that is on one CPU, and was on another, which has some charged ahead
// still, while the statistics lag behind: nobody is killed. One that does not stop is killed before its limit.
func TestChargesAheadAreNoGrowth(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, limit := range []uint64{4 * mib, 24 * mib, 64 * mib, 128 * mib} {
		margin := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}.Of(limit)
		stand := limit - uint64(0.65*float64(margin))
		for _, ms := range []float64{12, 21, 25.6, 30, 51, 100, 500} { // for one margin.
			wrong, late := 0, 0
			for range 200 {
				rate := float64(margin) / ms * 1000
				begin := limit - 3*margin - rng.Uint64N(margin)
				left, used := rng.Uint64N(charge/2), rng.Uint64N(charge)
				lag := func(at time.Duration) uint64 { return uint64(at) * 7919 % (2 * charge) }
				ahead := func(size func(time.Duration) uint64) func(time.Duration) uint64 {
					return func(at time.Duration) uint64 { return left + charge - (size(at)+used)%charge }
				}
				phase := time.Duration(rng.IntN(2000)) * time.Microsecond
				size := linear(begin, stand, rate, 10*time.Millisecond)
				if watchBlurred(limit, size, ahead(size), lag, 5*time.Second, phase) > 0 {
					wrong++
				}
				size = linear(begin, 2*limit, rate, 10*time.Millisecond)
				if ms > 25 && watchBlurred(limit, size, ahead(size), lag, 5*time.Second, phase) == 0 {
					late++
				}
			}
			if wrong > 0 || late > 0 {
				t.Errorf("limit %d MiB, a margin in %v ms: %d of 200 that stood were killed, %d of those that grew on were not", limit/mib, ms, wrong, late)
			}
		}
	}
}

// TestNearnessAloneIsNoGrowth has groups that were filled at once, as near to
// their limit as can be, and such that waver there.
func TestNearnessAloneIsNoGrowth(t *testing.T) {
	for _, limit := range limits {
		margin := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}.Of(limit)
		for _, rest := range []uint64{4096, margin / 100, margin / 10, margin / 3, margin / 2} {
			stand := limit - rest
			for name, size := range map[string]func(time.Duration) uint64{
				"stands": func(time.Duration) uint64 { return stand },
				"filled": func(at time.Duration) uint64 { return min(stand, uint64(at.Seconds()*float64(limit)*1000)) },
				"wavers": func(at time.Duration) uint64 {
					return stand - margin/8*uint64(at/(5*time.Millisecond)%3)
				},
			} {
				if at := watch(limit, size, 10*time.Second, 0); at > 0 {
					t.Errorf("limit %d MiB, %s %d bytes below it: killed", limit/mib, name, rest)
				}
			}
		}
	}
}

// TestGrowthEnds has leaks of every rate, smooth and by steps of 10 ms: where
// the margin lasts for 20 ms, somebody is killed before the limit.
func TestGrowthEnds(t *testing.T) {
	for _, limit := range limits {
		margin := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}.Of(limit)
		for _, ms := range []float64{21, 25.6, 30, 51, 100, 500, 1280, 5000, 20000} {
			for _, step := range []time.Duration{1, 10 * time.Millisecond} {
				if margin <= 4*charge && step > 1 && ms < 50 {
					continue // such steps can't be told from what the kernel charges ahead.
				}
				for phase := range 20 {
					rate := float64(margin) / ms * 1000
					size := linear(limit-2*margin, limit, rate, step)
					at := watch(limit, size, 2*time.Minute, time.Duration(phase)*time.Millisecond/2)
					left := time.Duration(float64(limit-at) / rate * float64(time.Second))
					if at == 0 {
						t.Errorf("limit %d MiB, a margin in %v ms by steps of %v, phase %d: not killed", limit/mib, ms, step, phase)
					} else if most := 300*time.Millisecond + time.Duration(2*ms/64)*time.Millisecond; ms > 50 && left > most {
						t.Errorf("limit %d MiB, a margin in %v ms by steps of %v: killed %v before the limit", limit/mib, ms, step, left)
					}
				}
			}
		}
	}
}

// TestStarvedLeaksAreMet has leaks whose process has to wait for a CPU now and then:
// where the margin lasts for 50 ms, somebody is killed before the limit in 99 of
// 100. The rest jump from below the middle of the margin to the limit at a time
// when growth seems to have ended.
func TestStarvedLeaksAreMet(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	late, n := 0, 0
	for _, limit := range []uint64{64 * mib, 512 * mib, 1024 * mib} {
		margin := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}.Of(limit)
		for _, ms := range []float64{51, 100} {
			for _, mean := range []float64{10, 20, 40} { // in milliseconds.
				for range 100 {
					step := uint64(float64(margin) / ms * 10)
					begin := limit - 5*margin - rng.Uint64N(margin)
					var at []time.Duration // of each step.
					for now, size := time.Duration(0), begin; size < limit+step; size += step {
						now += 10*time.Millisecond + time.Duration(rng.ExpFloat64()*mean*float64(time.Millisecond))
						at = append(at, now)
					}
					size := func(now time.Duration) uint64 {
						n, _ := slices.BinarySearch(at, now+1)
						return begin + uint64(n)*step
					}
					if n++; watch(limit, size, 10*time.Second, 0) == 0 {
						late++
						t.Logf("limit %d MiB, a margin in %v ms, delays of %v ms: not killed", limit/mib, ms, mean)
					}
				}
			}
		}
	}
	if late*100 > n {
		t.Errorf("%d of %d were not killed", late, n)
	}
}

// TestStepsEnd has growth by steps with pauses, of up to four fifths of the
// margin: somebody is killed before the step that would reach the limit.
func TestStepsEnd(t *testing.T) {
	for _, limit := range limits {
		margin := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}.Of(limit)
		for _, part := range []float64{0.1, 0.3, 0.8} {
			for _, apart := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond} {
				for phase := range 10 {
					rate := part * float64(margin) / apart.Seconds()
					begin := limit - 4*margin + uint64(float64(phase)*part*float64(margin)/10)
					if at := watch(limit, linear(begin, limit, rate, apart), time.Minute, 0); at == 0 {
						t.Errorf("limit %d MiB, steps of %.1f margins each %v, phase %d: not killed", limit/mib, part, apart, phase)
					}
				}
			}
		}
	}
}

// TestAStarvedFillIsNoGrowth has groups that are filled at once by a process that
// gets a CPU now and then only: in steps, of which the next would reach the limit.
func TestAStarvedFillIsNoGrowth(t *testing.T) {
	for _, limit := range limits {
		margin := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}.Of(limit)
		for _, part := range []float64{1.1, 2, 5} { // of a margin.
			for _, apart := range []time.Duration{25 * time.Millisecond, 35 * time.Millisecond, 75 * time.Millisecond} {
				for _, rest := range []float64{0.55, 0.9} {
					stand := limit - uint64(rest*float64(margin))
					size := linear(0, stand, part*float64(margin)/apart.Seconds(), apart)
					if at := watch(limit, size, 20*time.Second, 0); at > 0 {
						t.Errorf("limit %d MiB, filled by steps of %.1f margins each %v, stands %.2f margins below it: killed", limit/mib, part, apart, rest)
					}
				}
			}
		}
	}
}

// TestOldGrowthIsWorthless has a guard that was stopped: what it sees first
// tells it nothing, and after the kernel has killed it begins anew.
func TestOldGrowthIsWorthless(t *testing.T) {
	var g growth
	g.setLimit(&Target{Limit: 100 * mib, Threshold: 98 * mib, ahead: charge})
	at := time.Unix(0, 0)
	for range 20 {
		at = at.Add(2 * time.Millisecond)
		g.see(at, 98*mib+uint64(at.UnixMilli())*20<<10)
	}
	if g.timeLeft(at) > time.Second {
		t.Fatal("no growth seen")
	}
	at = at.Add(2 * time.Second)
	g.see(at, 99*mib+mib/2)
	if g.ends(at, time.Hour) {
		t.Error("killed by what was seen before a stop")
	}
	g.setLimit(&Target{Limit: 200 * mib, Threshold: 196 * mib, ahead: charge})
	if g.ends(at, time.Hour) || len(g.rises) > 0 {
		t.Error("killed by what was seen under another limit")
	}
}

// TestHitsNeedGrowth: limit hits alone kill nobody, hits with growth do.
func TestHitsNeedGrowth(t *testing.T) {
	var g growth
	g.setLimit(&Target{Limit: 100 * mib, Threshold: 98 * mib, ahead: charge})
	at := time.Unix(0, 0)
	for i := range uint64(100) {
		at = at.Add(5 * time.Millisecond)
		g.see(at, 99*mib)
		g.hit(at, i, false)
		if g.ends(at, 100*time.Millisecond) {
			t.Fatal("hits without growth")
		}
	}
	for i := range uint64(10) {
		at = at.Add(5 * time.Millisecond)
		g.see(at, 99*mib+i*40<<10)
		g.hit(at, 100+i, false)
	}
	if !g.ends(at, time.Millisecond) {
		t.Error("hits that rise with growth")
	}
	g.reset()
	g.see(at, 100*mib)
	g.hit(at, 0, true)
	if !g.ends(at, 0) {
		t.Error("tasks that hang at the limit")
	}
}
