// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func dataOf(s string) *byte { return unsafe.StringData(s) }

// mkdirs makes n empty groups below dir.
func mkdirs(t testing.TB, dir string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	for i := range n {
		if err := unix.Mkdirat(fd, fmt.Sprintf("g%06d", i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOverBound(t *testing.T) {
	dir, mount := rootV1(t)
	mkdirs(t, mount+"/flood", 2000)
	groupV1(t, mount+"/after", 1)
	mkdirs(t, mount+"/zz", 3)
	o := options(dir, 0)
	o.MaxGroups = 1000
	h := mustFind(t, o)
	for range 2 {
		tree, skipped := mustRead(t, h)
		// Root, after, zz and its three, flood and 993 of its children.
		if len(tree.Groups) != 1000 {
			t.Errorf("%d groups", len(tree.Groups))
		}
		for _, path := range []string{"/after", "/flood/g000992", "/zz/g000002"} {
			group(t, tree, path)
		}
		if want := uint64(2000 - 993); skipped.GroupsOverBound != want || skipped.Crowd != (oom.Crowd{Path: "/flood", LeftOut: want}) {
			t.Errorf("%+v, want %d groups over the bound in /flood", skipped, want)
		}
		light, lightSkipped, err := h.ReadKills()
		if err != nil || len(light.Groups) != 1000 || lightSkipped.GroupsOverBound == 0 {
			t.Errorf("ReadKills: %d groups, %+v, %v", len(light.Groups), lightSkipped, err)
		}
	}
	if n := len(group2node(h, "/flood").children); n > 1000 {
		t.Errorf("%d groups are remembered", n)
	}
}

// group2node returns what is remembered of a group.
func group2node(h *Hierarchy, path string) *node {
	n := h.root
	for _, c := range n.children {
		if c.path == path {
			return c
		}
	}
	return n
}

// With only a few over the bound, they are counted in full.
func TestOverBoundIsExact(t *testing.T) {
	dir, mount := rootV1(t)
	for i := range 10 {
		mkdirs(t, fmt.Sprintf("%s/pod%d", mount, i), 3)
	}
	o := options(dir, 0)
	o.MaxGroups = 7 // root, pod0 and its three, pod1 and one of its three.
	h := mustFind(t, o)
	for range 2 {
		tree, skipped := mustRead(t, h)
		if len(tree.Groups) != 7 || skipped.GroupsOverBound != 34 {
			t.Errorf("%d groups, %d over the bound, want 7 and 34", len(tree.Groups), skipped.GroupsOverBound)
		}
	}
}

// nest makes depth groups one in the other, without ever spelling out a path.
func nest(t *testing.T, mount, name string, depth int) string {
	t.Helper()
	fd, err := unix.Open(mount, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := ""
	for range depth {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd)
		fd, path = next, path+"/"+name
	}
	file, err := unix.Openat(fd, ".", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(file); _ = unix.Close(fd) }()
	usage, err := unix.Openat(file, "memory.usage_in_bytes", unix.O_WRONLY|unix.O_CREAT, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(usage, []byte("77\n")); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(usage)
	return path
}

// Paths beyond PATH_MAX, with any byte in their names.
func TestLongPath(t *testing.T) {
	name := strings.Repeat("x", 240) + "\xff\"\n\\ =,\x01"
	for _, depth := range []int{16, 20, 64} { // 4,000 bytes, and far beyond PATH_MAX.
		dir, mount := rootV1(t)
		path := nest(t, mount, name, depth)
		h := mustFind(t, options(dir, PartsAll))
		for range 2 {
			tree, skipped := mustRead(t, h)
			g := group(t, tree, path)
			if g.Usage != oom.Of(77) || len(tree.Groups) != depth+1 || skipped != (oom.Skipped{}) {
				t.Errorf("depth %d, path of %d bytes: usage %v, %d groups, %+v", depth, len(path), g.Usage, len(tree.Groups), skipped)
			}
		}
		if g, err := h.ReadGroup(path); err != nil || g.Usage != oom.Of(77) {
			t.Errorf("ReadGroup: %v, %v", g.Usage, err)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	dir, mount := rootV1(t)
	nest(t, mount, "d", maxDepth+2)
	tree, skipped := mustRead(t, mustFind(t, options(dir, 0)))
	// The root is no level, the first group over the bound has one child.
	if len(tree.Groups) != maxDepth+1 || skipped != (oom.Skipped{GroupsTooDeep: 2}) {
		t.Errorf("%d groups, skipped %+v", len(tree.Groups), skipped)
	}
}

// countFDs returns how many descriptors this process has.
func countFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestDescriptors(t *testing.T) {
	dir, mount := rootV1(t)
	nest(t, mount, "d", 64)
	h := mustFind(t, options(dir, PartsAll))
	before := countFDs(t)
	most := 0
	h.hook = func(path, _ string) unix.Errno {
		if strings.Count(path, "/") == 64 {
			most = max(most, countFDs(t))
		}
		return 0
	}
	mustRead(t, h)
	mustReadKills(t, h)
	if after := countFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if most == 0 || most-before > 64+4 {
		t.Errorf("%d descriptors more at depth 64", most-before)
	}
}

// Too few descriptors fail the pass: groups must not look unreadable for it.
func TestOutOfDescriptors(t *testing.T) {
	h := mustFind(t, options(unpack(t, "v1"), 0))
	h.hook = func(path, _ string) unix.Errno {
		if path == "/kubepods" {
			return unix.EMFILE
		}
		return 0
	}
	_, _, err := h.Read()
	if err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("error is %v", err)
	}
	h.hook = nil
	mustRead(t, h)
}

func TestConcurrentReads(t *testing.T) {
	h := mustFind(t, options(unpack(t, "v2"), PartsAll))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if _, _, err := h.Read(); err != nil {
					t.Error(err)
				}
				if _, _, err := h.ReadKills(); err != nil {
					t.Error(err)
				}
				if _, err := h.ReadGroup("/kubepods.slice"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// In the steady state a pass allocates the groups and the pids, however many
// there are.
func TestAllocations(t *testing.T) {
	dir, mount := rootV1(t)
	for i := range 40 {
		groupV1(t, fmt.Sprintf("%s/pod%d", mount, i), 1)
		groupV1(t, fmt.Sprintf("%s/pod%d/c", mount, i), 1)
		put(t, fmt.Sprintf("%s/pod%d/c/cgroup.procs", mount, i), fmt.Sprintf("%d\n%d\n", 1000+i, 2000+i))
	}
	h := mustFind(t, options(dir, PartPeak|PartSwap|PartPressure|PartProcs))
	mustRead(t, h)
	mustRead(t, h)
	n := testing.AllocsPerRun(10, func() {
		if _, _, err := h.Read(); err != nil {
			t.Fatal(err)
		}
	})
	if n > 10 { // 81 groups.
		t.Errorf("%v allocations in a pass over 81 groups", n)
	}
	n = testing.AllocsPerRun(10, func() {
		if _, _, err := h.ReadKills(); err != nil {
			t.Fatal(err)
		}
	})
	if n > 10 {
		t.Errorf("%v allocations in a light pass over 81 groups", n)
	}
}

// A file system that does not count links (overlay, btrfs) says 1: then every
// directory is listed in every pass.
func TestWithoutLinkCount(t *testing.T) {
	dir, mount := rootV1(t)
	for _, g := range []string{"/a", "/b", "/c"} {
		groupV1(t, mount+g, 1)
	}
	h := mustFind(t, options(dir, 0))
	check := func(want int) {
		t.Helper()
		p, err := h.begin(false)
		if err != nil {
			t.Fatal(err)
		}
		defer p.end()
		p.tree.Groups, p.rows = make([]oom.Group, 1), make([]*node, 1)
		if err := p.readChildren(h.root, level{fd: p.rootFD, cpuset: -1, depth: 1}, 1); err != nil {
			t.Fatal(err)
		}
		if len(p.tree.Groups) != 1+want || p.skipped != (oom.Skipped{}) {
			t.Errorf("groups %q, skipped %+v", paths(p.tree), p.skipped)
		}
	}
	check(3)
	check(3)
	groupV1(t, mount+"/d", 1)
	check(4)
	for _, g := range []string{"/a", "/b", "/c", "/d"} {
		if err := os.RemoveAll(mount + g); err != nil {
			t.Fatal(err)
		}
	}
	check(0)
}
