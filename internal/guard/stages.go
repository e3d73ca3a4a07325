// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"syscall"
	"time"

	"github.com/go-kit/log/level"
)

// Stages are the optional steps before a kill, each done once in a growth. The order is:
// warn, throttle, reclaim, SIGTERM, SIGKILL. The Ahead of a stage is the time to the limit,
// at the growth seen, at which it is done: that is how long the workload has to act on it.
// 0 leaves the stage out.
type Stages struct {
	WarnAhead  time.Duration
	WarnSignal syscall.Signal // sent to those who catch it; 0: none.
	Warner     Warner         // nil: none.

	ThrottleAhead time.Duration
	ThrottleTime  time.Duration // after which the earlier memory.high is put back.

	TermAhead time.Duration
}

// Warner tells a workload that it is about to reach its limit. It must not wait.
type Warner interface {
	Warn(Warning)
}

// Warning says who is about to reach which limit, and when.
type Warning struct {
	Namespace string  `json:"namespace,omitempty"`
	Pod       string  `json:"pod,omitempty"`
	Container string  `json:"container,omitempty"`
	Unit      string  `json:"unit,omitempty"`
	Cgroup    string  `json:"cgroup"`
	PID       int32   `json:"pid"`
	Comm      string  `json:"comm"`
	Usage     uint64  `json:"usage_bytes"`
	Limit     uint64  `json:"limit_bytes"`
	Growth    float64 `json:"growth_bytes_per_second"`
	TimeLeft  float64 `json:"time_to_limit_seconds"`
}

// Signaler sends signals that do not end a process for certain.
type Signaler interface {
	// Signal sends a signal to processes that are still the same and in their
	// groups, if still() returns no error; with onlyCaught, to those of them that
	// have a handler for it. It returns how many got it.
	Signal(victims []Victim, sig syscall.Signal, onlyCaught bool, still func() error) (sent int, err error)
}

// Throttler slows a group down.
type Throttler interface {
	// Throttle has the kernel slow the group down while its usage is over high, until
	// restore is called or the guard is started again. The error is
	// errors.ErrUnsupported where the kernel can't.
	Throttle(group *Target, high uint64) (restore func(), err error)
}

// done are the stages that a growth has been through.
type done struct {
	warned, throttled, termed bool
	refunded                  bool // nobody got the SIGTERM.
}

// stageDue tells whether a stage that has not been done is due.
func (g *Guard) stageDue(seen *growth, left time.Duration) bool {
	s, d := &g.o.Stages, &seen.done
	return g.o.Policy != PolicyNoop && (due(d.warned, left, s.WarnAhead) || due(d.throttled, left, s.ThrottleAhead) ||
		due(d.termed, left, s.TermAhead) && seen.isLate())
}

func due(isDone bool, left, ahead time.Duration) bool { return !isDone && ahead > 0 && left <= ahead }

// early does the stages that are due before reclaim: they end nothing.
func (g *Guard) early(a *Action, m func() (*Members, error), seen *growth) {
	left := seen.timeLeft(g.o.Now())
	if g.idle(a) == OutcomeReclaimable || !g.stageDue(seen, left) || g.o.Kernel.Off() {
		return
	}
	if due(seen.done.warned, left, g.o.WarnAhead) {
		seen.done.warned = true
		g.warn(a, m, seen, left)
	}
	if due(seen.done.throttled, left, g.o.ThrottleAhead) {
		seen.done.throttled = true
		g.throttle(&a.Target)
	}
}

// warn tells the workload that would be hit.
func (g *Guard) warn(a *Action, load func() (*Members, error), seen *growth, left time.Duration) {
	m, err := load()
	if err != nil {
		return
	}
	b := *a
	if outcome, _ := g.choose(&b, m); outcome != "" {
		return // whoever would not be killed need not be warned.
	}
	w := Warning{
		Namespace: b.Identity.Workload.Namespace, Pod: b.Identity.Workload.Pod, Container: b.Identity.Workload.Container, Unit: b.Identity.Unit,
		Cgroup: a.Target.Path, PID: b.Victim.PID, Comm: shown(b.Victim.Comm), Usage: a.Usage, Limit: a.Target.Limit,
		Growth: seen.rate(), TimeLeft: left.Seconds(),
	}
	sent := 0
	if g.o.WarnSignal != 0 {
		sent, err = g.o.Signaler.Signal(addressees(&b, m), g.o.WarnSignal, true, g.stillOn(&b))
	}
	if g.o.Warner != nil {
		g.o.Warner.Warn(w)
	}
	g.stats.update(func(s *Stats) { s.Stages[StageWarn]++ })
	_ = level.Info(g.o.Logger).Log("msg", "warned: the limit is near", "cgroup", a.Target.Path, "pid", w.PID, "comm", w.Comm,
		"time_to_limit", left.Round(time.Millisecond), "signalled", sent, "err", err)
}

// terminate sends SIGTERM to those that a SIGKILL would be sent to, if there is time for
// it and as little doubt as a kill requires.
func (g *Guard) terminate(a *Action, load func() (*Members, error), seen *growth) (Outcome, string) {
	now := g.o.Now()
	left := seen.timeLeft(now)
	if g.o.Policy == PolicyNoop || !due(seen.done.termed, left, g.o.TermAhead) || left <= g.o.TimeToLimit || !seen.isLate() || !seen.isCertain(now) {
		return "", ""
	}
	m, err := load()
	if err != nil {
		return excuse(err)
	}
	if outcome, reason := g.choose(a, m); outcome != "" {
		return outcome, reason
	}
	if outcome := g.limiter.reserve(a.Target.GroupID, tenant(&a.Identity, a.hit().Path), now); outcome != "" {
		return outcome, ""
	}
	seen.done.termed = true
	sent, err := g.o.Signaler.Signal(addressees(a, m), syscall.SIGTERM, false, g.stillOn(a))
	if sent == 0 { // a SIGKILL may still follow, after checks of its own.
		g.limiter.refund(a.Target.GroupID, now)
		seen.done.refunded = true
		_ = level.Warn(g.o.Logger).Log("msg", "could not send SIGTERM", "cgroup", a.Target.Path, "err", err)
		return "", ""
	}
	g.limiter.recovered(a.Target.GroupID) // a SIGKILL that follows counts as the same kill.
	g.stats.update(func(s *Stats) { s.Stages[StageTerm]++ })
	return OutcomeTerminated, ""
}

// addressees are the processes that a kill would end: the victim and those that
// share its memory, or all of its container.
func addressees(a *Action, m *Members) []Victim {
	if a.Container.Path == "" {
		return append([]Victim{{a.Victim, a.cgroup}}, a.Sharers...)
	}
	var all []Victim
	for i := range m.Procs {
		if id := m.Tree.Groups[m.Procs[i].Group].GroupID; inside(a.Container.Path, id.Path) && !m.Dying[m.Procs[i].PID] {
			all = append(all, Victim{m.Procs[i], id})
		}
	}
	return all
}

// stillOn returns the last check before a signal.
func (g *Guard) stillOn(a *Action) func() error {
	seen, kills := g.o.Now(), a.kills
	return func() error { return g.still(a, kills, seen) }
}

// throttle slows the group down, for ThrottleTime at most.
func (g *Guard) throttle(t *Target) {
	if g.o.Throttler == nil {
		return
	}
	restore, err := g.o.Throttler.Throttle(t, t.Limit-t.Limit/throttlePart)
	if err != nil {
		_ = level.Warn(g.o.Logger).Log("msg", "could not throttle", "cgroup", t.Path, "err", err)
		return
	}
	g.stats.update(func(s *Stats) { s.Stages[StageThrottle]++ })
	_ = level.Info(g.o.Logger).Log("msg", "throttled by memory.high", "cgroup", t.Path, "for", g.o.ThrottleTime)
	g.throttled.Go(func() {
		defer restore()
		select {
		case <-time.After(g.o.ThrottleTime):
		case <-g.ending:
		}
	})
}

// throttlePart says how far below the limit memory.high is set: by limit/throttlePart.
// With a tenth, the kernel lets a group grow by some hundred KiB a second.
const throttlePart = 10

// membersOnce returns a function that reads the members of a group when first called,
// and returns the same ones after that.
func (g *Guard) membersOnce(a *Action) func() (*Members, error) {
	var m *Members
	return func() (*Members, error) {
		if m != nil {
			return m, nil
		}
		group, err := g.o.Kernel.Group(a.Target.Path)
		if err != nil {
			return nil, err
		}
		read, err := g.o.Kernel.Members(&group)
		if err != nil {
			return nil, err
		}
		m = &read
		return m, nil
	}
}

// Stage is something that is done before a kill.
type Stage string

// The stages; reclaim and SIGKILL are counted separately.
const (
	StageWarn     Stage = "warn"
	StageThrottle Stage = "throttle"
	StageTerm     Stage = "term"
)

// StageNames lists them, in their order.
func StageNames() []Stage { return []Stage{StageWarn, StageThrottle, StageTerm} }
