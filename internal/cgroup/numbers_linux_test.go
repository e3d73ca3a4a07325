// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// fakeNumbers lists what the files say, but for what a test changes.
type fakeNumbers struct {
	t      *testing.T
	other  *Hierarchy // which reads files.
	change func(*oom.CgroupNumbers)
	err    error
}

func (f *fakeNumbers) Read(dst []oom.CgroupNumbers) ([]oom.CgroupNumbers, error) {
	f.t.Helper()
	dst = dst[:0]
	groups := treeOf(f.t, f.other).Groups
	for _, g := range groups {
		n := oom.CgroupNumbers{Inode: g.Inode, Usage: g.Usage, Limit: g.Limit, LimitHits: g.Events.Max, Peak: g.Peak, Events: g.Events, LocalEvents: g.Events, Swappiness: g.Swappiness, Kernel: g.Stat.Kernel, KillDisabled: g.KillDisabled, UnderOOM: g.UnderOOM, MemswUsage: g.MemswUsage, MemswLimit: g.MemswLimit}
		if g.Parent >= 0 {
			n.Parent = groups[g.Parent].Inode
		}
		if g.Events.TreeKills.IsSet() {
			n.Events.OwnKills = g.Events.TreeKills
		}
		f.change(&n)
		dst = append(dst, n)
	}
	return dst, f.err
}

// listing returns a hierarchy that takes numbers from a list, and what it says when that
// ends.
func listing(t *testing.T, change func(*oom.CgroupNumbers)) (h *Hierarchy, f *fakeNumbers, ended *error) {
	t.Helper()
	f, ended = &fakeNumbers{t: t, other: live(t), change: change}, new(error)
	h, err := Find(Options{Parts: PartsAll, Refresh: 5})
	if err != nil {
		t.Fatal(err)
	}
	treeOf(t, h) // by now it knows which files there are.
	h.Use(f, func(err error) { *ended = err })
	return h, f, ended
}

// TestNumbersAreTaken has a list say of one cgroup what no file says.
func TestNumbersAreTaken(t *testing.T) {
	var inode uint64
	h, f, ended := listing(t, func(n *oom.CgroupNumbers) {
		if n.Inode == inode {
			n.Usage, n.Limit, n.Peak = oom.Of(11), oom.Of(22), oom.Of(33)
		}
	})
	path := makeLive(t, h, "listed")
	treeOf(t, h)
	inode = group(t, treeOf(t, h), path).Inode
	tree := treeOf(t, h)
	if g := group(t, tree, path); g.Usage != oom.Of(11) || g.Limit != oom.Of(22) || g.Peak != oom.Of(33) || tree.Source != oom.ByBPF || *ended != nil {
		t.Errorf("by %s (%v): usage %v, limit %v, peak %v", tree.Source, *ended, g.Usage, g.Limit, g.Peak)
	}
	if root := tree.Groups[0]; root.Usage == oom.Of(11) || root.Stat == (oom.Stat{}) {
		t.Errorf("the root is %+v", root)
	}
	f.err = errors.New("gone")
	for range 2 {
		tree = treeOf(t, h)
		if g := group(t, tree, path); g.Usage == oom.Of(11) || tree.Source != oom.ByCgroupfs || !errors.Is(*ended, f.err) {
			t.Errorf("after its end by %s (%v): %+v", tree.Source, *ended, g)
		}
		*ended = f.err
	}
}

// TestNumbersAreCompared has a list that is wrong of all cgroups: it is found out in the
// first pass, and again after an hour.
func TestNumbersAreCompared(t *testing.T) {
	wrong := true
	h, _, ended := listing(t, func(n *oom.CgroupNumbers) {
		if wrong {
			n.Limit = oom.Of(4711)
		}
	})
	makeLive(t, h, "wrong")
	makeLive(t, h, "wrong2")
	if tree := treeOf(t, h); *ended == nil || !strings.Contains((*ended).Error(), "4711") {
		t.Errorf("by %s: %v", tree.Source, *ended)
	}
	wrong = false
	h, f, ended := listing(t, func(n *oom.CgroupNumbers) {
		if wrong {
			n.Events.OwnKills = oom.Of(n.Events.OwnKills.Or(0) + 1)
		}
	})
	treeOf(t, h)
	wrong = true
	if treeOf(t, h); *ended != nil {
		t.Errorf("compared again at once: %v", *ended)
	}
	h.listed.last = time.Now().Add(-2 * compareEvery)
	if treeOf(t, h); *ended == nil || h.listed.source != nil || f == nil {
		t.Errorf("not compared after an hour: %v", *ended)
	}
}

// TestListedTree holds a tree whose numbers are listed against one that is read.
func TestListedTree(t *testing.T) {
	h, f, _ := listing(t, func(*oom.CgroupNumbers) {})
	path := makeLive(t, h, "same")
	limit(t, h, path, 64*mi)
	startHog(t, h, path, 20*mi)
	waitStill(t, h, path)
	treeOf(t, h)
	got, want := group(t, treeOf(t, h), path), group(t, treeOf(t, f.other), path)
	if !slices.Equal(got.PIDs, want.PIDs) {
		t.Errorf("processes %v, want %v", got.PIDs, want.PIDs)
	}
	got.PIDs, want.PIDs = nil, nil
	got.Unchanged, got.UsageUnchanged = want.Unchanged, want.UsageUnchanged
	got.Stat.Kernel, got.Swappiness, got.High, got.Min = want.Stat.Kernel, want.Swappiness, want.High, want.Min // not in the fake list.
	got.SwapUsage, got.SwapLimit, got.MemswUsage, got.MemswLimit, got.OOMGroup = want.SwapUsage, want.SwapLimit, want.MemswUsage, want.MemswLimit, want.OOMGroup
	got.Mems, want.Mems = nil, nil
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("listed %s\nread   %s", g, w)
	}
}

// TestListedChurn makes, limits and removes cgroups at random: a pass over those that are
// listed has to say what one has to say that opens every directory.
func TestListedChurn(t *testing.T) {
	h, f, ended := listing(t, func(*oom.CgroupNumbers) {})
	top := makeLive(t, h, "churn")
	enable(t, h, top)
	r := rand.New(rand.NewPCG(7, 7))
	dirs := []string{top}
	t.Cleanup(func() {
		slices.SortFunc(dirs, func(a, b string) int { return len(b) - len(a) })
		for _, dir := range dirs[:len(dirs)-1] {
			removeLive(t, h.Mount()+dir)
		}
	})
	reads, rows := 0, 0
	h.hook = func(path, _ string) unix.Errno {
		if strings.HasPrefix(path, top) {
			reads++
		}
		return 0
	}
	for step := range 200 {
		at := r.IntN(len(dirs))
		dir := h.Mount() + dirs[at]
		switch r.IntN(4) {
		case 0, 1:
			path := fmt.Sprintf("%s/%c", dirs[at], 'a'+rune(r.IntN(5)))
			if strings.Count(path, "/") < 6 && os.Mkdir(h.Mount()+path, 0o755) == nil {
				enable(t, h, path)
				dirs = append(dirs, path)
			}
		case 2:
			if at > 0 && unix.Rmdir(dir) == nil {
				dirs = slices.Delete(dirs, at, at+1)
			}
		case 3:
			limit(t, h, dirs[at], (16+r.IntN(64))*mi) // what its children cost the kernel is charged to it.
		}
		rows += len(dirs)
		if got, want := ours(treeOf(t, h), top), ours(treeOf(t, f.other), top); got != want || *ended != nil {
			t.Fatalf("step %d (%v): listed\n%s\nread\n%s", step, *ended, got, want)
		}
	}
	if t.Logf("%d files read of %d rows", reads, rows); reads > rows {
		t.Errorf("%d files read of %d rows: that is as many as without a list", reads, rows)
	}
}

// ours spells the cgroups at and below a path.
func ours(tree oom.Tree, top string) string {
	var b strings.Builder
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if g.Path == top || strings.HasPrefix(g.Path, top+"/") {
			fmt.Fprintf(&b, "%s %d in %s: limit %v, user %d, hierarchical %v, kills %v\n", g.Path, g.Inode, tree.Groups[g.Parent].Path, g.Limit, g.UID, g.Hierarchical, g.Events.OwnKills)
		}
	}
	return b.String()
}
