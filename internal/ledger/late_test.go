// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// sighting is what tracefs tells of a dying process.
func sighting(pid int, path string, at time.Time, comm string) oom.Sighting {
	return oom.Sighting{By: oom.ByTracefs, Time: at, Path: path, Victim: oom.Victim{PID: pid, Comm: comm}}
}

// witnessed begins books without a log, in which a kill was witnessed in a
// container that was gone before anybody could read it.
func witnessed(t *testing.T) (k *kernel, a *kgroup, line oom.Kill) {
	t.Helper()
	k = newKernel(1, 2)
	pod := k.cluster(1, 1)[0].parent
	begin(t, k, Options{})
	k.noLog = true
	a = k.container(pod, 1)
	line = k.kill(a, a)
	k.ledger.Witness(sighting(line.Victim.PID, a.path, k.now, line.Victim.Comm))
	k.rmdir(a)
	k.quiet(5 * time.Second)
	return k, a, line
}

// A log that is read seconds late tells of kills that were published by then:
// their lines must not take the slots of others.
func TestLateLineOfAWitnessedKill(t *testing.T) {
	k, a, _ := witnessed(t)
	want := map[oom.Workload]uint64{a.who.Workload: 1}
	if diff := cmp.Diff(want, killsOf(k.ledger.View())); diff != "" {
		t.Fatalf("without the log (-want +got):\n%s", diff)
	}
	b := k.container(a.parent, 2)
	k.kill(b, b)
	k.rmdir(b)
	k.noLog = false
	v := settled(t, k)
	want[b.who.Workload] = 1
	if diff := cmp.Diff(want, killsOf(v)); diff != "" || v.Late != 1 || v.Forged != 0 {
		t.Errorf("%d late, %d forged (-want +got):\n%s", v.Late, v.Forged, diff)
	}
}

// On a slow machine each sighting of a storm comes a while after its kill was counted, so
// that some case is open all the time: none of them must be given up before its own. Now
// and then the kernel is held up between the count and the sighting.
func TestLateSightingsOfAStorm(t *testing.T) {
	for _, late := range []time.Duration{0, 200 * time.Millisecond, 700 * time.Millisecond} {
		for _, gap := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
			t.Run(fmt.Sprintf("%v late, every %v", late, gap), func(t *testing.T) {
				k := newKernel(1, 2)
				pod := k.cluster(1, 1)[0].parent
				begin(t, k, Options{})
				k.ledger.SetLog(oom.LogAbsent)
				k.noLog = true
				want := map[oom.Workload]uint64{}
				var coming []oom.Sighting
				const tick = 10 * time.Millisecond
				for at := time.Duration(0); at < 12*time.Second; at += tick {
					if at%gap == 0 && at < 10*time.Second {
						g := k.container(pod, 10+int(at/tick))
						line := k.kill(g, g)
						s := sighting(line.Victim.PID, g.path, k.now, line.Victim.Comm)
						if len(want)%9 == 5 {
							s.Time = s.Time.Add(150 * time.Millisecond)
						}
						coming = append(coming, s)
						want[g.who.Workload] = 1
						k.rmdir(g)
					}
					for len(coming) > 0 && k.now.Sub(coming[0].Time) >= late {
						k.ledger.Witness(coming[0])
						coming = coming[1:]
					}
					if k.now = k.now.Add(tick); at%vmstatGap == 0 {
						k.ledger.tick()
					}
				}
				if v := settled(t, k); !cmp.Equal(want, killsOf(v)) || v.Unattributed != 0 {
					t.Errorf("%d unattributed, kills (-want +got):\n%s", v.Unattributed, cmp.Diff(want, killsOf(v)))
				}
			})
		}
	}
}

// So it is with the lines of the log: where each is read some seconds late, one line or
// other is on its way all through the storm.
func TestLateLinesOfAStorm(t *testing.T) {
	for _, named := range []bool{true, false} {
		for _, late := range []time.Duration{0, 300 * time.Millisecond, 1500 * time.Millisecond, 5 * time.Second} {
			for _, gap := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
				t.Run(fmt.Sprintf("named %t, %v late, every %v", named, late, gap), func(t *testing.T) {
					k := newKernel(1, 2)
					pod := k.cluster(1, 1)[0].parent
					begin(t, k, Options{})
					k.skew = 30 * time.Millisecond // no line is read sooner.
					if !named {
						k.limiter, k.reports, k.limited = true, 1000, k.now.Add(time.Hour)
					}
					want := map[oom.Workload]uint64{}
					const tick = 10 * time.Millisecond
					for at := time.Duration(0); at < 25*time.Second; at += tick {
						if at%gap == 0 && at < 18*time.Second {
							g := k.container(pod, 10+int(at/tick))
							want[g.who.Workload] = 1
							if named && len(want)%3 == 0 {
								want[g.who.Workload] = 3
								k.killGroup(g, 3)
							} else if line := k.kill(g, g); !named {
								k.ledger.Witness(sighting(line.Victim.PID, g.path, k.now, line.Victim.Comm))
							}
							k.rmdir(g)
						}
						for k.read < len(k.log) && k.now.Sub(k.log[k.read].Time) >= late {
							k.deliver(1)
						}
						if k.now = k.now.Add(tick); at%vmstatGap == 0 {
							k.ledger.tick()
						}
					}
					if v := settled(t, k); !cmp.Equal(want, killsOf(v)) || v.Unattributed != 0 {
						t.Errorf("%d unattributed, kills (-want +got):\n%s", v.Unattributed, cmp.Diff(want, killsOf(v)))
					}
				})
			}
		}
	}
}

func TestPIDOfAWitnessedKillUsedAgain(t *testing.T) {
	k, a, line := witnessed(t)
	k.read, k.noLog = len(k.log), false // the line is lost.
	b := k.container(a.parent, 2)
	k.pid--
	k.log[len(k.log)-1].Victim.Comm = line.Victim.Comm
	k.kill(b, b)
	k.log[len(k.log)-1].Victim.Comm = "another"
	k.rmdir(b)
	want := map[oom.Workload]uint64{a.who.Workload: 1, b.who.Workload: 1}
	if v := settled(t, k); !cmp.Equal(want, killsOf(v)) {
		t.Errorf("kills (-want +got):\n%s", cmp.Diff(want, killsOf(v)))
	}
}

// The kernel counts a group kill's first victim twice. Without a log only the
// count of group kills says so, and for a container that is gone at once only
// that of what is left above it.
func TestGroupKillsInGroupsThatAreGone(t *testing.T) {
	for _, c := range []struct {
		name          string
		groups, alone int // kills of a container of three, and of one process, all gone at once.
	}{
		{"one", 1, 0},
		{"two", 2, 0},
		{"one, and others", 1, 2},
		{"none", 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKernel(1, 2)
			pod := k.cluster(1, 1)[0].parent
			k.noLog = true
			begin(t, k, Options{})
			for i := range c.groups + c.alone {
				g := k.container(pod, 1)
				if i < c.groups {
					k.killGroup(g, 3)
				} else {
					k.kill(g, g)
				}
				k.rmdir(g)
			}
			v := settled(t, k)
			want := map[oom.Workload]uint64{pod.who.Workload: uint64(3*c.groups + c.alone)}
			if diff := cmp.Diff(want, killsOf(v)); diff != "" || v.Duplicates != uint64(c.groups) || v.Estimated != uint64(c.groups) {
				t.Errorf("%d duplicates, %d of them estimated, want %d (-want +got):\n%s", v.Duplicates, v.Estimated, c.groups, diff)
			}
		})
	}
}

// A line that nothing names takes the claim of another group, whose own line
// comes late and is named, when the group is gone.
func TestLateLineOfAClaimThatAnotherTook(t *testing.T) {
	k := newKernel(1, 2)
	c := k.cluster(1, 2)
	pod := c[0].parent
	begin(t, k, Options{})
	k.limiter, k.limited, k.reports = true, k.now, 10
	gone := k.container(pod, 7)
	k.kill(gone, gone)
	k.rmdir(gone)
	k.deliver(1)
	k.noLog = true
	line := k.kill(c[0], c[0])
	k.quiet(1900 * time.Millisecond)
	if diff := cmp.Diff(map[oom.Workload]uint64{c[0].who.Workload: 1}, killsOf(k.ledger.View())); diff != "" {
		t.Fatalf("before its own line came (-want +got):\n%s", diff)
	}
	k.rmdir(c[0])
	k.ledger.Witness(sighting(line.Victim.PID, c[0].path, k.now, line.Victim.Comm))
	k.noLog = false
	v := settled(t, k)
	want := map[oom.Workload]uint64{c[0].who.Workload: 1, pod.who.Workload: 1}
	if diff := cmp.Diff(want, killsOf(v)); diff != "" {
		t.Errorf("kills (-want +got):\n%s", diff)
	}
}

// groupKill has a group kill of n processes whose lines the log brings only
// seconds later: the exporter is slow.
func groupKill(t *testing.T, n int) (k *kernel, g *kgroup) {
	t.Helper()
	k = newKernel(1, 2)
	c := k.cluster(2, 2)
	begin(t, k, Options{})
	k.quiet(time.Second)
	k.noLog = true
	k.killGroup(c[0], n)
	k.quiet(3 * time.Second) // the duplicate is estimated.
	k.noLog = false
	return k, c[0]
}

// The estimate of a duplicate and its line in the log are one piece of
// evidence, whatever else happens when the line comes.
func TestADuplicateIsTakenOffOnce(t *testing.T) {
	for _, n := range []int{2, 3, 20} {
		for name, then := range map[string]func(k *kernel, g *kgroup){
			"nothing else":                 func(*kernel, *kgroup) {},
			"a kill in another pod":        func(k *kernel, g *kgroup) { c := k.containers(); k.kill(c[3], c[3]) },
			"a kill in the same cgroup":    func(k *kernel, g *kgroup) { k.kill(g, g) },
			"another group kill":           func(k *kernel, g *kgroup) { k.killGroup(g, 4) },
			"a group kill in another pod":  func(k *kernel, g *kgroup) { k.killGroup(k.containers()[2], 2) },
			"a kill that is not there yet": func(k *kernel, g *kgroup) { k.deliver(1 << 30); k.kill(g, g) },
		} {
			t.Run(fmt.Sprint(n, ", then ", name), func(t *testing.T) {
				k, g := groupKill(t, n)
				then(k, g)
				v := settled(t, k)
				exact(t, k, v)
				if v.ByLevel[oom.LevelNode] != 0 {
					t.Errorf("%d kills of the node, want none", v.ByLevel[oom.LevelNode])
				}
				for _, r := range k.ledger.Records() {
					if r.Victim.PID == 0 {
						t.Errorf("a record without pid, though its line has come: %+v", r)
					}
				}
			})
		}
	}
}

// A line that comes late completes the record of its kill, and names no other.
func TestALateLineCompletesItsRecord(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 2)
	l := begin(t, k, Options{})
	k.quiet(time.Second)
	k.noLog = true
	line := k.kill(c[0], c[0])
	k.quiet(5 * time.Second)
	if r := last(t, l); r.Victim.PID != 0 || r.Workload != c[0].who.Workload {
		t.Fatalf("before its line came: %+v", r)
	}
	k.noLog = false
	other := k.kill(c[1], c[1])
	v := settled(t, k)
	exact(t, k, v)
	all := l.Records()
	if len(all) != 2 || all[0].Victim.PID != line.Victim.PID || all[1].Victim.PID != other.Victim.PID {
		t.Errorf("records %+v", all)
	}
}

// A report about a living cgroup whose own counter did not move is not
// believed.
func TestAReportThatTheCounterRefutes(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 2)
	l := begin(t, k, Options{})
	k.quiet(time.Second)
	k.noLog = true
	gone := k.container(c[0].parent, 9)
	k.kill(gone, gone)
	k.rmdir(gone)
	l.Log(oom.Kill{VictimPath: c[1].path, LimitPath: c[1].path, Victim: oom.Victim{PID: 4242, Comm: "forged"}, Seq: k.seq + 1})
	v := settled(t, k)
	if n := killsOf(v)[c[1].who.Workload]; n != 0 {
		t.Errorf("%d kills by the forged report, want none", n)
	}
}

// A process may have been seen in another cgroup before it moved to the one in
// which it died. What a scan or a witness says is refuted by the counter of a
// living cgroup, right after a restart too.
func TestASightingBeforeTheMove(t *testing.T) {
	for name, see := range map[string]func(k *kernel, g *kgroup, line oom.Kill){
		"scan": func(k *kernel, g *kgroup, line oom.Kill) { k.scan(g, line.Victim.PID, "") },
		"witness": func(k *kernel, g *kgroup, line oom.Kill) {
			k.ledger.Witness(sighting(line.Victim.PID, g.path, k.now, line.Victim.Comm))
		},
	} {
		o := stateIn(t)
		k := newKernel(1, 1)
		c := k.cluster(1, 2)
		begin(t, k, o)
		k.quiet(time.Second)
		k.limiter, k.limited, k.reports = true, k.now, 10
		line := k.kill(c[1], c[1])
		if err := k.start(o); err != nil { // a restart, before anything is read.
			t.Fatal(err)
		}
		see(k, c[0], line)
		k.deliver(1 << 30)
		k.ledger.SetLog(oom.LogLive)
		v := settled(t, k)
		if diff := cmp.Diff(map[oom.Workload]uint64{c[1].who.Workload: 1}, killsOf(v)); diff != "" {
			t.Errorf("%s: kills (-want +got):\n%s", name, diff)
		}
	}
}

// The line of a kill that was published by a sighting completes its record, however
// late it comes and though it names no cgroup.
func TestLateLineOfASighting(t *testing.T) {
	k := newKernel(1, 1)
	k.limiter, k.reports, k.limited = true, 1000, k.now
	c := k.cluster(1, 3)
	l := begin(t, k, Options{})
	k.kill(c[1], c[1])
	k.kill(c[0], c[0])
	l.Witness(sighting(k.pid, c[0].path, k.now, "hog"))
	k.rmdir(c[0])
	for range 60 {
		k.now = k.now.Add(100 * time.Millisecond)
		l.tick()
	}
	want := k.log[len(k.log)-1].Seq
	v := settled(t, k)
	if diff := cmp.Diff(k.truth.kills, killsOf(v)); diff != "" {
		t.Errorf("kills (-truth +ledger):\n%s", diff)
	}
	for _, r := range l.Records() {
		if sighted := r.Workload == c[0].who.Workload; sighted != (r.Victim.PID == k.pid) || sighted && r.Seq != want {
			t.Errorf("record %+v; want pid %d and line %d for %v", r, k.pid, want, c[0].who.Workload)
		}
	}
}

// Lines that name no cgroup, of kills in removed containers of several pods, are not
// said to be of one of the pods.
func TestLinesOfRemovedContainers(t *testing.T) {
	k := newKernel(1, 2)
	k.limiter, k.reports, k.limited = true, 1000, k.now
	c := k.cluster(3, 2)
	l := begin(t, k, Options{})
	for _, i := range []int{4, 0, 2} {
		k.kill(c[i], c[i])
		k.rmdir(c[i])
	}
	v := settled(t, k)
	byPod(t, k, v)
	pods := map[int]string{k.pid - 2: "p2", k.pid - 1: "p0", k.pid: "p1"}
	for _, r := range l.Records() {
		if said := r.Workload.Pod; said != "" && said != pods[r.Victim.PID] {
			t.Errorf("pid %d is said to have been of pod %s, really %s", r.Victim.PID, said, pods[r.Victim.PID])
		}
	}
	k.kill(c[1], c[1])
	k.rmdir(c[1])
	settled(t, k)
	records := l.Records()
	if r := records[len(records)-1]; r.Victim.PID != k.pid || r.Workload.Pod != "p0" {
		t.Errorf("the record of a single kill is %+v, want pid %d of pod p0", r, k.pid)
	}
}
