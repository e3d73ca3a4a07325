// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const mib = 1 << 20

// fakeProc is a /proc made of literals; exact holds what a second look finds.
type fakeProc struct {
	node    oom.Node
	nodeErr error
	procs   []oom.Process
	exact   map[int32]oom.Process
	scans   int
	still   []int32
	looks   map[int32]int
	cgroups map[int32]string // what /proc/PID/cgroup says.
	asks    int              // how often it was read.
}

func (f *fakeProc) Cgroup(pid int32) (string, error) {
	f.asks++
	path, ok := f.cgroups[pid]
	if !ok {
		return "", fs.ErrNotExist
	}
	return path, nil
}

func (f *fakeProc) Node() (oom.Node, error) { return f.node, f.nodeErr }

func (f *fakeProc) Scan(dst []oom.Process, still []int32) ([]oom.Process, oom.Skipped, error) {
	f.scans++
	f.still = still
	dst = append(dst[:0], f.procs...)
	for i := range dst {
		dst[i].Group = -1
	}
	return dst, oom.Skipped{VanishedProcesses: 1}, nil
}

func (f *fakeProc) Refresh(p *oom.Process) error {
	for i := range f.procs {
		if f.procs[i].PID == p.PID {
			p.RSS, p.Adj, p.Stale = f.procs[i].RSS, f.procs[i].Adj, false
			return nil
		}
	}
	return fs.ErrNotExist
}

func (f *fakeProc) Exact(p *oom.Process) error {
	if f.looks == nil {
		f.looks = map[int32]int{}
	}
	f.looks[p.PID]++
	e, ok := f.exact[p.PID]
	if !ok {
		return fs.ErrNotExist
	}
	if p.Stale {
		_ = f.Refresh(p)
	}
	p.Exact, p.RSS, p.Swap, p.Anon, p.Start, p.Comm = true, e.RSS, e.Swap, e.Anon, e.Start, e.Comm
	return nil
}

type fakeTree struct {
	tree  oom.Tree
	err   error
	read  int
	late  [][]int32 // process ids of the groups, as ReadPIDs finds them.
	lates int

	recycled []oom.Group
}

func (f *fakeTree) Recycle(tree oom.Tree) { f.recycled = tree.Groups }

func (f *fakeTree) ReadPIDs(tree *oom.Tree) {
	f.lates++
	for i, pids := range f.late {
		if pids != nil {
			tree.Groups[i].PIDs = pids
		}
	}
}

func (f *fakeTree) Read() (oom.Tree, oom.Skipped, error) {
	f.read++
	t := f.tree
	t.Groups = append([]oom.Group(nil), t.Groups...)
	return t, oom.Skipped{VanishedGroups: 2}, f.err
}

// asGiven leaves the kinds and identities of the literals.
type asGiven struct{}

func (asGiven) Name(*oom.Tree) {}

// group makes a group whose usage is all anonymous.
func group(path string, inode uint64, parent int, kind oom.Kind, container string, usage, limit oom.Amount, pids ...int32) oom.Group {
	return oom.Group{
		GroupID: oom.GroupID{Path: path, Inode: inode}, Parent: parent, Kind: kind, Hierarchical: true,
		Identity: oom.Identity{Workload: oom.Workload{Container: container}},
		Usage:    usage, Limit: limit, PIDs: pids,
		Stat: oom.Stat{ActiveFile: oom.Of(0), InactiveFile: oom.Of(0), Anon: usage},
	}
}

// small is a node of 1 GiB with a limited slice that holds two containers.
func small() (*fakeProc, *fakeTree) {
	tree := &fakeTree{tree: oom.Tree{Version: 2, Groups: []oom.Group{
		group("/", 1, -1, oom.KindRoot, "/", oom.Amount{}, oom.Amount{}, 1),
		group("/s", 2, 0, oom.KindSlice, "", oom.Of(90*mib), oom.Of(200*mib)),
		group("/s/a", 3, 1, oom.KindContainer, "a", oom.Of(60*mib), oom.Of(64*mib), 10, 11),
		group("/s/a/helper", 4, 2, oom.KindPart, "a", oom.Of(mib), oom.Unlimited(), 12),
		group("/s/b", 5, 1, oom.KindContainer, "b", oom.Of(30*mib), oom.Unlimited(), 20),
	}}}
	for i := range tree.tree.Groups {
		tree.tree.Groups[i].Owner = i
	}
	tree.tree.Groups[3].Owner = 2
	proc := &fakeProc{
		node: oom.Node{
			Release: oom.ParseRelease("6.1.0"), PageSize: 4096, CPUs: 2, Total: oom.Of(1024 * mib), Free: oom.Of(800 * mib),
			SwapTotal: oom.Of(0), SwapFree: oom.Of(0), ActiveFile: oom.Of(0), InactiveFile: oom.Of(0), SReclaimable: oom.Of(0),
			Zones: []oom.Zone{{Name: "Normal", Free: 800 * mib, Min: 4 * mib, Present: 1024 * mib}},
		},
		exact: map[int32]oom.Process{},
	}
	for _, p := range []struct {
		pid   int32
		rss   uint64
		adj   int16
		start uint64
		score uint64
	}{{1, 5 * mib, 0, 1, 670}, {10, 20 * mib, 0, 100, 690}, {11, 30 * mib, 10, 90, 700}, {12, mib, 500, 95, 1000}, {20, 25 * mib, 0, 80, 695}, {30, 3 * mib, -1000, 70, 0}} {
		proc.procs = append(proc.procs, oom.Process{PID: p.pid, RSS: p.rss, Adj: p.adj, Score: oom.Of(p.score)})
		proc.exact[p.pid] = oom.Process{RSS: p.rss, Anon: p.rss / 2, Start: p.start, Comm: fmt.Sprintf("p%d", p.pid)}
	}
	proc.procs[0].Init = true
	return proc, tree
}

func newHost(proc *fakeProc, tree *fakeTree) *Host {
	return New(Options{Proc: proc, Hierarchy: tree, Names: asGiven{}, Top: 3, NearRatio: 0.10})
}

func TestSnapshotReadsOnceAndLazily(t *testing.T) {
	proc, tree := small()
	h := newHost(proc, tree)
	s := h.Scrape(time.Time{})
	for range 3 {
		if _, err := s.Groups(); err != nil {
			t.Fatal(err)
		}
	}
	if tree.read != 1 || proc.scans != 0 {
		t.Errorf("groups: %d reads of the tree, %d scans of processes, want 1 and 0", tree.read, proc.scans)
	}
	for range 2 {
		if _, err := s.Processes(); err != nil {
			t.Fatal(err)
		}
	}
	if tree.read != 1 || proc.scans != 1 {
		t.Errorf("all: %d reads of the tree, %d scans of processes, want 1 and 1", tree.read, proc.scans)
	}
	if got, want := s.Skipped(), (oom.Skipped{VanishedGroups: 2, VanishedProcesses: 1}); got != want {
		t.Errorf("skipped = %+v, want %+v", got, want)
	}
}

func TestRowsAndSummaries(t *testing.T) {
	proc, tree := small()
	s := newHost(proc, tree).Scrape(time.Time{})
	ps, err := s.Processes()
	if err != nil {
		t.Fatal(err)
	}
	g, _ := s.Groups()
	if len(g.Containers) != 2 || len(g.Slices) != 1 || len(g.Pods) != 0 {
		t.Fatalf("%d containers, %d slices, %d pods", len(g.Containers), len(g.Slices), len(g.Pods))
	}
	a := g.Containers[0]
	if a.Workload.Container != "a" || a.Processes.Count != 3 || a.Processes.AdjMax != 500 || a.Processes.ScoreMax != oom.Of(1000) {
		t.Errorf("a = %+v", a.Processes)
	}
	if !a.Margin.Known || a.Margin.Bytes != 4*mib || a.Margin.Level != oom.LevelContainer {
		t.Errorf("margin of a = %+v, want 4 MiB by its own limit", a.Margin)
	}
	if b := g.Containers[1]; b.Margin.Bytes != 110*mib || b.Margin.Level != oom.LevelSlice {
		t.Errorf("margin of b = %+v, want 110 MiB by the slice's limit", b.Margin)
	}
	if want := oom.Of(3 * mib / 2); ps.Unkillable != want {
		t.Errorf("unkillable = %v, want %v", ps.Unkillable, want)
	}
}

func TestVictims(t *testing.T) {
	proc, tree := small()
	ps, err := newHost(proc, tree).Scrape(time.Time{}).Processes()
	if err != nil {
		t.Fatal(err)
	}
	if len(ps.Victims) != 2 {
		t.Fatalf("victims = %+v, want the node's and that of /s/a, whose limit is near", ps.Victims)
	}
	// Node: adj 500 of 262144 pages outweighs every size here.
	if v := ps.Victims[0]; v.Scope != oom.LevelNode || v.Process.PID != 12 || v.Process.Workload.Container != "a" {
		t.Errorf("node's victim = %+v, want pid 12 of a", v)
	}
	// In the 64 MiB group the unit of adj is 16 pages: 30 MiB + 10 * 16 pages
	// = 7840 pages, pid 12 has 256 + 500 * 16 = 8256 pages.
	if v := ps.Victims[1]; v.Cgroup != "/s/a" || v.Scope != oom.LevelContainer || v.Process.PID != 12 || v.Badness != 8256*4096 {
		t.Errorf("victim of /s/a = %+v, want pid 12 with 8256 pages", v)
	}
}

func TestNobodyKillableIsSaid(t *testing.T) {
	proc, tree := small()
	for i := range proc.procs {
		proc.procs[i].Adj = -1000
	}
	ps, err := newHost(proc, tree).Scrape(time.Time{}).Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range ps.Victims {
		if v.Process.PID != 0 || v.Process.Comm != "" {
			t.Errorf("victim of %v %s = %+v, want nobody", v.Scope, v.Cgroup, v.Process)
		}
	}
	if len(ps.Victims) != 2 || len(ps.Top) != 0 {
		t.Errorf("%d victims, %d on top; want 2 and 0", len(ps.Victims), len(ps.Top))
	}
}

func TestTopLeavesAfterThreeScrapes(t *testing.T) {
	proc, tree := small()
	h := newHost(proc, tree)
	listed := func() map[int32]bool {
		ps, err := h.Scrape(time.Time{}).Processes()
		if err != nil {
			t.Fatal(err)
		}
		pids := map[int32]bool{}
		for _, p := range ps.Top {
			pids[p.PID] = true
		}
		return pids
	}
	if got := listed(); len(got) != 3 || !got[20] {
		t.Fatalf("top = %v, want 12, 11 and 20", got)
	}
	proc.procs[1].RSS = 300 * mib // pid 10 pushes pid 20 out.
	proc.exact[10] = oom.Process{RSS: 300 * mib, Start: 100}
	for i := range topGrace - 1 {
		if got := listed(); !got[20] || !got[10] {
			t.Errorf("scrape %d after: top = %v, want pid 20 to stay", i+1, got)
		}
	}
	if got := listed(); got[20] || len(got) != 3 {
		t.Errorf("top = %v, want pid 20 gone", got)
	}
}

// TestEqualWorkloadsBecomeOneRow: of groups with one label, one speaks for all,
// and never with a part of the other's numbers. Counters add up.
func TestEqualWorkloadsBecomeOneRow(t *testing.T) {
	for name, c := range map[string]struct {
		usage, limit oom.Amount
		pids, old    []int32 // processes of the new group, and of the old one.
		want         oom.Amount
		margin       uint64
	}{
		"the older one is nearer":          {oom.Of(mib), oom.Of(64 * mib), []int32{50}, []int32{10}, oom.Of(60 * mib), 4},
		"the younger one is nearer":        {oom.Of(30 * mib), oom.Of(32 * mib), []int32{50}, []int32{10}, oom.Of(30 * mib), 2},
		"the older one has ended":          {oom.Of(mib), oom.Of(64 * mib), []int32{50}, nil, oom.Of(mib), 63},
		"the younger one is not begun":     {oom.Of(31 * mib), oom.Of(32 * mib), nil, []int32{10}, oom.Of(60 * mib), 4},
		"no processes are to be seen":      {oom.Of(mib), oom.Of(64 * mib), nil, nil, oom.Of(60 * mib), 4},
		"both the same":                    {oom.Of(28 * mib), oom.Of(32 * mib), []int32{50}, []int32{10}, oom.Of(28 * mib), 4},
		"nothing is known of the younger":  {oom.Amount{}, oom.Of(32 * mib), []int32{50}, []int32{10}, oom.Amount{}, 0},
		"the younger one is without limit": {oom.Of(90 * mib), oom.Unlimited(), []int32{50}, []int32{10}, oom.Of(60 * mib), 4},
	} {
		t.Run(name, func(t *testing.T) {
			proc, tree := small()
			h := newHost(proc, tree)
			if _, err := h.Scrape(time.Time{}).Groups(); err != nil {
				t.Fatal(err)
			}
			// The new group stands before the old one in the tree.
			old := tree.tree.Groups
			fresh := group("/s/0", 9, 1, oom.KindContainer, "a", c.usage, c.limit, c.pids...)
			fresh.Owner, fresh.Events.Max = 2, oom.Of(3)
			tree.tree.Groups = []oom.Group{old[0], old[1], fresh, old[2]}
			tree.tree.Groups[3].Owner, tree.tree.Groups[3].Events.Max, tree.tree.Groups[3].PIDs = 3, oom.Of(4), c.old
			g, err := h.Scrape(time.Time{}).Groups()
			if err != nil {
				t.Fatal(err)
			}
			if len(g.Containers) != 1 {
				t.Fatalf("%d rows", len(g.Containers))
			}
			row := g.Containers[0]
			if row.Usage != c.want || row.MaxHits != oom.Of(7) || row.Margin.Bytes != c.margin*mib {
				t.Errorf("usage %v, margin %+v, %v hits; want %v, %d MiB and 7", row.Usage, row.Margin, row.MaxHits, c.want, c.margin)
			}
			if want := c.limit; row.Usage == c.usage && row.Limit != want {
				t.Errorf("limit %v, want %v", row.Limit, want)
			}
		})
	}
}

// TestNestedLimits: a limit inside a container counts for it where it binds any of
// its processes, and the level says so.
func TestNestedLimits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(g []oom.Group)
		margin uint64
		level  oom.Level
		cgroup string
	}{
		"nearer":                        {func([]oom.Group) {}, 1, oom.LevelNested, "/s/lxc/unit"},
		"deeper still":                  {func(g []oom.Group) { g[4].Limit, g[4].PIDs = oom.Of(10*mib), []int32{10} }, 0, oom.LevelNested, "/s/lxc/unit/deep"},
		"with the processes below it":   {func(g []oom.Group) { g[3].PIDs, g[4].PIDs = nil, []int32{10} }, 1, oom.LevelNested, "/s/lxc/unit"},
		"the middle one of three":       {func(g []oom.Group) { g[4].Limit, g[4].PIDs = oom.Of(12*mib), []int32{9} }, 1, oom.LevelNested, "/s/lxc/unit"},
		"two as near, one in the other": {func(g []oom.Group) { g[4].Limit, g[4].PIDs = oom.Of(11*mib), []int32{9} }, 1, oom.LevelNested, "/s/lxc/unit/deep"},
		"as near as its own":            {func(g []oom.Group) { g[2].Limit, g[3].Limit = oom.Of(44*mib), oom.Of(34*mib) }, 4, oom.LevelNested, "/s/lxc/unit"},
		"not as near":                   {func(g []oom.Group) { g[3].Limit = oom.Of(512 * mib) }, 24, oom.LevelContainer, "/s/lxc"},
		"without processes":             {func(g []oom.Group) { g[3].PIDs = nil }, 24, oom.LevelContainer, "/s/lxc"},
		"no processes at all":           {func(g []oom.Group) { g[2].PIDs, g[3].PIDs, g[5].PIDs = nil, nil, nil }, 1, oom.LevelNested, "/s/lxc/unit"},
		"of a helper beside it":         {func(g []oom.Group) { g[3].Limit, g[5].Limit = oom.Unlimited(), oom.Of(mib) }, 24, oom.LevelContainer, "/s/lxc"},
		"not known":                     {func(g []oom.Group) { g[3].Usage = oom.Amount{} }, 24, oom.LevelContainer, "/s/lxc"},
		"unlimited above":               {func(g []oom.Group) { g[2].Limit = oom.Unlimited() }, 1, oom.LevelNested, "/s/lxc/unit"},
	} {
		t.Run(name, func(t *testing.T) {
			proc, tree := small()
			tree.tree.Groups = []oom.Group{
				tree.tree.Groups[0], tree.tree.Groups[1],
				group("/s/lxc", 3, 1, oom.KindContainer, "703", oom.Of(40*mib), oom.Of(64*mib), 11),
				group("/s/lxc/unit", 4, 2, oom.KindPart, "703", oom.Of(30*mib), oom.Of(31*mib), 10),
				group("/s/lxc/unit/deep", 5, 3, oom.KindPart, "703", oom.Of(10*mib), oom.Unlimited()),
				group("/s/monitor", 6, 1, oom.KindPart, "703", oom.Of(mib), oom.Unlimited(), 12),
			}
			for i := range 3 {
				tree.tree.Groups[3+i].Owner = 2
			}
			tree.tree.Groups[1].Owner, tree.tree.Groups[2].Owner = 1, 2
			c.change(tree.tree.Groups)
			g, err := newHost(proc, tree).Scrape(time.Time{}).Groups()
			if err != nil || len(g.Containers) != 1 {
				t.Fatalf("%+v, %v", g, err)
			}
			if m := g.Containers[0].Margin; m.Bytes != c.margin*mib || m.Level != c.level || m.Cgroup != c.cgroup || !m.Known {
				t.Errorf("%+v, want %d MiB by %s, %s", m, c.margin, c.level, c.cgroup)
			}
			if limit := tree.tree.Groups[2].Limit; g.Containers[0].Limit != limit {
				t.Errorf("limit %v, want its own %v", g.Containers[0].Limit, limit)
			}
		})
	}
}

func TestUnlimitedUnitsAreLeftOut(t *testing.T) {
	proc, tree := small()
	tree.tree.Groups[4].Runtime = "systemd"
	g, _ := newHost(proc, tree).Scrape(time.Time{}).Groups()
	if len(g.Containers) != 1 {
		t.Errorf("%d rows, want only the limited one", len(g.Containers))
	}
	groups := tree.tree.Groups // a limit inside the unit.
	groups[3], groups[4] = groups[4], groups[3]
	groups[3].Owner, groups[4].Parent, groups[4].Owner = 3, 3, 3
	groups[4].Limit = oom.Of(2 * mib)
	if g, _ = newHost(proc, tree).Scrape(time.Time{}).Groups(); len(g.Containers) != 2 || g.Containers[1].Margin.Level != oom.LevelNested {
		t.Errorf("%+v, want the unit with the limit inside it, too", g.Containers)
	}
	groups[4].Limit = oom.Unlimited()
	h := newHost(proc, tree)
	h.o.UnlimitedUnits = true
	if g, _ = h.Scrape(time.Time{}).Groups(); len(g.Containers) != 2 {
		t.Errorf("%d rows with the flag, want 2", len(g.Containers))
	}
}

func TestOldestDecidesTheMismatch(t *testing.T) {
	proc, tree := small()
	tree.tree.Groups[2].QoS = oom.QoSGuaranteed
	h := newHost(proc, tree)
	h.o.Mismatch = func(_ *oom.Identity, adj int) oom.Amount { return oom.Of(uint64(adj)) }
	for range 2 {
		s := h.Scrape(time.Time{})
		if _, err := s.Processes(); err != nil {
			t.Fatal(err)
		}
		g, _ := s.Groups()
		// pid 11 is older than pid 10 and has adj 10.
		if got := g.Containers[0].Processes.Mismatch; got != oom.Of(10) {
			t.Errorf("mismatch judged on adj %v, want 10", got)
		}
	}
}

func TestPartsFailAlone(t *testing.T) {
	proc, tree := small()
	tree.err = errors.New("no tree")
	s := newHost(proc, tree).Scrape(time.Time{})
	if _, err := s.Groups(); !errors.Is(err, tree.err) {
		t.Errorf("groups: %v", err)
	}
	if n, err := s.Node(); err != nil || !n.Total.IsValue() {
		t.Errorf("node without groups: %+v, %v", n, err)
	}
	if ps, err := s.Processes(); err != nil || len(ps.Top) != 3 {
		t.Errorf("processes without groups: %+v, %v", ps, err)
	}

	proc, tree = small()
	proc.nodeErr = errors.New("no meminfo")
	s = newHost(proc, tree).Scrape(time.Time{})
	g, err := s.Groups()
	if err != nil || len(g.Containers) != 2 || g.Containers[0].Margin.Known {
		t.Errorf("groups without the node: %+v, %v: want rows without margins", g, err)
	}

	none := New(Options{Proc: proc, HierarchyErr: errors.New("no cgroups here"), Names: asGiven{}})
	if _, err := none.Scrape(time.Time{}).Groups(); err == nil || err.Error() != "no cgroups here" {
		t.Errorf("err = %v", err)
	}
}

func TestDeadlineStopsWhatHasNotBegun(t *testing.T) {
	proc, tree := small()
	h := newHost(proc, tree)
	h.o.Now = func() time.Time { return time.Unix(100, 0) }
	if _, err := h.Scrape(time.Unix(99, 0)).Processes(); !errors.Is(err, ErrLate) {
		t.Errorf("late processes: %v, want ErrLate", err)
	}
	if _, err := h.Scrape(time.Unix(101, 0)).Processes(); err != nil {
		t.Errorf("in time: %v", err)
	}
}

func TestForeignPidsGiveNoSummary(t *testing.T) {
	proc, tree := small()
	for i := range tree.tree.Groups {
		tree.tree.Groups[i].PIDs = []int32{0, 0}
	}
	s := newHost(proc, tree).Scrape(time.Time{})
	if _, err := s.Processes(); err != nil {
		t.Fatal(err)
	}
	g, _ := s.Groups()
	if g.Containers[0].Processes.Known {
		t.Error("summary is said to be known although no pid belongs to a group")
	}
}

// Close gives the tree back, and nothing is handed out after it.
func TestClose(t *testing.T) {
	proc, tree := small()
	h := newHost(proc, tree)
	for range 2 {
		s := h.Scrape(time.Time{})
		groups, err := s.Groups()
		if err != nil {
			t.Fatal(err)
		}
		if n := len(groups.Containers); n != 2 {
			t.Errorf("%d containers, want 2", n)
		}
		s.Close()
		if len(tree.recycled) != len(tree.tree.Groups) {
			t.Errorf("%d groups are given back, want %d", len(tree.recycled), len(tree.tree.Groups))
		}
		if _, err := s.Groups(); err == nil {
			t.Error("a closed snapshot has groups")
		}
		if _, err := s.Tree(); err == nil {
			t.Error("a closed snapshot has a tree")
		}
		s.Close()
	}
}

// Whoever may make cgroups gives each a limit that is near: only some of one
// workload are named, and in all no more than may be.
func TestNearLimitsAreBounded(t *testing.T) {
	proc, tree := small()
	groups := &tree.tree.Groups
	for i := range 300 {
		g := group(fmt.Sprintf("/s/a/n%d", i), uint64(100+i), 2, oom.KindPart, "a", oom.Of(mib), oom.Of(mib))
		g.Owner = 2
		*groups = append(*groups, g)
	}
	for i := range 40 {
		g := group(fmt.Sprintf("/s/c%d", i), uint64(1000+i), 1, oom.KindContainer, fmt.Sprint("c", i), oom.Of(mib), oom.Of(mib))
		g.Owner = len(*groups)
		*groups = append(*groups, g)
	}
	for _, tc := range []struct{ most, victims int }{{0, 341}, {1000, 40 + maxNearInOne}, {30, 30}} {
		h := newHost(proc, tree)
		h.o.MaxVictims = tc.most
		s := h.Scrape(time.Time{})
		ps, err := s.Processes()
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		for _, v := range ps.Victims {
			if v.Cgroup != "" {
				named++
			}
		}
		if over := int(s.Skipped().VictimsOverBound); named+over != 341 || named != tc.victims {
			t.Errorf("at most %d: %d limits are named and %d left out, want %d of 341", tc.most, named, over, tc.victims)
		}
	}
}
