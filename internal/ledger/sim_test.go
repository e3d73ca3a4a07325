// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// world is one kind of a random world.
type world struct {
	name    string
	set     func(*kernel)
	vanish  bool // containers end and are replaced, some right after a kill.
	slow    bool // the log may come seconds late.
	overrun bool
	crashes bool
	forged  bool
	fail    bool // vmstat can't be read at times.
	starved bool // we hardly get to run, and the log comes in pieces, seconds late.
	twice   bool // the log is read again from its beginning at times.
	stepped bool // the clock is set at times.
	disk    bool // a save takes its time, and a crash may come before its end.
	check   func(*testing.T, *kernel, View)
}

func exact(t *testing.T, k *kernel, v View) {
	t.Helper()
	if diff := cmp.Diff(k.truth.kills, killsOf(v)); diff != "" {
		t.Errorf("kills by workload (-truth +ledger):\n%s", diff)
	}
	if v.Unattributed != 0 {
		t.Errorf("%d kills unattributed, want 0", v.Unattributed)
	}
	if v.Duplicates != k.truth.twice {
		t.Errorf("%d duplicates, want %d", v.Duplicates, k.truth.twice)
	}
}

// exactLevels holds that no kill is said to be of a limit that had none.
func exactLevels(t *testing.T, k *kernel, v View) {
	t.Helper()
	exact(t, k, v)
	for level, n := range v.ByLevel {
		if level != oom.LevelUnknown && n > k.truth.levels[level] {
			t.Errorf("%d kills of level %v, really %d", n, level, k.truth.levels[level])
		}
	}
}

// full holds all numbers against the truth: nothing was hidden.
func full(t *testing.T, k *kernel, v View) {
	t.Helper()
	exact(t, k, v)
	ooms, pods, levels := map[oom.Workload]uint64{}, map[oom.Workload]uint64{}, map[oom.Level]uint64{}
	for _, w := range v.Workloads {
		if w.Kills > 0 { // else it was killed before the epoch.
			ooms[w.Workload] = w.OOMs
		}
	}
	for _, p := range v.Pods {
		pods[oom.Workload{Namespace: p.Namespace, Pod: p.Pod}] = p.LimitKills
	}
	for level, n := range v.ByLevel {
		if n > 0 {
			levels[level] = n
		}
	}
	if diff := cmp.Diff(k.truth.ooms, ooms); diff != "" {
		t.Errorf("OOMs by workload (-truth +ledger):\n%s", diff)
	}
	if diff := cmp.Diff(k.truth.pods, pods); diff != "" {
		t.Errorf("kills by pod limit (-truth +ledger):\n%s", diff)
	}
	if diff := cmp.Diff(k.truth.levels, levels); diff != "" {
		t.Errorf("kills by level (-truth +ledger):\n%s", diff)
	}
}

// byPod holds the sums of pods against the truth: containers may be unknown.
func byPod(t *testing.T, k *kernel, v View) {
	t.Helper()
	sum := func(kills map[oom.Workload]uint64) map[string]uint64 {
		out := map[string]uint64{}
		for w, n := range kills {
			out[w.Pod] += n
		}
		return out
	}
	if diff := cmp.Diff(sum(k.truth.kills), sum(killsOf(v))); diff != "" {
		t.Errorf("kills by pod (-truth +ledger):\n%s", diff)
	}
}

// byPodOnce does so, and holds what was counted twice.
func byPodOnce(t *testing.T, k *kernel, v View) {
	t.Helper()
	byPod(t, k, v)
	if v.Duplicates != k.truth.twice {
		t.Errorf("%d duplicates, want %d", v.Duplicates, k.truth.twice)
	}
}

// counted holds only the number against the truth, and that no workload has
// more than its own.
func counted(t *testing.T, k *kernel, v View) {
	t.Helper()
	summed(t, k, v)
	for w, n := range killsOf(v) {
		if w.Container != "" && n > k.truth.kills[w]+k.truth.twice {
			t.Errorf("%v has %d kills, really %d", w, n, k.truth.kills[w])
		}
	}
}

// summed holds only the number against the truth: where a line with a report
// comes a minute late, for a kill that was published without it, in a group
// that is gone, it may name another one.
func summed(t *testing.T, k *kernel, v View) {
	t.Helper()
	sum := v.Unattributed + v.Evicted
	for _, n := range killsOf(v) {
		sum += n
	}
	if sum+v.Duplicates != k.truth.all+k.truth.twice {
		t.Errorf("%d kills and %d duplicates, really %d and %d", sum, v.Duplicates, k.truth.all, k.truth.twice)
	}
}

func killsOf(v View) map[oom.Workload]uint64 {
	out := map[oom.Workload]uint64{}
	for _, w := range v.Workloads {
		if w.Kills > 0 {
			out[w.Workload] += w.Kills
		}
	}
	return out
}

func worlds() []world {
	v1 := func(k *kernel) { k.version = 1 }
	return []world{
		{name: "v1", set: v1, check: full},
		{name: "v2", check: full},
		{name: "v2 rate limited", set: func(k *kernel) { k.limiter = true }, check: exact},
		{name: "v1 rate limited", set: func(k *kernel) { k.version, k.limiter = 1, true }, check: exact},
		{name: "v2 without local events", set: func(k *kernel) { k.noLocal, k.limiter = true, true }, check: exact},
		{name: "v1 syslog", set: func(k *kernel) { k.version, k.limiter, k.syslog = 1, true, true }, check: exact},
		{name: "v2 syslog", set: func(k *kernel) { k.limiter, k.syslog = true, true }, check: exact},
		{name: "v1 no log", set: func(k *kernel) { k.version, k.noLog = 1, true }, check: exact},
		{name: "v2 no log", set: func(k *kernel) { k.noLog = true }, check: counted},
		{name: "v1 vanishing", set: v1, vanish: true, check: full},
		{name: "v2 vanishing", vanish: true, check: full},
		{name: "v2 vanishing, no log", set: func(k *kernel) { k.noLog, k.single = true, true }, vanish: true, check: byPod},
		{name: "v2 vanishing together, no log", set: func(k *kernel) { k.noLog, k.crowds = true, true }, vanish: true, check: byPodOnce},
		{name: "v1 vanishing, no log", set: func(k *kernel) { k.version, k.noLog = 1, true }, vanish: true, check: counted},
		{name: "v2 vanishing, rate limited", set: func(k *kernel) { k.limiter = true }, vanish: true, check: counted},
		{name: "no groups", set: func(k *kernel) { k.noGroups = true }, vanish: true, check: counted},
		{name: "no vmstat", set: func(k *kernel) { k.noVmstat, k.noGroups = true, true }, vanish: true, check: full},
		{name: "no vmstat and no log", set: func(k *kernel) { k.version, k.noVmstat, k.noLog = 1, true, true }, check: exact},
		{name: "v1 crashes", set: v1, crashes: true, check: full},
		{name: "v2 crashes", set: func(k *kernel) { k.limiter = true }, crashes: true, check: exact},
		{name: "v2 crashes, vanishing", crashes: true, vanish: true, check: exact},
		{name: "v1 crashes, syslog", set: func(k *kernel) { k.version, k.syslog, k.limiter = 1, true, true }, crashes: true, check: exact},
		{name: "v1 syslog, vanishing", set: func(k *kernel) { k.version, k.syslog = 1, true }, vanish: true, check: exact},
		{name: "v1 crashes, syslog, vanishing", set: func(k *kernel) { k.version, k.syslog = 1, true }, crashes: true, vanish: true, check: exact},
		{name: "v1 crashes, vanishing", set: func(k *kernel) { k.version = 1 }, crashes: true, vanish: true, check: exact},
		{name: "v1 crashes, no log", set: func(k *kernel) { k.version, k.noLog = 1, true }, crashes: true, check: exact},
		{name: "v1 overrun", set: func(k *kernel) { k.version, k.limiter = 1, true }, overrun: true, check: exact},
		{name: "v1 slow log", set: func(k *kernel) { k.version, k.limiter = 1, true }, slow: true, check: exact},
		{name: "v1 forged", set: v1, forged: true, check: counted},
		{name: "v2 starved", set: func(k *kernel) { k.own, k.crowds = true, true }, starved: true, check: exactLevels},
		{name: "v2 starved, rate limited", set: func(k *kernel) { k.own, k.crowds, k.limiter = true, true, true }, starved: true, check: counted},
		{name: "v1 starved", set: func(k *kernel) { k.version, k.own = 1, true }, starved: true, check: exactLevels},
		{name: "v2 starved, crashes", set: func(k *kernel) { k.own, k.crowds = true, true }, starved: true, crashes: true, disk: true, check: exact},
		{name: "v1 crashes, rate limited", set: func(k *kernel) { k.version, k.limiter = 1, true }, crashes: true, disk: true, check: exact},
		{name: "v1 slow disk", set: v1, crashes: true, disk: true, check: full},
		{name: "v2 slow disk, vanishing", crashes: true, disk: true, vanish: true, check: exact},
		{name: "v1 clock steps", set: v1, stepped: true, crashes: true, check: full},
		{name: "v2 log twice", twice: true, crashes: true, check: full},
		{name: "v2 all", set: func(k *kernel) { k.limiter = true }, vanish: true, slow: true, overrun: true, crashes: true, fail: true, check: summed},
		{name: "v1 all", set: func(k *kernel) { k.version, k.limiter = 1, true }, vanish: true, slow: true, overrun: true, crashes: true, fail: true, check: summed},
	}
}

var seeds = flag.Int64("seeds", 5, "how many random worlds of each kind are tried")

func TestRandomWorlds(t *testing.T) {
	n := *seeds
	if testing.Short() { // under the race detector.
		n = 1
	}
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			for seed := range n {
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) { w.run(t, seed, 400) }) {
					return
				}
			}
		})
	}
}

func (w world) run(t *testing.T, seed int64, steps int) {
	k := newKernel(seed, 2)
	k.midRead = 0.01
	if w.set != nil {
		w.set(k)
	}
	k.cluster(3, 4)
	for range 5 { // what was before the epoch never counts.
		k.random()
	}
	o := Options{PendingFor: 10 * time.Second, BootID: "boot"}
	if w.crashes {
		o.StateFile = filepath.Join(t.TempDir(), "state")
	}
	mid := k.midRead
	k.midRead = 0
	w.start(t, k, o)
	k.midRead = mid
	k.forgetTruth()
	before := k.ledger.View()
	for step := range steps {
		w.step(k)
		if w.crashes {
			w.save(k)
		}
		if w.crashes && k.r.Intn(40) == 0 {
			w.start(t, k, o)
		}
		v := k.ledger.View()
		if err := v.Balance(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if err := v.NotBelow(before); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		before = v
	}
	k.fail, k.midRead = false, 0
	k.quiet(30 * time.Second)
	v := k.ledger.View()
	if err := v.Balance(); err != nil {
		t.Fatal(err)
	}
	if v.Pending != 0 {
		t.Errorf("%d kills pending after half a minute of quiet", v.Pending)
	}
	if k.broken != nil {
		t.Error(k.broken)
	}
	w.check(t, k, v)
	if t.Failed() {
		t.Logf("vmstat %d, truth %d + %d twice; forged %d late %d unbacked %d; %d lines, %d claimed", v.Step, k.truth.all, k.truth.twice, v.Forged, v.Late, v.Unbacked, len(k.ledger.evidence.lines), len(k.ledger.cgroups.stepped))
	}
}

// save saves at times; on a slow disk some steps pass until it is done, and
// other saves wait for it.
func (w world) save(k *kernel) {
	switch {
	case k.saving != nil:
		if k.r.Intn(5) == 0 {
			k.endSave(k.saving)
			k.saving = nil
		}
	case k.r.Intn(10) > 0:
	case w.disk:
		k.saving, _ = k.ledger.beginSave()
	default:
		k.save()
	}
}

// start starts a ledger and lets it read the log's backlog.
func (w world) start(t *testing.T, k *kernel, o Options) {
	t.Helper()
	if err := k.start(o); err != nil {
		t.Fatal(err)
	}
	if k.syslog || k.noLog {
		k.ledger.tick()
		k.saveIfKept()
		return
	}
	for k.read < len(k.log) {
		k.deliver(1 + k.r.Intn(20))
		k.ledger.tick()
	}
	k.ledger.SetLog(oom.LogLive)
	k.ledger.tick()
	k.saveIfKept()
}

// step lets a random thing happen.
func (w world) step(k *kernel) {
	k.fail = w.fail && k.r.Intn(10) == 0
	switch p := k.r.Intn(20); {
	case p < 6:
		for range k.r.Intn(4) {
			k.random()
		}
	case p == 6 && w.vanish:
		if all := k.containers(); len(all) > 3 {
			g := all[k.r.Intn(len(all))]
			switch n := k.r.Intn(4); {
			case n == 0 && k.crowds:
				k.killGroup(g, k.crowd())
			case n < 2:
				k.kill(g, g)
			}
			k.rmdir(g)
			if !k.noVmstat { // nobody could know a group without a scan.
				k.container(g.parent, k.r.Intn(4))
			}
		}
	case p == 7 && w.overrun:
		k.overrun(k.r.Intn(5))
	case p == 8 && w.forged:
		k.ledger.Log(oom.Kill{Victim: oom.Victim{PID: 1, Comm: "forged"}, Time: k.now})
	case p < 10:
		k.now = k.now.Add(time.Duration(k.r.Intn(5000)) * time.Millisecond)
	default:
		k.now = k.now.Add(time.Duration(k.r.Intn(300)) * time.Millisecond)
	}
	if w.twice && k.r.Intn(20) == 0 {
		k.read = k.lost
	}
	if w.stepped && k.r.Intn(20) == 0 {
		k.skew = time.Duration(k.r.Intn(7200)-3600) * time.Second
	}
	if w.starved {
		switch k.r.Intn(15) {
		case 0:
			k.deliver(1 << 30)
		case 1, 2:
			k.deliver(k.r.Intn(8))
		}
		if k.r.Intn(10) == 0 {
			k.ledger.tick()
		}
		return
	}
	if !k.syslog && (!w.slow || k.r.Intn(10) == 0) {
		k.deliver(1 << 30)
	}
	if k.r.Intn(3) > 0 {
		k.ledger.tick()
	}
}
