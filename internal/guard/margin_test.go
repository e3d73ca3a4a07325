// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"testing"
	"time"
)

func TestThreshold(t *testing.T) {
	m := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib}
	for _, c := range []struct {
		limit, margin uint64
		ok            bool
	}{
		{100 * mib, 2 * mib, true},
		{50 * mib, mib, true},
		{10 * mib, mib, true},      // 2 % is less than the least.
		{10 << 30, 50 * mib, true}, // 2 % is more than the most.
		{4 * mib, mib, true},       // just a quarter.
		{4*mib - 1, mib, false},    // the group would live over its threshold.
		{0, mib, false},            // nothing may be charged at all.
		{1 << 62, 50 * mib, true},  // as good as no limit.
	} {
		threshold, ok := m.Threshold(c.limit)
		if ok != c.ok || ok && threshold != c.limit-c.margin {
			t.Errorf("limit %d: threshold %d, %v; want a margin of %d, %v", c.limit, threshold, ok, c.margin, c.ok)
		}
	}
}

// TestManyCPUsWidenTheMargin has it be four times what they may have charged ahead,
// where that is not too much of the limit.
func TestManyCPUsWidenTheMargin(t *testing.T) {
	for _, c := range []struct {
		cpus          int
		limit, margin uint64
	}{
		{2, 64 * mib, 64 * mib / 50},
		{4, 64 * mib, 3 * mib},
		{4, 16 * mib, 2 * mib},  // an eighth of the limit.
		{4, 4 * mib, mib},       // not less than the least.
		{32, 1 << 30, 24 * mib}, // 2 % would be 20 MiB.
		{32, 8 << 30, 50 * mib}, // 2 %, at most.
		{128, 8 << 30, 96 * mib},
	} {
		m := Margin{Ratio: 0.02, Min: mib, Max: 50 * mib, CPUs: c.cpus}
		if got := m.Of(c.limit); got/1024 != c.margin/1024 {
			t.Errorf("%d CPUs, limit %d MiB: a margin of %d, want %d", c.cpus, c.limit/mib, got, c.margin)
		}
	}
}

// TestOneMoreMayHaveChargedAhead where there is one that ahead does not count.
func TestOneMoreMayHaveChargedAhead(t *testing.T) {
	for cpus, want := range map[int]uint64{0: 0, 1: 0, 2: charge, 3: charge, 4: charge, 32: charge} {
		if got := (Margin{CPUs: cpus}).beyond(); got != want {
			t.Errorf("%d CPUs: %d, want %d", cpus, got, want)
		}
	}
}

func TestPace(t *testing.T) {
	p := Pace{Min: 2 * time.Millisecond, Max: 5 * time.Second, Floor: 10 * mib}
	for _, c := range []struct {
		distance uint64
		fastest  float64
		want     time.Duration
	}{
		{20 * mib, 0, time.Second},                    // the floor's half time.
		{20 * mib, 100 * mib, 100 * time.Millisecond}, // half of 200 ms.
		{1 << 40, 0, 5 * time.Second},                 // bounded above,
		{0, 100 * mib, 2 * time.Millisecond},          // and below.
		{mib / 10, 1000 * mib, 2 * time.Millisecond},
	} {
		if got := p.next(c.distance, c.fastest); got != c.want {
			t.Errorf("%d bytes at %.0f bytes/s: %v, want %v", c.distance, c.fastest, got, c.want)
		}
	}
	if got := (Pace{Min: 1, Max: time.Hour}).next(1<<63, 0); got != time.Hour {
		t.Errorf("without a floor: %v, want the most", got)
	}
}

func TestGaugeRemembersTheFastest(t *testing.T) {
	var g gauge
	at := time.Unix(0, 0)
	see := func(after time.Duration, usage uint64) { at = at.Add(after); g.see(at, usage) }
	see(0, 10*mib)
	see(100*time.Millisecond, 20*mib)
	if g.fastest < 99*mib || g.fastest > 101*mib {
		t.Fatalf("fastest = %.0f, want 100 MiB/s", g.fastest)
	}
	see(time.Second, 5*mib) // what is given back is no growth,
	if g.fastest < 90*mib {
		t.Errorf("fastest = %.0f after a fall, want it remembered", g.fastest)
	}
	see(halfLife, 5*mib) // and the memory of it fades by half.
	if g.fastest < 42*mib || g.fastest > 52*mib {
		t.Errorf("fastest = %.0f after its half-life, want half", g.fastest)
	}
	see(time.Microsecond, 6*mib) // a batch of charges is no flood.
	if g.fastest > 1001*mib {
		t.Errorf("fastest = %.0f after a microsecond, want it measured over 1 ms at least", g.fastest)
	}
	see(-time.Second, 1<<40)
	if g.fastest > 1001*mib {
		t.Errorf("a clock that went back made a growth of %.0f", g.fastest)
	}
}
