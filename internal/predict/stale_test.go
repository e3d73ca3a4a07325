// SPDX-License-Identifier: Apache-2.0

package predict

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// TestTopOfStale gives processes an RSS and an adj of long ago beside a score of
// now: the top is right all the same.
func TestTopOfStale(t *testing.T) {
	freshened := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 6))
		w := newWorld(rng, 1+rng.IntN(12), rng.IntN(120))
		w.node.Release = oom.ParseRelease([]string{"5.10.7", "6.12.1"}[rng.IntN(2)])
		rules := RulesFor(w.node.Release, w.tree.Version)
		total := rules.Total(w.node, w.tree, Node)
		for i := range w.procs {
			p, b := &w.procs[i], int64(0)
			if b, p.Stale = rules.Badness(&w.truth[i], total, page); !p.Stale {
				continue
			}
			p.Score = oom.Of(uint64(rules.score(b, total)))
			p.RSS = uint64(rng.IntN(400)) * mib
			p.Adj += int16(rng.IntN(3) - 1)
			if p.Adj == adjUnkillable || p.Score == oom.Of(0) {
				*p = w.truth[i]
			}
			w.truth[i].Score = p.Score
		}
		exact := func(i int) error {
			if p := &w.procs[i]; p.Stale {
				freshened++
				p.Adj, p.RSS, p.Stale = w.truth[i].Adj, w.truth[i].RSS, false
				return nil
			}
			return w.exact(i)
		}
		n := 1 + rng.IntN(12)
		want := w.bruteForce(Node)
		want = slices.DeleteFunc(want, func(i int) bool { return w.truth[i].Score == oom.Of(0) })
		if got := rules.Index(w.node, w.tree, w.procs).Top(n, exact); !slices.Equal(got, want[:min(n, len(want))]) {
			t.Errorf("seed %d: top %d is %v, want %v", seed, n, got, want[:min(n, len(want))])
		}
	}
	if freshened == 0 {
		t.Error("nothing was stale")
	}
}

// TestExactThatDoesNothing has exact succeed without doing what it must: each
// process is asked for once, and ranked by what is there.
func TestExactThatDoesNothing(t *testing.T) {
	for _, stale := range []bool{false, true} {
		node := &oom.Node{PageSize: page, Total: oom.Of(1 << 30), Release: oom.ParseRelease("6.1.0")}
		tree := &oom.Tree{Version: 2, Groups: []oom.Group{{Parent: -1}}}
		procs := []oom.Process{
			{PID: 10, RSS: 1 * mib, Score: oom.Of(667), Stale: stale},
			{PID: 11, RSS: 3 * mib, Score: oom.Of(668), Stale: stale},
			{PID: 12, RSS: 2 * mib, Score: oom.Of(667), Stale: stale},
		}
		asked := map[int]int{}
		exact := func(i int) error {
			if asked[i]++; asked[i] > 1 {
				return errors.New("asked again") // fails the test instead of hanging it.
			}
			return nil
		}
		top := RulesFor(node.Release, tree.Version).Index(node, tree, procs).Top(3, exact)
		if want := []int{1, 2, 0}; !slices.Equal(top, want) {
			t.Errorf("stale %v: top is %v, want %v", stale, top, want)
		}
		for i, n := range asked {
			if n > 1 {
				t.Errorf("stale %v: process %d was asked for %d times", stale, i, n)
			}
		}
	}
}
