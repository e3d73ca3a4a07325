// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"testing"
	"time"
)

func TestRelated(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"/a", "/a", true},
		{"/a", "/a/b", true},
		{"/a/b/c", "/a", true},
		{"/", "/a", true},
		{"/a", "/ab", false},
		{"/a/b", "/a/c", false},
		{"/a/bc", "/a/b", false},
	} {
		if got := related(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

func TestCoolDownHoldsForAboveAndBelow(t *testing.T) {
	at := time.Unix(0, 0)
	l := newLedger(1000, 10*time.Second, at.Add(-time.Hour))
	if got := l.reserve("/pod/a", at); got != "" {
		t.Fatal(got)
	}
	for path, want := range map[string]bool{"/pod/a": true, "/pod": true, "/pod/a/b": true, "/pod/b": false} {
		if got := l.cools(path, at.Add(9*time.Second)); got != want {
			t.Errorf("%s cools: %v", path, got)
		}
	}
	if l.cools("/pod/a", at.Add(10*time.Second)) {
		t.Error("it cools for too long")
	}
}

// However the calls come, no minute has more kills than the bound.
func TestNoMinuteHasMoreKillsThanTheBound(t *testing.T) {
	const bound = 5
	start := time.Unix(0, 0)
	l := newLedger(bound, time.Second, start)
	var granted []time.Time
	for i := range 3000 {
		at := start.Add(time.Duration(i) * 100 * time.Millisecond)
		if l.reserve(fmt.Sprintf("/g%d", i), at) == "" {
			granted = append(granted, at)
		}
	}
	for i := range granted {
		if i >= bound && granted[i].Sub(granted[i-bound]) < time.Minute {
			t.Errorf("kills %d to %d lie within %v", i-bound, i, granted[i].Sub(granted[i-bound]))
		}
	}
	if len(granted) < 4*bound {
		t.Errorf("%d kills in 5 minutes: the bound is not used", len(granted))
	}
}

// A guard that is killed and restarted all the time knows nothing of the
// kills before: each life has one until it is old enough for more.
func TestAFreshGuardMayKillOnce(t *testing.T) {
	start := time.Unix(0, 0)
	l := newLedger(60, time.Second, start)
	for i, want := range []Outcome{"", OutcomeRateLimited, OutcomeRateLimited} {
		if got := l.reserve(fmt.Sprintf("/g%d", i), start); got != want {
			t.Errorf("kill %d at the start: %q, want %q", i, got, want)
		}
	}
	if got := l.reserve("/late", start.Add(time.Second)); got != "" {
		t.Errorf("a second later: %q", got)
	}
	if got := newLedger(0, 0, start).reserve("/x", start); got != OutcomeRateLimited {
		t.Errorf("a bound of 0: %q", got)
	}
}

func TestRefund(t *testing.T) {
	start := time.Unix(0, 0)
	l := newLedger(1, time.Minute, start)
	if l.reserve("/a", start) != "" {
		t.Fatal("not granted")
	}
	l.refund("/a", start)
	if l.cools("/a", start) {
		t.Error("a refunded group cools")
	}
	if got := l.reserve("/b", start); got != "" {
		t.Errorf("after a refund: %q", got)
	}
}
