// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"math"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// limited is a group in MiB: what it uses, and how much of that is page cache
// in equal parts active and inactive. A limit of 0 is none.
func limited(kind oom.Kind, parent int, limit, usage, cache uint64) oom.Group {
	g := oom.Group{
		Kind: kind, Parent: parent, Hierarchical: true,
		Usage: oom.Of(usage * mib), Limit: oom.Unlimited(), Swappiness: oom.Of(60),
		Stat: oom.Stat{ActiveFile: oom.Of(cache * mib / 2), InactiveFile: oom.Of(cache * mib / 2), SlabReclaimable: oom.Of(0)},
	}
	if limit > 0 {
		g.Limit = oom.Of(limit * mib)
	}
	return g
}

// kubeTree has one limit of each level. Room (limit - N): slice 598, pod 122,
// first container 86 MiB.
func kubeTree(version int) *oom.Tree {
	tree := &oom.Tree{Version: version, Groups: []oom.Group{
		{Parent: -1, Kind: oom.KindRoot, Hierarchical: true},
		limited(oom.KindSlice, 0, 2048, 1900, 450),
		limited(oom.KindPod, 1, 512, 500, 110),
		limited(oom.KindContainer, 2, 256, 200, 30),
		limited(oom.KindContainer, 2, 0, 290, 40),
		limited(oom.KindPart, 4, 1024, 290, 40),
		limited(oom.KindPod, 1, 0, 800, 0),
		limited(oom.KindContainer, 6, 0, 800, 0),
		limited(oom.KindContainer, 0, 0, 100, 20),
		limited(oom.KindContainer, 0, 8192, 100, 20),
		{Parent: 9, Kind: oom.KindPart}, // no memory controller here.
	}}
	return tree
}

// kubeNode has a margin of 580 + 0 + 300 + 50 = 930 MiB.
func kubeNode() *oom.Node {
	return &oom.Node{
		PageSize: page, CPUs: 2, Total: oom.Of(4096 * mib), SwapTotal: oom.Of(0), SwapFree: oom.Of(0), Swappiness: oom.Of(60),
		ActiveFile: oom.Of(100 * mib), InactiveFile: oom.Of(200 * mib),
		KReclaimable: oom.Of(50 * mib), SReclaimable: oom.Of(40 * mib),
		Zones: []oom.Zone{
			{Name: "DMA", Free: 15 * mib, Min: mib, Protection: 15 * mib, Present: 16 * mib},
			{Name: "Normal", Free: 600 * mib, Min: 20 * mib, Present: 4080 * mib, ActiveFile: 100 * mib, InactiveFile: 200 * mib, SlabReclaimable: 40 * mib},
		},
	}
}

type wantMargin struct {
	group int
	mib   uint64
	level oom.Level
	by    int
}

func checkMargins(t *testing.T, tree *oom.Tree, got Margins, wants []wantMargin) {
	t.Helper()
	for _, want := range wants {
		m := got.Groups[want.group]
		if !m.Known || m.Bytes != want.mib*mib || m.Level != want.level || m.Group != want.by {
			t.Errorf("group %d: %+v (%d MiB), want %d MiB by %s, group %d", want.group, m, m.Bytes/mib, want.mib, want.level, want.by)
		}
		limit := uint64(4096 * mib)
		if want.by != Node {
			limit = tree.Groups[want.by].Limit.Or(0)
		}
		if ratio := float64(m.Bytes) / float64(limit); want.level != oom.LevelNUMA && math.Abs(m.Ratio-ratio) > 1e-9 {
			t.Errorf("group %d: ratio %v, want %v", want.group, m.Ratio, ratio)
		}
	}
}

func TestComputeLevels(t *testing.T) {
	for version := 1; version <= 2; version++ {
		tree := kubeTree(version)
		got := Compute(kubeNode(), tree)
		if !got.Node.Known || got.Node.Bytes != 930*mib || got.Node.Level != oom.LevelNode || got.Node.Group != Node {
			t.Errorf("v%d: node has %+v, want 930 MiB", version, got.Node)
		}
		checkMargins(t, tree, got, []wantMargin{
			{0, 930, oom.LevelNode, Node},
			{1, 598, oom.LevelSlice, 1},
			{2, 122, oom.LevelPod, 2},
			{3, 86, oom.LevelContainer, 3},
			{4, 122, oom.LevelPod, 2},
			{5, 122, oom.LevelPod, 2},
			{6, 598, oom.LevelSlice, 1},
			{7, 598, oom.LevelSlice, 1},
			{8, 930, oom.LevelNode, Node},
			{9, 930, oom.LevelNode, Node},
			{10, 930, oom.LevelNode, Node},
		})
		for i, want := range []oom.Amount{{}, oom.Of(1450 * mib), oom.Of(390 * mib), oom.Of(170 * mib)} {
			if got.Unreclaimable[i] != want {
				t.Errorf("v%d: group %d cannot give up %s, want %s", version, i, got.Unreclaimable[i], want)
			}
		}
	}
}

func TestComputeGroup(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*oom.Node, *oom.Tree)
		want   []wantMargin
	}{
		{"a tie binds at the lowest level", func(_ *oom.Node, tree *oom.Tree) {
			tree.Groups[2].Limit = oom.Of((390 + 86) * mib)
		}, []wantMargin{{2, 86, oom.LevelPod, 2}, {3, 86, oom.LevelContainer, 3}, {4, 86, oom.LevelPod, 2}}},
		{"a tie with the node", func(n *oom.Node, _ *oom.Tree) {
			n.Zones[1].Free = 268 * mib
		}, []wantMargin{{7, 598, oom.LevelSlice, 1}, {8, 598, oom.LevelNode, Node}}},
		{"the node binds", func(n *oom.Node, _ *oom.Tree) {
			n.Zones[1].Free = 248 * mib
		}, []wantMargin{{7, 578, oom.LevelNode, Node}, {1, 578, oom.LevelNode, Node}}},
		{"reclaimable slab", func(_ *oom.Node, tree *oom.Tree) {
			tree.Groups[3].Stat.SlabReclaimable = oom.Of(14 * mib)
		}, []wantMargin{{3, 100, oom.LevelContainer, 3}}},
		{"no slab key", func(_ *oom.Node, tree *oom.Tree) {
			tree.Groups[3].Stat.SlabReclaimable = oom.Amount{}
		}, []wantMargin{{3, 86, oom.LevelContainer, 3}}},
		{"over the limit", func(_ *oom.Node, tree *oom.Tree) {
			tree.Groups[3].Limit = oom.Of(100 * mib)
		}, []wantMargin{{3, 0, oom.LevelContainer, 3}, {4, 122, oom.LevelPod, 2}}},
		{"both over their limits: the charge fails at the lowest", func(_ *oom.Node, tree *oom.Tree) {
			tree.Groups[3].Limit, tree.Groups[2].Limit = oom.Of(160*mib), oom.Of(100*mib)
		}, []wantMargin{{3, 0, oom.LevelContainer, 3}, {4, 0, oom.LevelPod, 2}}},
		{"more cache than usage", func(_ *oom.Node, tree *oom.Tree) {
			tree.Groups[3].Stat.ActiveFile = oom.Of(300 * mib)
			tree.Groups[2].Limit = oom.Unlimited()
		}, []wantMargin{{3, 256, oom.LevelContainer, 3}}},
		{"the kernel's memory counts without KReclaimable", func(n *oom.Node, _ *oom.Tree) {
			n.KReclaimable = oom.Amount{}
		}, []wantMargin{{8, 920, oom.LevelNode, Node}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			node, tree := kubeNode(), kubeTree(2)
			c.change(node, tree)
			checkMargins(t, tree, Compute(node, tree), c.want)
		})
	}
}

func TestComputeUnknown(t *testing.T) {
	for _, c := range []struct {
		name    string
		version int
		change  func(*oom.Node, *oom.Tree)
		unknown []int
		known   []int
	}{
		{"no limit read", 2, func(_ *oom.Node, tree *oom.Tree) { tree.Groups[2].Limit = oom.Amount{} }, []int{2, 3, 4, 5}, []int{1, 6, 7, 8}},
		{"no usage of a limited group", 2, func(_ *oom.Node, tree *oom.Tree) { tree.Groups[3].Usage = oom.Amount{} }, []int{3}, []int{2, 4}},
		{"no usage of an unlimited group", 2, func(_ *oom.Node, tree *oom.Tree) { tree.Groups[4].Usage = oom.Amount{} }, nil, []int{4, 5}},
		{"no memory.stat", 2, func(_ *oom.Node, tree *oom.Tree) { tree.Groups[3].Stat.ActiveFile = oom.Amount{} }, []int{3}, []int{4}},
		{"no memsw usage", 1, func(_ *oom.Node, tree *oom.Tree) { tree.Groups[3].MemswLimit = oom.Of(300 * mib) }, []int{3}, []int{4}},
		{"no memsw files: no swap accounting", 1, func(*oom.Node, *oom.Tree) {}, nil, []int{3, 4}},
		{"v1 swappiness with swap", 1, func(n *oom.Node, tree *oom.Tree) {
			n.SwapFree = oom.Of(mib)
			tree.Groups[3].Swappiness = oom.Amount{}
		}, []int{3}, []int{4}},
		{"v1 swappiness without swap", 1, func(_ *oom.Node, tree *oom.Tree) { tree.Groups[3].Swappiness = oom.Amount{} }, nil, []int{3}},
		{"swap usage below a swap limit", 2, func(n *oom.Node, tree *oom.Tree) {
			n.SwapFree = oom.Of(mib)
			tree.Groups[3].SwapLimit = oom.Of(mib)
		}, []int{3}, []int{4}},
		{"vm.swappiness", 2, func(n *oom.Node, _ *oom.Tree) { n.SwapFree, n.Swappiness = oom.Of(mib), oom.Amount{} }, []int{1, 3, 8}, nil},
		{"zoneinfo spares what a limit bounds", 2, func(n *oom.Node, _ *oom.Tree) { n.Zones = nil }, []int{0, 8}, []int{3, 7}},
		{"meminfo", 2, func(n *oom.Node, _ *oom.Tree) { n.ActiveFile = oom.Amount{} }, []int{0, 8}, []int{3}},
		{"v1 without the parent's count", 1, func(_ *oom.Node, tree *oom.Tree) {
			tree.Groups[2].Limit, tree.Groups[2].Hierarchical = oom.Amount{}, false
		}, []int{2}, []int{3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			node, tree := kubeNode(), kubeTree(c.version)
			c.change(node, tree)
			got := Compute(node, tree)
			for _, i := range c.unknown {
				if m := got.Groups[i]; m.Known || m.Bytes != 0 {
					t.Errorf("group %d: %+v, want unknown", i, m)
				}
			}
			for _, i := range c.known {
				if m := got.Groups[i]; !m.Known {
					t.Errorf("group %d: %+v, want it known", i, m)
				}
			}
		})
	}
}

func TestComputeNothing(t *testing.T) {
	got := Compute(&oom.Node{}, &oom.Tree{})
	if got.Node.Known || len(got.Groups) != 0 || len(got.Unreclaimable) != 0 {
		t.Errorf("out of nothing came %+v", got)
	}
}

func TestComputeNode(t *testing.T) {
	node := kubeNode()
	node.Zones[1].Min = gib // below the watermark: an atomic allocation took it.
	if got := Compute(node, &oom.Tree{}).Node; got.Bytes != 350*mib {
		t.Errorf("got %d MiB, want what is reclaimable, 350", got.Bytes/mib)
	}
	node.SwapFree = oom.Of(100 * mib)
	if got := Compute(node, &oom.Tree{}).Node; got.Bytes != 450*mib {
		t.Errorf("got %d MiB, want 450 with swap", got.Bytes/mib)
	}
	node.InactiveFile = oom.Of(1 << 40)
	if got := Compute(node, &oom.Tree{}).Node; got.Bytes != (4096+100)*mib {
		t.Errorf("got %d MiB, more than the machine has", got.Bytes/mib)
	}
}

func TestComputeWithoutHierarchy(t *testing.T) {
	tree := kubeTree(1)
	tree.Groups[2].Hierarchical = false // the pod counts only its own, and the slice does not count the containers.
	got := Compute(kubeNode(), tree)
	checkMargins(t, tree, got, []wantMargin{
		{2, 122, oom.LevelPod, 2},
		{3, 86, oom.LevelContainer, 3},
		{4, 930, oom.LevelNode, Node},
		{5, 774, oom.LevelNested, 5},
		{7, 598, oom.LevelSlice, 1},
	})
	got = Compute(kubeNode(), kubeTree(2)) // v2 knows no such file.
	checkMargins(t, tree, got, []wantMargin{{4, 122, oom.LevelPod, 2}})
}

func TestComputeNUMA(t *testing.T) {
	node, tree := kubeNode(), kubeTree(2)
	node.Zones = append(node.Zones, oom.Zone{NUMANode: 1, Name: "Normal", Free: 300 * mib, Min: 10 * mib, Present: 1024 * mib, ActiveFile: 5 * mib, InactiveFile: 5 * mib, SlabReclaimable: 10 * mib})
	tree.Groups[1].Mems = []int{1}
	tree.Groups[3].Mems = []int{1}
	tree.Groups[8].Mems = []int{0, 1} // all nodes that have memory.
	got := Compute(node, tree)
	checkMargins(t, tree, got, []wantMargin{
		{1, 310, oom.LevelNUMA, 1},
		{3, 86, oom.LevelContainer, 3},
		{4, 122, oom.LevelPod, 2},
		{7, 310, oom.LevelNUMA, 1},
		{8, 1220, oom.LevelNode, Node},
	})
	if want := 310.0 / 1024; math.Abs(got.Groups[7].Ratio-want) > 1e-9 {
		t.Errorf("ratio %v of the NUMA node, want %v", got.Groups[7].Ratio, want)
	}
}

// TestComputeLateMemory: MemFree counts where the zones do not show all memory
// yet, and the zones where they do.
func TestComputeLateMemory(t *testing.T) {
	zones := func(free, present, managed uint64) []oom.Zone {
		return []oom.Zone{
			{Name: "DMA", Free: 15 * mib, Min: mib, Protection: 15 * mib, Present: 16 * mib, Managed: oom.Of(15 * mib)},
			{Name: "Normal", Free: free * mib, Min: 20 * mib, Present: present * mib, Managed: oom.Of((managed - 15) * mib)},
		}
	}
	const cache = 350 // MiB of what is reclaimable.
	for _, c := range []struct {
		name  string
		zones []oom.Zone
		free  uint64
		want  uint64
	}{
		{"all online", zones(600, 4080, 4096), 615, 580 + cache},
		{"a few pages short", zones(600, 4080, 4050), 3000, 580 + cache},
		{"a quarter online", zones(600, 4080, 1024), 3600, 3600 - 36 + cache},
		{"a tenth is missing", zones(3000, 4080, 3686), 3400, 3400 - 36 + cache},
		{"late, and nearly all is used", zones(10, 4080, 1024), 30, cache},
		{"late, MemFree unknown", zones(600, 4080, 1024), 0, 580 + cache},
		{"more in the zones than there is", zones(3000, 8000, 8192), 800, 800 + cache},
		{"more in the zones, less of it free", zones(600, 8000, 8192), 800, 580 + cache},
	} {
		node := kubeNode()
		node.Zones, node.Free = c.zones, oom.Of(c.free*mib)
		if c.free == 0 {
			node.Free = oom.Amount{}
		}
		if got := Compute(node, &oom.Tree{}).Node; got.Bytes != c.want*mib || !got.Known {
			t.Errorf("%s: %d MiB, want %d", c.name, got.Bytes/mib, c.want)
		}
	}
	node := kubeNode() // of a kernel that does not say what is managed.
	node.Free = oom.Of(4000 * mib)
	if got := Compute(node, &oom.Tree{}).Node; got.Bytes != (580+cache)*mib {
		t.Errorf("without managed: %d MiB", got.Bytes/mib)
	}
}

// TestComputeNUMALate: what the zones do not show yet is shared by what each NUMA
// node has present and not managed.
func TestComputeNUMALate(t *testing.T) {
	node, tree := kubeNode(), kubeTree(2)
	node.Zones = []oom.Zone{
		{Name: "Normal", Free: 400 * mib, Min: 20 * mib, Present: 2048 * mib, Managed: oom.Of(1024 * mib)},
		{NUMANode: 1, Name: "Normal", Free: 300 * mib, Min: 10 * mib, Present: 2048 * mib, Managed: oom.Of(2048 * mib)},
	}
	node.Free = oom.Of(1500 * mib) // 800 of which no zone shows.
	tree.Groups[8].Mems, tree.Groups[9].Mems = []int{1}, []int{0}
	got := Compute(node, tree)
	checkMargins(t, tree, got, []wantMargin{{8, 290, oom.LevelNUMA, 8}, {9, 380 + 800, oom.LevelNUMA, 9}})
	for i := range node.Zones { // nothing tells where it is: the node's margin is all that is known.
		node.Zones[i].Present = node.Zones[i].Managed.Or(0)
	}
	got = Compute(node, tree)
	if m := got.Groups[8]; m.Level != oom.LevelNode || !m.Known {
		t.Errorf("%+v, want the node's", m)
	}
}

// TestComputePinnedSlab: slab that reclaim was seen not to free counts nowhere on
// the way up, and for its parents what was seen below counts at least.
func TestComputePinnedSlab(t *testing.T) {
	tree := kubeTree(2)
	for i := 1; i <= 3; i++ {
		tree.Groups[i].Stat.SlabReclaimable = oom.Of(40 * mib)
	}
	got := Compute(kubeNode(), tree)
	checkMargins(t, tree, got, []wantMargin{{1, 638, oom.LevelSlice, 1}, {2, 162, oom.LevelPod, 2}, {3, 126, oom.LevelContainer, 3}})
	tree.Groups[3].SlabPinned = 30 * mib
	got = Compute(kubeNode(), tree)
	checkMargins(t, tree, got, []wantMargin{{1, 608, oom.LevelSlice, 1}, {2, 132, oom.LevelPod, 2}, {3, 96, oom.LevelContainer, 3}})
	if got.Node.Bytes != 900*mib || got.Unreclaimable[3] != oom.Of(160*mib) {
		t.Errorf("node %d MiB, %s of the container cannot be freed", got.Node.Bytes/mib, got.Unreclaimable[3])
	}
	tree.Groups[1].SlabPinned, tree.Groups[3].SlabPinned = 35*mib, 1<<40
	got = Compute(kubeNode(), tree)
	checkMargins(t, tree, got, []wantMargin{{1, 598, oom.LevelSlice, 1}, {2, 122, oom.LevelPod, 2}, {3, 86, oom.LevelContainer, 3}})
}
