// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"math"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// What a group with a memory.min kept of its cache until the limit above it killed, and
// what it had before, in MiB: measured on Linux 6.1, with vm.swappiness 60.
func TestKeptCache(t *testing.T) {
	for _, c := range []struct {
		name                                         string
		usage, anon, shmem, locked, active, inactive float64
		min, swapMax, limit                          float64
		kept                                         float64
	}{
		{"active, with tmpfs", 77.1, 26.1, 26.7, 0, 23.7, 0, 57.9, 64, 78, 23.7},
		{"active", 57.9, 31.1, 0, 0, 25.8, 0.1, 42.9, 64, 69, 25.9},
		{"active, little of it", 48.1, 36.6, 0, 0, 10.8, 0.1, 37.3, 64, 68, 10.6},
		{"active, less swap", 75.6, 12.5, 38.2, 0, 24.3, 0, 69.6, 32, 82, 24.3},
		{"as much active as not", 76.7, 30.5, 6, 14.6, 19.4, 19.3, 61.9, 64, 95, 24.3},
		{"as much, and all locked", 59.6, 16.9, 26.7, 0, 7.7, 7.7, 49.2, 64, 74, 5},
		{"some of it active", 61.3, 36.6, 0, 0, 8.5, 15.2, 38.8, 64, 69, 15.4},
		{"hardly any active", 83.6, 22.7, 0, 13.2, 9.6, 49.6, 63.8, 32, 95, 40.1},
		{"nothing active", 79.2, 6.3, 24, 0, 0, 47.1, 64.4, 64, 93, 32.6},
		{"less than is protected", 57.8, 36.5, 0, 0, 11.5, 9, 57.9, 64, 82, 20.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := &oom.Tree{Version: 2, Groups: []oom.Group{
				{Parent: -1, Usage: mibs(c.limit)},
				{Parent: 0, Usage: mibs(c.limit), Limit: mibs(c.limit), SwapLimit: mibs(c.swapMax), SwapUsage: mibs(0), Stat: cacheOf(c.active, c.inactive)},
				{Parent: 1, Usage: mibs(c.usage), Min: mibs(c.min), SwapLimit: oom.Unlimited(), SwapUsage: mibs(0), Stat: cacheOf(c.active, c.inactive)},
			}}
			g := &tree.Groups[2]
			g.Stat.Anon, g.Stat.Shmem, g.Stat.Unevictable = mibs(c.anon), mibs(c.shmem), mibs(c.locked)
			if kept := keptCache(tree, 240); math.Abs(kept-c.kept) > max(2, c.limit*0.03) {
				t.Errorf("%.1f MiB are kept, in fact %.1f", kept, c.kept)
			}
			taken := max(0, c.usage-c.min)
			without := max(0, c.active+c.inactive-taken)
			for name, change := range map[string]func(){
				"without swap":               func() { tree.Groups[1].SwapLimit = mibs(0) },
				"where swap is full":         func() { tree.Groups[1].SwapUsage = mibs(c.swapMax) },
				"where it is full below":     func() { g.SwapLimit = mibs(0) },
				"where all memory is locked": func() { g.Stat.Unevictable = mibs(c.anon + c.shmem) },
			} {
				before := [2]oom.Group{tree.Groups[1], tree.Groups[2]}
				if change(); math.Abs(keptCache(tree, 240)-without) > 0.1 {
					t.Errorf("%s: %.1f MiB are kept, want %.1f", name, keptCache(tree, 240), without)
				}
				tree.Groups[1], tree.Groups[2] = before[0], before[1]
			}
			if kept := keptCache(tree, 0); math.Abs(kept-without) > 0.1 {
				t.Errorf("on a node without swap: %.1f MiB are kept, want %.1f", kept, without)
			}
		})
	}
}

// keptCache is what is kept from the reclaim of group 1, on a node with so much free swap.
func keptCache(tree *oom.Tree, swapFree float64) float64 {
	node := &oom.Node{SwapFree: mibs(swapFree), Swappiness: oom.Of(60)}
	w := walk{node: node, tree: tree, ends: subtreeEnds(tree), keeps: protects(tree)}
	return float64(w.keep(1)) / mib
}

func cacheOf(active, inactive float64) oom.Stat {
	return oom.Stat{ActiveFile: mibs(active), InactiveFile: mibs(inactive)}
}

func mibs(n float64) oom.Amount { return oom.Of(uint64(n * mib)) }

// Of large caches a smaller part has to be inactive: a third of 1 GiB, a tenth of 10.
func TestInactiveRatio(t *testing.T) {
	const gib = 1024
	for _, c := range []struct{ active, inactive, want float64 }{
		{0, 0, 1}, {1000, 20, 1}, {1000, 24, 3}, {2 * gib, 2 * gib, 6}, {9 * gib, gib, 10}, {0, 100 * gib, 31},
	} {
		stat := cacheOf(c.active, c.inactive)
		if got := inactiveRatio(&stat); got != uint64(c.want) {
			t.Errorf("%v and %v MiB: %d, want %v", c.active, c.inactive, got, c.want)
		}
	}
	// 300 MiB of 3,000 may be taken of a child; a sixth of the 4 GiB of cache has to be inactive.
	for _, c := range []struct{ inactive, kept float64 }{{1500, 4500 - 300}, {900, 3900 - 300}, {700, 3700 - 200}, {300, 3300}} {
		tree := &oom.Tree{Version: 2, Groups: []oom.Group{
			{Parent: -1},
			{Parent: 0, Limit: mibs(8000), SwapLimit: oom.Unlimited(), Stat: cacheOf(3000, 1100)},
			{Parent: 1, Usage: mibs(4000 + c.inactive), Min: mibs(3700 + c.inactive), Stat: cacheOf(3000, c.inactive)},
		}}
		tree.Groups[2].Stat.Anon = mibs(1000)
		if kept := keptCache(tree, 8000); math.Abs(kept-c.kept) > 1 {
			t.Errorf("%v MiB of it inactive: %v MiB are kept, want %v", c.inactive, kept, c.kept)
		}
	}
}
