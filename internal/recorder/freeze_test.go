// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"math/rand/v2"
	"testing"
	"time"
)

// usageAt is what slots say of usage at a time, as who draws them sees it: on a
// straight line between two of them.
func usageAt(slots []slot, at stamp) float64 {
	for i := range slots {
		b := &slots[i]
		if b.at < at && i < len(slots)-1 {
			continue
		}
		if i == 0 || b.at <= at {
			return b.usage.or(0)
		}
		a := &slots[i-1]
		return a.usage.or(0) + (b.usage.or(0)-a.usage.or(0))*float64(at-a.at)/float64(b.at-a.at)
	}
	return 0
}

// usageBetween returns the least and the most usage from one time to another.
func usageBetween(slots []slot, from, to stamp) (low, high float64) {
	low, high = usageAt(slots, from), usageAt(slots, from)
	take := func(usage float64) { low, high = min(low, usage), max(high, usage) }
	take(usageAt(slots, to))
	for i := range slots {
		if s := &slots[i]; s.at > from && s.at < to {
			take(s.usage.or(0))
		}
	}
	return low, high
}

// TestThinned holds the thinned samples against all of them: at no time, nor between two
// samples, may they say what was not so within two seconds. Plateaus of all lengths begin
// and end right after another sample.
func TestThinned(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		var s series
		at, usage := stamp(1000), packed(1000)
		for at < 100_000 {
			v := slot{at: at, usage: usage, limit: 50_000}
			if r.IntN(2) == 0 {
				v.unreclaimable, v.anon = usage, usage
			}
			s.add(v, fineWindow())
			switch r.IntN(8) {
			case 0:
				at += stamp(r.IntN(20_000))
				s.seen = at - stamp(r.IntN(900)) // it stood still until then.
			case 1, 2:
				usage = packed(1000 + r.IntN(40_000))
			default:
				usage += packed(r.IntN(500))
			}
			at = max(at, s.seen) + stamp(50+r.IntN(1100))
		}
		all := s.slots()
		killed := all[len(all)-1].at
		kept := thin(s.slots(), killed)
		for now := all[0].at; now <= killed; now = now.add(300 * time.Millisecond) {
			low, high := usageBetween(all, now.add(-2*time.Second), now.add(2*time.Second))
			if got := usageAt(kept, now); got < low-1e-6 || got > high+1e-6 {
				t.Fatalf("seed %d: %v before the kill it says %.0f pages; it was between %.0f and %.0f", seed, killed.since(now), got, low, high)
			}
		}
		older := 0
		for i := range kept {
			if killed.since(kept[i].at) > finest {
				older++
			}
		}
		if most := 2*int(killed.since(all[0].at)/(baseGap-fastGap)) + 2; older > most {
			t.Errorf("seed %d: %d samples are kept, at most %d expected", seed, older, most)
		}
	}
}
