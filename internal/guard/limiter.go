// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"strings"
	"sync"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// limiter bounds the kills on the node and per tenant, and keeps a group that was hit
// from being hit again before the first kill has had an effect.
type limiter struct {
	perMinute, perTenant int
	coolDown             time.Duration

	mu      sync.Mutex
	started time.Time
	kills   []counted // of the last minute, ascending.
	cool    map[oom.GroupID]time.Time
}

// counted is a kill that counts.
type counted struct {
	at     time.Time
	tenant string
}

// newLimiter returns a limiter; perTenant 0 is half of the node's bound.
func newLimiter(perMinute, perTenant int, coolDown time.Duration, now time.Time) *limiter {
	if perTenant <= 0 {
		perTenant = (perMinute + 1) / 2
	}
	return &limiter{
		perMinute: perMinute, perTenant: min(perTenant, perMinute), coolDown: coolDown,
		started: now, cool: make(map[oom.GroupID]time.Time),
	}
}

// reserve asks whether a group may be acted on; it returns no outcome if so. Then the
// kill counts from now on; refund takes it back.
func (l *limiter) reserve(id oom.GroupID, tenant string, now time.Time) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	if l.isCool(id) {
		return OutcomeCoolDown
	}
	of := 0
	for _, k := range l.kills {
		if k.tenant == tenant {
			of++
		}
	}
	node, one := l.allowed(now)
	if len(l.kills) >= node || of >= one {
		return OutcomeRateLimited
	}
	l.kills = append(l.kills, counted{now, tenant})
	l.cool[id] = now.Add(l.coolDown)
	return ""
}

// renew begins the cool-down of a group for a kill that was granted, and counted,
// before.
func (l *limiter) renew(id oom.GroupID, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cool[id] = now.Add(l.coolDown)
}

// cools tells whether the group, or one above or below it, was hit lately.
func (l *limiter) cools(id oom.GroupID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	return l.isCool(id)
}

func (l *limiter) isCool(id oom.GroupID) bool {
	for other := range l.cool {
		if other.Path == id.Path && other.Inode != id.Inode {
			continue // another group had the path.
		}
		if related(id.Path, other.Path) {
			return true
		}
	}
	return false
}

// recovered ends the cool-down of a group whose usage has fallen below its
// threshold: what crosses it after that is another leak.
func (l *limiter) recovered(id oom.GroupID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cool, id)
}

// refund takes back a reservation that killed nobody.
func (l *limiter) refund(id oom.GroupID, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cool, id)
	for i, k := range l.kills {
		if k.at.Equal(at) {
			l.kills = append(l.kills[:i], l.kills[i+1:]...)
			return
		}
	}
}

// allowed returns the bounds for one minute. In the guard's first minute they rise from
// one kill to their full size, since it does not know what the guard before it did: one
// that is restarted over and over may kill once each time.
func (l *limiter) allowed(now time.Time) (node, tenant int) {
	up := now.Sub(l.started)
	if l.perMinute <= 0 || up >= time.Minute {
		return l.perMinute, l.perTenant
	}
	node = min(l.perMinute, 1+int(float64(l.perMinute)*up.Minutes()))
	return node, min(l.perTenant, node)
}

func (l *limiter) expire(now time.Time) {
	old := 0
	for old < len(l.kills) && now.Sub(l.kills[old].at) >= time.Minute {
		old++
	}
	l.kills = l.kills[old:]
	for id, until := range l.cool {
		if !now.Before(until) {
			delete(l.cool, id)
		}
	}
}

// tenant is who is charged for a kill: the namespace, and outside Kubernetes
// the part of the hierarchy that one user, container or unit has to itself.
func tenant(id *oom.Identity, path string) string {
	if id.Workload.Namespace != "" {
		return id.Workload.Namespace
	}
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 3)
	return "/" + strings.Join(parts[:min(2, len(parts))], "/")
}

// related tells whether one path is the other, or holds it.
func related(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a == b || a == "/" || strings.HasPrefix(b, a) && b[len(a)] == '/'
}
