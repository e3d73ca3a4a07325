// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"math"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestComputeSwapV2(t *testing.T) {
	node, tree := kubeNode(), kubeTree(2)
	node.SwapTotal, node.SwapFree = oom.Of(500*mib), oom.Of(400*mib)
	for i := range tree.Groups {
		tree.Groups[i].SwapLimit, tree.Groups[i].SwapUsage = oom.Unlimited(), oom.Of(0)
	}
	// Only 30 MiB of swap are left in the pod, none in the first container.
	tree.Groups[2].SwapLimit, tree.Groups[2].SwapUsage = oom.Of(50*mib), oom.Of(20*mib)
	tree.Groups[3].SwapLimit = oom.Of(0)
	checkMargins(t, tree, Compute(node, tree), []wantMargin{
		{0, 1330, oom.LevelNode, Node},
		{1, 598 + 400, oom.LevelSlice, 1},
		{2, 122 + 30, oom.LevelPod, 2},
		{3, 86, oom.LevelContainer, 3},
		{4, 122 + 30, oom.LevelPod, 2},
		{7, 598 + 400, oom.LevelSlice, 1},
	})
	node.Swappiness = oom.Of(0) // limits do not swap then, the node still does.
	checkMargins(t, tree, Compute(node, tree), []wantMargin{
		{0, 1330, oom.LevelNode, Node}, {1, 598, oom.LevelSlice, 1}, {4, 122, oom.LevelPod, 2},
	})
}

// TestComputeFullWithSwap: the pod is over its limit by more than the swap
// room, the container by less.
func TestComputeFullWithSwap(t *testing.T) {
	node, tree := kubeNode(), kubeTree(2)
	node.SwapFree = oom.Of(20 * mib)
	tree.Groups[3].Limit = oom.Of(160 * mib) // 10 MiB over.
	tree.Groups[2].Limit = oom.Of(360 * mib) // 30 MiB over.
	checkMargins(t, tree, Compute(node, tree), []wantMargin{{3, 0, oom.LevelPod, 2}, {4, 0, oom.LevelPod, 2}})
	node.SwapFree = oom.Of(35 * mib)
	checkMargins(t, tree, Compute(node, tree), []wantMargin{{3, 5, oom.LevelPod, 2}})
}

func TestComputeSwapV1(t *testing.T) {
	node := kubeNode()
	node.SwapTotal, node.SwapFree = oom.Of(500*mib), oom.Of(400*mib)
	for _, c := range []struct {
		name         string
		limit, usage uint64 // of memory and swap together, in MiB.
		swappiness   uint64
		want         uint64
		of           uint64 // the limit with the least room.
	}{
		{"swap is free", 0, 0, 60, 86 + 400, 256},
		{"memory.swappiness 0", 0, 0, 0, 86, 256},
		{"memsw leaves 100", 300, 230, 60, 100, 300}, // 230 of which 30 are page cache.
		{"memsw is full", 200, 230, 60, 0, 200},
		{"memsw is full by one", 199, 230, 60, 0, 199},
		{"memsw counts less than the cache", 300, 10, 60, 300, 300},
		{"limit before memsw", 300, 230, 0, 86, 256},
		{"memsw is full of what is swapped out", 512, 542, 60, 0, 512},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := kubeTree(1)
			tree.Groups[2].Limit = oom.Unlimited()
			g := &tree.Groups[3]
			g.Swappiness, g.MemswLimit = oom.Of(c.swappiness), oom.Unlimited()
			if c.limit > 0 {
				g.MemswLimit, g.MemswUsage = oom.Of(c.limit*mib), oom.Of(c.usage*mib)
			}
			m := Compute(node, tree).Groups[3]
			if m.Bytes != c.want*mib || m.Level != oom.LevelContainer || m.Group != 3 {
				t.Errorf("%+v, want %d MiB", m, c.want)
			}
			if want := float64(c.want) / float64(c.of); math.Abs(m.Ratio-want) > 1e-9 {
				t.Errorf("ratio %v, want %v, of the limit that binds", m.Ratio, want)
			}
		})
	}
}

func TestComputeProtection(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(tree *oom.Tree)
		want   []wantMargin
	}{
		// The first container: usage 200, cache 30.
		{"all of it is protected", func(tree *oom.Tree) {
			tree.Groups[3].Min = oom.Of(200 * mib)
		}, []wantMargin{{2, 122 - 30, oom.LevelPod, 2}, {3, 86, oom.LevelContainer, 3}, {4, 92, oom.LevelPod, 2}, {7, 598, oom.LevelSlice, 1}}},
		{"unlimited protection", func(tree *oom.Tree) {
			tree.Groups[3].Min = oom.Unlimited()
		}, []wantMargin{{4, 92, oom.LevelPod, 2}}},
		{"20 of 200 may be taken", func(tree *oom.Tree) {
			tree.Groups[3].Min = oom.Of(180 * mib)
		}, []wantMargin{{4, 112, oom.LevelPod, 2}}},
		{"more than the cache may be taken", func(tree *oom.Tree) {
			tree.Groups[3].Min = oom.Of(170 * mib)
		}, []wantMargin{{4, 122, oom.LevelPod, 2}}},
		{"its own limit does not protect", func(tree *oom.Tree) {
			tree.Groups[2].Min = oom.Of(500 * mib)
		}, []wantMargin{{2, 122, oom.LevelPod, 2}, {7, 598 - 110, oom.LevelSlice, 1}}},
		{"no protection without the parent's", func(tree *oom.Tree) {
			tree.Groups[3].Min = oom.Of(200 * mib)
		}, []wantMargin{{7, 598, oom.LevelSlice, 1}, {8, 930, oom.LevelNode, Node}}},
		// The pod has 500, of which 300 are protected; its containers claim 200
		// and 290 of it, so the first gets 300*200/490 = 122 of its 200 MiB.
		{"claims are scaled", func(tree *oom.Tree) {
			tree.Groups[2].Min = oom.Of(300 * mib)
			tree.Groups[3].Min, tree.Groups[4].Min = oom.Of(200*mib), oom.Of(400*mib)
		}, []wantMargin{{7, 598, oom.LevelSlice, 1}}},
		// 200 of the pod's 500 are protected and its first container claims all.
		{"a child takes all of it", func(tree *oom.Tree) {
			tree.Groups[2].Min, tree.Groups[3].Min = oom.Of(200*mib), oom.Of(200*mib)
		}, []wantMargin{{7, 598 - 30, oom.LevelSlice, 1}}},
		// The service: usage 100, cache 20.
		{"the node's reclaim", func(tree *oom.Tree) {
			tree.Groups[8].Min = oom.Of(90 * mib)
		}, []wantMargin{{8, 920, oom.LevelNode, Node}, {9, 920, oom.LevelNode, Node}, {0, 920, oom.LevelNode, Node}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := kubeTree(2)
			c.change(tree)
			checkMargins(t, tree, Compute(kubeNode(), tree), c.want)
		})
	}
	tree := kubeTree(1)
	tree.Groups[3].Min = oom.Of(200 * mib) // not of v1.
	checkMargins(t, tree, Compute(kubeNode(), tree), []wantMargin{{4, 122, oom.LevelPod, 2}})
}

func TestScale(t *testing.T) {
	const huge = 1 << 63
	for _, c := range []struct{ n, part, whole, want uint64 }{
		{490, 300, 490, 300}, {200, 300, 490, 122}, {huge, huge / 2, huge, huge / 2}, {0, 5, 9, 0},
	} {
		if got := scale(c.n, c.part, c.whole); got != c.want {
			t.Errorf("%d * %d / %d = %d, want %d", c.n, c.part, c.whole, got, c.want)
		}
	}
}
