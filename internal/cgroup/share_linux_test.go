// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// shape is a tree by its root's children; nil is a leaf.
type shape map[string]shape

func (s shape) make(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, below := range s {
		below.make(t, dir+"/"+name)
	}
}

// size is the number of groups, s itself included.
func (s shape) size() int {
	n := 1
	for _, below := range s {
		n += below.size()
	}
	return n
}

// leaves makes n leaves.
func leaves(n int) shape {
	s := shape{}
	for i := range n {
		s[fmt.Sprintf("g%06d", i)] = nil
	}
	return s
}

// pods makes pods of two containers each.
func pods(prefix string, n int) shape {
	s := shape{}
	for i := range n {
		s[fmt.Sprintf("%s%03d", prefix, i)] = shape{"a": nil, "b": nil}
	}
	return s
}

// hasAll fails for each group of s that is not in the tree.
func hasAll(t *testing.T, tree oom.Tree, s shape, at string) {
	t.Helper()
	have := map[string]bool{}
	for _, g := range tree.Groups {
		have[g.Path] = true
	}
	missing := 0
	var look func(s shape, path string)
	look = func(s shape, path string) {
		if !have[path] {
			missing++
		}
		for name, below := range s {
			look(below, strings.TrimSuffix(path, "/")+"/"+name)
		}
	}
	look(s, at)
	if missing > 0 {
		t.Errorf("%d of %d groups at %s are missing", missing, s.size(), at)
	}
}

// A crowd in one container, whatever its name, depth and form, takes nothing from
// the containers beside it.
func TestCrowdStarvesNobody(t *testing.T) {
	deep := leaves(300)
	for i := range 60 {
		deep = shape{fmt.Sprintf("d%02d", i): deep, "x": nil}
	}
	wide := shape{}
	for i := range 20 {
		wide[fmt.Sprintf("w%02d", i)] = leaves(20)
	}
	binary := shape(nil)
	for range 8 {
		binary = shape{"l": binary, "r": binary}
	}
	for name, crowd := range map[string]shape{
		"flat": leaves(800), "deep": deep, "wide": wide, "binary": binary,
		"many": {"1": leaves(200), "2": leaves(200), "3": wide, "4": deep},
	} {
		for _, first := range []string{"a", "zz"} {
			t.Run(name+" "+first, func(t *testing.T) {
				dir, mount := rootV1(t)
				guaranteed, burstable := pods("pod", 10), pods("pod", 40)
				guaranteed.make(t, mount+"/kubepods")
				burstable.make(t, mount+"/kubepods/burstable")
				leaves(30).make(t, mount+"/system.slice")
				crowd.make(t, mount+"/kubepods/burstable/"+first+"/c")
				o := options(dir, 0)
				o.MaxGroups = 250 // of which 184 are honest.
				h := mustFind(t, o)
				for range 3 {
					tree, skipped := mustRead(t, h)
					hasAll(t, tree, guaranteed, "/kubepods")
					hasAll(t, tree, burstable, "/kubepods/burstable")
					hasAll(t, tree, leaves(30), "/system.slice")
					if len(tree.Groups) != o.MaxGroups || skipped.GroupsOverBound == 0 ||
						!strings.HasPrefix(skipped.Crowd.Path, "/kubepods/burstable/"+first+"/c") {
						t.Errorf("%d groups, skipped %+v", len(tree.Groups), skipped)
					}
					light := mustReadKills(t, h)
					hasAll(t, light, burstable, "/kubepods/burstable")
				}
			})
		}
	}
}

// What is inside of workloads waits until all that is not has had its turn, even
// where its fair share would be larger.
func TestInsideOfWorkloadsComesLast(t *testing.T) {
	dir, mount := rootV1(t)
	many := pods("pod", 60)
	many.make(t, mount+"/many")
	for i := range 3 {
		leaves(100).make(t, fmt.Sprintf("%s/few/pod%d/c", mount, i))
	}
	o := options(dir, 0)
	o.MaxGroups = 1 + many.size() + 1 + 3*2 + 30
	o.IsWorkload = func(path string) bool { return strings.HasSuffix(path, "/c") }
	h := mustFind(t, o)
	for range 2 {
		tree, skipped := mustRead(t, h)
		hasAll(t, tree, many, "/many")
		for i := range 3 {
			hasAll(t, tree, leaves(quantum-1), fmt.Sprintf("/few/pod%d/c", i))
		}
		if len(tree.Groups) != o.MaxGroups || skipped.GroupsOverBound != 3*100-30 {
			t.Errorf("%d groups, skipped %+v", len(tree.Groups), skipped)
		}
	}
}

// When the crowd has gone, all is as before; and what is new in a crowded tree
// is met at the next pass.
func TestCrowdComesAndGoes(t *testing.T) {
	dir, mount := rootV1(t)
	pods("pod", 5).make(t, mount+"/kubepods")
	o := options(dir, 0)
	o.MaxGroups = 50
	h := mustFind(t, o)
	quiet, _ := mustRead(t, h)
	for range 2 {
		leaves(100).make(t, mount+"/kubepods/pod000/a")
		if _, skipped := mustRead(t, h); skipped.GroupsOverBound == 0 {
			t.Error("no group is over the bound")
		}
		shape{"late": shape{"c": nil}}.make(t, mount+"/kubepods")
		if _, _, err := h.ReadKills(); err != nil {
			t.Error(err)
		}
		tree, _ := mustRead(t, h)
		group(t, tree, "/kubepods/late/c")
		for _, path := range []string{"/kubepods/pod000/a", "/kubepods/late"} {
			if err := os.RemoveAll(mount + path); err != nil {
				t.Fatal(err)
			}
		}
		leaves(0).make(t, mount+"/kubepods/pod000/a")
		mustRead(t, h)
		tree, skipped := mustRead(t, h)
		if len(tree.Groups) != len(quiet.Groups) || skipped != (oom.Skipped{}) {
			t.Errorf("%d groups, want %d; skipped %+v", len(tree.Groups), len(quiet.Groups), skipped)
		}
	}
}

// A choice opens no more than it may, and lets no descriptor go astray.
func TestChoiceIsBounded(t *testing.T) {
	dir, mount := rootV1(t)
	for i := range 20 {
		leaves(300).make(t, fmt.Sprintf("%s/t%02d", mount, i))
	}
	o := options(dir, 0)
	o.MaxGroups = 200
	h := mustFind(t, o)
	before := countFDs(t)
	for range 3 {
		mustRead(t, h)
	}
	if after := countFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	nodes := 0
	var count func(n *node)
	count = func(n *node) {
		nodes++
		for _, c := range n.children {
			count(c)
		}
	}
	count(h.root)
	if nodes > o.MaxGroups {
		t.Errorf("%d groups are remembered, of %d that may be read", nodes, o.MaxGroups)
	}
	h.hook = func(string, string) unix.Errno { return unix.EMFILE }
	if _, _, err := h.Read(); err == nil {
		t.Error("out of descriptors, and no error")
	}
}

// fairShares says how many groups of each child's subtree a fair choice has.
func fairShares(need []int, quota int) []int {
	got := make([]int, len(need))
	for used := 0; used < quota; {
		before := used
		for i := range need {
			if got[i] < need[i] && used < quota {
				got[i]++
				used++
			}
		}
		if used == before {
			break
		}
	}
	return got
}

// In trees of any form nobody gets fewer than a fair share, but for the rounding.
func TestShareIsFair(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var random func(depth int) shape
		random = func(depth int) shape {
			s := shape{}
			if depth > 0 {
				for i := range rnd.IntN(6) {
					s[fmt.Sprint(i)] = random(depth - 1)
				}
			}
			return s
		}
		dir, mount := rootV1(t)
		var need []int
		names := []string{}
		for i := range 2 + rnd.IntN(6) {
			s := random(1 + rnd.IntN(4))
			name := fmt.Sprintf("c%d", i)
			s.make(t, mount+"/"+name)
			need, names = append(need, s.size()), append(names, "/"+name)
		}
		o := options(dir, 0)
		o.MaxGroups = 2 + rnd.IntN(60)
		tree, _ := mustRead(t, mustFind(t, o))
		want := fairShares(need, o.MaxGroups-1)
		for i, name := range names {
			got := 0
			for _, g := range tree.Groups {
				if g.Path == name || strings.HasPrefix(g.Path, name+"/") {
					got++
				}
			}
			if got < want[i]-quantum || got > want[i]+quantum {
				t.Errorf("seed %d: %d groups of %s, want %d: need %v, %d may be read", seed, got, name, want[i], need, o.MaxGroups)
			}
		}
	}
}
