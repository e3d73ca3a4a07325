// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"math/rand/v2"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// randomTree draws groups with limits, caches, protection and swap. Usage is
// not consistent up the tree: the properties must hold even so.
func randomTree(rng *rand.Rand) *oom.Tree {
	tree := &oom.Tree{Version: 1 + rng.IntN(2), Groups: []oom.Group{{Parent: -1, Kind: oom.KindRoot, Hierarchical: true}}}
	path := []int{0}
	for i := 1; i < 2+rng.IntN(30); i++ {
		path = path[:1+rng.IntN(len(path))]
		usage := uint64(rng.IntN(1000))
		g := limited(oom.Kind(rng.IntN(6)), path[len(path)-1], uint64(rng.IntN(2)*(1+rng.IntN(1000))), usage, uint64(rng.IntN(int(usage)+2)))
		if rng.IntN(3) == 0 {
			g.Min = oom.Of(uint64(rng.IntN(800)) * mib)
		}
		if rng.IntN(3) == 0 {
			g.SwapLimit, g.SwapUsage = oom.Of(uint64(rng.IntN(300))*mib), oom.Of(uint64(rng.IntN(300))*mib)
		}
		if limit, ok := g.Limit.Get(); ok && rng.IntN(3) == 0 {
			g.MemswLimit, g.MemswUsage = oom.Of(limit+uint64(rng.IntN(300))*mib), oom.Of(usage*mib)
		}
		g.Swappiness = oom.Of(uint64(rng.IntN(2) * 60))
		tree.Groups = append(tree.Groups, g)
		path = append(path, i)
	}
	return tree
}

func randomNode(rng *rand.Rand) *oom.Node {
	node := kubeNode()
	node.Swappiness = oom.Of(uint64(rng.IntN(2) * 60))
	node.SwapTotal = oom.Of(500 * mib)
	node.SwapFree = oom.Of(uint64(rng.IntN(500)) * mib)
	node.Zones[1].Free = uint64(100+rng.IntN(2000)) * mib
	return node
}

func TestComputeProperties(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 8))
		node, tree := randomNode(rng), randomTree(rng)
		before := Compute(node, tree)
		swap := node.SwapFree.Or(0)
		for i := range tree.Groups {
			g, m := &tree.Groups[i], before.Groups[i]
			if !m.Known {
				t.Fatalf("seed %d: group %d is unknown", seed, i)
			}
			if limit, ok := g.Limit.Get(); ok && m.Bytes > limit+swap {
				t.Errorf("seed %d: group %d may take %d of a limit of %d", seed, i, m.Bytes, limit)
			}
			if m.Bytes > before.Node.Bytes {
				t.Errorf("seed %d: group %d may take more than the node", seed, i)
			}
			if g.Parent >= 0 && m.Bytes > before.Groups[g.Parent].Bytes {
				t.Errorf("seed %d: group %d may take %d, its parent %d", seed, i, m.Bytes, before.Groups[g.Parent].Bytes)
			}
			if u, ok := before.Unreclaimable[i].Get(); ok && u > g.Usage.Or(0) {
				t.Errorf("seed %d: group %d cannot give up more than it has", seed, i)
			}
		}
		grown := rng.IntN(len(tree.Groups))
		for i := grown; i > 0; i = tree.Groups[i].Parent {
			g := &tree.Groups[i]
			g.Usage = oom.Of(g.Usage.Or(0) + 37*mib)
			if u, ok := g.MemswUsage.Get(); ok {
				g.MemswUsage = oom.Of(u + 37*mib)
			}
		}
		node.Zones[1].Free -= 37 * mib
		after := Compute(node, tree)
		for i := range tree.Groups {
			// What grew loses protection, but never of more than it grew by.
			if after.Groups[i].Bytes > before.Groups[i].Bytes {
				t.Errorf("seed %d: group %d grew and group %d has %d instead of %d", seed, grown, i, after.Groups[i].Bytes, before.Groups[i].Bytes)
			}
		}
	}
}

// bigTree is a node of 1,000 pods with two containers each, all limited.
func bigTree(version int, groups int) *oom.Tree {
	tree := &oom.Tree{Version: version, Groups: []oom.Group{{Parent: -1, Hierarchical: true}}}
	for i := 1; i < groups; i++ {
		parent, kind := 0, oom.KindPod
		if i%3 != 1 {
			parent, kind = i-(i-1)%3, oom.KindContainer
		}
		g := limited(kind, parent, 512, 300, 100)
		g.Min = oom.Of(64 * mib)
		tree.Groups = append(tree.Groups, g)
	}
	return tree
}

func TestComputeAllocations(t *testing.T) {
	node := kubeNode()
	few, many := bigTree(2, 30), bigTree(2, 3000)
	one := testing.AllocsPerRun(10, func() { Compute(node, few) })
	other := testing.AllocsPerRun(10, func() { Compute(node, many) })
	if one != other {
		t.Errorf("%v allocations for 30 groups, %v for 3,000", one, other)
	}
}

func BenchmarkCompute(b *testing.B) {
	node, tree := kubeNode(), bigTree(2, 3000)
	b.ReportAllocs()
	for b.Loop() {
		Compute(node, tree)
	}
}
