// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestVanishedChildIsThePods(t *testing.T) {
	k := newKernel(1, 2)
	k.noLog = true
	pod := k.cluster(1, 1)[0].parent
	begin(t, k, Options{})
	g := k.container(pod, 7)
	k.kill(g, g)
	k.rmdir(g) // before anybody could read it.
	v := settled(t, k)
	if diff := cmp.Diff(map[oom.Workload]uint64{pod.who.Workload: 1}, killsOf(v)); diff != "" {
		t.Errorf("kills (-want +got):\n%s", diff)
	}
}

func TestALaterNameMovesTheTotals(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 1)
	real := c[0].who
	c[0].who = oom.Identity{Workload: oom.Workload{Pod: "uid", Container: "0123456789ab"}, StandIn: true}
	l := begin(t, k, Options{})
	k.kill(c[0], c[0])
	k.quiet(5 * time.Second)
	if n := killsOf(l.View())[c[0].who.Workload]; n != 1 {
		t.Fatalf("%d kills under the stand-in, want 1", n)
	}
	c[0].who = real
	v := settled(t, k)
	if diff := cmp.Diff(map[oom.Workload]uint64{real.Workload: 1}, killsOf(v)); diff != "" {
		t.Errorf("kills (-want +got):\n%s", diff)
	}
	if v.Workloads[0].Survived != 1 {
		t.Error("the survived kill was lost with the name")
	}
	if got := last(t, l).Workload; got != real.Workload {
		t.Errorf("the record is still that of %+v", got)
	}
}

// What has been counted under a stand-in follows it to its name: the record that a
// late line completes, and the OOM that a group kill's other lines belong to.
func TestALateLineAfterTheName(t *testing.T) {
	k := newKernel(1, 2)
	c := k.cluster(1, 1)
	real := c[0].who
	c[0].who = oom.Identity{Workload: oom.Workload{Pod: "uid", Container: "0123456789ab"}, StandIn: true}
	l := begin(t, k, Options{})
	k.quiet(time.Second)
	k.noLog = true
	k.killGroup(c[0], 3)
	k.quiet(3 * time.Second) // published without its lines.
	c[0].who = real
	k.quiet(11 * time.Second) // the name is known.
	k.noLog = false
	v := settled(t, k)
	want := []oom.WorkloadKills{{Workload: real.Workload, Kills: 3, OOMs: 1, Survived: 3, LastKill: v.LastKill}}
	if diff := cmp.Diff(want, v.Workloads); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	for _, r := range l.Records() {
		if r.Workload != real.Workload || r.Victim.PID == 0 {
			t.Errorf("record %+v, want the name and the line's pid", r)
		}
	}
}

// slowNames are known only to who waits for them.
type slowNames struct {
	*kernel
	waits, known int // known from that wait on.
}

func (n *slowNames) Settle() { n.waits++ }

func (n *slowNames) Lookup(path string) (oom.Identity, oom.Kind, bool) {
	who, kind, ok := n.kernel.Lookup(path)
	if n.waits >= n.known {
		return who, kind, ok
	}
	return oom.Identity{Workload: oom.Workload{Container: "0123456789ab"}, StandIn: true}, kind, false
}

// A kill in a container that no read of the groups saw is told by its name,
// though that was looked up only when the kill was seen; nobody waits for names
// when nothing was killed.
func TestAKillWaitsForItsName(t *testing.T) {
	k := newKernel(1, 2)
	pod := k.cluster(1, 1)[0].parent
	names := &slowNames{kernel: k, known: 1}
	var told []oom.Workload
	l := begin(t, k, Options{OnKill: func(kill oom.Kill) { told = append(told, kill.Workload) }})
	l.o.Names, l.cgroups.names = names, names
	k.quiet(time.Minute)
	if names.waits > 0 {
		t.Errorf("waited %d times for names without a kill", names.waits)
	}
	g := k.container(pod, 7)
	k.kill(g, g)
	k.rmdir(g)
	settled(t, k)
	if diff := cmp.Diff([]oom.Workload{g.who.Workload}, told); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
}

func TestAPartCountsForItsContainer(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 1)
	tree, _ := k.Groups()
	part := k.mkdir(c[0], "container", oom.KindPart, oom.Identity{})
	counters := &parted{kernel: k, part: part.path}
	_ = tree
	k.start(Options{})
	k.ledger.o.Counters = counters
	k.ledger.SetLog(oom.LogLive)
	k.ledger.tick()
	k.kill(part, c[0])
	v := settled(t, k)
	if diff := cmp.Diff(map[oom.Workload]uint64{c[0].who.Workload: 1}, killsOf(v)); diff != "" {
		t.Errorf("kills (-want +got):\n%s", diff)
	}
}

// parted makes one group count for its parent.
type parted struct {
	*kernel
	part string
}

func (p *parted) Groups() (oom.Tree, error) {
	t, err := p.kernel.Groups()
	for i := range t.Groups {
		if t.Groups[i].Path == p.part {
			t.Groups[i].Owner = t.Groups[i].Parent
		}
	}
	return t, err
}

func TestTheDeadAreEvicted(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 10)
	l := begin(t, k, Options{KeepDead: 3, KeepAge: time.Hour})
	for _, g := range c[:6] {
		k.kill(g, g)
		k.quiet(15 * time.Second)
		k.rmdir(g)
	}
	k.kill(c[9], c[9]) // lives, and is not one of the three.
	v := settled(t, k)
	if len(v.Workloads) != 4 || v.Evicted != 3 {
		t.Errorf("%d workloads, %d kills evicted; want 4 and 3", len(v.Workloads), v.Evicted)
	}
	k.now = k.now.Add(2 * time.Hour)
	tree, _ := k.Groups()
	l.SeeProcesses(nil, tree) // a scrape.
	v = l.View()
	if diff := cmp.Diff(map[oom.Workload]uint64{c[9].who.Workload: 1}, killsOf(v)); diff != "" {
		t.Errorf("kills after two hours (-want +got):\n%s", diff)
	}
	if err := v.Balance(); err != nil {
		t.Error(err)
	}
}

func TestSurvivedKills(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 3)
	l := begin(t, k, Options{})
	for i, g := range c {
		k.kill(g, g)
		g.pids = i
	}
	k.quiet(9 * time.Second)
	for _, w := range l.View().Workloads {
		if w.Survived != 0 {
			t.Errorf("%v survived before it was due", w.Workload)
		}
	}
	for _, w := range settled(t, k).Workloads {
		want := uint64(1)
		if w.Workload == c[0].who.Workload {
			want = 0
		}
		if w.Survived != want {
			t.Errorf("%v survived %d kills, want %d", w.Workload, w.Survived, want)
		}
	}
}

func TestVmstatThatGoesBack(t *testing.T) {
	k := newKernel(1, 1)
	c := k.cluster(1, 1)
	k.vmstat = 10
	l := begin(t, k, Options{})
	k.vmstat = 7
	l.tick()
	v := l.View()
	if err := v.Balance(); err != nil || v.Debt != 3 {
		t.Errorf("debt %d, balance %v; want 3 carried over", v.Debt, err)
	}
	for range 5 {
		k.kill(c[0], c[0])
	}
	v = settled(t, k)
	if n := killsOf(v)[c[0].who.Workload]; n != 2 || v.Debt != 0 {
		t.Errorf("%d kills, debt %d; want the debt paid first", n, v.Debt)
	}
}

// Whoever has workloads killed all the time makes only their own dead go.
func TestEvictionIsFair(t *testing.T) {
	now := time.Unix(1e6, 0)
	table := killTable{}
	add := func(namespace, container string, n int, ago time.Duration) {
		for i := range n {
			table[oom.Workload{Namespace: namespace, Container: fmt.Sprint(container, i)}] = &total{
				Kills: 1, Seen: now.Add(-ago - time.Duration(i)*time.Millisecond),
			}
		}
	}
	count := func(namespace, container string) (n int) {
		for w := range table {
			if w.Namespace == namespace && strings.HasPrefix(w.Container, container) {
				n++
			}
		}
		return n
	}
	add("shop", "web", 20, time.Hour)
	add("", "unit", 10, time.Hour)
	add("storm", "x", 5000, time.Second)
	add("", "user@1000.service/", 5000, time.Second)
	if kills := table.evict(now, 24*time.Hour, 1001); kills != 10_030-1001 || len(table) != 1001 {
		t.Errorf("%d kills evicted, %d workloads kept", kills, len(table))
	}
	for _, c := range []struct {
		namespace, container string
		least                int
	}{{"shop", "web", 20}, {"", "unit", 10}, {"storm", "x", 485}, {"", "user@1000.service/", 485}} {
		if n := count(c.namespace, c.container); n < c.least {
			t.Errorf("%d of %s%s are kept, want %d", n, c.namespace, c.container, c.least)
		}
	}
	if _, ok := table[oom.Workload{Namespace: "storm", Container: "x0"}]; !ok {
		t.Error("the youngest dead is gone")
	}
	for i := range 300 { // more tenants than are kept.
		add(fmt.Sprint("n", i), "x", 1, time.Minute)
	}
	if table.evict(now, 24*time.Hour, 100); len(table) != 100 {
		t.Errorf("%d workloads kept, want 100", len(table))
	}
	if kills := table.evict(now, time.Millisecond, 100); kills != 100 || len(table) > 0 {
		t.Errorf("%d kills of the old evicted, %d kept", kills, len(table))
	}
}
