// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"path"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// begin starts a ledger whose epoch is now.
func begin(t *testing.T, k *kernel, o Options) *Ledger {
	t.Helper()
	world{}.start(t, k, o)
	if k.ledger.View().Epoch.IsZero() {
		t.Fatal("the epoch has not begun")
	}
	return k.ledger
}

// settled lets half a minute pass and returns the books, which must balance.
func settled(t *testing.T, k *kernel) View {
	t.Helper()
	k.quiet(30 * time.Second)
	v := k.ledger.View()
	if err := v.Balance(); err != nil {
		t.Error(err)
	}
	if v.Pending != 0 {
		t.Errorf("%d kills still pending", v.Pending)
	}
	return v
}

func last(t *testing.T, l *Ledger) oom.Kill {
	t.Helper()
	all := l.Records()
	if len(all) == 0 {
		t.Fatal("no record")
	}
	return all[len(all)-1]
}

func workload(k *kernel, i int) oom.Workload { return k.containers()[i].who.Workload }

func TestBeforeTheEpochIsHistory(t *testing.T) {
	k := newKernel(1, 2)
	c := k.cluster(1, 2)
	k.now = k.now.Add(-time.Hour)
	k.kill(c[0], c[0])
	died := k.now
	k.now = k.now.Add(time.Hour)
	l := begin(t, k, Options{})
	v := settled(t, k)
	if v.Step != 0 || len(killsOf(v)) != 0 || v.ByLevel[oom.LevelContainer] != 0 {
		t.Errorf("a kill of before the epoch was counted: %+v", v)
	}
	if len(v.Workloads) != 1 || !v.Workloads[0].LastKill.Equal(died) || !v.LastKill.Equal(died) {
		t.Errorf("last kill %v in %+v, want %v", v.LastKill, v.Workloads, died)
	}
	r := last(t, l)
	if !r.History || r.Workload != c[0].who.Workload || r.Level != oom.LevelContainer {
		t.Errorf("record %+v, want a named one marked as history", r)
	}
	if got := v.NodeKills; got != oom.Of(1) {
		t.Errorf("node kills %v, want vmstat's 1", got)
	}
}

func TestRecordOfAReportedKill(t *testing.T) {
	k := newKernel(1, 2)
	c := k.cluster(1, 2)
	var told []oom.Kill
	l := begin(t, k, Options{OnKill: func(kill oom.Kill) { told = append(told, kill) }})
	want := k.kill(c[1], c[1].parent)
	settled(t, k)
	want.Seq = k.seq
	want.Level, want.Workload, want.Evidence = oom.LevelPod, c[1].who.Workload, byReport
	want.ID = "noboot-1"
	if diff := cmp.Diff(want, last(t, l), cmp.AllowUnexported(oom.Amount{})); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if len(told) != 1 || told[0].Workload != want.Workload {
		t.Errorf("OnKill had %+v, want the one kill", told)
	}
}

// traced is what a BPF program tells of a victim.
func traced(line oom.Kill, path string, at time.Time) oom.Sighting {
	return oom.Sighting{
		By: oom.ByBPF, Time: at, Path: path, CgroupID: 4711,
		Victim:  oom.Victim{PID: line.Victim.PID, Comm: line.Victim.Comm, AnonRSS: oom.Of(7 << 20), Adj: -998, AdjKnown: true},
		Trigger: &oom.Trigger{PID: 77, Comm: "greedy\n"},
	}
}

// Without the log, what the BPF program has seen is the record.
func TestRecordOfATracedKill(t *testing.T) {
	k := newKernel(1, 2)
	pod := k.cluster(1, 1)[0].parent
	l := begin(t, k, Options{})
	k.noLog = true
	a := k.container(pod, 1)
	died := k.now
	line := k.kill(a, a)
	k.ledger.Witness(traced(line, a.path, died))
	k.rmdir(a)
	k.quiet(5 * time.Second)
	want := traced(line, a.path, died)
	want.Trigger.Comm = `greedy\x0a`
	r := last(t, l)
	got := oom.Sighting{By: r.Evidence, Time: r.Time, Path: r.VictimPath, CgroupID: want.CgroupID, Victim: r.Victim, Trigger: r.Trigger}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(oom.Amount{})); diff != "" || r.Approximate {
		t.Errorf("record %+v (-want +got):\n%s", r, diff)
	}
	// Its line comes late, without a report: what the program has seen stays.
	line.Seq, line.VictimPath, line.LimitPath, line.Trigger = 1<<20, "", "", nil
	l.Log(line)
	l.tick()
	if r := last(t, l); r.Trigger == nil || r.Trigger.PID != 77 || r.Victim.PID != line.Victim.PID || r.Evidence != oom.ByBPF {
		t.Errorf("record with its line %+v", r)
	}
}

// A container that was removed and made anew has the path of the victim's, and its
// counter did not move: the identity tells them apart.
func TestTracedKillInACgroupThatWasMadeAnew(t *testing.T) {
	for _, id := range []uint64{0, 4711} {
		k := newKernel(1, 1)
		pod := k.cluster(1, 1)[0].parent
		l := begin(t, k, Options{})
		k.noLog = true
		a := k.container(pod, 1)
		line := k.kill(a, a)
		s := traced(line, a.path, k.now)
		s.CgroupID = id
		k.rmdir(a)
		k.mkdir(pod, path.Base(a.path), a.kind, a.who)
		k.quiet(300 * time.Millisecond) // it is read before the program's word comes.
		k.ledger.Witness(s)
		k.quiet(15 * time.Second)
		named := last(t, l).Evidence == oom.ByBPF
		if named != (id != 0) {
			t.Errorf("cgroup %d: record %+v", id, last(t, l))
		}
	}
}

// A container that is first read with its kill has a step, and a sighting: both are
// of one kill. The other one, of which nothing is known, is not its second.
func TestTracedKillWithAStep(t *testing.T) {
	k := newKernel(1, 1)
	pod := k.cluster(1, 1)[0].parent
	l := begin(t, k, Options{})
	k.noLog = true
	a, b := k.container(pod, 1), k.container(pod, 2)
	line := k.kill(a, a)
	s := traced(line, a.path, k.now)
	s.CgroupID = a.inode
	k.ledger.Witness(s)
	k.ledger.Witness(sighting(line.Victim.PID, a.path, k.now, "hog")) // tracefs knows less.
	k.kill(b, b)
	k.rmdir(b)
	k.quiet(15 * time.Second)
	v := l.View()
	if diff := cmp.Diff(map[oom.Workload]uint64{a.who.Workload: 1}, killsOf(v)); diff != "" || v.Unattributed != 1 {
		t.Errorf("%d unattributed, want 1; kills (-want +got):\n%s", v.Unattributed, diff)
	}
	if r := l.Records()[0]; r.Victim.PID != line.Victim.PID || r.Trigger == nil {
		t.Errorf("record %+v", r)
	}
}

func TestWhatNamesAKillWithoutReport(t *testing.T) {
	for _, tt := range []struct {
		name     string
		see      func(k *kernel, g *kgroup, line oom.Kill)
		vanish   bool
		evidence string
	}{
		{name: "its group's counter alone", evidence: byCounter},
		{name: "a witness", evidence: oom.ByTracefs, vanish: true, see: func(k *kernel, g *kgroup, line oom.Kill) {
			k.ledger.Witness(sighting(line.Victim.PID, g.path, k.now, "hog"))
		}},
		{name: "a BPF program", evidence: oom.ByBPF, vanish: true, see: func(k *kernel, g *kgroup, line oom.Kill) {
			k.ledger.Witness(traced(line, g.path, k.now))
		}},
		{name: "a scan", evidence: byScan, vanish: true, see: func(k *kernel, g *kgroup, line oom.Kill) {
			k.scan(g, line.Victim.PID, "hog")
		}},
		{name: "a witness in the root", vanish: true, see: func(k *kernel, _ *kgroup, line oom.Kill) {
			k.ledger.Witness(sighting(line.Victim.PID, "/", k.now, "hog"))
		}},
		{name: "a scan of another process with this pid", vanish: true, see: func(k *kernel, g *kgroup, line oom.Kill) {
			k.scan(g, line.Victim.PID, "bash")
		}},
		{name: "a witness whom the counters contradict", evidence: byCounter, see: func(k *kernel, g *kgroup, line oom.Kill) {
			k.ledger.Witness(sighting(line.Victim.PID, k.containers()[0].path, k.now, "hog"))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKernel(1, 1)
			c := k.cluster(1, 3)
			l := begin(t, k, Options{})
			k.ledger.tick()
			k.limiter, k.limited, k.reports = true, k.now, 10
			line := k.kill(c[1], c[1])
			if tt.see != nil {
				tt.see(k, c[1], line)
			}
			if tt.vanish {
				k.rmdir(c[1])
			}
			v := settled(t, k)
			r := last(t, l)
			if r.Evidence != tt.evidence || r.Victim.PID != line.Victim.PID {
				t.Errorf("record %+v, want evidence %q", r, tt.evidence)
			}
			if tt.evidence == "" {
				if v.Unattributed != 1 {
					t.Errorf("%d unattributed, want 1", v.Unattributed)
				}
				return
			}
			if diff := cmp.Diff(map[oom.Workload]uint64{c[1].who.Workload: 1}, killsOf(v)); diff != "" {
				t.Errorf("kills (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutEvidenceAKillWaits(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 1)
	l := begin(t, k, Options{})
	k.noLog = true // it does not come, and nobody says so.
	k.kill(c[0], c[0])
	k.rmdir(c[0])
	for passed := time.Duration(0); passed < 9*time.Second; passed += 100 * time.Millisecond {
		l.tick()
		if v := l.View(); v.Pending != 1 || v.Unattributed != 0 {
			t.Fatalf("after %v: %d pending, %d unattributed", passed, v.Pending, v.Unattributed)
		}
		k.now = k.now.Add(100 * time.Millisecond)
	}
	k.noLog = false
	if v := settled(t, k); v.Unattributed != 0 {
		t.Error("the late line with a report did not name the kill")
	}
}

func TestPathUsedAgain(t *testing.T) {
	k := newKernel(1, 1)
	k.cluster(1, 1)
	unit := k.mkdir(k.root, "a.service", oom.KindContainer, oom.Identity{Workload: oom.Workload{Container: "a.service"}})
	begin(t, k, Options{})
	k.ledger.tick()
	for range 3 { // the unit restarts: each time the same path and a new group.
		k.kill(unit, unit)
		k.rmdir(unit)
		unit = k.mkdir(k.root, "a.service", oom.KindContainer, unit.who)
		k.quiet(time.Second)
		k.kill(unit, unit)
		k.quiet(time.Second)
	}
	k.rmdir(unit)
	v := settled(t, k)
	if n := killsOf(v)[unit.who.Workload]; n != 6 {
		t.Errorf("%d kills, want 6", n)
	}
	for _, w := range v.Workloads {
		if w.Survived != 0 {
			t.Errorf("%d survived kills, want none: the group was replaced", w.Survived)
		}
	}
}

func TestForgedLineIsDropped(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 1)
	l := begin(t, k, Options{})
	k.quiet(5 * time.Second)
	l.Log(oom.Kill{VictimPath: c[0].path, Victim: oom.Victim{PID: 1}, Seq: k.seq + 1})
	v := settled(t, k)
	if v.Forged != 1 || len(killsOf(v)) != 0 || len(l.Records()) != 0 {
		t.Errorf("forged %d, kills %v, records %v; want it dropped and counted", v.Forged, killsOf(v), l.Records())
	}
}

func TestTwiceTheSameRecord(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 1)
	l := begin(t, k, Options{})
	k.kill(c[0], c[0])
	k.quiet(time.Second)
	k.read = 0 // the reader has opened the log anew.
	v := settled(t, k)
	if n := killsOf(v)[c[0].who.Workload]; n != 1 || v.Forged != 0 || len(l.Records()) != 1 {
		t.Errorf("%d kills, %d forged, %d records; want one", n, v.Forged, len(l.Records()))
	}
}

func TestGroupKillIsOneOOM(t *testing.T) {
	for _, n := range []int{1, 2, 20} {
		for _, log := range []bool{true, false} {
			k := newKernel(1, 2)
			k.noLog = !log
			c := k.cluster(1, 2)
			l := begin(t, k, Options{})
			k.killGroup(c[0], n)
			v := settled(t, k)
			records := l.Records()
			want := oom.WorkloadKills{Workload: c[0].who.Workload, Kills: uint64(n), OOMs: 1, Survived: uint64(n), LastKill: v.LastKill, Last: &records[len(records)-1]}
			if diff := cmp.Diff([]oom.WorkloadKills{want}, v.Workloads, cmp.AllowUnexported(oom.Amount{})); diff != "" {
				t.Errorf("%d processes, log %v (-want +got):\n%s", n, log, diff)
			}
			if estimated := v.Estimated > 0; estimated != (n > 1 && !log) {
				t.Errorf("%d processes, log %v: %d duplicates are estimates", n, log, v.Estimated)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no error without counters")
	}
	if _, err := New(Options{Counters: newKernel(1, 1), StateFile: "x"}); err == nil {
		t.Error("no error for a state file without a boot id")
	}
}
