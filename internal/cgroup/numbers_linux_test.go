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
	wait   chan struct{} // if there is one, a list is made when it is closed.
	err    error
	ended  []error // what the hierarchy said of its end.
}

func (f *fakeNumbers) Read(dst []oom.CgroupNumbers) ([]oom.CgroupNumbers, error) {
	if f.wait != nil {
		<-f.wait
	}
	tree, _, err := f.other.Read()
	if err != nil {
		return nil, err
	}
	dst = dst[:0]
	at := map[int]int{} // of a group's row in dst.
	for i, g := range tree.Groups {
		if r, ok := at[g.Parent]; ok {
			dst[r].Children++
		}
		if g.Parent >= 0 && !g.Usage.IsSet() { // it has no memory controller.
			continue
		}
		n := oom.CgroupNumbers{
			Inode: g.Inode, Usage: g.Usage, Limit: g.Limit, High: g.High, Min: g.Min, Peak: g.Peak, LimitHits: g.Events.Max,
			SwapUsage: g.SwapUsage, SwapLimit: g.SwapLimit, MemswUsage: g.MemswUsage, MemswLimit: g.MemswLimit, Kernel: g.Stat.Kernel,
			Swappiness: g.Swappiness, KillDisabled: g.KillDisabled, UnderOOM: g.UnderOOM, Pressure: g.Pressure,
			Events: g.Events, LocalEvents: g.Events,
		}
		if tree.Version == 2 {
			n.OOMGroup = oom.Of(0)
			if g.OOMGroup {
				n.OOMGroup = oom.Of(1)
			}
		}
		if g.Parent >= 0 {
			n.Parent = tree.Groups[g.Parent].Inode
		}
		if g.Events.TreeKills.IsSet() {
			n.Events.OwnKills = g.Events.TreeKills
		}
		f.change(&n)
		at[i] = len(dst)
		dst = append(dst, n)
	}
	return dst, f.err
}

// listing returns a hierarchy that takes numbers from a list that a test changes.
func listing(t *testing.T, change func(*oom.CgroupNumbers)) (h *Hierarchy, f *fakeNumbers) {
	t.Helper()
	f = &fakeNumbers{t: t, other: live(t), change: change}
	h, err := Find(Options{Parts: PartsAll, Refresh: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.storm.closeAll)
	treeOf(t, h) // by now it knows which files there are.
	h.Use(f, func(err error) { f.ended = append(f.ended, err) })
	return h, f
}

// agreed has passes read until the list has been found to agree with the files: what
// others do meanwhile may raise a doubt.
func agreed(t *testing.T, h *Hierarchy) {
	t.Helper()
	for range mostDoubts {
		if treeOf(t, h); h.listed.agrees {
			return
		}
	}
	t.Fatalf("the list does not agree with the files: %v", h.listed.examples)
}

// TestNumbersAreTaken has a list say of one cgroup what no file says, once the list has
// been found to agree with the files.
func TestNumbersAreTaken(t *testing.T) {
	var inode uint64
	h, f := listing(t, func(n *oom.CgroupNumbers) {
		if n.Inode == inode {
			n.Limit, n.Peak = oom.Of(22<<30), oom.Of(33<<30)
		}
	})
	path := makeLive(t, h, "listed")
	agreed(t, h)
	inode = group(t, treeOf(t, h), path).Inode
	tree := treeOf(t, h)
	if g := group(t, tree, path); g.Limit != oom.Of(22<<30) || g.Peak != oom.Of(33<<30) || tree.Source != oom.ByBPF || len(f.ended) > 0 || h.ListError() != nil {
		t.Errorf("by %s (%v): %+v", tree.Source, f.ended, g)
	}
	if root := tree.Groups[0]; root.Stat == (oom.Stat{}) {
		t.Errorf("the root is %+v", root)
	}
	reads := 0
	h.hook = func(at, _ string) unix.Errno {
		if at == path {
			reads++
		}
		return 0
	}
	const passes = 10
	for range passes { // it is at rest.
		if g := group(t, treeOf(t, h), path); g.Limit != oom.Of(22<<30) || g.Peak != oom.Of(33<<30) {
			t.Errorf("limit %v and peak %v are not of the list", g.Limit, g.Peak)
		}
	}
	if reads > passes*3/2 { // all files in turn: twice in ten.
		t.Errorf("%d files read in %d passes", reads, passes)
	}
}

// TestAListThatFails has the numbers of the files while there is no list, and for good
// when that has been so for a while.
func TestAListThatFails(t *testing.T) {
	h, f := listing(t, func(*oom.CgroupNumbers) {})
	path := makeLive(t, h, "failing")
	agreed(t, h)
	fail := func(passes int) {
		for range passes {
			if tree := treeOf(t, h); tree.Source != oom.ByCgroupfs || !group(t, tree, path).Usage.IsSet() {
				t.Errorf("without a list, by %s: %+v", tree.Source, group(t, tree, path))
			}
			mustReadKills(t, h)
		}
	}
	for _, passes := range []int{1, mostFailures - 1, mostFailures + 3} { // within a minute.
		f.err = errors.New("gone")
		fail(passes)
		f.err = nil
		if tree := treeOf(t, h); tree.Source != oom.ByBPF || len(f.ended) > 0 {
			t.Errorf("with a list again after %d passes, by %s (%v)", passes, tree.Source, f.ended)
		}
	}
	f.err = errors.New("gone")
	fail(1)
	h.listed.failing = time.Now().Add(-2 * failTime)
	if fail(mostFailures - 2); len(f.ended) > 0 {
		t.Error("it has ended too soon")
	}
	fail(2)
	if len(f.ended) != 1 || !errors.Is(f.ended[0], f.err) || !errors.Is(h.ListError(), f.err) {
		t.Errorf("its end was told with %v", f.ended)
	}
}

// TestAListThatIsLate keeps a pass waiting no longer than listTime, and asks for a new
// list once the late one has come.
func TestAListThatIsLate(t *testing.T) {
	h, f := listing(t, func(*oom.CgroupNumbers) {})
	agreed(t, h)
	f.wait = make(chan struct{})
	for range 3 {
		begun := time.Now()
		if tree := treeOf(t, h); tree.Source != oom.ByCgroupfs {
			t.Errorf("by %s", tree.Source)
		}
		if took := time.Since(begun); took > listTime+5*time.Second {
			t.Errorf("a pass took %v", took)
		}
	}
	close(f.wait)
	for range mostFailures - 4 {
		if treeOf(t, h).Source == oom.ByBPF {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Errorf("there is no list any more: %v", f.ended)
}

// TestNumbersAreCompared has lists that are wrong, each in another way: no pass ever shows
// anything of them, and they are given up.
func TestNumbersAreCompared(t *testing.T) {
	h := live(t)
	killed := makeLive(t, h, "killed")
	limit(t, h, killed, 4*mi)
	if _, alive := startHog(t, h, killed, 64*mi); alive {
		t.Fatal("the process was not killed")
	}
	for name, wrong := range map[string]func(n *oom.CgroupNumbers){
		"limits":             func(n *oom.CgroupNumbers) { n.Limit = oom.Of(4711) },
		"kills that are not": func(n *oom.CgroupNumbers) { n.Events.OwnKills = oom.Of(n.Events.OwnKills.Or(0) + 1) },
		"no kills":           func(n *oom.CgroupNumbers) { n.Events.OwnKills = oom.Of(0) },
		"peaks":              func(n *oom.CgroupNumbers) { n.Peak = oom.Of(1 << 40) },
		"other cgroups":      func(n *oom.CgroupNumbers) { n.Inode += 1 << 40 },
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late %t", name, late), func(t *testing.T) {
				isWrong := !late
				h, f := listing(t, func(n *oom.CgroupNumbers) {
					if isWrong {
						wrong(n)
					}
				})
				if late {
					agreed(t, h)
					isWrong = true
					h.listed.compared = time.Now().Add(-2 * compareEvery)
				}
				for range mostDoubts {
					g := group(t, treeOf(t, h), killed)
					k := group(t, mustReadKills(t, h), killed)
					if g.Limit != oom.Of(4*mi) || g.Events.OwnKills != oom.Of(1) || k.Events.OwnKills != oom.Of(1) || g.Peak.Or(0) >= 1<<40 {
						t.Errorf("limit %v, peak %v, kills %v and %v", g.Limit, g.Peak, g.Events.OwnKills, k.Events.OwnKills)
					}
				}
				if len(f.ended) != 1 || treeOf(t, h).Source != oom.ByCgroupfs {
					t.Errorf("its end was told with %v", f.ended)
				}
			})
		}
	}
}

// TestListedTree holds a tree whose numbers are listed against one that is read.
func TestListedTree(t *testing.T) {
	h, f := listing(t, func(*oom.CgroupNumbers) {})
	path := makeLive(t, h, "same")
	limit(t, h, path, 64*mi)
	startHog(t, h, path, 20*mi)
	waitStill(t, h, path)
	agreed(t, h)
	for range 6 { // in each of the ways there are.
		got, want := group(t, treeOf(t, h), path), group(t, treeOf(t, f.other), path)
		if !slices.Equal(got.PIDs, want.PIDs) {
			t.Errorf("processes %v, want %v", got.PIDs, want.PIDs)
		}
		got.PIDs, want.PIDs = nil, nil
		got.Unchanged, got.UsageUnchanged = want.Unchanged, want.UsageUnchanged
		got.Mems, want.Mems = nil, nil
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
			t.Errorf("listed %s\nread   %s", g, w)
		}
	}
}

// TestListedChurn makes, limits and removes cgroups at random: a pass over those that are
// listed has to say what one has to say that opens every directory.
func TestListedChurn(t *testing.T) {
	h, f := listing(t, func(*oom.CgroupNumbers) {})
	agreed(t, h)
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
	reads := map[*Hierarchy]int{}
	for _, h := range []*Hierarchy{h, f.other} {
		h.hook = func(path, _ string) unix.Errno {
			if strings.HasPrefix(path, top) {
				reads[h]++
			}
			return 0
		}
	}
	for step := range 200 {
		at := r.IntN(len(dirs))
		dir := h.Mount() + dirs[at]
		switch r.IntN(4) {
		case 0, 1:
			path := fmt.Sprintf("%s/%c", dirs[at], 'a'+rune(r.IntN(5)))
			if strings.Count(path, "/") < 6 && os.Mkdir(h.Mount()+path, 0o755) == nil {
				if r.IntN(3) > 0 { // else its children have no memory controller, on v2.
					_ = os.WriteFile(h.Mount()+path+"/cgroup.subtree_control", []byte("+memory"), 0)
				}
				dirs = append(dirs, path)
			}
		case 2:
			if at > 0 && unix.Rmdir(dir) == nil {
				dirs = slices.Delete(dirs, at, at+1)
			}
		case 3:
			if _, err := os.Stat(dir + "/" + name(h, v1Limit, v2Max)); err != nil {
				continue
			}
			limit(t, h, dirs[at], (16+r.IntN(64))*mi) // what its children cost the kernel is charged to it.
		}
		if got, want := ours(treeOf(t, h), top), ours(treeOf(t, f.other), top); got != want || len(f.ended) > 0 {
			t.Fatalf("step %d (%v): listed\n%s\nread\n%s", step, f.ended, got, want)
		}
	}
	if by, without := reads[h], reads[f.other]/2; by > without/2 { // which makes the list, too.
		t.Errorf("%d files read, without a list %d", by, without)
	}
}

// TestListedLongPaths has cgroups whose paths are longer than one that may be opened.
func TestListedLongPaths(t *testing.T) {
	h, f := listing(t, func(*oom.CgroupNumbers) {})
	agreed(t, h)
	top := makeLive(t, h, "long")
	enable(t, h, top)
	at, err := unix.Open(h.Mount()+top, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(at) })
	const levels = 20
	for i := range levels {
		name := strings.Repeat(string(rune('a'+i)), 240)
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		parent := at
		t.Cleanup(func() { _ = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) })
		if at, err = unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			t.Fatal(err)
		}
		if h.Version() == 2 && i < levels-1 {
			if fd, err := unix.Openat(at, "cgroup.subtree_control", unix.O_WRONLY, 0); err == nil {
				_, _ = unix.Write(fd, []byte("+memory"))
				_ = unix.Close(fd)
			}
		}
		fd := at
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
	for pass := range 12 {
		tree, skipped := mustRead(t, h)
		below := strings.Count(ours(tree, top), "\n")
		if below != levels+1 || skipped.UnreadableGroups > 0 || len(f.ended) > 0 {
			t.Fatalf("pass %d: %d cgroups, want %d; %+v, %v", pass, below, levels+1, skipped, f.ended)
		}
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
