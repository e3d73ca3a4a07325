// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"errors"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// early records what is done before a kill.
type early struct {
	f    *fake
	what []string
	last Warning
	err  error
}

func (e *early) note(what string) { defer e.f.locked()(); e.what = append(e.what, what) }

func (e *early) Warn(w Warning) { e.note("hook"); e.last = w }

func (e *early) Signal(victims []Victim, sig syscall.Signal, onlyCaught bool, still func() error) (int, error) {
	if err := still(); err != nil || e.err != nil {
		return 0, errors.Join(err, e.err)
	}
	if onlyCaught != (sig != syscall.SIGTERM) {
		e.f.t.Errorf("%v only to those who catch it: %v", sig, onlyCaught)
	}
	e.note(sig.String())
	return len(victims), nil
}

func (e *early) Throttle(t *Target, high uint64) (func(), error) {
	if high >= t.Threshold || high < t.Limit/2 {
		e.f.t.Errorf("throttled above %d bytes of %d", high, t.Limit)
	}
	e.note("throttle")
	return func() { e.note("restore") }, nil
}

// staged has a group grow by 4 MiB/s into its limit of 400 MiB, under all stages.
func staged(t *testing.T, change func(f *fake, o *Options)) (*fake, *early, *Guard) {
	t.Helper()
	f := newFake(t)
	g := f.add("/a", oom.KindContainer, 400*mib, 380*mib, 10)
	e := &early{f: f}
	o := f.options()
	o.Signaler, o.Throttler, o.Warner = e, e, e
	o.Stages = Stages{
		WarnAhead: 5 * time.Second, WarnSignal: syscall.SIGUSR1, Warner: e, ThrottleAhead: 2 * time.Second, ThrottleTime: time.Hour, TermAhead: time.Second,
	}
	begun := f.now
	f.onWait = func() {
		if f.groups["/a"] != nil && len(f.killed) == 0 {
			g.Usage = oom.Of(min(400*mib, 380*mib+uint64(f.now.Sub(begun).Seconds()*4*mib)))
		}
	}
	change(f, &o)
	guard := f.start(o)
	f.run(guard, 6*time.Second)
	close(guard.ending)
	guard.throttled.Wait()
	return f, e, guard
}

// TestStagesComeInTheirOrder: each once, and each before the next.
func TestStagesComeInTheirOrder(t *testing.T) {
	f, e, g := staged(t, func(*fake, *Options) {})
	want := []string{"user defined signal 1", "hook", "throttle", "terminated", "restore"}
	if !slices.Equal(e.what, want) || !slices.Equal(f.killed, []int32{10}) {
		t.Errorf("%q, killed %v; want %q, then the kill of 10", e.what, f.killed, want)
	}
	if e.last.PID != 10 || e.last.Cgroup != "/a" || e.last.TimeLeft <= 0 || e.last.TimeLeft > 5 || e.last.Growth < 3*mib {
		t.Errorf("the warning was %+v", e.last)
	}
	s := g.Stats()
	if s.Stages[StageWarn] != 1 || s.Stages[StageThrottle] != 1 || s.Stages[StageTerm] != 1 || s.Outcomes[OutcomeTerminated] != 1 {
		t.Errorf("stages %v, outcomes %v", s.Stages, s.Outcomes)
	}
}

// TestStagesAreBoundAsKillsAre: nothing is done under noop, with the switch
// thrown, or to those who are not killed.
func TestStagesAreBoundAsKillsAre(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fake, o *Options)
		want   []string
	}{
		"noop":      {func(_ *fake, o *Options) { o.Policy = PolicyNoop }, nil},
		"switch":    {func(f *fake, _ *Options) { f.off = true }, nil},
		"never":     {func(_ *fake, o *Options) { o.Never.Namespace.Include = regexp.MustCompile("^ns$"); o.ThrottleAhead = 0 }, nil},
		"protected": {func(f *fake, o *Options) { f.procs["/a"][0].Adj = -950; o.ThrottleAhead = 0 }, nil},
		"no stage":  {func(_ *fake, o *Options) { o.Stages = Stages{} }, nil},
		"cache":     {func(f *fake, _ *Options) { f.groups["/a"].Stat.InactiveFile = oom.Of(100 * mib) }, nil},
		"rate":      {func(_ *fake, o *Options) { o.KillsPerMinute, o.WarnAhead, o.ThrottleAhead = 0, 0, 0 }, nil},
		"only term": {func(_ *fake, o *Options) { o.WarnAhead, o.ThrottleAhead = 0, 0 }, []string{"terminated"}},
		"only warn": {func(_ *fake, o *Options) { o.TermAhead, o.ThrottleAhead, o.WarnSignal = 0, 0, 0 }, []string{"hook"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, e, _ := staged(t, c.change)
			if !slices.Equal(e.what, c.want) {
				t.Errorf("%q, want %q", e.what, c.want)
			}
		})
	}
}

// TestOneKillIsBoundOnce: SIGTERM and the SIGKILL after it are one kill for the
// bound of a minute.
func TestOneKillIsBoundOnce(t *testing.T) {
	f, e, g := staged(t, func(_ *fake, o *Options) { o.WarnAhead, o.ThrottleAhead, o.KillsPerMinute = 0, 0, 1 })
	if !slices.Equal(e.what, []string{"terminated"}) || !slices.Equal(f.killed, []int32{10}) {
		t.Errorf("%q, killed %v", e.what, f.killed)
	}
	if len(g.limiter.kills) != 1 || !g.limiter.cools(f.groups["/a"].GroupID, f.clock()) {
		t.Errorf("%d kills count, cool-down %v", len(g.limiter.kills), g.limiter.cool)
	}
}

// TestASIGTERMThatFailsCountsNothing: what nobody got is refunded.
func TestASIGTERMThatFailsCountsNothing(t *testing.T) {
	var e *early
	f, _, g := staged(t, func(_ *fake, o *Options) {
		e = o.Signaler.(*early)
		e.err = errors.New("refused")
		o.WarnAhead, o.ThrottleAhead = 0, 0
	})
	if len(e.what) > 0 || len(f.killed) != 1 || len(g.limiter.kills) != 1 {
		t.Errorf("%q, killed %v, %d count", e.what, f.killed, len(g.limiter.kills))
	}
}
