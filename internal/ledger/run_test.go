// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// locked makes a kernel fit for several goroutines.
type locked struct {
	sync.Mutex
	k     *kernel
	takes time.Duration // a read of all groups.
}

func (c *locked) Vmstat() (oom.Amount, error) {
	c.Lock()
	defer c.Unlock()
	return c.k.Vmstat()
}

func (c *locked) Groups() (oom.Tree, error) {
	c.Lock()
	takes := c.takes
	c.Unlock()
	<-time.After(takes)
	c.Lock() // nobody waits for it while the time passes.
	defer c.Unlock()
	return c.k.Groups()
}

func (c *locked) Kills(id oom.GroupID) oom.Amount {
	c.Lock()
	defer c.Unlock()
	return c.k.Kills(id)
}

func (c *locked) Limit(id oom.GroupID) (limit, hits oom.Amount) {
	c.Lock()
	defer c.Unlock()
	return c.k.Limit(id)
}

func (c *locked) Populated(id oom.GroupID) bool {
	c.Lock()
	defer c.Unlock()
	return c.k.Populated(id)
}

// running runs a ledger in a bubble of fake time until do returns.
func running(t *testing.T, o Options, do func(*Ledger, *locked), change ...func(*Ledger)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &locked{k: newKernel(1, 1)}
		c.k.cluster(1, 4)
		o.Counters, o.Names = c, c.k
		l, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range change {
			f(l)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		do(l, c)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

// after lets d of the fake time pass and counts what was read meanwhile.
func after(c *locked, d time.Duration) (vmstats, groups int) {
	return since(c, func() { <-time.After(d) })
}

// since counts what was read until do is over and its consequences are.
func since(c *locked, do func()) (vmstats, groups int) {
	synctest.Wait()
	c.Lock()
	v, g := c.k.vmstats, c.k.groupsNo
	c.Unlock()
	do()
	synctest.Wait()
	c.Lock()
	defer c.Unlock()
	return c.k.vmstats - v, c.k.groupsNo - g
}

func TestAtRest(t *testing.T) {
	running(t, Options{}, func(l *Ledger, c *locked) {
		vmstats, groups := after(c, time.Minute)
		if vmstats > 61 || groups != 0 {
			t.Errorf("%d reads of vmstat and %d of the groups in a minute of rest, want 60 and 0", vmstats, groups)
		}
	})
}

// A log that wakes us makes looking now and then enough, as long as it lives.
func TestAtRestWithALiveLog(t *testing.T) {
	running(t, Options{}, func(l *Ledger, c *locked) {
		l.SetLog(oom.LogLive)
		after(c, time.Second)
		if vmstats, groups := after(c, time.Minute); vmstats > 13 || groups != 0 {
			t.Errorf("%d reads of vmstat and %d of the groups in a minute of rest, want 12 and 0", vmstats, groups)
		}
		for name, wake := range map[string]func(){
			"a line":       func() { l.Log(oom.Kill{Seq: 1}) },
			"lost records": func() { l.Lost(1) },
		} {
			after(c, 20*time.Second)
			for v := 0; v == 0; { // well away from the looks of the clock.
				v, _ = after(c, vmstatGap)
			}
			after(c, time.Second)
			vmstats, _ := since(c, func() {
				wake()
				<-time.After(time.Millisecond)
			})
			if vmstats == 0 {
				t.Errorf("%s did not wake it", name)
			}
		}
		after(c, time.Minute)
		l.SetLog(oom.LogAbsent)
		if vmstats, _ := after(c, 10*time.Second); vmstats < 10 {
			t.Errorf("%d reads of vmstat in 10 s without a log, want 10", vmstats)
		}
	})
}

// Where the log has to be looked for, only vmstat wakes us.
func TestAtRestWithAPolledLog(t *testing.T) {
	running(t, Options{PollLog: func() {}}, func(l *Ledger, c *locked) {
		l.SetLog(oom.LogLive)
		if vmstats, _ := after(c, time.Minute); vmstats < 59 {
			t.Errorf("%d reads of vmstat in a minute, want 60", vmstats)
		}
	})
}

func TestThrashingDoesNotKeepBusy(t *testing.T) {
	running(t, Options{}, func(l *Ledger, c *locked) {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					l.Wake()
				}
			}
		})
		vmstats, groups := after(c, 10*time.Second)
		close(stop)
		wg.Wait()
		if vmstats > 101 || groups != 0 {
			t.Errorf("%d reads of vmstat and %d of the groups in 10 s, want 100 and 0", vmstats, groups)
		}
	})
}

func TestStormReadsTheGroupsTenTimesASecond(t *testing.T) {
	for takes, most := range map[time.Duration]int{0: 101, 40 * time.Millisecond: 63, 100 * time.Millisecond: 26} {
		stormReads(t, takes, most)
	}
}

// Among many cgroups they are read for many kills at a time, however quick a read
// is, and for a single one more rarely.
func TestPaceOfReads(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		cgroups int
		took    time.Duration
		want    pace
	}{
		{64, ms, pace{100 * ms, 100 * ms, 2}},
		{64, 8 * ms, pace{100 * ms, 100 * ms, 2}}, // a busy machine.
		{64, 100 * ms, pace{400 * ms, 400 * ms, 2}},
		{240, 8 * ms, pace{100 * ms, 100 * ms, 9}},
		{600, 5 * ms, pace{100 * ms, time.Second, 24}},
		{1000, 10 * ms, pace{100 * ms, 2 * time.Second, 40}},
		{10_000, 100 * ms, pace{400 * ms, 2 * time.Second, 400}},
	} {
		if got := paceAfter(tt.cgroups, tt.took); got != tt.want {
			t.Errorf("%d cgroups read in %v: %v, want %v", tt.cgroups, tt.took, got, tt.want)
		}
	}
}

// manyCgroups starts a ledger among 1,125 containers and pods on v1, which has had
// its first kills.
func manyCgroups(t *testing.T, limiter bool) (k *kernel, all []*kgroup) {
	t.Helper()
	k = newKernel(1, 1)
	k.limiter = limiter
	k.cluster(125, 8)
	if err := k.start(Options{}); err != nil {
		t.Fatal(err)
	}
	k.ledger.SetLog(oom.LogLive)
	k.quiet(10 * time.Second)
	return k, k.containers()
}

// storm makes kills at a rate and returns how many cgroups were read a kill; the
// ledger wakes with each line.
func (k *kernel) storm(all []*kgroup, kills, perSecond int) (groups, cgroups int) {
	const tick = 10 * time.Millisecond
	groups, cgroups = k.groupsNo, k.killsNo
	made := 0
	for at := time.Duration(0); made < kills; at += tick {
		for due := int(at.Seconds() * float64(perSecond)); made < due; made++ {
			g := all[made*7%len(all)]
			k.kill(g, g)
		}
		k.deliver(1 << 30)
		k.now = k.now.Add(tick)
		if at%vmstatGap == 0 {
			k.ledger.tick()
		}
	}
	k.quiet(15 * time.Second)
	groups, cgroups = k.groupsNo-groups, k.killsNo-cgroups
	return groups, cgroups + groups*len(k.names)
}

// As long as the log names the cgroups of the killed, only these are read.
func TestNamedKillsReadNoOtherCgroups(t *testing.T) {
	k, all := manyCgroups(t, false)
	groups, cgroups := k.storm(all, 200, 20)
	if groups > 3 || cgroups-groups*len(k.names) > 400 { // those are for the sake of the dead.
		t.Errorf("all cgroups were read %d times, and %d cgroups in all, for 200 kills", groups, cgroups)
	}
	full(t, k, k.ledger.View())
}

// Where the log does not name them, a read of all is for many kills at a time.
func TestUnnamedKillsShareReads(t *testing.T) {
	for _, perSecond := range []int{20, 50, 100, 500} {
		k, all := manyCgroups(t, true)
		_, cgroups := k.storm(all, 600, perSecond)
		if perKill := float64(cgroups) / 600; perKill > 35 {
			t.Errorf("%d a second: %v cgroups were read a kill, want no more than 35", perSecond, perKill)
		}
		exact(t, k, k.ledger.View())
	}
}

// A cgroup that is named and was removed meanwhile, one that is new, and a report
// that the cgroup's counter contradicts need the read of all.
func TestNamedCgroupsThatAreNotThere(t *testing.T) {
	k, all := manyCgroups(t, false)
	k.kill(all[0], all[0])
	k.rmdir(all[0])
	k.quiet(5 * time.Second)
	g := k.container(all[1].parent, 99)
	k.kill(g, g)
	k.quiet(5 * time.Second)
	full(t, k, k.ledger.View())
	forged := k.log[len(k.log)-1]
	k.pid++
	forged.VictimPath, forged.Victim.PID = all[2].path, k.pid
	k.seq++
	forged.Seq = k.seq
	k.log = append(k.log, forged) // it is there, and so is one kill of another.
	k.count(all[3])
	k.quiet(20 * time.Second)
	kills := killsOf(k.ledger.View())
	if kills[all[2].who.Workload] != 0 || kills[all[3].who.Workload] != 1 {
		t.Errorf("%d kills of the cgroup of a forged report and %d of another one, want 0 and 1",
			kills[all[2].who.Workload], kills[all[3].who.Workload])
	}
}

func stormReads(t *testing.T, takes time.Duration, most int) {
	t.Helper()
	running(t, Options{}, func(l *Ledger, c *locked) {
		c.Lock()
		c.takes = takes
		c.Unlock()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					c.Lock()
					all := c.k.containers()
					c.k.kill(all[0], all[0])
					c.Unlock()
					l.Wake()
				}
			}
		})
		if _, groups := after(c, 10*time.Second); groups < most/2 || groups > most {
			t.Errorf("%d reads of the groups of %v each in 10 s, want up to %d", groups, takes, most-1)
		}
		close(stop)
		wg.Wait()
	})
}

func TestAWakeIsHeardAtOnce(t *testing.T) {
	running(t, Options{}, func(l *Ledger, c *locked) {
		after(c, 10*time.Second+restGap/2)
		c.Lock()
		all := c.k.containers()
		c.k.kill(all[0], all[0])
		c.Unlock()
		_, groups := since(c, func() {
			l.Wake()
			<-time.After(time.Millisecond)
		})
		if groups != 1 {
			t.Errorf("%d reads of the groups right after a wake, want 1", groups)
		}
		after(c, time.Second)
		if n := killsOf(l.View())[workload(c.k, 0)]; n != 1 {
			t.Errorf("%d kills a second later, want 1", n)
		}
	})
}

func TestRunSaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	saved := func() int {
		st, err := readState(path, "boot", time.Now())
		if err != nil || st == nil {
			t.Errorf("no state: %v", err)
			return -1
		}
		return int(st.Counts.Vmstat - st.Counts.Base)
	}
	running(t, Options{StateFile: path, BootID: "boot"}, func(l *Ledger, c *locked) {
		for n := range 3 {
			if got := saved(); got != n {
				t.Errorf("%d kills saved, want %d", got, n)
			}
			c.Lock()
			all := c.k.containers()
			c.k.kill(all[0], all[0])
			c.Unlock()
			l.Wake()
			after(c, 2*time.Second)
		}
		c.Lock()
		all := c.k.containers()
		c.k.kill(all[0], all[0])
		c.Unlock()
		l.Sync()
	})
	if got := saved(); got != 4 { // Run saved once more as it ended.
		t.Errorf("%d kills saved at the end, want 4", got)
	}
}

func TestTheEpochWaitsForTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel(1, 1)
		l, err := New(Options{Counters: k})
		if err != nil {
			t.Fatal(err)
		}
		l.SetLog(oom.LogBacklog)
		l.tick()
		if !l.View().Epoch.IsZero() {
			t.Error("it did not wait")
		}
		<-time.After(epochWait)
		l.tick()
		if l.View().Epoch.IsZero() {
			t.Error("it still waits")
		}
	})
}

func TestTroubleIsToldOnce(t *testing.T) {
	var said bytes.Buffer
	k := newKernel(1, 1)
	c := k.cluster(1, 1)
	l := begin(t, k, Options{Logger: log.NewLogfmtLogger(&said)})
	k.fail = true
	for range 5 {
		k.kill(c[0], c[0])
		k.quiet(time.Second)
	}
	if v := l.View(); v.Forged != 0 || v.Step != 0 {
		t.Errorf("forged %d, step %d while vmstat can't be read; want 0", v.Forged, v.Step)
	}
	k.fail = false
	v := settled(t, k)
	if n := killsOf(v)[c[0].who.Workload]; n != 5 {
		t.Errorf("%d kills, want 5", n)
	}
	if n := strings.Count(said.String(), "level=warn"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, said.String())
	}
}
