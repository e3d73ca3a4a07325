// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestLevelByCounters(t *testing.T) {
	for _, version := range []int{1, 2} {
		k := newKernel(1, version)
		k.noLog = true
		c := k.cluster(1, 2)
		begin(t, k, Options{})
		pod := c[0].parent
		for _, limit := range []*kgroup{c[0], pod, nil} {
			k.kill(c[0], limit)
			k.quiet(20 * time.Second)
		}
		v := settled(t, k)
		want := map[oom.Level]uint64{
			oom.LevelContainer: 1, oom.LevelPod: 1, oom.LevelNode: 1,
			oom.LevelSlice: 0, oom.LevelNUMA: 0, oom.LevelUnknown: 0,
		}
		if diff := cmp.Diff(want, v.ByLevel); diff != "" {
			t.Errorf("v%d: kills by level (-want +got):\n%s", version, diff)
		}
		if diff := cmp.Diff([]oom.PodKills{{Namespace: "ns", Pod: "p0", LimitKills: 1}}, v.Pods); diff != "" {
			t.Errorf("v%d: kills by pod limit (-want +got):\n%s", version, diff)
		}
	}
}

func TestLevelOfTheReport(t *testing.T) {
	for _, tt := range []struct {
		kill oom.Kill
		want oom.Level
	}{
		{oom.Kill{Constraint: oom.ConstraintNone, Global: true}, oom.LevelNode},
		{oom.Kill{Constraint: oom.ConstraintNone, Sysrq: true}, oom.LevelNode},
		{oom.Kill{Constraint: oom.ConstraintCPUSet, Global: true}, oom.LevelNUMA},
		{oom.Kill{Constraint: oom.ConstraintPolicy, Global: true}, oom.LevelNUMA},
		{oom.Kill{Constraint: oom.ConstraintMemcg, LimitPath: "/kubepods.slice"}, oom.LevelSlice},
		{oom.Kill{Constraint: oom.ConstraintMemcg, LimitPath: "/kubepods.slice/pod0"}, oom.LevelPod},
		{oom.Kill{Constraint: oom.ConstraintMemcg, LimitPath: "/nobody/knows"}, oom.LevelUnknown},
	} {
		k := newKernel(1, 1)
		k.cluster(1, 1)
		l := begin(t, k, Options{})
		if got, _ := l.cgroups.levelOf(finding{line: &line{Kill: tt.kill}}); got != tt.want {
			t.Errorf("%+v: level %v, want %v", tt.kill, got, tt.want)
		}
	}
}

// TestLevelOfAGroupThatIsGone has kills without a report in groups that only a
// witness saw.
func TestLevelOfAGroupThatIsGone(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version int
		limited bool // so is the pod.
		pods    bool // it is the pod's limit.
		want    oom.Level
	}{
		{"v1, nothing else is limited", 1, false, false, oom.LevelContainer},
		{"v1, the pod is limited", 1, true, false, oom.LevelUnknown},
		{"v2, nothing else ran out", 2, true, false, oom.LevelContainer},
		{"v2, the pod ran out", 2, true, true, oom.LevelUnknown},
	} {
		k := newKernel(1, tt.version)
		pod := k.cluster(1, 1)[0].parent
		pod.limited = tt.limited
		l := begin(t, k, Options{})
		k.limiter, k.limited, k.reports = true, k.now, 10
		g := k.container(pod, 5)
		limit := g
		if tt.pods {
			limit = pod
		}
		line := k.kill(g, limit)
		l.Witness(sighting(line.Victim.PID, g.path, k.now, "hog"))
		k.rmdir(g)
		v := settled(t, k)
		if v.ByLevel[tt.want] != 1 || killsOf(v)[g.who.Workload] != 1 {
			t.Errorf("%s: levels %v, kills %v; want level %v", tt.name, v.ByLevel, killsOf(v), tt.want)
		}
	}
}

// In a storm, claims wait for their lines over many reads.
func TestLimitsAreAskedForOnceAKill(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 20)
	begin(t, k, Options{})
	k.quiet(time.Second)
	k.limitsNo = 0
	k.limiter, k.limited, k.reports = true, k.now, 10
	k.noLog = true // it does not come, and nobody says so.
	for i := range c {
		k.kill(c[i], c[i])
		k.now = k.now.Add(groupsGap)
		k.ledger.tick()
	}
	settled(t, k)
	if most := 3 * len(c); k.limitsNo == 0 || k.limitsNo > most { // container, pod, slice.
		t.Errorf("%d limits asked for, want at most %d", k.limitsNo, most)
	}
}

// TestLevelOfHitsThatAPassTook has kills by a container's own limit on v1, without a
// log, of which a pass over the processes reads the hits before vmstat shows the kill.
func TestLevelOfHitsThatAPassTook(t *testing.T) {
	for _, tt := range []struct {
		name   string
		looks  int  // at vmstat, between the hit and the kill.
		passes int  // after the hit.
		node   bool // the node's memory ran out.
		want   oom.Level
	}{
		{"no pass", 0, 0, false, oom.LevelContainer},
		{"one pass", 0, 1, false, oom.LevelContainer},
		{"three passes", 0, 3, false, oom.LevelContainer},
		{"the node, long after a hit", 20, 1, true, oom.LevelNode},
		{"the node, two looks after a hit", 2, 1, true, oom.LevelNode},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKernel(1, 1)
			k.noLog = true
			c := k.cluster(1, 2)[0]
			l := begin(t, k, Options{})
			k.kill(c, c) // the first hits of a cgroup from before say nothing.
			k.quiet(20 * time.Second)
			before := l.View().ByLevel[tt.want]
			const kills = 5
			for range kills {
				if tt.node {
					c.hits++
				} else {
					k.kill(c, c)
				}
				for range tt.passes {
					k.pass()
				}
				for range tt.looks {
					k.now = k.now.Add(restGap)
					l.tick()
				}
				if tt.node {
					k.kill(c, nil)
				}
				k.quiet(20 * time.Second)
			}
			if got := settled(t, k).ByLevel[tt.want] - before; got != kills {
				t.Errorf("%d of %d kills are of the %s; all: %v", got, kills, tt.want, l.View().ByLevel)
			}
		})
	}
}
