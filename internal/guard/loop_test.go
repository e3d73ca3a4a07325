// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// grow lets a group grow at a rate, in steps of so long, until it is at its limit or has been dealt
// with, and returns how far it came.
func grow(f *fake, g *Guard, path string, rate uint64, step time.Duration) uint64 {
	group := f.groups[path]
	begin, from := f.clock(), group.Usage.Or(0)
	for len(f.killed) == 0 && group.Usage.Or(0) < group.Limit.Or(0) {
		wait := min(settle(g), time.Millisecond*100)
		f.Wait(max(wait, time.Millisecond))
		f.mu.Lock()
		usage := from + uint64(f.now.Sub(begin).Truncate(step).Seconds()*float64(rate))
		before := group.Usage.Or(0)
		group.Usage = oom.Of(min(usage, group.Limit.Or(0)))
		rings := slices.ContainsFunc(f.marks[path], func(mark uint64) bool { return before < mark && usage >= mark })
		f.mu.Unlock()
		if rings {
			g.hear([]Notice{{Kind: NoticeUsage, Token: g.byPath[path]}, {Kind: NoticeUsage, Token: 77}})
		}
		settle(g)
	}
	return group.Usage.Or(0)
}

// TestLeaksAreMetByPolling has leaks of every rate under every limit, without
// any notice by the kernel: where the margin lasts for 20 ms, each is met
// before its limit.
func TestLeaksAreMetByPolling(t *testing.T) {
	for _, limit := range []uint64{64 * mib, 256 * mib, 1024 * mib} {
		for _, rate := range []uint64{1 * mib, 10 * mib, 50 * mib, 200 * mib} {
			f := newFake(t)
			f.armable = false
			f.add("/a", oom.KindContainer, limit, 2*mib, 10)
			o := f.options()
			g := f.start(o)
			reached := grow(f, g, "/a", rate, time.Nanosecond)
			budget := float64(o.Margin.Of(limit)) / float64(rate)
			if met := reached < limit; !met && budget > 0.020 {
				t.Errorf("limit %d MiB, %d MiB/s: not met in %.0f ms", limit/mib, rate/mib, 1000*budget)
			}
		}
	}
}

// A group at rest costs next to nothing, and the growth of what holds it tells
// of its own.
func TestPolledGroupsAtRestAreLeftAlone(t *testing.T) {
	f := newFake(t)
	f.armable = false
	f.add("/top", oom.KindSlice, 0, 500*mib)
	for i := range 10 {
		f.add(fmt.Sprintf("/top/c%d", i), oom.KindContainer, 200*mib, 50*mib, int32(10+i))
	}
	o := f.options()
	o.Tops = tops{f}
	g := f.start(o)
	f.run(g, time.Minute)
	if reads := f.reads["meter /top/c3"]; reads > 30 {
		t.Errorf("%d reads in a minute at rest, want at most one in 2 s", reads)
	}
	f.mu.Lock()
	before := f.reads["meter /top/c3"]
	f.groups["/top"].Usage, f.groups["/top/c3"].Usage = oom.Of(600*mib), oom.Of(150*mib)
	f.mu.Unlock()
	f.run(g, tickMax)
	if f.reads["meter /top/c3"] == before {
		t.Error("what holds it grew by half of its room, and nobody looked")
	}
}

// TestAFastStartIsForgotten: what grew faster than anybody could meet is not
// read all the time for that.
func TestAFastStartIsForgotten(t *testing.T) {
	f := newFake(t)
	f.armable = false
	group := f.add("/c", oom.KindContainer, 200*mib, 0, 10)
	g := f.start(f.options())
	f.run(g, time.Second)
	g.hear([]Notice{{Kind: NoticeEvents, Token: 1}})
	settle(g)
	f.Wait(2 * time.Millisecond)
	f.mu.Lock()
	group.Usage = oom.Of(100 * mib) // at once.
	f.mu.Unlock()
	g.hear([]Notice{{Kind: NoticeEvents, Token: 1}})
	settle(g)
	before := f.reads["meter /c"]
	f.run(g, time.Second)
	if reads := f.reads["meter /c"] - before; reads < 4 || reads > 12 {
		t.Errorf("%d reads in the second after it, want about 8", reads)
	}
}

// TestNothingMoves has a group under a top that does not move, and pressure
// elsewhere on the node: it is read once a minute.
func TestNothingMoves(t *testing.T) {
	f := newFake(t)
	f.armable = false
	f.add("/top", oom.KindSlice, 0, 500*mib)
	f.add("/top/c", oom.KindContainer, 200*mib, 100*mib, 10)
	o := f.options()
	o.Tops = tops{f}
	g := f.start(o)
	f.run(g, time.Minute)
	before := f.reads["meter /top/c"]
	for range 600 {
		f.run(g, time.Second)
		g.hear([]Notice{{Kind: NoticePressure}})
	}
	if reads := f.reads["meter /top/c"] - before; reads < 9 || reads > 11 {
		t.Errorf("%d reads in ten minutes, want one a minute", reads)
	}
}

// TestASuddenLeakIsMet has a group grow after a long rest, in which only the
// group at its top was read: it is met if there are 20 ms for that.
func TestASuddenLeakIsMet(t *testing.T) {
	for _, limit := range []uint64{64 * mib, 256 * mib, 1024 * mib} {
		for _, part := range []uint64{30, 2} { // of the limit is used before it.
			for _, ms := range []uint64{21, 50, 500, 5000} { // from threshold to limit.
				step := []time.Duration{time.Nanosecond, 10 * time.Millisecond}[ms/50&1]
				for phase := range 10 {
					f := newFake(t)
					f.armable = false
					f.add("/top", oom.KindSlice, 0, 0)
					group := f.add("/top/c", oom.KindContainer, limit, limit/part, 10)
					o := f.options()
					o.Tops = sum{f}
					g := f.start(o)
					f.run(g, 2*time.Minute+time.Duration(phase)*97*time.Millisecond)
					rate := o.Margin.Of(limit) * 1000 / ms
					if reached := grow(f, g, group.Path, rate, step); reached >= limit {
						t.Errorf("limit %d MiB, from 1/%d, %d ms, phase %d: not met", limit/mib, part, ms, phase)
					}
				}
			}
		}
	}
}

// sum is a top with the one group below it.
type sum struct{ f *fake }

func (s sum) Tops() map[string]uint64 {
	defer s.f.locked()()
	return map[string]uint64{"/top": s.f.groups["/top/c"].Usage.Or(0)}
}

type tops struct{ f *fake }

func (t tops) Tops() map[string]uint64 {
	defer t.f.locked()()
	return map[string]uint64{"/top": t.f.groups["/top"].Usage.Or(0)}
}

func TestArmedGroupsWaitForTheKernel(t *testing.T) {
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 20*mib, 10)
	g := f.start(f.options())
	f.run(g, 10*time.Second)
	if got := f.reads["meter /a"]; got > 4 {
		t.Errorf("%d reads, want few", got)
	}
	if got, want := f.marks["/a"], []uint64{90 * mib, 98 * mib, 99 * mib}; !slices.Equal(got, want) {
		t.Errorf("marks = %v, want %v", got, want)
	}
	if reached := grow(f, g, "/a", 20*mib, time.Nanosecond); reached >= 100*mib || !slices.Equal(f.killed, []int32{10}) {
		t.Errorf("killed %v at %d after the notice", f.killed, reached)
	}
	s := g.Stats()
	if s.Crossings != 1 || s.Outcomes[OutcomeKilled] != 1 || s.Notices[NoticeUsage] < 2 || s.Reactions[0] != 1 {
		t.Errorf("stats = %+v", s)
	}
	if len(f.reports) != 1 || f.reports[0].Outcome != OutcomeKilled {
		t.Errorf("reports = %+v", f.reports)
	}
}

func TestResizeMovesTheThreshold(t *testing.T) {
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 99*mib/2, 10)
	g := f.start(f.options())
	settle(g)
	f.groups["/a"].Limit = oom.Of(200 * mib)
	g.hear([]Notice{{Kind: NoticeLimit, Token: 1}})
	f.groups["/a"].Usage = oom.Of(99 * mib)
	f.run(g, time.Minute)
	if len(f.killed) > 0 {
		t.Error("killed by the limit that was")
	}
	if got, want := f.marks["/a"], []uint64{180 * mib, 196 * mib, 198 * mib}; !slices.Equal(got, want) {
		t.Errorf("marks = %v, want %v", got, want)
	}
	f.groups["/a"].Limit = oom.Of(101 * mib)
	g.hear([]Notice{{Kind: NoticeLimit, Token: 1}})
	settle(g)
	if len(f.killed) != 0 {
		t.Error("killed for being near the limit that is")
	}
	if grow(f, g, "/a", 20*mib, time.Nanosecond); len(f.killed) != 1 {
		t.Error("not killed by the limit that is")
	}
	f.groups["/a"].Limit = oom.Unlimited()
	f.now = f.now.Add(time.Minute)
	g.hear([]Notice{{Kind: NoticeLimit, Token: 1}})
	if len(g.watched) != 0 || f.marks["/a"] != nil {
		t.Error("a group without a limit is watched")
	}
}

// TestALimitBeforeAnybodyListens comes after the group was read, and before changes
// in it are told of.
func TestALimitBeforeAnybodyListens(t *testing.T) {
	f := newFake(t)
	group := f.add("/a", oom.KindContainer, 0, 10*mib, 10)
	f.onObserve = func() bool {
		missed := group.Limit == oom.Unlimited()
		group.Limit = oom.Of(100 * mib)
		return missed
	}
	g := f.start(f.options())
	settle(g)
	if len(g.watched) != 0 || len(g.rescan) != 1 {
		t.Fatalf("%d watched, %d scans asked for, want 0 and 1", len(g.watched), len(g.rescan))
	}
	<-g.rescan
	if err := g.Scan(); err != nil {
		t.Fatal(err)
	}
	settle(g)
	if len(g.watched) != 1 || len(g.rescan) != 0 {
		t.Errorf("%d watched, %d scans asked for, want 1 and 0", len(g.watched), len(g.rescan))
	}
}

func TestGroupsComeAndGo(t *testing.T) {
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 10*mib, 10)
	f.add("/unlimited", oom.KindContainer, 0, 10*mib, 11)
	f.add("/part", oom.KindPart, 100*mib, 10*mib, 13)
	f.add("/tiny", oom.KindContainer, 2*mib, mib, 14)
	g := f.start(f.options())
	settle(g)
	if len(g.watched) != 1 {
		t.Fatalf("%d watched, want /a alone", len(g.watched))
	}
	f.groups["/a"] = nil
	g.hear([]Notice{{Kind: NoticePressure}})
	settle(g)
	if len(g.watched) != 1 {
		t.Error("pressure made a group be read that the kernel watches")
	}
	g.hear([]Notice{{Kind: NoticeUsage, Token: 1}})
	settle(g)
	if len(g.watched) != 0 || len(g.rescan) != 1 {
		t.Errorf("%d watched, %d scans asked for", len(g.watched), len(g.rescan))
	}
	f.add("/a", oom.KindContainer, 100*mib, 10*mib, 20).Inode = 999
	f.add("/b", oom.KindPod, 100*mib, 10*mib, 21)
	if err := g.Scan(); err != nil {
		t.Fatal(err)
	}
	settle(g)
	if len(g.watched) != 2 || len(g.Stats().Targets) != 2 {
		t.Errorf("%d watched, want 2", len(g.watched))
	}
	f.groups["/a"].Inode = 1000 // made anew between two scans.
	if err := g.Scan(); err != nil {
		t.Fatal(err)
	}
	settle(g)
	if w := g.watched[g.byPath["/a"]]; len(g.watched) != 2 || w.Inode != 1000 {
		t.Errorf("the new group is not watched")
	}
	f.scanErr = errors.New("no")
	if err := g.Scan(); err == nil || g.Stats().ScanFailures != 1 {
		t.Error("a failure was not told")
	}
	settle(g)
	if len(g.watched) != 2 {
		t.Error("a failed scan took groups away")
	}
}

// TestManyCrossAtOnce has 1,000 groups, of which 50 cross together: the bound
// holds, and only processes of those groups are hit.
func TestManyCrossAtOnce(t *testing.T) {
	f := newFake(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		f.add(fmt.Sprintf("/c%d", i), oom.KindContainer, 100*mib, 50*mib, int32(1000+i))
	}
	o := f.options()
	o.KillsPerMinute, o.KillsPerTenant = 20, 20
	g := f.start(o)
	settle(g)
	f.now = f.now.Add(time.Hour)
	over := map[int32]bool{}
	leaks := rng.Perm(1000)[:50]
	for _, i := range leaks {
		over[int32(1000+i)] = true
	}
	begin := f.clock()
	leak := func(last time.Duration) { // again and again, by 1 MiB a second.
		for f.clock().Sub(begin) < last {
			f.Wait(5 * time.Millisecond)
			for _, i := range leaks {
				path := fmt.Sprintf("/c%d", i)
				f.mu.Lock()
				was, now := f.groups[path].Usage.Or(0), 96*mib+uint64(f.now.Sub(begin).Milliseconds())%4000*mib/1000
				f.groups[path].Usage = oom.Of(now)
				f.mu.Unlock()
				if was < 98*mib && now >= 98*mib {
					g.hear([]Notice{{Kind: NoticeUsage, Token: g.byPath[path]}})
				}
			}
			settle(g)
		}
	}
	leak(9 * time.Second)
	if len(f.killed) != 20 {
		t.Errorf("%d kills in the first seconds, want the bound of 20", len(f.killed))
	}
	leak(70 * time.Second)
	if len(f.killed) != 40 {
		t.Errorf("%d kills after a minute, want twice the bound", len(f.killed))
	}
	for _, pid := range f.killed {
		if !over[pid] {
			t.Errorf("pid %d was killed, whose group is far from its limit", pid)
		}
	}
	if got := g.Stats().Crossings; got < 50 {
		t.Errorf("%d crossings, want 50 at least", got)
	}
}

// A group that lives at its limit with page cache is never hit, and not looked
// at all the time.
func TestCacheAtTheLimit(t *testing.T) {
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 100*mib, 10).Stat.InactiveFile = oom.Of(90 * mib)
	g := f.start(f.options())
	for range 60 {
		g.hear([]Notice{{Kind: NoticeUsage, Token: 1}, {Kind: NoticeEvents, Token: 1}})
		f.run(g, time.Second)
	}
	if len(f.killed) != 0 || f.reclaims > 0 {
		t.Errorf("killed %v, reclaimed %d times in a minute", f.killed, f.reclaims)
	}
	if got := f.reads["/a"]; got > 60*8 {
		t.Errorf("%d looks in a minute", got)
	}
}

func TestFilter(t *testing.T) {
	re := func(s string) *regexp.Regexp { return regexp.MustCompile("^(?:" + s + ")$") }
	id := oom.Identity{Workload: oom.Workload{Namespace: "shop", Pod: "web-1", Container: "app"}, QoS: oom.QoSBurstable}
	unit := oom.Identity{Workload: oom.Workload{Container: "db.service"}, Unit: "db.service", Runtime: "systemd"}
	for name, c := range map[string]struct {
		f         Filter
		app, unit bool
	}{
		"all":               {Filter{}, true, true},
		"namespace":         {Filter{Namespace: Match{Include: re("shop")}}, true, false},
		"not the namespace": {Filter{Namespace: Match{Exclude: re("shop")}}, false, true},
		"pod":               {Filter{Pod: Match{Include: re("web-.*")}}, true, false},
		"container":         {Filter{Container: Match{Include: re("app|db.service")}}, true, true},
		"unit":              {Filter{Unit: Match{Include: re("db.*")}}, false, true},
		"no units":          {Filter{Unit: Match{Exclude: re(".+")}}, true, false},
		"class":             {Filter{QoS: Match{Include: re("burstable|besteffort")}}, true, false},
		"excluded wins":     {Filter{Pod: Match{Include: re("web-.*"), Exclude: re("web-1")}}, false, false},
	} {
		if got := c.f.passes(oom.KindContainer, &id); got != c.app {
			t.Errorf("%s: the container passes: %v", name, got)
		}
		if got := c.f.passes(oom.KindContainer, &unit); got != c.unit {
			t.Errorf("%s: the unit passes: %v", name, got)
		}
	}
	id.StandIn = true
	if f := (Filter{Namespace: Match{Exclude: re("kube-system")}}); f.passes(oom.KindContainer, &id) {
		t.Error("a container without a name passes a filter of names")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	f.add("/a", oom.KindContainer, 100*mib, 97*mib, 10)
	g, err := New(f.options())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.onKill = cancel // in the middle of an action: it is ended, and told.
	f.onWait = func() {
		<-time.After(200 * time.Microsecond) // for the workers.
		g := f.groups["/a"]
		if g.Usage = oom.Of(g.Usage.Or(0) + 20<<10); g.Usage.Or(0) > 101*mib {
			cancel()
		}
	}
	if err := g.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if len(f.killed) != 1 || len(f.reports) != 1 || g.Stats().Outcomes[OutcomeKilled] != 1 {
		t.Errorf("killed %v, reports %v", f.killed, f.reports)
	}
	if len(f.marks) != 0 {
		t.Error("meters stay open")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	f := newFake(t)
	for name, change := range map[string]func(*Options){
		"no kernel":     func(o *Options) { o.Kernel = nil },
		"margins":       func(o *Options) { o.Margin.Min = 100 * mib },
		"no margin":     func(o *Options) { o.Margin = Margin{} },
		"poll interval": func(o *Options) { o.Pace.Min = time.Hour },
	} {
		o := f.options()
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestAllLimitedGroupsAreWatched: slices and pods have limits, too, and one mkdir
// in a container does not hide it.
func TestAllLimitedGroupsAreWatched(t *testing.T) {
	f := newFake(t)
	f.add("/kubepods", oom.KindSlice, 100*mib, 10*mib)
	f.add("/kubepods/pod1", oom.KindPod, 100*mib, 10*mib)
	f.add("/docker/0123", oom.KindSlice, 100*mib, 10*mib, 10).ContainerID = "0123"
	f.add("/docker/0123/4567", oom.KindContainer, 0, 0)
	f.add("/part", oom.KindPart, 100*mib, 10*mib, 13)
	f.add("/pause", oom.KindSandbox, 100*mib, 10*mib, 14)
	g := f.start(f.options())
	settle(g)
	for _, path := range []string{"/kubepods", "/kubepods/pod1", "/docker/0123"} {
		if g.byPath[path] == 0 {
			t.Errorf("%s is not watched", path)
		}
	}
	if len(g.watched) != 3 {
		t.Errorf("%d watched, want 3", len(g.watched))
	}
	o := f.options()
	o.Policy = PolicyContainer
	f.groups["/docker/0123"].Usage = oom.Of(99*mib + mib/2)
	if a := judged(f, o, "/docker/0123"); !slices.Equal(f.ended, []string{"/docker/0123"}) {
		t.Errorf("ended %v, %s (%s)", f.ended, a.Outcome, a.Reason)
	}
}

// TestForgedNamesBelongToWhoMadeThem: a group below a container is that
// container's, whatever it is called.
func TestForgedNamesBelongToWhoMadeThem(t *testing.T) {
	tree := &oom.Tree{Groups: []oom.Group{
		{GroupID: oom.GroupID{Path: "/"}, Parent: -1, Kind: oom.KindRoot},
		{
			GroupID: oom.GroupID{Path: "/kubepods/pod1/own"}, Parent: 0, Kind: oom.KindSlice,
			Identity: oom.Identity{ContainerID: "own", Workload: oom.Workload{Namespace: "mine"}},
		},
		{GroupID: oom.GroupID{Path: "/kubepods/pod1/own/nested"}, Parent: 1, Kind: oom.KindSlice},
		{
			GroupID: oom.GroupID{Path: "/kubepods/pod1/own/nested/cri-containerd-victim.scope"}, Parent: 2, Kind: oom.KindContainer,
			Identity: oom.Identity{ContainerID: "victim", Workload: oom.Workload{Namespace: "kube-system"}},
		},
		{GroupID: oom.GroupID{Path: "/kubepods/pod2/victim"}, Parent: 0, Kind: oom.KindContainer, Identity: oom.Identity{ContainerID: "victim"}},
	}}
	belong(tree)
	for i, want := range []string{"", "own", "own", "own", "victim"} {
		if got := tree.Groups[i].ContainerID; got != want {
			t.Errorf("%s is of container %q, want %q", tree.Groups[i].Path, got, want)
		}
	}
	known := containersOf(tree)
	if len(known) != 2 || known["/kubepods/pod1/own"].Path == "" || known["/kubepods/pod2/victim"].Path == "" {
		t.Errorf("containers = %v", known)
	}
}

// TestTheNextLeakIsMet has workers leak one after the other: each is killed, as
// soon as what the one before held is free.
func TestTheNextLeakIsMet(t *testing.T) {
	f := newFake(t)
	group := f.add("/a", oom.KindContainer, 100*mib, 90*mib, 10)
	g := f.start(f.options())
	for i := range 5 {
		f.mu.Lock()
		f.killed = nil
		group.Usage = oom.Of(60 * mib)
		f.mu.Unlock()
		f.run(g, 20*time.Millisecond)
		if reached := grow(f, g, "/a", 50*mib, 10*time.Millisecond); reached >= 100*mib {
			t.Errorf("leak %d reached its limit", i)
		}
	}
}

// TestAStandingGroupIsNotReadAllTheTime follows a group that stands near its
// limit, and one that lives there with page cache.
func TestAStandingGroupIsNotReadAllTheTime(t *testing.T) {
	f := newFake(t)
	f.add("/stands", oom.KindContainer, 100*mib, 99*mib, 10)
	f.add("/cache", oom.KindContainer, 100*mib, 100*mib, 11).Stat.InactiveFile = oom.Of(7 * mib)
	g := f.start(f.options())
	f.run(g, time.Minute)
	if len(f.killed) > 0 {
		t.Errorf("killed %v", f.killed)
	}
	if reads := f.reads["meter /stands"]; reads > 60*25 {
		t.Errorf("%d reads in a minute of the group that stands", reads)
	}
	if looks := f.reads["/stands"]; looks > 60 {
		t.Errorf("%d looks in a minute at the group that stands", looks)
	}
}

// TestStuckGroupsBlindNobody: as many groups as there are workers take long to
// end, and the leak of another is met all the same.
func TestStuckGroupsBlindNobody(t *testing.T) {
	f := newFake(t)
	for i := range 2 * workers {
		f.add(fmt.Sprintf("/stuck%d", i), oom.KindContainer, 100*mib, 50*mib, int32(100+i))
	}
	g := f.start(f.options())
	release := make([]func(), 0, workers)
	for range workers {
		g.slots <- struct{}{}
		release = append(release, g.leave())
	}
	deadline := time.After(10 * time.Second)
	for range workers {
		select {
		case g.slots <- struct{}{}:
		case <-deadline:
			t.Fatal("stuck workers keep their slots")
		}
	}
	for _, r := range release {
		r()
	}
	if g.stuck.Load() != 0 {
		t.Errorf("%d are stuck after all have come back", g.stuck.Load())
	}
}

// TestLooksAtCacheAreBounded has a group at its limit have the kernel ring all
// the time: the looks at it take a hundredth of the time at most.
func TestLooksAtCacheAreBounded(t *testing.T) {
	f := newFake(t)
	f.lookCost = 300 * time.Microsecond
	f.add("/a", oom.KindContainer, 100*mib, 100*mib, 10).Stat.InactiveFile = oom.Of(6 * mib)
	g := f.start(f.options())
	settle(g)
	before, begin := f.reads["/a"], f.clock()
	for f.clock().Sub(begin) < time.Minute {
		if !f.muted["/a"] {
			g.hear([]Notice{{Kind: NoticeUsage, Token: 1}})
		}
		f.run(g, 5*time.Millisecond)
	}
	if took := time.Duration(f.reads["/a"]-before) * f.lookCost; took > lookBurst+time.Minute/100 {
		t.Errorf("looks took %v of a minute", took)
	}
	if !f.muted["/a"] && f.reads["/a"] > 5000 {
		t.Error("its notices are not held back")
	}
}

// TestManyProcessesAreChosenFromAhead has a group whose processes take longer to
// look at than the second half of its margin lasts: its leak is met.
func TestManyProcessesAreChosenFromAhead(t *testing.T) {
	f := newFake(t)
	f.membersCost = 60 * time.Millisecond
	f.add("/a", oom.KindContainer, 256*mib, 240*mib, 10)
	g := f.start(f.options())
	settle(g)
	if reached := grow(f, g, "/a", 50*mib, time.Nanosecond); reached >= 256*mib || !slices.Equal(f.killed, []int32{10}) {
		t.Errorf("killed %v at %d", f.killed, reached)
	}
}
