// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// keeping is the host's hierarchy with groups that stay open.
func keeping(t *testing.T, groups int) *Hierarchy {
	t.Helper()
	h, err := Find(Options{Parts: PartsAll, KeepOpen: groups})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { h.closeKeptOpen(0) })
	return h
}

// keepOpen is more groups than any host has that tests run on.
const keepOpen = 20_000

// descriptorsOf is how many descriptors this process has below a directory.
func descriptorsOf(t *testing.T, dir string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}

func treeOf(t *testing.T, h *Hierarchy) oom.Tree {
	t.Helper()
	tree, _ := mustRead(t, h)
	return tree
}

// Groups that stay open are read as others are: usage and limit move, children
// are found, the removed are gone, and who takes their name is somebody else.
func TestOpenGroups(t *testing.T) {
	h := keeping(t, keepOpen)
	path := makeLive(t, h, "open")
	enable(t, h, path)
	dir := h.Mount() + path
	mkdir := func(name string) {
		t.Helper()
		if err := os.Mkdir(dir+name, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeLive(t, dir+name) })
	}
	mkdir("/a")
	treeOf(t, h)
	before := countFDs(t)
	first := group(t, treeOf(t, h), path+"/a")
	if opened := countFDs(t) - before; len(h.open) == 0 || opened > openFiles*len(h.open) {
		t.Fatalf("%d groups are open, with %d descriptors more than before", len(h.open), opened)
	}
	limit(t, h, path+"/a", 64*mi)
	startHog(t, h, path+"/a", 20*mi)
	got, want := group(t, treeOf(t, h), path+"/a"), group(t, treeOf(t, live(t)), path+"/a")
	// Between the two the kernel may charge another lot, or give one back.
	near := max(got.Usage.Or(0), want.Usage.Or(0))-min(got.Usage.Or(0), want.Usage.Or(0)) <= mi
	if got.Limit != oom.Of(64*mi) || got.Limit != want.Limit || got.Usage.Or(0) < 20*mi || !near || !slices.Equal(got.PIDs, want.PIDs) {
		t.Errorf("read %+v, by others %+v", got, want)
	}
	mkdir("/b")
	mkdir("/b/c")
	for range 3 {
		group(t, treeOf(t, h), path+"/b/c")
	}
	if descriptorsOf(t, dir+"/b") == 0 && len(h.open) < keepOpen {
		t.Error("the new groups were not opened")
	}
	removeLive(t, dir+"/b/c")
	removeLive(t, dir+"/b")
	if found := paths(treeOf(t, h)); slices.Contains(found, path+"/b") || slices.Contains(found, path+"/b/c") {
		t.Error("a removed group is still there")
	}
	// Others on the host may take their place, so descriptors are not counted.
	if n := descriptorsOf(t, dir+"/b"); n > 0 {
		t.Errorf("%d descriptors of removed groups are open", n)
	}
	old := group(t, func() oom.Tree { mkdir("/b"); treeOf(t, h); return treeOf(t, h) }(), path+"/b")
	limit(t, h, path+"/b", 32*mi)
	removeLive(t, dir+"/b")
	mkdir("/b")
	if again := group(t, treeOf(t, h), path+"/b"); again.Inode == old.Inode || again.Limit.IsValue() || first.Inode == 0 {
		t.Errorf("the new group is %+v, the old one was %+v", again, old)
	}
}

// A group that is renamed, as v1 allows, has its new name soon.
func TestOpenGroupsAreRenamed(t *testing.T) {
	h := keeping(t, keepOpen)
	if h.Version() != 1 {
		t.Skip("groups of v2 can't be renamed")
	}
	path := makeLive(t, h, "renamed")
	dir := h.Mount() + path
	for _, name := range []string{"/a", "/b"} {
		t.Cleanup(func() { removeLive(t, dir+name) })
	}
	if err := os.Mkdir(dir+"/a", 0o755); err != nil {
		t.Fatal(err)
	}
	treeOf(t, h)
	before := group(t, treeOf(t, h), path+"/a")
	if err := os.Rename(dir+"/a", dir+"/b"); err != nil {
		t.Fatal(err)
	}
	for range openPasses {
		treeOf(t, h)
	}
	tree := treeOf(t, h)
	if slices.Contains(paths(tree), path+"/a") || group(t, tree, path+"/b").Inode != before.Inode {
		t.Errorf("the groups are %v", paths(tree))
	}
}

// Descriptors are left to others, and all come back.
func TestOpenGroupsAreBounded(t *testing.T) {
	h := keeping(t, keepOpen)
	makeLive(t, h, "bounded")
	before := countFDs(t)
	few := scarceFDs(t, 40)
	for range 3 {
		treeOf(t, h)
	}
	most := few * scrapeFiles / 8 / openFiles
	if n := len(h.open); n > most || n < min(most, h.groups/2) {
		t.Errorf("%d of %d groups are open with %d descriptors", n, h.groups, few)
	}
	h.hook = func(string, string) unix.Errno { return unix.EMFILE }
	if _, _, err := h.Read(); err == nil {
		t.Error("a pass without descriptors succeeds")
	}
	if after := countFDs(t); len(h.open) != 0 || after > before {
		t.Errorf("a failed pass leaves %d groups open, and %d descriptors of %d", len(h.open), after, before)
	}
}

// Where more groups are there than may stay open, as many do as may: it is on full
// nodes that it matters. When fewer may, the others are closed.
func TestOpenGroupsOfMany(t *testing.T) {
	h := keeping(t, 2)
	path := makeLive(t, h, "many")
	enable(t, h, path)
	for _, name := range []string{"/a", "/b", "/c", "/d", "/e"} {
		dir := h.Mount() + path + name
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeLive(t, dir) })
	}
	for most := 2; most >= 0; most-- {
		h.options.KeepOpen = most
		treeOf(t, h)
		if treeOf(t, h); len(h.open) != most {
			t.Errorf("%d of %d groups are open, want %d", len(h.open), h.groups, most)
		}
	}
}

// Only the kernel's own files say when their group is gone.
func TestOpenGroupsOfAFixture(t *testing.T) {
	h := &Hierarchy{options: Options{KeepOpen: 1000}}
	fd, err := unix.Open(t.TempDir(), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if n := h.mayKeepOpen(fd); n != 0 {
		t.Errorf("%d groups of a file system that is none of the kernel's may stay open", n)
	}
}

// takeFDs takes all descriptors that are left.
func takeFDs(t *testing.T) {
	t.Helper()
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
}

// When others in this process have taken all descriptors, what is kept open is given
// back, and the pass succeeds: a scrape, and one that reads the kills.
func TestKeptOpenIsGivenBack(t *testing.T) {
	for name, read := range map[string]func(*Hierarchy) error{
		"Read":      func(h *Hierarchy) error { _, _, err := h.Read(); return err },
		"ReadKills": func(h *Hierarchy) error { _, _, err := h.ReadKills(); return err },
	} {
		t.Run(name, func(t *testing.T) {
			h := keeping(t, keepOpen)
			path := makeLive(t, h, "back")
			enable(t, h, path)
			for _, name := range []string{"/a", "/b", "/c", "/d"} { // the host may have none.
				if err := os.Mkdir(h.Mount()+path+name, 0o755); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { removeLive(t, h.Mount()+path+name) })
			}
			for range 3 {
				treeOf(t, h)
				mustReadKills(t, h)
			}
			kept := len(h.open) + len(h.storm.groups)
			if kept == 0 {
				t.Fatal("nothing is kept open")
			}
			if err := os.Mkdir(h.Mount()+path+"/new", 0o755); err != nil { // which has to be opened.
				t.Fatal(err)
			}
			t.Cleanup(func() { removeLive(t, h.Mount()+path+"/new") })
			scarceFDs(t, 8)
			takeFDs(t)
			if err := read(h); err != nil {
				t.Errorf("with %d cgroups kept open: %v", kept, err)
			}
			if n := len(h.open) + len(h.storm.groups); n > 0 {
				t.Errorf("%d cgroups are open", n)
			}
		})
	}
}

// All who keep cgroups open leave each other, and what a pass opens for a moment, enough
// descriptors, however many cgroups there are for those that there are.
func TestDescriptorsAreShared(t *testing.T) {
	h := keeping(t, keepOpen)
	path := makeLive(t, h, "shared")
	enable(t, h, path)
	for i := range 80 {
		dir := fmt.Sprintf("%s%s/%d", h.Mount(), path, i)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeLive(t, dir) })
	}
	for _, more := range []int{100, 200, 300, 400, 500, 1000} {
		t.Run(strconv.Itoa(more), func(t *testing.T) {
			others := countFDs(t)
			few := scarceFDs(t, more)
			s := newSampled(t, h, SamplerOptions{})
			defer func() {
				h.closeKeptOpen(0)
				h.storm.closeAll()
			}()
			for range 4 {
				s.find()
				treeOf(t, h)
				mustReadKills(t, h)
			}
			if s.exhausted || countFDs(t)-others > few*7/8+1 { // and the root of the sampler.
				t.Errorf("%d of %d descriptors are kept: none left: %t", countFDs(t)-others, few, s.exhausted)
			}
			most := few * scrapeFiles / 8 / openFiles
			if n := len(h.open); n < min(most, h.groups/2) {
				t.Errorf("%d of %d cgroups are open with %d descriptors", n, h.groups, few)
			}
			if n := len(h.storm.groups); h.Version() == 1 && n < min(h.groups-1, few/8/heldFiles) {
				t.Errorf("%d of %d cgroups are open for a storm with %d descriptors", n, h.groups, few)
			}
		})
	}
}
