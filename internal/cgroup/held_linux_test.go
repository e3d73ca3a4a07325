// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// A storm's passes read kept-open groups: their counters move, they are gone
// when they are removed, another group with the name is another one, and
// children of theirs are found.
func TestHeldGroups(t *testing.T) {
	h := live(t)
	if h.Version() != 1 {
		t.Skip("v2 has counters of whole subtrees")
	}
	path := makeLive(t, h, "held")
	dir := h.Mount() + path
	mkdir := func(name string) {
		t.Helper()
		if err := os.Mkdir(dir+name, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeLive(t, dir+name) })
	}
	mkdir("/a")
	for range 3 {
		mustReadKills(t, h)
	}
	first := group(t, mustReadKills(t, h), path+"/a")
	if len(h.storm.groups) == 0 {
		t.Fatal("nothing is kept open")
	}
	limit(t, h, path+"/a", 4*mi)
	if _, alive := startHog(t, h, path+"/a", 64*mi); alive {
		t.Fatal("the process was not killed")
	}
	if got := group(t, mustReadKills(t, h), path+"/a").Events.OwnKills; got != oom.Of(1) {
		t.Errorf("%v kills, want 1", got)
	}
	isFull := len(h.storm.groups) >= min(maxHeld, shareOf(stormFiles)/heldFiles) // of others on the host.
	if parent := h.storm.groups[nodeAt(h, path)]; parent.inode == 0 && !isFull {
		t.Error("a group with children is not kept open")
	}
	mkdir("/a/b")
	group(t, mustReadKills(t, h), path+"/a/b")
	removeLive(t, dir+"/a/b")
	mustReadKills(t, h)
	removeLive(t, dir+"/a")
	if slices.Contains(paths(mustReadKills(t, h)), path+"/a") {
		t.Error("a removed group is still there")
	}
	mkdir("/a")
	again := group(t, mustReadKills(t, h), path+"/a")
	if again.Inode == first.Inode || again.Events.OwnKills != oom.Of(0) {
		t.Errorf("the new group is %+v, the old one was %+v", again, first)
	}
	before, held := countFDs(t), len(h.storm.groups)
	h.storm.last = h.storm.last.Add(-2 * heldFor) // as if it were over.
	mustRead(t, h)
	if after := countFDs(t); held == 0 || after != before-2*held {
		t.Errorf("%d descriptors with %d groups open, %d after", before, held, after)
	}
}

// nodeAt returns the node of a path.
func nodeAt(h *Hierarchy, path string) *node {
	n := h.root
	for next := true; next; {
		next = false
		for _, c := range n.children {
			if c.path == path {
				return c
			}
			if strings.HasPrefix(path, c.path+"/") {
				n, next = c, true
				break
			}
		}
	}
	return nil
}

// scarceFDs leaves the test that many more descriptors, and returns how many it
// may have then.
func scarceFDs(t *testing.T, more int) int {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(countFDs(t) + more)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
	return int(few.Cur)
}

// Where descriptors are scarce none are kept.
func TestHeldGroupsAreBounded(t *testing.T) {
	h := live(t)
	few := scarceFDs(t, 64)
	defer h.storm.closeAll()
	for range 3 {
		mustReadKills(t, h)
	}
	if n := len(h.storm.groups); n > few/8/heldFiles {
		t.Errorf("%d groups are kept open with %d descriptors", n, few)
	}
}
