// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// world is a random machine: what a first pass sees, and the truth.
type world struct {
	node  *oom.Node
	tree  *oom.Tree
	procs []oom.Process
	truth []oom.Process
	reads int
}

func (w *world) exact(i int) error {
	w.reads++
	w.procs[i] = w.truth[i]
	return nil
}

// newWorld draws a tree and its processes. Sizes are few and round, so that
// ties happen; swap and kernel memory of the groups are the true sums.
func newWorld(rng *rand.Rand, groups, procs int) *world {
	kernels := []string{"3.10.0", "4.19.40", "5.2.1", "5.4.59", "5.10.7", "6.12.1"}
	w := &world{
		node: smallNode(kernels[rng.IntN(len(kernels))]),
		tree: &oom.Tree{Version: 1 + rng.IntN(2), Groups: []oom.Group{{Parent: -1, Hierarchical: true}}},
	}
	w.node.SwapTotal = oom.Of(8 * gib)
	path := []int{0}
	for i := 1; i < groups; i++ {
		path = path[:1+rng.IntN(len(path))]
		w.tree.Groups = append(w.tree.Groups, oom.Group{
			Parent: path[len(path)-1], Hierarchical: true,
			Limit: oom.Of(uint64(rng.IntN(512)) * mib), Swappiness: oom.Of(60), OOMGroup: rng.IntN(4) == 0,
		})
		path = append(path, i)
	}
	w.node.Swappiness = oom.Of(60)
	w.draw(rng, groups, procs)
	return w
}

func (w *world) draw(rng *rand.Rand, groups, procs int) {
	swap := make([]uint64, groups)
	kernel := make([]uint64, groups)
	var swapped uint64
	for i := range procs {
		p := in(int32(rng.IntN(groups+1)-1), int32(100+i), 0, uint64(rng.IntN(20)*rng.IntN(20)))
		p.PageTables = p.RSS/512 + uint64(rng.IntN(3))*page
		if rng.IntN(2) == 0 {
			p.Adj = int16(rng.IntN(41)-20) * 50
		}
		if rng.IntN(4) == 0 {
			p.Swap = uint64(rng.IntN(8)) * 8 * mib
		}
		swapped += p.Swap
		for g := int(p.Group); g >= 0; g = w.tree.Groups[g].Parent {
			swap[g] += p.Swap
			kernel[g] += p.PageTables
		}
		w.truth = append(w.truth, p)
		seen := oom.Process{PID: p.PID, Group: p.Group, Adj: p.Adj, RSS: p.RSS}
		rules := RulesFor(w.node.Release, w.tree.Version)
		total := rules.Total(w.node, w.tree, Node)
		if b, ok := rules.Badness(&p, total, page); rng.IntN(2) == 0 && rules.signed {
			seen.Score = oom.Of(0)
			if ok {
				seen.Score = oom.Of(uint64(rules.score(b, total)))
			}
		}
		w.procs = append(w.procs, seen)
	}
	w.node.SwapFree = oom.Of(8*gib - swapped)
	for g := range groups {
		group := &w.tree.Groups[g]
		if rng.IntN(8) > 0 { // else unknown.
			group.SwapUsage, group.Stat.Swap = oom.Of(swap[g]), oom.Of(swap[g])
			group.Stat.Kernel = oom.Of(kernel[g])
		}
	}
}

// bruteForce ranks with the exact sizes of all, by the words of the rules.
func (w *world) bruteForce(scope int) []int {
	inScope := func(g int32) bool {
		for ; g >= 0; g = int32(w.tree.Groups[g].Parent) {
			if int(g) == scope {
				return true
			}
		}
		return scope == Node
	}
	rules := RulesFor(w.node.Release, w.tree.Version)
	total := rules.Total(w.node, w.tree, scope)
	badness := func(i int) int64 {
		p := &w.truth[i]
		b := int64(p.RSS/page+p.Swap/page+p.PageTables/page) + int64(p.Adj)*int64(total/1000)
		if !w.node.Release.AtLeast(5, 9) {
			b = max(b, 1)
		}
		return b
	}
	var found []int // in the order of the kernel's scan.
	for i := range w.truth {
		p := &w.truth[i]
		if p.Adj > -1000 && p.RSS+p.Swap+p.PageTables > 0 && inScope(p.Group) {
			found = append(found, i)
		}
	}
	if scope != Node {
		slices.SortStableFunc(found, func(a, b int) int { return int(w.truth[a].Group - w.truth[b].Group) })
	}
	if w.node.Release.AtLeast(5, 3) {
		slices.Reverse(found)
	}
	slices.SortStableFunc(found, func(a, b int) int { return cmpInt(badness(b), badness(a)) })
	return found
}

func cmpInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestChooseAgainstBruteForce(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 4))
		groups := 1 + rng.IntN(12)
		w := newWorld(rng, groups, rng.IntN(120))
		scope := rng.IntN(groups+1) - 1
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			want := w.bruteForce(scope)
			got := RulesFor(w.node.Release, w.tree.Version).Choose(w.node, w.tree, w.procs, scope, w.exact)
			if len(want) == 0 {
				if !got.NoneKillable {
					t.Fatalf("chose %+v where nobody can be killed", got)
				}
				return
			}
			if got.Primary != want[0] || len(want) > 1 && got.RunnerUp != want[1] {
				t.Errorf("kernel %s v%d scope %d: chose %d, then %d; want %v", w.node.Release.Text, w.tree.Version, scope, got.Primary, got.RunnerUp, want[:min(4, len(want))])
			}
		})
	}
}

func TestTopAgainstBruteForce(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 5))
		w := newWorld(rng, 1+rng.IntN(12), rng.IntN(120))
		n := rng.IntN(12)
		want := w.bruteForce(Node)
		got := RulesFor(w.node.Release, w.tree.Version).Index(w.node, w.tree, w.procs).Top(n, w.exact)
		if !slices.Equal(got, want[:min(n, len(want))]) {
			t.Errorf("seed %d: top %d is %v, want %v", seed, n, got, want[:min(n, len(want))])
		}
	}
}

// TestExactForFew holds the point of the first pass: of many processes only
// those near the top are read.
func TestExactForFew(t *testing.T) {
	w := bigWorld(1000, 10000)
	x := RulesFor(w.node.Release, w.tree.Version).Index(w.node, w.tree, w.procs)
	got := x.Choose(Node, w.exact)
	if want := w.bruteForce(Node)[0]; got.Primary != want {
		t.Errorf("chose %d, want %d", got.Primary, want)
	}
	if w.reads > 100 {
		t.Errorf("read %d of %d processes", w.reads, len(w.procs))
	}
	w.reads = 0
	if again := x.Choose(Node, w.exact); !cmp.Equal(again, got) {
		t.Errorf("chose %+v, then %+v", got, again)
	}
	if w.reads != 0 {
		t.Errorf("read %d processes again", w.reads)
	}
}

// bigWorld is a node of many containers: sizes spread over three orders of
// magnitude, kernel memory as containers have it, some swap in use.
func bigWorld(groups, procs int) *world {
	rng := rand.New(rand.NewPCG(7, 7))
	w := &world{node: smallNode("6.1"), tree: &oom.Tree{Version: 2, Groups: []oom.Group{{Parent: -1}}}}
	w.node.Total = oom.Of(256 * gib)
	w.node.SwapTotal, w.node.SwapFree = oom.Of(8*gib), oom.Of(8*gib)
	w.node.Swappiness = oom.Of(60)
	for i := 1; i < groups; i++ {
		parent := 0
		if i%2 == 0 {
			parent = i - 1
		}
		w.tree.Groups = append(w.tree.Groups, oom.Group{Parent: parent, Kind: oom.KindContainer, Limit: oom.Of(gib)})
	}
	used := uint64(0)
	for i := range procs {
		p := in(int32(1+rng.IntN(groups-1)), int32(i+2), 0, 0)
		p.RSS = uint64(mib * (1 + 1000*rng.ExpFloat64()*rng.ExpFloat64()*rng.ExpFloat64()))
		p.PageTables = p.RSS / 500
		if rng.IntN(10) == 0 {
			p.Swap = p.RSS / 1000
		}
		used += p.Swap
		for g := int(p.Group); g >= 0; g = w.tree.Groups[g].Parent {
			group := &w.tree.Groups[g]
			group.SwapUsage = oom.Of(group.SwapUsage.Or(0) + p.Swap)
			group.Stat.Kernel = oom.Of(group.Stat.Kernel.Or(0) + p.PageTables + 64*kib)
		}
		w.truth = append(w.truth, p)
		w.procs = append(w.procs, oom.Process{PID: p.PID, Group: p.Group, RSS: p.RSS})
	}
	w.node.SwapFree = oom.Of(8*gib - used)
	return w
}

func BenchmarkChooseNode(b *testing.B) {
	w := bigWorld(1000, 10000)
	rules := RulesFor(w.node.Release, 2)
	seen := slices.Clone(w.procs)
	b.ReportAllocs()
	for b.Loop() {
		copy(w.procs, seen)
		rules.Choose(w.node, w.tree, w.procs, Node, w.exact)
	}
}

func BenchmarkChooseNearScopes(b *testing.B) {
	w := bigWorld(1000, 10000)
	rules := RulesFor(w.node.Release, 2)
	b.ReportAllocs()
	for b.Loop() {
		x := rules.Index(w.node, w.tree, w.procs)
		for g := 1; g <= 300; g++ {
			x.Choose(g, w.exact)
		}
	}
}
