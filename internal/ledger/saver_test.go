// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// stateIn returns options for a ledger with a state file.
func stateIn(t *testing.T) Options {
	t.Helper()
	return Options{StateFile: filepath.Join(t.TempDir(), "state"), BootID: "boot"}
}

// What a scrape has shown is what a restart goes on from, wherever the exporter
// is killed.
func TestARestartShowsNoLess(t *testing.T) {
	for _, saveEvery := range []int{1, 3, 7, 1000} {
		t.Run(fmt.Sprint("a save each ", saveEvery), func(t *testing.T) {
			o := stateIn(t)
			k := newKernel(1, 2)
			c := k.cluster(2, 3)
			begin(t, k, o)
			shown := k.ledger.View()
			for i := range 60 {
				k.kill(c[i%len(c)], c[i%len(c)])
				k.deliver(1 << 30)
				k.now = k.now.Add(100 * time.Millisecond)
				k.ledger.tick()
				if i%saveEvery == saveEvery-1 {
					k.save()
				}
				v := k.ledger.View()
				if err := v.Balance(); err != nil {
					t.Fatal(err)
				}
				if err := v.NotBelow(shown); err != nil {
					t.Fatal(err)
				}
				shown = v
				if i%5 == 4 { // kill -9.
					world{}.start(t, k, o)
				}
			}
			v := settled(t, k)
			if diff := cmp.Diff(k.truth.kills, killsOf(v)); diff != "" {
				t.Errorf("kills (-truth +shown):\n%s", diff)
			}
		})
	}
}

// A view may fall in none of its numbers, and a test of that must notice it.
func TestNotBelow(t *testing.T) {
	w := oom.Workload{Container: "a"}
	full := func() View {
		return View{KillTotals: oom.KillTotals{
			Workloads: []oom.WorkloadKills{{Workload: w, Kills: 2, OOMs: 2, Survived: 2}},
			ByLevel:   map[oom.Level]uint64{oom.LevelPod: 2}, Unattributed: 2, Evicted: 2, Duplicates: 2,
		}}
	}
	same := full()
	if err := same.NotBelow(full()); err != nil {
		t.Error(err)
	}
	for name, lower := range map[string]func(*View){
		"unattributed": func(v *View) { v.Unattributed-- },
		"evicted":      func(v *View) { v.Evicted-- },
		"duplicates":   func(v *View) { v.Duplicates-- },
		"level":        func(v *View) { v.ByLevel[oom.LevelPod]-- },
		"kills":        func(v *View) { v.Workloads[0].Kills-- },
		"OOMs":         func(v *View) { v.Workloads[0].OOMs-- },
		"survived":     func(v *View) { v.Workloads[0].Survived-- },
		"a workload":   func(v *View) { v.Workloads = nil },
	} {
		v := full()
		lower(&v)
		if v.NotBelow(full()) == nil {
			t.Errorf("%s fell, and no error", name)
		}
	}
	evicted := full()
	evicted.Workloads, evicted.Evicted = nil, 4
	if err := evicted.NotBelow(full()); err != nil {
		t.Errorf("an evicted workload: %v", err)
	}
}

// A kill is told in the log once, over any restart.
func TestAKillIsToldOnce(t *testing.T) {
	o := stateIn(t)
	told := map[int]int{}
	o.OnKill = func(kill oom.Kill) { told[kill.Victim.PID]++ }
	k := newKernel(1, 1)
	c := k.cluster(1, 2)
	begin(t, k, o)
	for i := range 40 {
		k.kill(c[i%2], c[i%2])
		k.deliver(1 << 30)
		k.now = k.now.Add(100 * time.Millisecond)
		k.ledger.tick()
		if i%3 == 0 {
			st, out := k.ledger.beginSave()
			if st != nil {
				k.endSave(st)
				k.ledger.tell(out)
			}
		}
		if i%4 == 3 {
			world{}.start(t, k, o)
		}
	}
	for pid, n := range told {
		if n != 1 {
			t.Errorf("the kill of pid %d was told %d times", pid, n)
		}
	}
	if len(told) < 10 {
		t.Errorf("only %d kills were told", len(told))
	}
}

// slowDisk is a disk that takes its time, in a bubble of fake time.
type slowDisk struct {
	takes  time.Duration
	fails  error
	fewest int           // saves before it works again, if set,
	later  time.Duration // and takes so long.
	saves  []time.Time   // when a save was over.
}

func (d *slowDisk) write(string, []byte) error {
	if d.fewest > 0 && len(d.saves) >= d.fewest {
		d.takes, d.fails = d.later, nil
	}
	<-time.After(d.takes)
	d.saves = append(d.saves, time.Now())
	return d.fails
}

// onDisk runs a ledger whose state is on this disk, in which a process is killed
// after each pause, for a time.
func onDisk(t *testing.T, d *slowDisk, over, pause time.Duration, look func(*Ledger, time.Duration)) string {
	t.Helper()
	var said bytes.Buffer
	o := stateIn(t)
	o.Logger = log.NewSyncLogger(log.NewLogfmtLogger(&said))
	running(t, o, func(l *Ledger, c *locked) {
		l.SetLog(oom.LogLive)
		shown := l.View()
		for passed := time.Duration(0); passed < over; passed += pause {
			c.Lock()
			all := c.k.containers()
			c.k.kill(all[0], all[0])
			c.Unlock()
			l.Wake()
			after(c, pause)
			v := l.View()
			if err := v.NotBelow(shown); err != nil {
				t.Errorf("after %v: %v", passed, err)
				return
			}
			shown = v
			look(l, passed)
		}
	}, func(l *Ledger) { l.saver.write = d.write })
	return said.String()
}

// By its own doing the ledger lets no more than a second pass between two
// saves; a slow disk makes the numbers late, and they say how late.
func TestSlowDisk(t *testing.T) {
	for _, takes := range []time.Duration{0, 100 * time.Millisecond, 3 * time.Second, 14 * time.Second} {
		t.Run(takes.String(), func(t *testing.T) {
			d := &slowDisk{takes: takes}
			var worst time.Duration
			said := onDisk(t, d, 40*time.Second, 50*time.Millisecond, func(l *Ledger, _ time.Duration) {
				v := l.View()
				worst = max(worst, v.Unsaved)
				if !v.HasState {
					t.Fatal("the view does not know of its state file")
				}
			})
			for i := 1; i < len(d.saves); i++ {
				if gap := d.saves[i].Sub(d.saves[i-1]); gap > takes+time.Second+200*time.Millisecond {
					t.Errorf("%v between two saves that take %v", gap, takes)
				}
			}
			if most := 2*takes + time.Second; worst > most {
				t.Errorf("a change was unsaved for %v, want at most %v", worst, most)
			}
			if slow := strings.Contains(said, "the disk of the state file is slow"); slow != (takes >= slowSave) {
				t.Errorf("told of a slow disk: %v\n%s", slow, said)
			}
		})
	}
}

// A disk that hangs does not keep kills from being shown for ever.
func TestHangingDisk(t *testing.T) {
	d := &slowDisk{takes: 10 * time.Minute}
	onDisk(t, d, 90*time.Second, 50*time.Millisecond, func(l *Ledger, passed time.Duration) {
		v := l.View()
		n := uint64(0)
		for _, w := range v.Workloads {
			n += w.Kills
		}
		switch {
		case passed < 55*time.Second && n > 0:
			t.Fatalf("%d kills are shown unsaved after %v", n, passed)
		case passed > 65*time.Second && n == 0:
			t.Fatalf("nothing is shown after %v", passed)
		}
	})
}

// A save that hangs may hold all there is: nothing else changes meanwhile.
func TestTheOnlySaveHangs(t *testing.T) {
	d := &slowDisk{takes: 10 * time.Minute}
	running(t, stateIn(t), func(l *Ledger, c *locked) {
		after(c, 10*time.Second)
		c.Lock()
		all := c.k.containers()
		c.k.kill(all[0], all[0])
		c.Unlock()
		l.Wake()
		after(c, 30*time.Second)
		if v := l.View(); v.Unsaved < 15*time.Second {
			t.Errorf("unsaved for %v after 30 s", v.Unsaved)
		}
		after(c, 45*time.Second)
		if v := l.View(); len(v.Workloads) == 0 {
			t.Error("the kill is not shown after 75 s")
		}
	}, func(l *Ledger) { l.saver.write = d.write })
}

// What was shown unsaved is not taken back when the disk works again.
func TestADiskThatRecovers(t *testing.T) {
	for name, d := range map[string]*slowDisk{
		"it hung":                {takes: 70 * time.Second, fewest: 1},
		"it hung twice":          {takes: 90 * time.Second, fewest: 2},
		"it failed":              {fails: errors.New("no space left on device"), fewest: 5},
		"it failed, and is slow": {fails: errors.New("no space left on device"), takes: 3 * time.Second, fewest: 3},
		"it hung, and is slow":   {takes: 70 * time.Second, fewest: 1, later: 14 * time.Second},
	} {
		if testing.Short() && name != "it hung, and is slow" {
			continue // one has to do under the race detector.
		}
		t.Run(name, func(t *testing.T) {
			onDisk(t, d, 5*time.Minute, time.Second/2, func(l *Ledger, passed time.Duration) {
				if v := l.View(); passed > 250*time.Second && v.Unsaved > 2*d.later+2*time.Second {
					t.Errorf("unsaved for %v after %v", v.Unsaved, passed)
				}
			})
		})
	}
}

// Where the file can't be written, all is shown unsaved.
func TestFailingDisk(t *testing.T) {
	d := &slowDisk{fails: errors.New("no space left on device")}
	said := onDisk(t, d, 20*time.Second, 50*time.Millisecond, func(l *Ledger, passed time.Duration) {
		if v := l.View(); passed > 5*time.Second && len(v.Workloads) == 0 {
			t.Fatalf("nothing is shown after %v", passed)
		}
	})
	if n := strings.Count(said, "cannot write the state file"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, said)
	}
}

// A scrape waits a moment for the save that lets it show what has happened.
func TestSyncWaitsForTheSave(t *testing.T) {
	for takes, want := range map[time.Duration]uint64{20 * time.Millisecond: 1, 5 * time.Second: 0} {
		d := &slowDisk{takes: takes}
		o := stateIn(t)
		running(t, o, func(l *Ledger, c *locked) {
			after(c, 10*time.Second)
			c.Lock()
			all := c.k.containers()
			c.k.kill(all[0], all[0])
			c.Unlock()
			after(c, groupsGap)
			l.SetLog(oom.LogAbsent)
			after(c, time.Second)
			c.Lock()
			c.k.kill(all[1], all[1])
			c.Unlock()
			began := time.Now()
			l.Sync()
			if took := time.Since(began); took > syncWait {
				t.Errorf("a scrape waited for %v", took)
			}
			if v := l.View(); v.Pending != want && takes < time.Second {
				t.Errorf("a disk that takes %v: %d pending are shown, want %d", takes, v.Pending, want)
			}
		}, func(l *Ledger) { l.saver.write = d.write })
	}
}
