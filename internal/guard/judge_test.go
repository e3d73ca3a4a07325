// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
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
	return g.judge(context.Background(), t, f.ending(t), f.now)
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
		"kills":                {func(*fake, *Options) {}, OutcomeKilled, true, 0},
		"noop":                 {func(_ *fake, o *Options) { o.Policy = PolicyNoop }, OutcomeWouldKill, false, 0},
		"fell below":           {func(f *fake, _ *Options) { f.groups["/a"].Usage = oom.Of(90 * mib) }, OutcomeBelow, false, 0},
		"limit was raised":     {func(f *fake, _ *Options) { f.groups["/a"].Limit = oom.Of(200 * mib) }, OutcomeBelow, false, 0},
		"limit was taken away": {func(f *fake, _ *Options) { f.groups["/a"].Limit = oom.Unlimited() }, OutcomeBelow, false, 0},
		"cache":                {func(f *fake, _ *Options) { f.groups["/a"].Stat.ActiveFile = oom.Of(6 * mib) }, OutcomeReclaimable, false, 0},
		"cache for a while":    {func(f *fake, _ *Options) { f.groups["/a"].Stat.ActiveFile = oom.Of(5 * mib) }, OutcomeStanding, false, 0},
		"a little cache": {func(f *fake, _ *Options) {
			f.groups["/a"].Stat.ActiveFile, f.groups["/a"].Usage = oom.Of(mib/8), oom.Of(99*mib+mib/2)
		}, OutcomeKilled, true, 0},
		"caches of the kernel": {reclaims(90 * mib), OutcomeBelow, false, 1},
		"memory of the kernel": {reclaims(99*mib + mib/2), OutcomeKilled, true, 1},
		"kernel killed before": {func(f *fake, _ *Options) { f.groups["/a"].Events.OwnKills = oom.Of(3) }, OutcomeOvertaken, false, 0},
		"kernel kills meanwhile": {func(f *fake, _ *Options) {
			f.onKill = func() { f.groups["/a"].Events.OwnKills = oom.Of(3) }
		}, OutcomeOvertaken, false, 0},
		"kernel killed after the look": {func(f *fake, _ *Options) {
			looks := 0
			f.onRead = func() {
				if looks++; looks == 2 { // the first is the look.
					f.groups["/a"].Events.OwnKills = oom.Of(3)
				}
			}
		}, OutcomeOvertaken, false, 0},
		"limit raised meanwhile": {func(f *fake, _ *Options) { f.onKill = func() { f.groups["/a"].Limit = oom.Of(120 * mib) } }, OutcomeBelow, false, 0},
		"limit goes meanwhile":   {func(f *fake, _ *Options) { f.onKill = func() { f.groups["/a"].Limit = oom.Unlimited() } }, OutcomeBelow, false, 0},
		"guard stopped":          {func(f *fake, _ *Options) { f.onKill = func() { f.now = f.now.Add(2 * time.Second) } }, OutcomeStanding, false, 0},
		"kernel would panic":     {func(f *fake, _ *Options) { f.panics = 2 }, OutcomeKilled, true, 0},
		"kernel would hang them": {func(f *fake, _ *Options) { f.groups["/a"].KillDisabled = oom.Of(1) }, OutcomeKilled, true, 0},
		"charged elsewhere":      {func(f *fake, _ *Options) { f.procs["/a"][0].Anon = 500 * mib }, OutcomeNobody, false, 0},
		"never":                  {func(_ *fake, o *Options) { o.Never.Namespace.Include = regexp.MustCompile("^ns$") }, OutcomeNobody, false, 0},
		"avoided, but alone":     {func(_ *fake, o *Options) { o.Avoid.Namespace.Include = regexp.MustCompile("^ns$") }, OutcomeKilled, true, 0},
		"unreadable statistics":  {func(f *fake, _ *Options) { f.groups["/a"].Stat.ActiveFile = oom.Amount{} }, OutcomeFailed, false, 0},
		"another group":          {func(f *fake, _ *Options) { f.groups["/a"].Inode++ }, OutcomeGone, false, 0},
		"no group":               {func(f *fake, _ *Options) { f.groups["/a"] = nil }, OutcomeGone, false, 0},
		"no process":             {func(f *fake, _ *Options) { f.procs["/a"] = nil }, OutcomeNobody, false, 0},
		"all at -1000":           {adj(-1000, -1000), OutcomeNobody, false, 0},
		"victim below -900":      {adj(-901, -1000), OutcomeProtected, false, 0},
		"victim at -900":         {adj(-900, -1000), OutcomeKilled, true, 0},
		"dying":                  {func(f *fake, _ *Options) { f.dying[10] = true }, OutcomeDying, false, 0},
		"the guard itself":       {func(_ *fake, o *Options) { o.Protection.Self = 10 }, OutcomeProtected, false, 0},
		"kubelet":                {func(f *fake, _ *Options) { f.procs["/a"][0].Comm = "kubelet" }, OutcomeProtected, false, 0},
		"init":                   {func(f *fake, _ *Options) { f.procs["/a"] = f.procs["/a"][:1]; f.procs["/a"][0].PID = 1 }, OutcomeProtected, false, 0},
		"switch":                 {func(f *fake, _ *Options) { f.off = true }, OutcomeSwitchedOff, false, 0},
		"switch at the end":      {func(f *fake, _ *Options) { f.onKill = func() { f.off = true } }, OutcomeSwitchedOff, false, 0},
		"bound of 0":             {func(_ *fake, o *Options) { o.KillsPerMinute = 0 }, OutcomeRateLimited, false, 0},
		"fell at the end":        {func(f *fake, _ *Options) { f.onKill = func() { f.groups["/a"].Usage = oom.Of(0) } }, OutcomeBelow, false, 0},
		"vanished at the end":    {func(f *fake, _ *Options) { f.onKill = func() { f.groups["/a"] = nil } }, OutcomeGone, false, 0},
		"another in its place":   {func(f *fake, _ *Options) { f.onKill = func() { f.groups["/a"].Inode++ } }, OutcomeGone, false, 0},
		"pid was used again":     {func(f *fake, _ *Options) { f.onKill = func() { f.procs["/a"][0].Start++ } }, OutcomeGone, false, 0},
		"victim left the group":  {func(f *fake, _ *Options) { f.onKill = func() { f.procs["/a"] = f.procs["/a"][1:] } }, OutcomeGone, false, 0},
	} {
		f := newFake(t)
		f.add("/a", oom.KindContainer, 100*mib, 99*mib+mib/2, 10, 11)
		o := f.options()
		g := f.start(o)
		f.groups["/a"].Events.OwnKills = oom.Of(2)
		target, _ := newTarget(f.groups["/a"], o.Margin)
		c.change(f, &o)
		if err := g.Scan(); err != nil {
			t.Fatal(err)
		}
		g.o = o
		g.limiter = newLimiter(o.KillsPerMinute, 0, o.CoolDown, f.now)
		a := g.judge(context.Background(), target, f.ending(target), f.now)
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
		f.version = 1
		f.groups["/a"].Stat.SlabReclaimable, f.groups["/a"].Stat.Kernel = oom.Amount{}, oom.Of(40*mib)
		f.onReclaim = func(g *oom.Group) { g.Usage, g.Stat.Kernel = oom.Of(left), oom.Of(left-59*mib) }
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
	f.add("/a", oom.KindContainer, 100*mib, 99*mib+mib/2, 10, 11)
	g := f.start(f.options())
	target, _ := newTarget(f.groups["/a"], g.o.Margin)
	for i, want := range []Outcome{OutcomeKilled, OutcomeCoolDown, OutcomeCoolDown} {
		if a := g.judge(context.Background(), target, f.ending(target), f.now); a.Outcome != want {
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
		f.add("/pod", oom.KindPod, 100*mib, 99*mib+mib/2)
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
		if a := g.judge(context.Background(), target, f.ending(target), f.now); a.Outcome != c.want {
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
	f.add("/a", oom.KindContainer, 100*mib, 99*mib+mib/2, 10).StandIn = true
	f.names["/a"] = oom.Identity{Workload: oom.Workload{Namespace: "shop", Pod: "web", Container: "app"}, PodUID: "1-2"}
	a := judged(f, f.options(), "/a")
	if a.Outcome != OutcomeKilled || a.Identity.Workload.Pod != "web" {
		t.Errorf("%s of %+v", a.Outcome, a.Identity.Workload)
	}
}

// TestNoKillWithoutGrowth has groups as near to their limits as can be, which
// nobody has seen grow.
func TestNoKillWithoutGrowth(t *testing.T) {
	for _, left := range []uint64{0, 1, 4096, mib / 10, mib} {
		f := newFake(t)
		f.add("/a", oom.KindContainer, 100*mib, 100*mib-left, 10)
		g := f.start(f.options())
		target, _ := newTarget(f.groups["/a"], g.o.Margin)
		var seen growth
		for i := range 100 {
			f.now = f.now.Add(5 * time.Millisecond)
			f.groups["/a"].Events.Max = oom.Of(uint64(i)) // it thrashes.
			if a := g.judge(context.Background(), target, &seen, f.now); a.Outcome != OutcomeStanding {
				t.Fatalf("%d bytes below the limit: %s", left, a.Outcome)
			}
		}
	}
}

// TestTheKernelsVictimIsAwaited has a group grow on at its limit after the kernel has
// killed in it. Whom the kernel has chosen may need long to give back its memory, and
// until then nobody else may be killed, unless that takes too long.
func TestTheKernelsVictimIsAwaited(t *testing.T) {
	const limit = uint64(100 * mib)
	for name, c := range map[string]struct {
		gives, grows uint64 // the victim's memory, and growth in a ms.
		after, ends  time.Duration
		killed       bool
	}{
		"has not ended":       {0, 16 << 10, time.Hour, 60 * time.Millisecond, false},
		"ends":                {mib, 64 << 10, 40 * time.Millisecond, 140 * time.Millisecond, true},
		"has ended":           {mib, 64 << 10, 0, 100 * time.Millisecond, true},
		"never ends":          {0, 16 << 10, time.Hour, 620 * time.Millisecond, true},
		"a charge taken back": {charge, 16 << 10, 20 * time.Millisecond, 80 * time.Millisecond, false},
	} {
		f := newFake(t)
		group := f.add("/a", oom.KindContainer, limit, limit-mib/4, 10, 11)
		group.Events.OwnKills = oom.Of(0)
		g := f.start(f.options())
		target, _ := newTarget(group, g.o.Margin)
		target.kills = oom.Of(0)
		seen := f.ending(target)
		size := limit
		if c.after == 0 {
			size -= mib/4 + c.gives
		}
		group.Usage = oom.Of(size)
		group.Events.OwnKills = oom.Of(1)
		if a := g.judge(context.Background(), target, seen, f.now); a.Outcome != OutcomeOvertaken {
			t.Fatalf("%s: %s (%s) when the kernel has killed", name, a.Outcome, a.Reason)
		}
		target.kills = oom.Of(1)
		size = min(size, limit-3*mib/8) // what was charged ahead is taken back.
		for passed := time.Duration(0); passed < c.ends && len(f.killed) == 0; passed += time.Millisecond {
			if passed > 0 && passed == c.after {
				size -= c.gives
			}
			f.now = f.now.Add(time.Millisecond)
			if passed+100*time.Millisecond > c.ends { // it stands before that.
				size = min(limit, size+c.grows)
			}
			group.Usage = oom.Of(size)
			g.judge(context.Background(), target, seen, f.now)
		}
		if killed := len(f.killed) > 0; killed != c.killed {
			t.Errorf("%s: killed %v", name, f.killed)
		}
	}
}

// TestPausesAreNoWaitForACPU has a group that grows by steps, of which the next
// would reach the limit. It is a leak where its threads sleep in between; where
// one of them wants a CPU, it may be a quick start on a busy node.
func TestPausesAreNoWaitForACPU(t *testing.T) {
	for _, runnable := range []bool{false, true} {
		f := newFake(t)
		f.add("/a", oom.KindContainer, 100*mib, 98*mib+mib/2, 10)
		f.runnable = runnable
		o := f.options()
		target, _ := newTarget(f.groups["/a"], o.Margin)
		var seen growth
		seen.setLimit(&target)
		for step := uint64(5); step <= 5; step-- {
			seen.see(f.now.Add(-30*time.Millisecond-time.Duration(step)*50*time.Millisecond), 98*mib+mib/2-step*7*mib/4)
		}
		a := f.start(o).judge(context.Background(), target, &seen, f.now)
		if killed := len(f.killed) > 0; killed == runnable {
			t.Errorf("runnable %v: %s, killed %v", runnable, a.Outcome, f.killed)
		}
	}
}

// TestEveryKillCounts has an error come after kills: they are told, and bound
// what may be done next.
func TestEveryKillCounts(t *testing.T) {
	for _, policy := range []Policy{PolicyProcess, PolicyContainer} {
		f := newFake(t)
		f.add("/a", oom.KindContainer, 100*mib, 99*mib+mib/2, 10, 11)
		f.add("/b", oom.KindContainer, 100*mib, 99*mib+mib/2, 12)
		f.killErr = errors.New("half-way")
		f.sharers = []Victim{{f.procs["/a"][1], f.groups["/a"].GroupID}}
		o := f.options()
		o.Policy, o.KillsPerMinute = policy, 1
		g := f.start(o)
		for path, want := range map[string]Outcome{"/a": OutcomeIncomplete} {
			target, _ := newTarget(f.groups[path], o.Margin)
			a := g.judge(context.Background(), target, f.ending(target), f.now)
			g.tell(&a, "")
			if a.Outcome != want || a.Kills != 2 || g.Stats().Kills != 2 || len(f.reports) != 1 {
				t.Errorf("%s: %s, %d kills, %d counted, %d reported", policy, a.Outcome, a.Kills, g.Stats().Kills, len(f.reports))
			}
		}
		target, _ := newTarget(f.groups["/b"], o.Margin)
		if a := g.judge(context.Background(), target, f.ending(target), f.now); a.Outcome != OutcomeRateLimited {
			t.Errorf("%s: the next one: %s", policy, a.Outcome)
		}
	}
}

// TestAHelpersNameSavesNobody: what runs in a container may call itself as it
// likes; outside of them, the process with the name is spared, and no other.
func TestAHelpersNameSavesNobody(t *testing.T) {
	for _, c := range []struct {
		id          string
		helper      int
		killed      int32
		ended       bool
		victimNamed bool
	}{
		{"0123", 1, 0, true, false},
		{"0123", 0, 0, true, true},
		{"", 1, 10, false, false},
		{"", 0, 0, false, true},
	} {
		f := newFake(t)
		f.add("/a", oom.KindContainer, 100*mib, 99*mib+mib/2, 10, 11).ContainerID = c.id
		f.procs["/a"][c.helper].Comm = "kubelet"
		o := f.options()
		o.Policy = PolicyContainer
		a := judged(f, o, "/a")
		if got := len(f.ended) == 1; got != c.ended {
			t.Errorf("%+v: ended %v, %s", c, f.ended, a.Reason)
		}
		if got := slices.Equal(f.killed, []int32{c.killed}); got != (c.killed != 0) {
			t.Errorf("%+v: killed %v", c, f.killed)
		}
	}
}

// TestPreferences has a limit that three workloads share.
func TestPreferences(t *testing.T) {
	re := func(s string) Match { return Match{Include: regexp.MustCompile("^(?:" + s + ")$")} }
	for name, c := range map[string]struct {
		p    Preferences
		want string
	}{
		"none":                   {Preferences{}, "/kube/big"},
		"avoided":                {Preferences{Avoid: Filter{Container: re("/kube/big")}}, "/kube/mid"},
		"never":                  {Preferences{Never: Filter{Container: re("/kube/(big|mid)")}}, "/kube/small"},
		"preferred":              {Preferences{Prefer: Filter{Container: re("/kube/small")}}, "/kube/small"},
		"avoid beats prefer":     {Preferences{Prefer: Filter{Container: re("/kube/.*")}, Avoid: Filter{Container: re("/kube/big")}}, "/kube/mid"},
		"all avoided":            {Preferences{Avoid: Filter{Namespace: re("ns")}}, "/kube/big"},
		"never beats everything": {Preferences{Prefer: Filter{QoS: re("burstable")}, Never: Filter{QoS: re("burstable")}}, ""},
	} {
		f := newFake(t)
		f.add("/kube", oom.KindSlice, 100*mib, 99*mib+mib/2)
		f.add("/kube/small", oom.KindContainer, 0, 9*mib, 20)
		f.add("/kube/mid", oom.KindContainer, 0, 20*mib, 21)
		f.add("/kube/big", oom.KindContainer, 0, 70*mib, 22)
		o := f.options()
		o.Policy, o.Preferences = PolicyContainer, c.p
		a := judged(f, o, "/kube")
		if got := strings.Join(f.ended, " "); got != c.want {
			t.Errorf("%s: ended %q, want %q (%s, %s)", name, got, c.want, a.Outcome, a.Reason)
		}
	}
}

func TestCheckDoesNothing(t *testing.T) {
	f := newFake(t)
	f.add("/below", oom.KindContainer, 100*mib, 10*mib, 10)
	f.add("/over", oom.KindContainer, 100*mib, 99*mib+mib/2, 20)
	f.add("/cache", oom.KindContainer, 100*mib, 99*mib+mib/2, 30).Stat.ActiveFile = oom.Of(50 * mib)
	f.add("/safe", oom.KindContainer, 100*mib, 99*mib+mib/2, 40)
	f.procs["/safe"][0].Comm = "kubelet"
	f.procs["/over"][0].Comm = "p\x1b[2J\n20"
	for policy, over := range map[Policy]string{
		PolicyNoop:      `if it grows on: say that it would have killed 20 (p\x1b[2J\n20)`,
		PolicyProcess:   `if it grows on: reclaim, then kill 20 (p\x1b[2J\n20)`,
		PolicyContainer: "if it grows on: reclaim, then end container /over",
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
		for i, want := range []string{"nothing", over, "nothing: the kernel can still reclaim", "nothing: protected, pid 40 is kubelet"} {
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
