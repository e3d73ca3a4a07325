// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"math/rand"
	"os"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// kernel is a kernel that only does OOM kills: it counts them in vmstat and in
// the groups and logs them, as __oom_kill_process of mm/oom_kill.c does, in
// this order.
type kernel struct {
	r       *rand.Rand
	now     time.Time
	version int
	// what this kernel lacks or does.
	noVmstat, noLog, noGroups bool
	noLocal                   bool // 5.2: memory.events alone, with the children's.
	limiter                   bool // ten reports in 5 s.
	syslog                    bool // the log has no numbers and is polled.
	midRead                   float64

	vmstat    uint64
	root      *kgroup
	inode     uint64
	pid       int
	seq       uint64
	log       []oom.Kill // the ring, with the lines that it has lost.
	lost      int        // of these, from the oldest.
	read      int        // how many the reader has had.
	names     map[string]*kgroup
	limited   time.Time // start of the limiter's window.
	reports   int
	single    bool          // no group kills.
	crowds    bool          // no group kills of one process alone.
	own       bool          // only limits of containers are hit.
	skew      time.Duration // by which the log's clock is ahead of ours.
	truth     truth
	announced map[int]string // cgroups whose group kill is announced behind a line of the log.
	saving    *state         // a save that has begun.
	ledger    *Ledger
	fail      bool
	broken    error
	vmstats   int
	groupsNo  int
	killsNo   int
	limitsNo  int
}

// truth is what really happened since the ledger's epoch.
type truth struct {
	kills      map[oom.Workload]uint64
	ooms       map[oom.Workload]uint64
	levels     map[oom.Level]uint64
	pods       map[oom.Workload]uint64
	all, twice uint64
}

type kgroup struct {
	path                         string
	inode                        uint64
	parent                       *kgroup
	children                     []*kgroup
	kind                         oom.Kind
	who                          oom.Identity
	own, tree, ooms, group, hits uint64
	treeGroup                    uint64
	limited, gone                bool
	pids                         int
}

func newKernel(seed int64, version int) *kernel {
	k := &kernel{
		r: rand.New(rand.NewSource(seed)), now: time.Unix(1_700_000_000, 0), version: version,
		names: map[string]*kgroup{}, announced: map[int]string{}, pid: 1000, seq: 100,
	}
	k.forgetTruth()
	k.root = &kgroup{path: "/", inode: 1, kind: oom.KindRoot}
	k.inode = 1
	k.names["/"] = k.root
	return k
}

func (k *kernel) forgetTruth() {
	k.truth = truth{
		kills: map[oom.Workload]uint64{}, ooms: map[oom.Workload]uint64{},
		levels: map[oom.Level]uint64{}, pods: map[oom.Workload]uint64{},
	}
}

// count is the kernel's count of one kill in g.
func (k *kernel) count(g *kgroup) {
	k.vmstat++
	g.own++
	for p := g; p != nil; p = p.parent {
		p.tree++
	}
}

// kill kills one process of g because limit ran out; nil is the node.
func (k *kernel) kill(g, limit *kgroup) oom.Kill {
	if limit != nil {
		limit.ooms++
		limit.hits++
	}
	k.count(g)
	k.pid++
	line := oom.Kill{
		Constraint: oom.ConstraintMemcg, Victim: oom.Victim{PID: k.pid, Comm: "hog"},
		Time: k.now.Add(k.skew), Partial: true,
	}
	if limit == nil {
		line.Constraint = oom.ConstraintNone
	}
	if k.mayReport() {
		line.Partial, line.VictimPath, line.Trigger = false, g.path, &oom.Trigger{Comm: "hog"}
		if limit != nil {
			line.LimitPath = limit.path
		} else {
			line.Global = true
		}
	}
	k.print(line)
	k.truth.ooms[g.who.Workload]++
	k.happened(g, limit)
	return line
}

// killGroup kills n processes of g together, the first one twice.
func (k *kernel) killGroup(g *kgroup, n int) {
	first := k.kill(g, g)
	k.announced[len(k.log)-1] = g.path
	g.group++
	for p := g; p != nil; p = p.parent {
		p.treeGroup++
	}
	for range n - 1 {
		k.count(g)
		k.pid++
		line := first
		line.GroupKill, line.VictimPath = true, g.path
		line.Victim.PID = k.pid
		k.print(line)
		k.happened(g, g)
	}
	if n > 1 {
		k.count(g)
		line := first
		line.GroupKill, line.Duplicate, line.VictimPath = true, true, g.path
		k.print(line)
		k.truth.twice++
	}
}

func (k *kernel) happened(g, limit *kgroup) {
	k.truth.all++
	k.truth.kills[g.who.Workload]++
	if limit == nil {
		k.truth.levels[oom.LevelNode]++
		return
	}
	k.truth.levels[levelOfKind(limit.kind)]++
	if limit.kind == oom.KindPod {
		k.truth.pods[limit.who.Workload]++
	}
}

// mayReport is the ratelimit of dump_header: ten in 5 s.
func (k *kernel) mayReport() bool {
	if !k.limiter {
		return true
	}
	if k.now.Sub(k.limited) > 5*time.Second {
		k.limited, k.reports = k.now, 0
	}
	k.reports++
	return k.reports <= 10
}

func (k *kernel) print(line oom.Kill) {
	k.seq += 1 + uint64(k.r.Intn(80))
	line.Seq = k.seq
	if k.syslog {
		line.Seq = 0
	}
	k.log = append(k.log, line)
}

// deliver hands up to n lines to the ledger.
func (k *kernel) deliver(n int) {
	if k.noLog {
		return
	}
	if k.read < k.lost {
		k.ledger.Lost(uint64(k.lost - k.read))
		k.read = k.lost
	}
	for ; n > 0 && k.read < len(k.log); n-- {
		line := k.log[k.read]
		k.read++
		k.ledger.Log(line)
		if path := k.announced[k.read-1]; path != "" {
			k.ledger.Group(path)
		}
	}
}

// scan has a scrape see the process in the cgroup; without a comm it read none.
func (k *kernel) scan(g *kgroup, pid int, comm string) {
	tree, _ := k.Groups()
	for i := range tree.Groups {
		if tree.Groups[i].Path == g.path {
			k.ledger.SeeProcesses([]oom.Process{{PID: int32(pid), Group: int32(i), Exact: comm != "", Comm: comm}}, tree)
		}
	}
}

// pass has a scrape read all cgroups, with their limits.
func (k *kernel) pass() {
	tree, _ := k.Groups()
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if k.version == 1 {
			g.Limit, g.Events.Max = k.Limit(g.GroupID)
		}
	}
	k.ledger.SeeProcesses(nil, tree)
}

// overrun makes the ring lose what is not among its last n lines.
func (k *kernel) overrun(n int) { k.lost = max(k.lost, len(k.log)-n) }

func (k *kernel) Vmstat() (oom.Amount, error) {
	k.vmstats++
	if k.fail {
		return oom.Amount{}, errors.New("no such file")
	}
	if k.noVmstat {
		return oom.Amount{}, nil
	}
	return oom.Of(k.vmstat), nil
}

// Groups reads the groups one after the other, parents first; kills go on
// meanwhile.
func (k *kernel) Groups() (oom.Tree, error) {
	k.groupsNo++
	if k.noGroups {
		return oom.Tree{}, errors.New("no memory cgroups")
	}
	t := oom.Tree{Version: k.version}
	k.walk(&t, k.root, -1)
	return t, nil
}

func (k *kernel) walk(t *oom.Tree, g *kgroup, parent int) {
	i := len(t.Groups)
	out := oom.Group{
		GroupID: oom.GroupID{Path: g.path, Inode: g.inode}, Parent: parent, Owner: i,
		Kind: g.kind, Identity: g.who,
	}
	if g != k.root || k.version == 1 {
		out.Events = k.events(g)
	}
	t.Groups = append(t.Groups, out)
	if k.midRead > 0 && k.r.Float64() < k.midRead {
		k.random()
	}
	for _, c := range append([]*kgroup(nil), g.children...) {
		if !c.gone {
			k.walk(t, c, i)
		}
	}
}

func (k *kernel) events(g *kgroup) oom.Events {
	if k.version == 1 {
		return oom.Events{OwnKills: oom.Of(g.own)}
	}
	e := oom.Events{
		TreeKills: oom.Of(g.tree), OwnKills: oom.Of(g.own), Max: oom.Of(g.hits),
		OOMs: oom.Of(g.ooms), GroupKills: oom.Of(g.group), TreeGroupKills: oom.Of(g.treeGroup),
	}
	if k.noLocal {
		e.OwnKills, e.TreeGroupKills = oom.Amount{}, oom.Amount{}
	}
	return e
}

// Kills reads the counter of one group; kills go on meanwhile.
func (k *kernel) Kills(id oom.GroupID) (kills oom.Amount) {
	k.killsNo++
	g := k.names[id.Path]
	if k.version == 2 || k.noGroups || g == nil || g.gone || g.inode != id.Inode {
		return kills
	}
	kills = oom.Of(g.own)
	if k.midRead > 0 && k.r.Float64() < k.midRead {
		k.random()
	}
	return kills
}

func (k *kernel) Limit(id oom.GroupID) (limit, hits oom.Amount) {
	k.limitsNo++
	g := k.names[id.Path]
	if k.version == 2 || g == nil || g.gone || g.inode != id.Inode {
		return limit, hits
	}
	if !g.limited {
		return oom.Unlimited(), oom.Of(0)
	}
	return oom.Of(1 << 20), oom.Of(g.hits)
}

func (k *kernel) Populated(id oom.GroupID) bool {
	g := k.names[id.Path]
	return g != nil && !g.gone && g.inode == id.Inode && g.pids > 0
}

func (k *kernel) Lookup(path string) (oom.Identity, oom.Kind, bool) {
	g := k.names[path]
	if g == nil {
		return oom.Identity{}, 0, false
	}
	return g.who, g.kind, !g.who.StandIn
}

// containers lists the living containers.
func (k *kernel) containers() (all []*kgroup) {
	var walk func(*kgroup)
	walk = func(g *kgroup) {
		if g.kind == oom.KindContainer {
			all = append(all, g)
		}
		for _, c := range g.children {
			walk(c)
		}
	}
	walk(k.root)
	return all
}

// random does one random kill.
func (k *kernel) random() {
	all := k.containers()
	if len(all) == 0 {
		return
	}
	g := all[k.r.Intn(len(all))]
	switch p := k.r.Intn(10); {
	case k.own && p > 5 && k.version == 2:
		k.killGroup(g, k.crowd())
	case p < 6, k.own:
		k.kill(g, g)
	case p < 7:
		k.kill(g, g.parent)
	case p < 8:
		k.kill(g, nil)
	case k.version == 2 && !k.single:
		k.killGroup(g, k.crowd())
	default:
		k.kill(g, g)
	}
}

// crowd draws how many processes a group kill is of.
func (k *kernel) crowd() int {
	n := 1 + k.r.Intn(5)
	if k.crowds {
		n++
	}
	return n
}

// start makes a new ledger on this kernel.
func (k *kernel) start(o Options) error {
	o.Counters, o.Names = k, k
	o.Now = func() time.Time { return k.now }
	if k.syslog {
		o.PollLog = func() {
			k.deliver(1 << 30)
			k.ledger.SetLog(oom.LogLive)
		}
	}
	l, err := New(o)
	if err != nil {
		return err
	}
	k.ledger = l
	k.read, k.saving = k.lost, nil
	if !k.noLog {
		l.SetLog(oom.LogBacklog)
	}
	return nil
}

// save saves as the ledger does, but does not wait for the disk.
func (k *kernel) save() {
	if st, _ := k.ledger.beginSave(); st != nil {
		k.endSave(st)
	}
}

// endSave ends a save that began some time ago.
func (k *kernel) endSave(st *state) {
	b, err := st.bytes()
	if err == nil {
		err = os.WriteFile(k.ledger.saver.path, b, 0o600)
	}
	if err != nil {
		k.broken = err
	}
	k.ledger.endSave(st, err)
}

// saveIfKept saves where there is a state file.
func (k *kernel) saveIfKept() {
	if k.ledger.saver.path != "" {
		k.save()
	}
}

// Settle has nothing to wait for.
func (k *kernel) Settle() {}

// quiet lets time pass in which nothing happens.
func (k *kernel) quiet(d time.Duration) {
	for end := k.now.Add(d); k.now.Before(end); {
		if !k.syslog {
			k.deliver(1 << 30)
		}
		k.now = k.now.Add(100 * time.Millisecond)
		k.ledger.tick()
		k.saveIfKept()
	}
}
