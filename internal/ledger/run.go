// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// groupsGap is the least time between two reads of all cgroups, vmstatGap
	// that between two reads of vmstat on a wake.
	groupsGap = 100 * time.Millisecond
	vmstatGap = 100 * time.Millisecond
	// stormKills is how many kills wait for evidence in a storm: the kernel names
	// the cgroups of ten in 5 s.
	stormKills = 10
	// maxGroupsGap bounds the wait between two reads of all cgroups.
	maxGroupsGap = 2 * time.Second
	// restGap is how often vmstat is read when nothing happens, and liveGap
	// how often where the log wakes us: a wake costs more than all we do then.
	restGap = time.Second
	liveGap = 10 * time.Second
	// epochWait is how long the epoch waits for the log's backlog.
	epochWait = 2 * time.Second
	// epochTries is how often the first read is repeated while kills go on.
	epochTries = 5
	// tidyGap is how often what is no longer needed is thrown away, and names
	// are asked for again.
	tidyGap = 10 * time.Second
)

// looks is when and how the kernel was looked at.
type looks struct {
	sync.Mutex
	started                     time.Time
	lastVmstat, lastGroups      time.Time
	lastTidy                    time.Time
	groupsPace                  pace
	vmstatTrouble, groupTrouble trouble
}

func newLooks(now time.Time) looks {
	return looks{
		started: now,
		vmstatTrouble: trouble{
			msg: "cannot count OOM kills", remedy: "make /proc/vmstat readable", resumed: "/proc/vmstat is readable again",
		},
		groupTrouble: trouble{
			msg: "cannot count OOM kills by cgroup", remedy: "make the memory cgroups readable", resumed: "memory cgroups are readable again",
		},
	}
}

// reads numbers the reads, so that evidence can be said to be older than one.
type reads struct {
	begun, done             uint64 // of all cgroups.
	vmstatBegun, vmstatDone uint64
}

// covered tells whether a read of all cgroups that began after the line came
// has ended.
func (r *reads) covered(ln *line) bool { return r.done > ln.read }

// Run counts until ctx is done, and then saves. It looks at vmstat when it is
// woken, and now and then.
func (l *Ledger) Run(ctx context.Context) error {
	var saving sync.WaitGroup
	saving.Go(func() { l.keepSaved(ctx) })
	defer saving.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-l.wake:
			// A limit that is hit all the time must not keep us busy.
			if wait := l.untilLook(); wait > 0 {
				timer.Reset(wait)
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

// untilLook returns for how long a wake has to wait.
func (l *Ledger) untilLook() time.Duration {
	l.looks.Lock()
	defer l.looks.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lookGap() - l.o.Now().Sub(l.looks.lastVmstat)
}

// lookGap is the least time between two looks on a wake. In a storm among many
// cgroups most kills wait for the next read of all: waking costs more than looking.
func (l *Ledger) lookGap() time.Duration {
	if len(l.cases.open) < stormKills {
		return vmstatGap
	}
	return max(vmstatGap, l.looks.groupsPace.latest/8)
}

// Sync brings the numbers up to date; a scrape calls it. With a state file it
// waits a moment for the save, without which they are not shown.
func (l *Ledger) Sync() {
	l.tick()
	l.awaitSave(syncWait)
}

// tick looks at the kernel as far as there is need, and returns when to look
// again.
func (l *Ledger) tick() time.Duration {
	l.looks.Lock()
	defer l.looks.Unlock()
	now := l.o.Now()
	if !l.epochBegun(now) {
		return groupsGap
	}
	if !l.counts.HasVmstat && l.o.PollLog != nil {
		l.o.PollLog()
	}
	l.readVmstat(now)
	if l.readNamed(now) {
		l.o.Names.Settle()
		l.mu.Lock()
		l.match(now) // the kills that this explains need no read of all cgroups.
		l.mu.Unlock()
	}
	if l.needGroups(now) {
		l.readGroups(now)
		if l.o.PollLog != nil {
			l.o.PollLog()
		}
		l.readVmstat(now)
	}
	if l.pending() {
		l.o.Names.Settle()
	}
	l.mu.Lock()
	if !l.catchup {
		l.recall()
	}
	l.match(now)
	l.rememberHistory()
	out := l.takeUnsaved()
	due := l.totals.dueSurvivors(now)
	again := l.nextLook()
	l.mu.Unlock()
	l.tell(out)
	if len(due) > 0 {
		l.countSurvivors(due)
	}
	l.tidy(now)
	return again
}

// tell hands over kills that have been published.
func (l *Ledger) tell(kills []oom.Kill) {
	if l.o.OnKill == nil {
		return
	}
	for _, k := range kills {
		l.o.OnKill(k)
	}
}

func (l *Ledger) pending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cases.open) > 0
}

// nextLook returns when to look again if no wake comes.
func (l *Ledger) nextLook() time.Duration {
	switch {
	case len(l.cases.open) > 0 || len(l.evidence.lines) > 0 || len(l.cgroups.stepped) > 0:
		return l.lookGap()
	case l.log == oom.LogLive && l.o.PollLog == nil && len(l.totals.survivors) == 0:
		return liveGap
	}
	return restGap
}

// readVmstat opens a case for each kill that vmstat shows.
func (l *Ledger) readVmstat(now time.Time) {
	l.looks.lastVmstat = now
	l.mu.Lock()
	l.reads.vmstatBegun++
	read := l.reads.vmstatBegun
	l.mu.Unlock()
	v, ok := l.vmstat()
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads.vmstatDone = read
	n, ok := v.Get()
	if !ok || !l.counts.HasVmstat || int64(n) == l.counts.Vmstat {
		return
	}
	moved := int64(n) - l.counts.Vmstat
	l.counts.Vmstat = int64(n)
	l.recallHits(read)
	l.openCases(moved)
}

// vmstat reads the counter and logs trouble.
func (l *Ledger) vmstat() (oom.Amount, bool) {
	v, err := l.o.Counters.Vmstat()
	l.looks.vmstatTrouble.report(l.o.Logger, err)
	return v, err == nil
}

// readNamed reads the counters of the cgroups that lines of the log name, where a
// counter has the kills of its own cgroup only (v1), and tells whether one has
// moved. A cgroup that is new or gone is left to the read of all.
func (l *Ledger) readNamed(now time.Time) (moved bool) {
	named := l.namedCgroups()
	if len(named) == 0 {
		return false
	}
	kills := make([]oom.Amount, len(named))
	for i, g := range named { // the id never changes.
		kills[i] = l.o.Counters.Kills(g.id)
	}
	l.mu.Lock()
	read := l.reads.begun + 1 // it is the first part of the next read of all.
	for i, g := range named {
		n := g.advance(&g.own, kills[i])
		l.seeStep(g, n, read, now)
		moved = moved || n != 0
	}
	l.mu.Unlock()
	if moved {
		l.readLimits(read, false)
	}
	return moved
}

func (l *Ledger) namedCgroups() (named []*cgroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cases.open) == 0 {
		return nil
	}
	for _, ln := range l.evidence.lines {
		g := l.cgroups.byPath[ln.Path]
		if l.cgroups.alive(g) && !l.reads.covered(ln) && g.own.IsValue() && !g.tree.IsSet() && !slices.Contains(named, g) {
			named = append(named, g)
		}
	}
	return named
}

// needGroups tells whether something waits for a read of all cgroups, and it is
// time for one.
func (l *Ledger) needGroups(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.looks.groupsPace.allows(now.Sub(l.looks.lastGroups), l.cases.since(l.reads.begun)) {
		return false
	}
	if !l.counts.HasVmstat && l.log == oom.LogAbsent {
		return true // nothing else counts.
	}
	if len(l.cases.open) == 0 {
		return l.totals.needsMark(now) && !l.cgroups.blind
	}
	for _, ln := range l.evidence.lines {
		if !l.reads.covered(ln) {
			return true
		}
	}
	for _, w := range l.evidence.witnesses {
		if l.hasWaited(&w, now) && l.reads.done <= w.read {
			return true
		}
	}
	before := now
	if l.log == oom.LogLive && l.o.PollLog == nil {
		before = now.Add(-groupsGap) // a line that names the cgroup may be on its way.
	}
	return l.cases.needRead(l.reads.done, before)
}

// readGroups reads the counters of all cgroups.
func (l *Ledger) readGroups(now time.Time) {
	l.looks.lastGroups = now
	l.mu.Lock()
	l.reads.begun++
	read := l.reads.begun
	l.mu.Unlock()
	tree, err := l.o.Counters.Groups()
	l.looks.groupsPace = paceAfter(len(tree.Groups), l.o.Now().Sub(now))
	l.looks.groupTrouble.report(l.o.Logger, err)
	l.mu.Lock()
	first := l.cgroups.last == 0
	l.reads.done = read
	if l.cgroups.blind = err != nil; !l.cgroups.blind {
		l.seeCounters(tree, read, now)
	}
	l.mu.Unlock()
	if err == nil && tree.Version == 1 {
		l.readLimits(read, first)
	}
}

// pace says when all cgroups may be read again after a read of them.
type pace struct {
	soonest, latest time.Duration // for enough kills, and for a single one.
	kills           int           // so many are enough.
}

// paceAfter returns the pace after a read of so many cgroups. Reads are spaced to
// cost about 250 us of CPU per kill or, for the cgroups beyond the first 200, a
// 250th of a CPU, but by no more than maxGroupsGap: a cgroup takes at most 10 us
// with its name (BenchmarkLive/ReadKills of internal/cgroup). Where reads take long
// for another reason, they may take a quarter of the time. The first kill after a
// quiet time never waits.
func paceAfter(cgroups int, took time.Duration) pace {
	const cost = 10 * time.Microsecond
	const perKill, share, few = 250 * time.Microsecond, 250, 200
	soonest := max(groupsGap, min(4*took, maxGroupsGap))
	latest := min(time.Duration(max(cgroups-few, 0))*cost*share, maxGroupsGap)
	return pace{soonest, max(soonest, latest), int(time.Duration(cgroups) * cost / perKill)}
}

// allows tells whether a read may begin for so many kills, so long after the
// last one.
func (p pace) allows(since time.Duration, kills int) bool {
	return since >= p.latest || since >= p.soonest && kills >= p.kills
}

// tidy throws away what is no longer needed.
func (l *Ledger) tidy(now time.Time) {
	if now.Sub(l.looks.lastTidy) < tidyGap {
		return
	}
	l.looks.lastTidy = now
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cases.forget(now)
	l.cgroups.forget(now)
	l.renameStandIns()
}

// epochBegun tells whether the epoch has begun, and begins it when it is time:
// the counters are read while vmstat stands still, and the log has been read to
// its end.
func (l *Ledger) epochBegun(now time.Time) bool {
	begun, wait := l.epochState(now)
	if !begun && l.o.PollLog != nil {
		l.o.PollLog()
		_, wait = l.epochState(now)
	}
	if begun || wait {
		return begun
	}
	for try := 1; ; try++ {
		before, ok := l.vmstat()
		if !ok {
			return false
		}
		l.forgetBaseline()
		l.readGroups(now)
		after, ok := l.vmstat()
		if !ok {
			return false
		}
		if before == after || try == epochTries {
			l.beginEpoch(after, now)
			return true
		}
	}
}

func (l *Ledger) epochState(now time.Time) (begun, wait bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = l.log == oom.LogBacklog && now.Sub(l.looks.started) < epochWait
	return !l.counts.Epoch.IsZero(), wait
}

// forgetBaseline makes the next read of the cgroups the baseline.
func (l *Ledger) forgetBaseline() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cgroups = newCgroups(l.o.Names)
	l.counts.Baselined = false
}

func (l *Ledger) beginEpoch(v oom.Amount, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := v.Get()
	l.counts.Epoch, l.counts.HasVmstat = now, ok
	l.counts.Vmstat, l.counts.Base = int64(n), int64(n)
	l.looks.lastVmstat = now
	l.reads.vmstatBegun++
	l.reads.vmstatDone = l.reads.vmstatBegun
	l.changed()
	l.saver.shown = l.draw() // nothing has been counted that a restart could lose.
}
