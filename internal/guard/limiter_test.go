// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func group(path string) oom.GroupID { return oom.GroupID{Path: path, Inode: 7} }

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
	l := newLimiter(1000, 1000, 10*time.Second, at.Add(-time.Hour))
	if got := l.reserve(group("/pod/a"), "t", at); got != "" {
		t.Fatal(got)
	}
	for path, want := range map[string]bool{"/pod/a": true, "/pod": true, "/pod/a/b": true, "/pod/b": false} {
		if got := l.cools(group(path), at.Add(9*time.Second)); got != want {
			t.Errorf("%s cools: %v", path, got)
		}
	}
	if l.cools(group("/pod/a"), at.Add(10*time.Second)) {
		t.Error("it cools for too long")
	}
}

// However the calls come, no minute has more kills than the bound.
func TestNoMinuteHasMoreKillsThanTheBound(t *testing.T) {
	const bound = 5
	start := time.Unix(0, 0)
	l := newLimiter(bound, bound, time.Second, start)
	var granted []time.Time
	for i := range 3000 {
		at := start.Add(time.Duration(i) * 100 * time.Millisecond)
		if l.reserve(group(fmt.Sprintf("/g%d", i)), "t", at) == "" {
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
	l := newLimiter(60, 60, time.Second, start)
	for i, want := range []Outcome{"", OutcomeRateLimited, OutcomeRateLimited} {
		if got := l.reserve(group(fmt.Sprintf("/g%d", i)), "t", start); got != want {
			t.Errorf("kill %d at the start: %q, want %q", i, got, want)
		}
	}
	if got := l.reserve(group("/late"), "t", start.Add(time.Second)); got != "" {
		t.Errorf("a second later: %q", got)
	}
	if got := newLimiter(0, 0, 0, start).reserve(group("/x"), "t", start); got != OutcomeRateLimited {
		t.Errorf("a bound of 0: %q", got)
	}
}

func TestRefund(t *testing.T) {
	start := time.Unix(0, 0)
	l := newLimiter(1, 1, time.Minute, start)
	if l.reserve(group("/a"), "t", start) != "" {
		t.Fatal("not granted")
	}
	l.refund(group("/a"), start)
	if l.cools(group("/a"), start) {
		t.Error("a refunded group cools")
	}
	if got := l.reserve(group("/b"), "t", start); got != "" {
		t.Errorf("after a refund: %q", got)
	}
}

// TestCoolDownEndsWithItsReason: usage that has fallen below the threshold ends
// it, and it does not hold for another group with the path.
func TestCoolDownEndsWithItsReason(t *testing.T) {
	start := time.Unix(0, 0)
	l := newLimiter(1000, 1000, time.Hour, start.Add(-time.Hour))
	if l.reserve(group("/pod/a"), "t", start) != "" {
		t.Fatal("not granted")
	}
	if again := (oom.GroupID{Path: "/pod/a", Inode: 8}); l.cools(again, start) {
		t.Error("a group that was made anew cools")
	}
	if !l.cools(group("/pod/a"), start) || !l.cools(group("/pod"), start) {
		t.Error("the group does not cool")
	}
	l.recovered(group("/pod/a"))
	if l.cools(group("/pod/a"), start) || l.cools(group("/pod"), start) {
		t.Error("the group cools after its usage has fallen")
	}
}

// TestOneTenantLeavesTheOthersTheirs: half of the node's kills at most are of one
// namespace.
func TestOneTenantLeavesTheOthersTheirs(t *testing.T) {
	start := time.Unix(0, 0)
	l := newLimiter(6, 0, time.Second, start.Add(-time.Hour))
	granted := map[string]int{}
	for i := range 20 {
		if l.reserve(group(fmt.Sprintf("/greedy/%d", i)), "greedy", start) == "" {
			granted["greedy"]++
		}
	}
	for i := range 20 {
		if l.reserve(group(fmt.Sprintf("/other/%d", i)), "other", start) == "" {
			granted["other"]++
		}
	}
	if granted["greedy"] != 3 || granted["other"] != 3 {
		t.Errorf("granted %v, want 3 each", granted)
	}
}

func TestTenant(t *testing.T) {
	for path, want := range map[string]string{
		"/user.slice/user-1000.slice/a/b": "/user.slice/user-1000.slice", "/docker/0123": "/docker/0123", "/a": "/a", "/": "/",
	} {
		if got := tenant(&oom.Identity{}, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := tenant(&oom.Identity{Workload: oom.Workload{Namespace: "shop"}}, "/kubepods/x"); got != "shop" {
		t.Errorf("%s, want the namespace", got)
	}
}
