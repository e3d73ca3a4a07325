// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// gaps returns the times between samples in the last part of a track, up to its
// last sample.
func gaps(all []oom.Sample, last time.Duration) (longest time.Duration, n int) {
	end := all[len(all)-1].Time
	for i := 1; i < len(all); i++ {
		if end.Sub(all[i-1].Time) > last {
			continue
		}
		longest = max(longest, all[i].Time.Sub(all[i-1].Time))
		n++
	}
	return longest, n
}

func TestABurstIsSeenAtTheFastPace(t *testing.T) {
	for _, rate := range []uint64{1 * mi, 10 * mi, 50 * mi, 200 * mi} {
		t.Run(fmt.Sprint(rate/mi, " MiB a second"), func(t *testing.T) {
			w := newWorld(t)
			b := w.add("/a", 0, 2000*mi, steady(100*mi))
			w.start(Options{})
			w.pass(6 * time.Second)
			b.usage = w.ramp(100*mi, rate)
			w.pass(time.Duration(1900*mi/rate) * time.Second)
			rec := w.recorded(w.kill("k", "/a", "/a"))
			if rec.Gap < 0 || rec.Gap > 150*time.Millisecond {
				t.Errorf("the last sample is %v before the kill", rec.Gap)
			}
			fine := rec.Victim.Fine
			if longest, n := gaps(fine, time.Second); longest > 150*time.Millisecond || n < 9 {
				t.Errorf("%d samples in the last second, up to %v apart", n, longest)
			}
			if longest, _ := gaps(fine, 2*time.Minute); longest > 6*time.Second {
				t.Errorf("samples up to %v apart", longest)
			}
			for i, s := range fine {
				at := s.Time.Sub(epoch)
				if want := b.usage(at); at > b.born && s.Usage.Or(0) > want+4096 || i > 0 && !s.Time.After(fine[i-1].Time) {
					t.Errorf("sample %d at %v: usage %v, want %d", i, at, s.Usage, want)
				}
			}
			if rec.Owner != nil || len(rec.Siblings) != 0 {
				t.Errorf("its own limit has owner %v and siblings %v", rec.Owner, rec.Siblings)
			}
		})
	}
}

// TestABurstAfterAStill has containers that stand still, far from their limit and
// near to it, alone and in a pod that stands still, and then grow into it.
func TestABurstAfterAStill(t *testing.T) {
	for _, level := range []uint64{100, 800, 950} {
		for _, rate := range []uint64{10 * mi, 100 * mi, 400 * mi} {
			for _, path := range []string{"/a", "/pod/a"} {
				t.Run(fmt.Sprint(path, " from ", level, " MiB by ", rate/mi, " MiB a second"), func(t *testing.T) {
					w := newWorld(t)
					parent := oom.CgroupHandle(0)
					var pod *box
					if path != "/a" {
						pod = w.add("/pod", 0, 0, nil)
						parent = pod.Handle
					}
					b := w.add(path, parent, 1000*mi, steady(level*mi))
					if pod != nil {
						pod.usage = func(at time.Duration) uint64 { return b.usage(at) }
					}
					w.start(Options{})
					still := 100*time.Second + time.Duration(rate%7)*130*time.Millisecond
					grows := time.Duration((1000 - level) * mi * uint64(time.Second) / rate)
					began := w.uptime + still
					b.usage = func(at time.Duration) uint64 {
						return level*mi + uint64(float64(rate)*max(0, at-began).Seconds())
					}
					w.pass(still + grows)
					rec := w.recorded(w.kill("k", path, path))
					most := time.Second
					if grows > 1100*time.Millisecond { // it was found to grow a second ago.
						most = 150 * time.Millisecond
					}
					if rec.Gap < 0 || rec.Gap > most {
						t.Errorf("it grew for %v; the last sample is %v before the kill, want %v", grows, rec.Gap, most)
					}
				})
			}
		}
	}
}

// TestNearAndStill has containers that have been near for long without moving:
// they take no more readings than others.
func TestNearAndStill(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.add(fmt.Sprintf("/c%02d", i), 0, 1000*mi, steady(900*mi))
	}
	full := w.add("/full", 0, 1000*mi, steady(1000*mi))
	w.start(Options{})
	w.pass(5 * time.Second)
	if h := w.rec.Health(); h.Fast != 21 {
		t.Errorf("%d at the fast pace when they came", h.Fast)
	}
	w.pass(20 * time.Second)
	if h := w.rec.Health(); h.Fast != 1 || !w.rec.byHandle[full.Handle].fast {
		t.Errorf("%d at the fast pace, want only the one at its limit", h.Fast)
	}
	before := w.usages
	w.remove(full)
	w.pass(10 * time.Second)
	if n := w.usages - before; n > 10*22+10 {
		t.Errorf("%d readings of 20 cgroups in 10 s", n)
	}
}

// TestNewAmongMany has cgroups come one by one and many at a time: all are where a
// walk of the tree meets them.
func TestNewAmongMany(t *testing.T) {
	w := newWorld(t)
	w.start(Options{})
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range 60 {
		n := 1 + round%2*30
		for i := range n {
			p := w.add(fmt.Sprintf("/p%d-%d", rng.IntN(1000), round*100+i), 0, 0, steady(mi))
			w.add(p.Path+"/c", p.Handle, 100*mi, steady(mi))
		}
		w.pass(time.Second)
	}
	w.pass(2 * time.Second)
	live := w.rec.live
	if !slices.IsSortedFunc(live, func(a, b *track) int { return comparePaths(a.Path, b.Path) }) || len(live) != len(w.living()) {
		t.Errorf("%d of %d cgroups, or not in their order", len(live), len(w.living()))
	}
	for i, tr := range live {
		if tr.index != i || tr.up != nil && tr.up.index >= i {
			t.Fatalf("%s is at %d, its index is %d", tr.Path, i, tr.index)
		}
	}
}

// TestWhoMayLeak: of what stands still, is far from its limit or shrinks, nothing
// is copied.
func TestWhoMayLeak(t *testing.T) {
	w := newWorld(t)
	w.add("/grows", 0, 1000*mi, w.ramp(400*mi, mi/4))
	w.add("/small", 0, 10000*mi, w.ramp(400*mi, mi/4))
	w.add("/still", 0, 1000*mi, steady(700*mi))
	w.add("/free", 0, 0, w.ramp(400*mi, mi/4))
	began := w.uptime
	w.add("/shrinks", 0, 1000*mi, func(at time.Duration) uint64 { return 900*mi - uint64((at-began).Seconds())*mi/8 })
	w.start(Options{})
	w.pass(25 * time.Minute)
	var paths []string
	for _, tr := range w.rec.Growing() {
		paths = append(paths, tr.Cgroup)
	}
	if fmt.Sprint(paths) != "[/grows]" {
		t.Errorf("%v may leak", paths)
	}
}

func TestAShortLifeIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.start(Options{})
	w.pass(10 * time.Second)
	w.add("/short", 0, 600*mi, w.ramp(0, 100*mi))
	w.pass(5 * time.Second)
	rec := w.recorded(w.kill("k", "/short", "/short"))
	if len(rec.Victim.Fine) < 5 || rec.Gap > 150*time.Millisecond {
		t.Errorf("%d samples, the last %v before the kill", len(rec.Victim.Fine), rec.Gap)
	}
	if age := w.now().Sub(rec.Victim.Born); age < 4*time.Second || age > 5*time.Second {
		t.Errorf("it was made %v before the kill, want between 4 and 5 s", age)
	}
}

func TestWhatWasNotSeenIsNotClaimed(t *testing.T) {
	w := newWorld(t)
	w.start(Options{})
	w.pass(10 * time.Second)
	b := w.add("/unseen", 0, 64*mi, steady(mi))
	w.uptime += 5 * time.Millisecond
	w.remove(b)
	rec := w.recorded(w.kill("k", "/unseen", "/unseen"))
	if len(rec.Victim.Fine) != 0 || rec.Gap >= 0 || rec.Victim.Cgroup != "/unseen" || !rec.Victim.Born.IsZero() {
		t.Errorf("recorded of a cgroup that nobody saw: %+v, gap %v", rec.Victim, rec.Gap)
	}
	if len(rec.Node.Fine) == 0 {
		t.Error("nothing of the node")
	}
}

func TestTheGapOfAPlateau(t *testing.T) {
	w := newWorld(t)
	b := w.add("/a", 0, 1000*mi, steady(100*mi))
	w.start(Options{})
	w.pass(5 * time.Second)
	b.usage = steady(1000 * mi)
	w.pass(5 * time.Second)
	at := w.kill("during", "/a", "/a")
	w.pass(5 * time.Second)
	after := w.kill("after", "/a", "/a")
	b.usage = steady(2 * mi)
	w.pass(2 * time.Second)
	for _, k := range []oom.Kill{at, after} {
		if rec := w.recorded(k); rec.Gap < 0 || rec.Gap > fastGap {
			t.Errorf("%s a plateau: the last sample is %v before the kill", k.ID, rec.Gap)
		}
	}
	idle := w.add("/idle", 0, 1000*mi, steady(mi))
	w.pass(100 * time.Second)
	k := w.kill("idle", idle.Path, "/")
	w.pass(1500 * time.Millisecond)
	if rec := w.recorded(k); rec.Gap < 0 || rec.Gap > time.Second {
		t.Errorf("of one at rest, the last sample is %v before the kill", rec.Gap)
	}
}

func TestAKillThatIsPublishedLate(t *testing.T) {
	w := newWorld(t)
	w.start(Options{})
	b := w.add("/a", 0, 1000*mi, steady(100*mi))
	w.pass(70 * time.Second)
	b.usage = w.ramp(100*mi, 50*mi)
	w.pass(18 * time.Second)
	kill := w.kill("late", "/a", "/a")
	w.remove(b)
	w.pass(200 * time.Millisecond)
	w.add("/a", 0, 1000*mi, steady(5*mi)) // the next instance, at the same path.
	w.pass(10 * time.Second)
	rec := w.recorded(kill)
	last := rec.Victim.Fine[len(rec.Victim.Fine)-1]
	if last.Usage.Or(0) < 900*mi || rec.Gap > 150*time.Millisecond {
		t.Errorf("last sample %v at %v, %v before the kill", last.Usage, last.Time, rec.Gap)
	}
}

func TestWhoseLimitAndWhoGrew(t *testing.T) {
	w := newWorld(t)
	pod := w.add("/pod", 0, 1000*mi, steady(900*mi))
	victim := w.add("/pod/victim", pod.Handle, 500*mi, steady(100*mi))
	var grown []*box
	for i := range 5 {
		grown = append(grown, w.add(fmt.Sprintf("/pod/c%d", i), pod.Handle, 0, steady(50*mi)))
	}
	w.add("/other", 0, 0, w.ramp(0, 20*mi))
	w.start(Options{})
	w.pass(65 * time.Second)
	for i, b := range grown {
		b.usage = w.ramp(50*mi, uint64(i)*mi)
	}
	w.pass(30 * time.Second)
	rec := w.recorded(w.kill("k", victim.Path, pod.Path))
	if rec.Owner == nil || rec.Owner.Cgroup != "/pod" || len(rec.Owner.Fine) == 0 {
		t.Fatalf("owner %+v", rec.Owner)
	}
	var names []string
	for _, s := range rec.Siblings {
		names = append(names, s.Cgroup)
	}
	if fmt.Sprint(names) != "[/pod/c4 /pod/c3 /pod/c2]" {
		t.Errorf("siblings %v, want the three that grew most", names)
	}
	k := w.kill("node", victim.Path, "")
	k.Global = true
	rec = w.recorded(k)
	if rec.Owner != nil || len(rec.Siblings) != 3 || rec.Siblings[0].Cgroup != "/other" {
		t.Errorf("a node's kill has the owner %v and the siblings %+v", rec.Owner, rec.Siblings)
	}
}

func TestNoMoreThan64AreFast(t *testing.T) {
	w := newWorld(t)
	for i := range 300 {
		w.add(fmt.Sprintf("/c%03d", i), 0, 1000*mi, w.ramp(uint64(760+i/2)*mi, mi/4))
	}
	w.start(Options{})
	w.pass(20 * time.Second)
	if h := w.rec.Health(); h.Fast != mostFast || h.Cgroups != 301 {
		t.Fatalf("%d of %d cgroups at the fast pace", h.Fast, h.Cgroups)
	}
	for _, b := range w.all[1:] {
		i := int(b.Handle) - 1
		if fast := w.rec.byHandle[b.Handle].fast; fast != (i >= 300-mostFast) {
			t.Errorf("cgroup %d at the fast pace: %v", i, fast)
		}
	}
}

func TestManyCgroupsLengthenTheClock(t *testing.T) {
	for _, tt := range []struct {
		cgroups, dear int
		want          time.Duration
	}{{1000, 1, time.Second}, {10000, 1, 3 * time.Second}, {10000, 10, 10 * time.Second}} {
		w := newWorld(t)
		w.dear = tt.dear
		for i := range tt.cgroups {
			w.add(fmt.Sprintf("/c%d", i), 0, 1000*mi, steady(mi))
		}
		w.start(Options{})
		w.pass(30 * time.Second)
		before := w.usages
		w.pass(10 * time.Second)
		if h := w.rec.Health(); h.Interval != tt.want || h.Over != 3 {
			t.Errorf("%d cgroups that cost %d each: interval %v, want %v", tt.cgroups, tt.dear, h.Interval, tt.want)
		}
		if rate := (w.usages - before) * tt.dear / 10; rate > 2*affordable && tt.want < 10*time.Second {
			t.Errorf("%d readings a second", rate)
		}
	}
}

func TestIdleOnesAreReadSeldomWhereThereAreMany(t *testing.T) {
	w := newWorld(t)
	for i := range 5000 {
		w.add(fmt.Sprintf("/c%d", i), 0, 1000*mi, steady(mi))
	}
	w.start(Options{})
	w.pass(90 * time.Second)
	before, full, limits := w.usages, w.fulls, w.limits
	w.pass(30 * time.Second)
	if rate := (w.usages - before) / 30; rate < 450 || rate > 1300 {
		t.Errorf("%d readings a second of 5000 cgroups at rest", rate)
	}
	if w.fulls != full {
		t.Errorf("%d full samples of cgroups at rest", w.fulls-full)
	}
	if n := w.limits - limits; n < 4000 || n > 7000 {
		t.Errorf("%d limits read in 30 s, want each once", n)
	}
	for _, tr := range w.rec.live {
		if len(tr.fine.ring) > 8 || len(tr.medium.ring) > 4 || cap(tr.coarse) > 4 {
			t.Fatalf("at rest, a track has %d fine, %d medium and %d coarse slots", len(tr.fine.ring), len(tr.medium.ring), cap(tr.coarse))
		}
	}
}

// TestWhatStandsStillIsNotRead has pods at rest and one that moves, below a slice
// whose usage is that of all.
func TestWhatStandsStillIsNotRead(t *testing.T) {
	w := newWorld(t)
	var all []*box
	sum := func(of []*box) func(time.Duration) uint64 {
		return func(at time.Duration) (n uint64) {
			for _, b := range of {
				n += b.usage(at)
			}
			return n
		}
	}
	slice := w.add("/slice", 0, 0, nil)
	for i := range 100 {
		pod := w.add(fmt.Sprintf("/slice/p%02d", i), slice.Handle, 0, nil)
		var in []*box
		for j := range 3 {
			in = append(in, w.add(fmt.Sprintf("%s/c%d", pod.Path, j), pod.Handle, 500*mi, steady(10*mi)))
		}
		pod.usage = sum(in)
		all = append(all, in...)
	}
	slice.usage = sum(all)
	w.start(Options{})
	w.pass(5 * time.Second)
	before := w.usages
	w.pass(20 * time.Second)
	if rate := float64(w.usages-before) / 20; rate > 45 {
		t.Errorf("%v readings a second of 401 cgroups at rest", rate)
	}
	all[100].usage = w.ramp(10*mi, mi)
	before = w.usages
	w.pass(20 * time.Second)
	if rate := float64(w.usages-before) / 20; rate > 150 {
		t.Errorf("%v readings a second while one moves", rate)
	}
	tr, _ := w.rec.Current(all[100].Path)
	if longest, n := gaps(tr.Fine, 15*time.Second); longest > 1100*time.Millisecond || n < 14 {
		t.Errorf("the one that moves has %d samples, up to %v apart", n, longest)
	}
	all[100].usage = steady(30 * mi)
	w.pass(3 * time.Second)
	all[7].usage = steady(200 * mi) // a jump within one second.
	w.pass(1100 * time.Millisecond)
	if tr, _ := w.rec.Current(all[7].Path); tr.Fine[len(tr.Fine)-1].Usage != oom.Of(200*mi) {
		t.Errorf("a jump was not seen in a second: %v", tr.Fine[len(tr.Fine)-1].Usage)
	}
}

// TestFullSamplesAreBounded has very many cgroups that all move.
func TestFullSamplesAreBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 3000 {
		w.add(fmt.Sprintf("/c%d", i), 0, 100*mi, func(at time.Duration) uint64 { return uint64(at/time.Second%40) * mi })
	}
	w.start(Options{})
	w.pass(5 * time.Second)
	before := w.fulls
	w.pass(20 * time.Second)
	if rate := (w.fulls - before) / 20; rate > mostFull+10*mostFast {
		t.Errorf("%d full samples a second", rate)
	}
	for _, tr := range w.rec.live[1:] {
		if age := w.rec.now().since(tr.fullAt); age > 40*time.Second {
			t.Fatalf("%s had its last full sample %v ago", tr.Path, age)
		}
	}
}

func TestALimitThatIsLoweredIsSeen(t *testing.T) {
	w := newWorld(t)
	b := w.add("/a", 0, 1000*mi, steady(300*mi))
	w.start(Options{})
	w.pass(100 * time.Second)
	b.limit = 400 * mi
	w.pass(45 * time.Second)
	tr, ok := w.rec.Current("/a")
	if !ok || tr.Fine[len(tr.Fine)-1].Limit != oom.Of(400*mi) || tr.Fine[0].Limit != oom.Of(1000*mi) {
		t.Errorf("limits from %v to %v", tr.Fine[0].Limit, tr.Fine[len(tr.Fine)-1].Limit)
	}
}

// TestALimitThatComesLate has a cgroup get its limit just after it was found, as kubelet
// and the runtimes do it: the limit must not seem to have been lowered much later.
func TestALimitThatComesLate(t *testing.T) {
	w := newWorld(t)
	w.start(Options{})
	w.pass(5 * time.Second)
	b := w.add("/late", 0, 0, steady(10*mi))
	w.pass(1200 * time.Millisecond)
	b.limit = 100 * mi
	w.pass(25 * time.Second)
	rec := w.recorded(w.kill("k", "/late", "/late"))
	if len(rec.Victim.Fine) == 0 {
		t.Error("there are no samples")
	}
	for _, s := range rec.Victim.Fine {
		if age := s.Time.Sub(epoch) - b.born; s.Limit.IsUnlimited() && age > 4*time.Second {
			t.Errorf("no limit is known at an age of %v", age)
		}
	}
}

// TestWhatCannotBeReadIsAskedSeldom has cgroups without the memory controller.
func TestWhatCannotBeReadIsAskedSeldom(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.add(fmt.Sprintf("/c%d", i), 0, 0, steady(0)).broken = true
	}
	w.start(Options{})
	w.pass(5 * time.Second)
	before := w.usages
	w.pass(20 * time.Second)
	if n := w.usages - before; n < 200 || n > 350 {
		t.Errorf("%d readings of 100 unreadable cgroups in 20 s, want two of each", n)
	}
	w.all[50].broken = false
	w.all[50].usage = steady(7 * mi)
	w.pass(11 * time.Second)
	if tr, _ := w.rec.Current(w.all[50].Path); len(tr.Fine) == 0 {
		t.Error("one that can be read now has no sample")
	}
}

// TestClockSteps sets the wall clock: no sample moves against another, and all
// are shown by the clock as it is now.
func TestClockSteps(t *testing.T) {
	w := newWorld(t)
	w.add("/a", 0, 1000*mi, w.ramp(0, mi))
	w.start(Options{})
	w.pass(30 * time.Second)
	w.skew = -3 * time.Hour
	w.pass(30 * time.Second)
	w.skew = 500 * 24 * time.Hour
	w.pass(30 * time.Second)
	rec := w.recorded(w.kill("k", "/a", "/a"))
	fine := rec.Victim.Fine
	if d := w.now().Sub(fine[0].Time); d < 85*time.Second || d > 95*time.Second {
		t.Errorf("the first sample is %v old, want 90 s", d)
	}
	if longest, _ := gaps(fine, 2*time.Minute); longest > 1100*time.Millisecond {
		t.Errorf("samples %v apart", longest)
	}
	k := w.kill("future", "/a", "/a")
	k.Time = k.Time.Add(time.Hour)
	w.recorded(k)
	k = w.kill("past", "/a", "/a")
	k.Time = time.Time{}.Add(time.Hour)
	w.recorded(k)
}

// TestALongLife has a cgroup that rests for months and then moves.
func TestALongLife(t *testing.T) {
	w := newWorld(t)
	b := w.add("/a", 0, 1000*mi, steady(100*mi))
	w.start(Options{})
	w.pass(2 * time.Minute)
	w.uptime += 100 * 24 * time.Hour
	w.pass(20 * time.Second)
	if tr := w.rec.byHandle[b.Handle]; !tr.isIdle(w.rec.now()) {
		t.Error("it is not at rest")
	}
	b.usage = w.ramp(100*mi, mi)
	w.pass(20 * time.Minute)
	rec := w.recorded(w.kill("k", "/a", "/a"))
	if n := len(rec.Victim.Coarse); n < 4 || n > 6 {
		t.Errorf("%d spans of 20 minutes", n)
	}
	if longest, n := gaps(rec.Victim.Medium, 19*time.Minute); longest > 17*time.Second || n < 70 {
		t.Errorf("%d medium samples, up to %v apart", n, longest)
	}
}

func TestProcessesOfNearCgroups(t *testing.T) {
	w := newWorld(t)
	b := w.add("/a", 0, 1000*mi, w.ramp(800*mi, mi))
	for pid := int32(1); pid <= 20; pid++ {
		b.pids = append(b.pids, pid)
		w.procs[pid] = oom.Process{PID: pid, Start: uint64(pid) * 10, Comm: fmt.Sprint("p", pid), RSS: uint64(pid) * mi}
	}
	w.start(Options{})
	w.pass(10 * time.Second)
	p := w.procs[20]
	p.RSS = 500 * mi
	w.procs[20] = p
	w.procs[19] = oom.Process{PID: 19, Start: 5000, Comm: "other", RSS: mi} // the pid is used again.
	w.pass(10 * time.Second)
	rec := w.recorded(w.kill("k", "/a", "/a"))
	found := map[string]oom.TaskTrack{}
	for _, task := range rec.Victim.Tasks {
		found[task.Comm] = task
	}
	if top := found["p20"]; top.PID != 20 || top.Start != 200 || len(top.RSS) < 18 || top.RSS[0] != 20*mi || top.RSS[len(top.RSS)-1] != 500*mi {
		t.Errorf("the largest process: %+v", top)
	}
	if _, ok := found["p19"]; ok || len(found) < 5 || len(found) > keptTasks {
		t.Errorf("processes %v", found)
	}
	if n := rec.Victim.Fine[len(rec.Victim.Fine)-1]; n.Processes.IsValue() && n.Processes != oom.Of(20) {
		t.Errorf("%v processes", n.Processes)
	}
}

// TestRandomWorlds holds the bounds while cgroups come, grow, are killed and go.
func TestRandomWorlds(t *testing.T) {
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		store := newFiles()
		w.start(Options{MaxRecordings: 20, Store: store, BootID: "boot"})
		for i := range 400 {
			switch living := w.living()[1:]; {
			case len(living) > 0 && rng.IntN(3) == 0:
				b := living[rng.IntN(len(living))]
				if rng.IntN(2) == 0 {
					rec := w.recorded(w.kill(fmt.Sprint(i), b.Path, []string{b.Path, "/", ""}[rng.IntN(3)]))
					for j := 1; j < len(rec.Victim.Fine); j++ {
						if !rec.Victim.Fine[j].Time.After(rec.Victim.Fine[j-1].Time) {
							t.Fatalf("seed %d: samples at %v and %v", seed, rec.Victim.Fine[j-1].Time, rec.Victim.Fine[j].Time)
						}
					}
				}
				w.remove(b)
			default:
				w.add(fmt.Sprintf("/c%d", rng.IntN(50)*2+i%2), 0, uint64(64+rng.IntN(1000))*mi, w.ramp(0, uint64(rng.IntN(100))*mi))
			}
			w.pass(time.Duration(rng.IntN(3000)) * time.Millisecond)
			if i%50 == 49 {
				w.rec.saveRecordings()
				w.rec.saveRings()
				w.start(Options{MaxRecordings: 20, Store: store, BootID: "boot"})
			}
		}
		w.pass(2 * time.Second)
		if h := w.rec.Health(); h.Recordings != 20 || len(store.aside) != 0 || h.Cgroups != len(w.living()) {
			t.Errorf("seed %d: %+v, set aside %v, %d cgroups live", seed, h, store.aside, len(w.living()))
		}
	}
}
