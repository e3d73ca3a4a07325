// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Run keeps the books until ctx is done, and then saves them. It looks at
// vmstat when it is woken, and now and then.
func (l *Ledger) Run(ctx context.Context) error {
	var saver sync.WaitGroup
	saver.Go(func() { l.keepSaved(ctx) })
	defer saver.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-l.wake:
			// A limit that is hit all the time must not keep us busy.
			if wait := l.sinceVmstat(); wait < vmstatGap {
				timer.Reset(vmstatGap - wait)
				select { // other wakes make no difference until then.
				case <-ctx.Done():
					return ctx.Err()
				case <-timer.C:
				}
			}
		}
		timer.Reset(l.tick())
	}
}

func (l *Ledger) sinceVmstat() time.Duration {
	l.pass.Lock()
	defer l.pass.Unlock()
	return l.o.Now().Sub(l.lastVmstat)
}

// Sync settles what can be settled by now; a scrape calls it.
func (l *Ledger) Sync() { l.tick() }

// tick looks at the kernel as far as there is need, and returns when to look
// again.
func (l *Ledger) tick() time.Duration {
	l.pass.Lock()
	defer l.pass.Unlock()
	now := l.o.Now()
	if !l.begun(now) {
		return groupsGap
	}
	if !l.counts.HasVmstat && l.o.PollLog != nil {
		l.o.PollLog()
	}
	l.readVmstat(now)
	if now.Sub(l.lastGroups) >= l.groupsPause() && l.needGroups() {
		l.readGroups(now)
		if l.o.PollLog != nil {
			l.o.PollLog()
		}
		l.readVmstat(now)
	}
	l.awaitNames()
	l.mu.Lock()
	if !l.catchup && len(l.backlog) > 0 {
		l.recall()
	}
	l.settle(now)
	l.remember()
	out := l.outbox
	l.outbox = nil
	due := l.due(now)
	again := l.again()
	l.mu.Unlock()
	for _, k := range out {
		if l.o.OnKill != nil {
			l.o.OnKill(k)
		}
	}
	if len(due) > 0 {
		l.survived(due)
	}
	l.house(now)
	return again
}

// awaitNames gives names that are being looked up the time to come before
// kills are published.
func (l *Ledger) awaitNames() {
	names, ok := l.o.Names.(Settler)
	if !ok {
		return
	}
	l.mu.Lock()
	open := l.slots.n > 0
	l.mu.Unlock()
	if open {
		names.Settle()
	}
}

// again returns when to look again if nobody wakes us.
func (l *Ledger) again() time.Duration {
	switch {
	case l.slots.n > 0 || len(l.lines) > 0 || len(l.claimed) > 0:
		return groupsGap
	case l.log == LogLive && l.o.PollLog == nil && len(l.survivors) == 0:
		return liveGap
	}
	return restGap
}

// readVmstat opens a slot for each kill that vmstat shows.
func (l *Ledger) readVmstat(now time.Time) {
	l.lastVmstat = now
	l.mu.Lock()
	l.vbegan++
	read := l.vbegan
	l.mu.Unlock()
	v, err := l.o.Counters.Vmstat()
	l.once(&l.vmstatErr, err, "kills can't be counted", "make /proc/vmstat readable")
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vdone = read
	n, ok := v.Get()
	if !ok || !l.counts.HasVmstat || int64(n) == l.counts.Vmstat {
		return
	}
	step := int64(n) - l.counts.Vmstat
	l.counts.Vmstat = int64(n)
	l.slots.open(step, now, l.began)
	l.changed()
}

// needGroups tells whether something waits for a read of all groups.
func (l *Ledger) needGroups() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.counts.HasVmstat && l.log == LogAbsent {
		return true // nothing else counts.
	}
	if l.slots.n == 0 {
		return false
	}
	if l.slots.unread(l.done) {
		return true
	}
	for _, ln := range l.lines {
		if !l.covered(ln) {
			return true
		}
	}
	return false
}

// groupsPause is the least time between two reads of all groups: where there
// are thousands, a storm must not cost more than a quarter of a CPU for them.
func (l *Ledger) groupsPause() time.Duration {
	return max(groupsGap, min(4*l.groupsCost, maxGroupsGap))
}

// readGroups reads the counters of all groups.
func (l *Ledger) readGroups(now time.Time) {
	l.lastGroups = now
	l.mu.Lock()
	l.began++
	read := l.began
	l.mu.Unlock()
	t, err := l.o.Counters.Groups()
	l.groupsCost = l.o.Now().Sub(now)
	l.once(&l.groupsErr, err, "kills can't be counted by group", "make the memory cgroups readable")
	l.mu.Lock()
	first := l.lastTree == 0
	l.done = read
	if l.blind = err != nil; !l.blind {
		l.seeGroups(t, read, now)
	}
	l.mu.Unlock()
	if err == nil && t.Version == 1 {
		l.readLimits(read, first)
	}
}

// houseGap is how often what is no longer needed is thrown away, and names
// are asked for again.
const houseGap = 10 * time.Second

func (l *Ledger) house(now time.Time) {
	if now.Sub(l.lastHouse) < houseGap {
		return
	}
	l.lastHouse = now
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bury(now)
	l.standIns()
}

// epochTries is how often the first read is repeated while kills go on.
const epochTries = 5

// begun tells whether the epoch has begun, and begins it when it is time: the
// counters are read while vmstat stands still, and the log has been read to
// its end.
func (l *Ledger) begun(now time.Time) bool {
	begun, wait := l.beginning(now)
	if !begun && l.o.PollLog != nil {
		l.o.PollLog()
		_, wait = l.beginning(now)
	}
	if begun || wait {
		return begun
	}
	for try := 1; ; try++ {
		before, err := l.o.Counters.Vmstat()
		if err == nil {
			l.forget()
			l.readGroups(now)
		}
		var after oom.Amount
		if err == nil {
			after, err = l.o.Counters.Vmstat()
		}
		l.once(&l.vmstatErr, err, "kills can't be counted", "make /proc/vmstat readable")
		if err != nil {
			return false
		}
		if before == after || try == epochTries {
			l.begin(after, now)
			return true
		}
	}
}

func (l *Ledger) beginning(now time.Time) (begun, wait bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = l.log == LogBacklog && now.Sub(l.started) < epochWait
	return !l.counts.Epoch.IsZero(), wait
}

// forget makes the next read of the groups the baseline.
func (l *Ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.groups)
	clear(l.byPath)
	l.claimed, l.orphaned = nil, nil
	l.counts.Baselined, l.lastTree = false, 0
}

// begin sets the epoch.
func (l *Ledger) begin(v oom.Amount, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := v.Get()
	l.counts.Epoch, l.counts.HasVmstat = now, ok
	l.counts.Vmstat, l.counts.Base = int64(n), int64(n)
	l.lastVmstat = now
	l.vbegan++
	l.vdone = l.vbegan
	l.changed()
}
