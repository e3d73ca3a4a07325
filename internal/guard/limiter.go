// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"strings"
	"sync"
	"time"
)

// ledger keeps what was killed lately, so that no group is hit twice in a row
// and the node is not emptied.
type ledger struct {
	perMinute int
	coolDown  time.Duration

	mu      sync.Mutex
	started time.Time
	kills   []time.Time // of the last minute, ascending.
	cool    map[string]time.Time
}

func newLedger(perMinute int, coolDown time.Duration, now time.Time) *ledger {
	return &ledger{perMinute: perMinute, coolDown: coolDown, started: now, cool: make(map[string]time.Time)}
}

// reserve asks to act on the group at path. What it grants counts from now on;
// refund takes it back.
func (l *ledger) reserve(path string, now time.Time) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	for other := range l.cool {
		if related(path, other) {
			return OutcomeCoolDown
		}
	}
	if len(l.kills) >= l.allowed(now) {
		return OutcomeRateLimited
	}
	l.kills = append(l.kills, now)
	l.cool[path] = now.Add(l.coolDown)
	return ""
}

// cools tells whether the group, or one above or below it, was hit lately.
func (l *ledger) cools(path string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	for other := range l.cool {
		if related(path, other) {
			return true
		}
	}
	return false
}

// refund takes back a reservation that killed nobody.
func (l *ledger) refund(path string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cool, path)
	for i, t := range l.kills {
		if t.Equal(at) {
			l.kills = append(l.kills[:i], l.kills[i+1:]...)
			return
		}
	}
}

// allowed is the bound of a minute. It is reached in the course of the first
// one only, since a guard that has just started does not know what the one
// before it did: one that is restarted over and over may kill once each time.
func (l *ledger) allowed(now time.Time) int {
	up := now.Sub(l.started)
	if l.perMinute <= 0 || up >= time.Minute {
		return l.perMinute
	}
	return min(l.perMinute, 1+int(float64(l.perMinute)*up.Minutes()))
}

func (l *ledger) forget(now time.Time) {
	old := 0
	for old < len(l.kills) && now.Sub(l.kills[old]) >= time.Minute {
		old++
	}
	l.kills = l.kills[old:]
	for path, until := range l.cool {
		if !now.Before(until) {
			delete(l.cool, path)
		}
	}
}

// related tells whether one path is the other, or holds it.
func related(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a == b || a == "/" || strings.HasPrefix(b, a) && b[len(a)] == '/'
}
