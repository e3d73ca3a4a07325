// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const mib = 1 << 20

// fake is a kernel of literals with a clock of its own. It is all of the
// guard's interfaces.
type fake struct {
	t  *testing.T
	mu sync.Mutex

	now     time.Time
	version int
	order   []string
	groups  map[string]*oom.Group
	procs   map[string][]oom.Process
	dying   map[int32]bool
	panics  uint64
	// lookCost is how long it takes to read a group, membersCost its processes.
	lookCost, membersCost time.Duration
	off                   bool
	runnable              bool
	armable               bool
	names                 map[string]oom.Identity

	scanErr   error
	onReclaim func(g *oom.Group)
	sharers   []Victim
	killErr   error // after the kills that were made.
	onWait    func()
	onRead    func() // before usage is read.
	cpus      int
	onObserve func() (missed bool)
	onKill    func() // between the choice and the last look.
	reclaims  int
	reads     map[string]int
	marks     map[string][]uint64
	muted     map[string]bool
	killed    []int32
	ended     []string
	reports   []Action
	wakes     int
}

func newFake(t *testing.T) *fake {
	f := &fake{
		t: t, now: time.Unix(1e9, 0), version: 2, cpus: 2, groups: map[string]*oom.Group{}, procs: map[string][]oom.Process{},
		dying: map[int32]bool{}, names: map[string]oom.Identity{}, reads: map[string]int{}, marks: map[string][]uint64{}, muted: map[string]bool{}, armable: true,
	}
	f.add("/", oom.KindRoot, 0, 0)
	return f
}

// add makes a group whose memory is all anonymous, with one process of that
// size for each pid.
func (f *fake) add(path string, kind oom.Kind, limit, usage uint64, pids ...int32) *oom.Group {
	g := &oom.Group{
		GroupID: oom.GroupID{Path: path, Inode: uint64(100 + len(f.order))}, Kind: kind, Hierarchical: true,
		Identity: oom.Identity{Workload: oom.Workload{Namespace: "ns", Pod: "pod", Container: path}, QoS: oom.QoSBurstable},
		Usage:    oom.Of(usage), Limit: oom.Of(limit),
		Stat: oom.Stat{ActiveFile: oom.Of(0), InactiveFile: oom.Of(0), SlabReclaimable: oom.Of(0), Anon: oom.Of(usage)},
	}
	if limit == 0 {
		g.Limit = oom.Unlimited()
	}
	if _, ok := f.groups[path]; !ok {
		f.order = append(f.order, path)
	}
	f.groups[path] = g
	f.procs[path] = nil
	for i, pid := range pids {
		f.procs[path] = append(f.procs[path], oom.Process{
			PID: pid, RSS: usage - uint64(i)*mib, Start: uint64(pid), Exact: true, Comm: fmt.Sprintf("p%d", pid), Score: oom.Of(700),
		})
	}
	return g
}

func (f *fake) locked() func() { f.mu.Lock(); return f.mu.Unlock }

func (f *fake) Scan() (oom.Node, oom.Tree, error) {
	defer f.locked()()
	tree := oom.Tree{Version: f.version}
	for i, path := range f.order {
		if g := f.groups[path]; g != nil {
			c := *g
			c.Parent, c.Owner = 0, i
			tree.Groups = append(tree.Groups, c)
		}
	}
	return oom.Node{PageSize: 4096, CPUs: f.cpus, Release: oom.ParseRelease("6.1.0"), Total: oom.Of(8 << 30), SwapTotal: oom.Of(0), PanicOnOOM: oom.Of(f.panics)}, tree, f.scanErr
}

func (f *fake) Group(path string) (oom.Group, error) {
	defer f.locked()()
	f.reads[path]++
	f.now = f.now.Add(f.lookCost)
	f.raise()
	if g := f.groups[path]; g != nil {
		c := *g
		if s := &c.Stat; !s.Kernel.IsSet() { // what a test has set is the usage.
			s.File, s.Kernel = oom.Of(s.ActiveFile.Or(0)+s.InactiveFile.Or(0)), oom.Of(0)
			s.Anon = oom.Of(c.Usage.Or(0) - min(c.Usage.Or(0), s.File.Or(0)))
		}
		return c, nil
	}
	return oom.Group{}, fs.ErrNotExist
}

func (f *fake) Recheck(id oom.GroupID) (Reading, error) {
	usage, err := f.Usage(id)
	defer f.locked()()
	if err != nil {
		return Reading{}, err
	}
	g := f.groups[id.Path]
	return Reading{Usage: usage, Limit: g.Limit, Kills: kernelKills(&g.Events)}, nil
}

func (f *fake) Runnable(*oom.Group) bool { return f.runnable }

func (f *fake) Sharers(_ *Members, _ int) ([]Victim, error) { return f.sharers, nil }

// raise lets a test change what is read next.
func (f *fake) raise() {
	if f.onRead != nil {
		f.onRead()
	}
}

func (f *fake) Usage(id oom.GroupID) (uint64, error) {
	defer f.locked()()
	f.raise()
	if g := f.groups[id.Path]; g != nil && g.Inode == id.Inode {
		return g.Usage.Or(0), nil
	}
	return 0, ErrGone
}

func (f *fake) Members(group *oom.Group) (Members, error) {
	defer f.locked()()
	f.now = f.now.Add(f.membersCost)
	path := group.Path
	g := f.groups[path]
	if g == nil || g.Inode != group.Inode {
		return Members{}, fs.ErrNotExist
	}
	m := Members{Dying: map[int32]bool{}}
	m.Tree = oom.Tree{Version: f.version, Groups: []oom.Group{{GroupID: oom.GroupID{Path: "/"}, Parent: -1}, *g}}
	m.Tree.Groups[1].Parent = 0
	for _, other := range f.order {
		if other != path && f.groups[other] != nil && related(path, other) && len(other) > len(path) {
			c := *f.groups[other]
			c.Parent = 1
			m.Tree.Groups = append(m.Tree.Groups, c)
		}
	}
	for at := 1; at < len(m.Tree.Groups); at++ {
		for _, p := range f.procs[m.Tree.Groups[at].Path] {
			p.Group = int32(at)
			m.Procs = append(m.Procs, p)
			m.Dying[p.PID] = f.dying[p.PID]
		}
	}
	return m, nil
}

func (f *fake) Identify(path string) (oom.Identity, bool) {
	defer f.locked()()
	id, ok := f.names[path]
	return id, ok
}

func (f *fake) Off() bool { defer f.locked()(); return f.off }

func (f *fake) Reclaim(id oom.GroupID, _ uint64) error {
	defer f.locked()()
	f.reclaims++
	if f.onReclaim != nil {
		f.onReclaim(f.groups[id.Path])
	}
	return nil
}

func (f *fake) Process(victims []Victim, still func() error) (int, error) {
	f.raced()
	for _, v := range victims {
		g := f.groups[v.Cgroup.Path]
		if g == nil || g.Inode != v.Cgroup.Inode || !slices.ContainsFunc(f.procs[v.Cgroup.Path], func(q oom.Process) bool {
			return q.PID == v.PID && q.Start == v.Start
		}) {
			return 0, ErrGone
		}
	}
	if err := still(); err != nil {
		return 0, err
	}
	defer f.locked()()
	for _, v := range victims {
		f.killed = append(f.killed, v.PID)
	}
	return len(victims), f.killErr
}

func (f *fake) Container(_ context.Context, e Ending) (int, error) {
	f.raced()
	g := f.groups[e.Cgroup.Path]
	if g == nil || g.Inode != e.Cgroup.Inode {
		return 0, ErrGone
	}
	for _, p := range f.procs[e.Cgroup.Path] {
		if reason := e.Spare(&p); reason != "" {
			return 0, fmt.Errorf("%w: %s", ErrSpared, reason)
		}
	}
	if err := e.Still(); err != nil {
		return 0, err
	}
	defer f.locked()()
	f.ended = append(f.ended, e.Cgroup.Path)
	return len(f.procs[e.Cgroup.Path]), f.killErr
}

// ending is the growth of a group that is about to reach its limit.
func (f *fake) ending(t Target) *growth {
	var g growth
	g.setLimit(&t)
	group := f.groups[t.Path]
	if group == nil {
		return &g
	}
	size := group.Usage.Or(0) - group.Stat.ActiveFile.Or(0) - group.Stat.InactiveFile.Or(0)
	for ms := 40; ms >= 0; ms -= 2 {
		g.see(f.now.Add(-time.Duration(ms)*time.Millisecond), size-uint64(ms)*g.margin()/100)
	}
	return &g
}

func (f *fake) raced() {
	if f.onKill != nil {
		f.onKill()
	}
}

func (f *fake) Report(a Action) { defer f.locked()(); f.reports = append(f.reports, a) }

// fakeMeter is the meter of one group.
type fakeMeter struct {
	f  *fake
	id oom.GroupID
}

func (f *fake) Watch(id oom.GroupID, _ uint32) (Meter, error) { return fakeMeter{f, id}, nil }
func (f *fake) Observe(*oom.Tree) (told, missed bool) {
	if f.onObserve != nil {
		return true, f.onObserve()
	}
	return true, false
}
func (f *fake) Wake() { defer f.locked()(); f.wakes++ }
func (f *fake) Wait(d time.Duration) []Notice {
	defer f.locked()()
	if f.onWait != nil {
		f.onWait()
		d = min(max(d, time.Millisecond), 2*time.Millisecond)
	}
	f.now = f.now.Add(d)
	return nil
}
func (f *fake) clock() time.Time { defer f.locked()(); return f.now }

func (m fakeMeter) Usage() (uint64, error) {
	n, err := m.f.Usage(m.id)
	defer m.f.locked()()
	m.f.reads["meter "+m.id.Path]++
	return n, err
}

func (m fakeMeter) Arm(marks ...uint64) bool {
	defer m.f.locked()()
	m.f.marks[m.id.Path] = marks
	return m.f.armable
}

func (m fakeMeter) Mute(on bool) {
	defer m.f.locked()()
	m.f.muted[m.id.Path] = on
}

func (m fakeMeter) Close() {
	defer m.f.locked()()
	delete(m.f.marks, m.id.Path)
}

// options are those that the tests begin with: the process policy, no bound.
func (f *fake) options() Options {
	return Options{
		Kernel: f, Bell: f, Reclaimer: f, Killer: f, Reporter: f, Now: f.clock,
		Policy: PolicyProcess, Margin: Margin{Ratio: 0.02, Min: mib, Max: 50 * mib},
		Protection:       Protection{Self: 99, AdjBelow: -900, Comm: regexp.MustCompile("^kubelet$")},
		ReclaimableShare: 0.05, TimeToLimit: 250 * time.Millisecond, CoolDown: 10 * time.Second, KillsPerMinute: 6000,
		Pace: Pace{Min: 2 * time.Millisecond, Max: 5 * time.Second},
	}
}

// start makes a guard that knows the groups of the fake.
func (f *fake) start(o Options) *Guard {
	f.t.Helper()
	g, err := New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := g.Scan(); err != nil {
		f.t.Fatal(err)
	}
	return g
}

// settle steps until nothing is due any more, without letting time pass.
func settle(g *Guard) time.Duration {
	for {
		d := g.step(context.Background())
		g.running.Wait()
		if len(g.results)+len(g.probed) == 0 {
			return d
		}
	}
}

// run lets time pass for so long.
func (f *fake) run(g *Guard, d time.Duration) {
	for end := f.clock().Add(d); f.clock().Before(end); {
		g.hear(f.Wait(max(min(settle(g), end.Sub(f.clock())), time.Millisecond)))
	}
	settle(g)
}
