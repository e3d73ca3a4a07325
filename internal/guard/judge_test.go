// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// judged returns what a guard does about the group at path.
func judged(f *fake, o Options, path string) Action {
	g := f.start(o)
	t, ok := newTarget(f.groups[path], o.Margin)
	if !ok {
		f.t.Fatalf("%s has no threshold", path)
	}
	return g.judge(context.Background(), t, f.now)
}

// TestWeigh goes through every reason to do nothing, one at a time, from a
// group in which process 10 would be killed.
func TestWeigh(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(f *fake, o *Options)
		want    Outcome
		killed  bool
		reclaim int
	}{
		"kills":                 {func(*fake, *Options) {}, OutcomeKilled, true, 0},
		"noop":                  {func(_ *fake, o *Options) { o.Policy = PolicyNoop }, OutcomeWouldKill, false, 0},
		"fell below":            {func(f *fake, _ *Options) { f.groups["/a"].Usage = oom.Of(90 * mib) }, OutcomeBelow, false, 0},
		"limit was raised":      {func(f *fake, _ *Options) { f.groups["/a"].Limit = oom.Of(200 * mib) }, OutcomeBelow, false, 0},
		"limit was taken away":  {func(f *fake, _ *Options) { f.groups["/a"].Limit = oom.Unlimited() }, OutcomeBelow, false, 0},
		"cache that stays":      {func(f *fake, _ *Options) { f.groups["/a"].Stat.ActiveFile = oom.Of(6 * mib) }, OutcomeReclaimable, false, 1},
		"too little cache":      {func(f *fake, _ *Options) { f.groups["/a"].Stat.ActiveFile = oom.Of(5 * mib) }, OutcomeKilled, true, 1},
		"cache that goes":       {reclaims(90 * mib), OutcomeBelow, false, 1},
		"unreadable statistics": {func(f *fake, _ *Options) { f.groups["/a"].Stat.ActiveFile = oom.Amount{} }, OutcomeFailed, false, 0},
		"another group":         {func(f *fake, _ *Options) { f.groups["/a"].Inode++ }, OutcomeGone, false, 0},
		"no group":              {func(f *fake, _ *Options) { f.groups["/a"] = nil }, OutcomeGone, false, 0},
		"no process":            {func(f *fake, _ *Options) { f.procs["/a"] = nil }, OutcomeNobody, false, 0},
		"all at -1000":          {adj(-1000, -1000), OutcomeNobody, false, 0},
		"victim below -900":     {adj(-901, -1000), OutcomeProtected, false, 0},
		"victim at -900":        {adj(-900, -1000), OutcomeKilled, true, 0},
		"dying":                 {func(f *fake, _ *Options) { f.dying[10] = true }, OutcomeDying, false, 0},
		"the guard itself":      {func(_ *fake, o *Options) { o.Protection.Self = 10 }, OutcomeProtected, false, 0},
		"kubelet":               {func(f *fake, _ *Options) { f.procs["/a"][0].Comm = "kubelet" }, OutcomeProtected, false, 0},
		"init":                  {func(f *fake, _ *Options) { f.procs["/a"] = f.procs["/a"][:1]; f.procs["/a"][0].PID = 1 }, OutcomeProtected, false, 0},
		"switch":                {func(f *fake, _ *Options) { f.off = true }, OutcomeSwitchedOff, false, 0},
		"switch at the end":     {func(f *fake, _ *Options) { f.onKill = func() { f.off = true } }, OutcomeSwitchedOff, false, 0},
		"bound of 0":            {func(_ *fake, o *Options) { o.KillsPerMinute = 0 }, OutcomeRateLimited, false, 0},
		"fell at the end":       {func(f *fake, _ *Options) { f.onKill = func() { f.groups["/a"].Usage = oom.Of(0) } }, OutcomeBelow, false, 0},
		"vanished at the end":   {func(f *fake, _ *Options) { f.onKill = func() { f.groups["/a"] = nil } }, OutcomeGone, false, 0},
		"another in its place":  {func(f *fake, _ *Options) { f.onKill = func() { f.groups["/a"].Inode++ } }, OutcomeGone, false, 0},
		"pid was used again":    {func(f *fake, _ *Options) { f.onKill = func() { f.procs["/a"][0].Start++ } }, OutcomeGone, false, 0},
		"victim left the group": {func(f *fake, _ *Options) { f.onKill = func() { f.procs["/a"] = f.procs["/a"][1:] } }, OutcomeGone, false, 0},
	} {
		f := newFake(t)
		f.add("/a", oom.KindContainer, 100*mib, 99*mib, 10, 11)
		o := f.options()
		g := f.start(o)
		target, _ := newTarget(f.groups["/a"], o.Margin)
		c.change(f, &o)
		g.o = o
		g.ledger = newLedger(o.KillsPerMinute, o.CoolDown, f.now)
		a := g.judge(context.Background(), target, f.now)
		if a.Outcome != c.want {
			t.Errorf("%s: %s (%s), want %s", name, a.Outcome, a.Reason, c.want)
		}
		if got := slices.Equal(f.killed, []int32{10}); got != c.killed || !c.killed && len(f.killed) > 0 {
			t.Errorf("%s: killed %v", name, f.killed)
		}
		if f.reclaims != c.reclaim {
			t.Errorf("%s: reclaimed %d times, want %d", name, f.reclaims, c.reclaim)
		}
	}
}

func reclaims(left uint64) func(*fake, *Options) {
	return func(f *fake, _ *Options) {
		f.groups["/a"].Stat.InactiveFile = oom.Of(9 * mib)
		f.onReclaim = func(g *oom.Group) { g.Usage, g.Stat.InactiveFile = oom.Of(left), oom.Of(0) }
	}
}

func adj(values ...int16) func(*fake, *Options) {
	return func(f *fake, _ *Options) {
		for i, v := range values {
			f.procs["/a"][i].Adj = v
			if v == -1000 {
				f.procs["/a"][i].Score = oom.Of(0)
			}
		}
	}
}

func TestNothingIsRefundedAfterAKill(t *testing.T) {
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 99*mib, 10, 11)
	g := f.start(f.options())
	target, _ := newTarget(f.groups["/a"], g.o.Margin)
	for i, want := range []Outcome{OutcomeKilled, OutcomeCoolDown, OutcomeCoolDown} {
		if a := g.judge(context.Background(), target, f.now); a.Outcome != want {
			t.Errorf("look %d: %s, want %s", i, a.Outcome, want)
		}
	}
	if len(f.killed) != 1 {
		t.Errorf("killed %v, want one", f.killed)
	}
}

func TestContainerOfAPod(t *testing.T) {
	pod := func(t *testing.T) *fake {
		f := newFake(t)
		f.add("/pod", oom.KindPod, 100*mib, 99*mib)
		f.add("/pod/small", oom.KindContainer, 0, 9*mib, 20)
		f.add("/pod/big", oom.KindContainer, 0, 90*mib, 10, 11)
		return f
	}
	f := pod(t)
	o := f.options()
	o.Policy = PolicyContainer
	if a := judged(f, o, "/pod"); a.Outcome != OutcomeKilled || a.Identity.Workload.Container != "/pod/big" {
		t.Errorf("%s of %s", a.Outcome, a.Identity.Workload.Container)
	}
	if !slices.Equal(f.ended, []string{"/pod/big"}) {
		t.Errorf("ended %v, want the victim's container alone", f.ended)
	}
	for name, c := range map[string]struct {
		change func(*fake, *Options)
		want   Outcome
	}{
		"its container is excluded":          {func(_ *fake, o *Options) { o.Filter.Container.Exclude = regexp.MustCompile("^/pod/big$") }, OutcomeProtected},
		"another process of it is protected": {func(f *fake, _ *Options) { f.procs["/pod/big"][1].Adj = -999 }, OutcomeProtected},
		"a neighbour is protected":           {func(f *fake, _ *Options) { f.procs["/pod/small"][0].Adj = -999 }, OutcomeKilled},
		"its container came after the scan":  {func(f *fake, _ *Options) { f.groups["/pod/big"].Inode++ }, OutcomeNobody},
		"half of it is dying":                {func(f *fake, _ *Options) { f.dying[11] = true }, OutcomeDying},
		"node-critical": {func(f *fake, o *Options) {
			o.Protection.AdjBelow = -998
			f.procs["/pod/big"][0].Adj, f.procs["/pod/small"][0].Adj = -997, -999
			f.groups["/pod/big"].PodUID = "0a-b"
		}, OutcomeProtected},
	} {
		f := pod(t)
		o := f.options()
		o.Policy = PolicyContainer
		target, _ := newTarget(f.groups["/pod"], o.Margin)
		uid := f.groups["/pod/big"]
		if name == "node-critical" {
			uid.PodUID = "0a-b"
		}
		g := f.start(o)
		c.change(f, &o)
		g.o = o
		if a := g.judge(context.Background(), target, f.now); a.Outcome != c.want {
			t.Errorf("%s: %s (%s), want %s", name, a.Outcome, a.Reason, c.want)
		} else if want := c.want == OutcomeKilled; want != (len(f.ended) == 1) {
			t.Errorf("%s: ended %v", name, f.ended)
		}
	}
}

func TestStaticPodsAreNeverTouched(t *testing.T) {
	for uid, want := range map[string]string{
		"0123456789abcdef0123456789abcdef":     "a static pod",
		"01234567-89ab-cdef-0123-456789abcdef": "",
		"":                                     "",
		"0123456789abcdef0123456789abcdeg":     "",
	} {
		p := Protection{AdjBelow: -900}
		if got := p.member(&oom.Process{PID: 7}, &oom.Identity{PodUID: uid}); got != want {
			t.Errorf("uid %q: %q, want %q", uid, got, want)
		}
	}
}

func TestNamesThatCameLaterAreReported(t *testing.T) {
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 99*mib, 10).StandIn = true
	f.names["/a"] = oom.Identity{Workload: oom.Workload{Namespace: "shop", Pod: "web", Container: "app"}, PodUID: "1-2"}
	a := judged(f, f.options(), "/a")
	if a.Outcome != OutcomeKilled || a.Identity.Workload.Pod != "web" {
		t.Errorf("%s of %+v", a.Outcome, a.Identity.Workload)
	}
}

// TestReclaimNeedsTime has a little cache left: it is reclaimed where there is
// time for that, and given up where the limit comes first.
func TestReclaimNeedsTime(t *testing.T) {
	for growth, want := range map[float64]int{0: 1, 10 * mib: 1, 20 * mib: 1, 100 * mib: 0} {
		f := newFake(t)
		f.add("/a", oom.KindContainer, 100*mib, 99*mib, 10).Stat.ActiveFile = oom.Of(2 * mib)
		g := f.start(f.options())
		target, _ := newTarget(f.groups["/a"], g.o.Margin)
		target.growth = growth
		if a := g.judge(context.Background(), target, f.now); a.Outcome != OutcomeKilled || f.reclaims != want {
			t.Errorf("%.0f bytes/s: %s, reclaimed %d times, want %d", growth, a.Outcome, f.reclaims, want)
		}
	}
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 99*mib, 10).Stat.ActiveFile = oom.Of(2 * mib)
	g := f.start(f.options())
	g.timeReclaim(300 * time.Millisecond)
	target, _ := newTarget(f.groups["/a"], g.o.Margin)
	target.growth = 2 * mib // half a second to go.
	if a := g.judge(context.Background(), target, f.now); a.Outcome != OutcomeKilled || f.reclaims != 0 {
		t.Errorf("after a slow one: %s, reclaimed %d times", a.Outcome, f.reclaims)
	}
}

func TestCheckDoesNothing(t *testing.T) {
	f := newFake(t)
	f.add("/below", oom.KindContainer, 100*mib, 10*mib, 10)
	f.add("/over", oom.KindContainer, 100*mib, 99*mib, 20)
	f.add("/cache", oom.KindContainer, 100*mib, 99*mib, 30).Stat.ActiveFile = oom.Of(50 * mib)
	f.add("/safe", oom.KindContainer, 100*mib, 99*mib, 40)
	f.procs["/safe"][0].Comm = "kubelet"
	for policy, over := range map[Policy]string{
		PolicyNoop:      "reclaim, then say that it would have killed 20 (p20)",
		PolicyProcess:   "reclaim, then kill 20 (p20)",
		PolicyContainer: "reclaim, then end container /over",
	} {
		o := f.options()
		o.Policy = policy
		g, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := g.Check()
		if err != nil || len(rows) != 4 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for i, want := range []string{"nothing", over, "reclaim", "nothing: protected, pid 40 is kubelet"} {
			if rows[i].Would != want {
				t.Errorf("%s, %s: %q, want %q", policy, rows[i].Target.Path, rows[i].Would, want)
			}
			if rows[i].Over != (i > 0) {
				t.Errorf("%s: over is %v", rows[i].Target.Path, rows[i].Over)
			}
		}
	}
	if f.reclaims+len(f.killed)+len(f.ended) > 0 {
		t.Error("the check acted")
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536 << 10: "1.5 MiB", 1<<64 - 1: "16.0 EiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestCacheIsLeftAloneForAWhile(t *testing.T) {
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 99*mib, 10).Stat.ActiveFile = oom.Of(50 * mib)
	g := f.start(f.options())
	target, _ := newTarget(f.groups["/a"], g.o.Margin)
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Second, 1}, {58 * time.Second, 1}, {time.Second, 2}} {
		f.now = f.now.Add(c.after)
		if a := g.judge(context.Background(), target, f.now); a.Outcome != OutcomeReclaimable {
			t.Fatalf("%s", a.Outcome)
		}
		if f.reclaims != c.want {
			t.Errorf("%v later: reclaimed %d times, want %d", c.after, f.reclaims, c.want)
		}
	}
}
