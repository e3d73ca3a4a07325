// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const mi = 1 << 20

// unpack writes the named archive of testdata to a directory and returns it.
func unpack(t testing.TB, name string) string {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range archive.Files {
		put(t, filepath.Join(dir, f.Name), string(f.Data))
	}
	return dir
}

// put writes a file and the directories above it.
func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// groupV1 writes a plain v1 group with the given usage.
func groupV1(t testing.TB, dir string, usage int) {
	t.Helper()
	put(t, dir+"/memory.usage_in_bytes", fmt.Sprintln(usage))
	put(t, dir+"/memory.limit_in_bytes", "9223372036854771712\n")
	put(t, dir+"/memory.failcnt", "0\n")
	put(t, dir+"/memory.use_hierarchy", "1\n")
	put(t, dir+"/memory.kmem.usage_in_bytes", "0\n")
	put(t, dir+"/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
	put(t, dir+"/memory.stat", fmt.Sprintf("cache 0\ntotal_rss %d\ntotal_inactive_file 0\n", usage))
	put(t, dir+"/cgroup.procs", "")
}

// groupV2 writes a plain v2 group with the given usage.
func groupV2(t testing.TB, dir string, usage int) {
	t.Helper()
	put(t, dir+"/memory.current", fmt.Sprintln(usage))
	put(t, dir+"/memory.max", "max\n")
	put(t, dir+"/memory.high", "max\n")
	put(t, dir+"/memory.stat", fmt.Sprintf("anon %d\nkernel 0\n", usage))
	setEvents(t, dir, 0, 0)
	put(t, dir+"/cgroup.procs", "")
}

// setEvents writes the kills of a v2 group: with its descendants', and its own.
func setEvents(t testing.TB, dir string, tree, own int) {
	t.Helper()
	put(t, dir+"/memory.events", fmt.Sprintf("low 0\nhigh 0\nmax 0\noom 0\noom_kill %d\n", tree))
	put(t, dir+"/memory.events.local", fmt.Sprintf("low 0\nhigh 0\nmax 0\noom 0\noom_kill %d\n", own))
}

// rootV1 makes an empty v1 tree and returns its directory and that of the
// memory hierarchy.
func rootV1(t testing.TB) (dir, mount string) {
	t.Helper()
	dir = t.TempDir()
	mount = dir + "/sys/fs/cgroup/memory"
	groupV1(t, mount, 0)
	return dir, mount
}

// rootV2 does so for v2.
func rootV2(t testing.TB) (dir, mount string) {
	t.Helper()
	dir = t.TempDir()
	mount = dir + "/sys/fs/cgroup"
	put(t, mount+"/cgroup.controllers", "cpu memory\n")
	put(t, mount+"/memory.stat", "anon 0\n")
	put(t, dir+"/proc/sys/kernel/osrelease", "6.12.0\n")
	return dir, mount
}

func options(dir string, parts Parts) Options {
	return Options{Sysfs: dir + "/sys", Procfs: dir + "/proc", Parts: parts}
}

func mustFind(t testing.TB, o Options) *Hierarchy {
	t.Helper()
	h, err := Find(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// mustRead reads and checks what holds of every tree.
func mustRead(t testing.TB, h *Hierarchy) (oom.Tree, oom.Skipped) {
	t.Helper()
	tree, skipped, err := h.Read()
	if err != nil {
		t.Fatal(err)
	}
	checkTree(t, tree)
	return tree, skipped
}

func mustReadKills(t testing.TB, h *Hierarchy) oom.Tree {
	t.Helper()
	tree, _, err := h.ReadKills()
	if err != nil {
		t.Fatal(err)
	}
	checkTree(t, tree)
	return tree
}

func checkTree(t testing.TB, tree oom.Tree) {
	t.Helper()
	for i, g := range tree.Groups {
		switch {
		case i == 0:
			if g.Path != "/" || g.Parent != -1 || g.Owner != 0 {
				t.Errorf("root is %q, parent %d, owner %d", g.Path, g.Parent, g.Owner)
			}
			continue
		case g.Parent < 0 || g.Parent >= i || g.Owner != i:
			t.Fatalf("group %d %s has parent %d, owner %d", i, g.Path, g.Parent, g.Owner)
		}
		if want := filepath.Dir(g.Path); tree.Groups[g.Parent].Path != want {
			t.Errorf("parent of %s is %s", g.Path, tree.Groups[g.Parent].Path)
		}
		if g.Inode == 0 {
			t.Errorf("%s has no inode", g.Path)
		}
	}
}

func paths(tree oom.Tree) []string {
	var p []string
	for _, g := range tree.Groups {
		p = append(p, g.Path)
	}
	return p
}

func group(t testing.TB, tree oom.Tree, path string) oom.Group {
	t.Helper()
	for _, g := range tree.Groups {
		if g.Path == path {
			return g
		}
	}
	t.Fatalf("no group %q in %d: %.2000q", path, len(tree.Groups), paths(tree))
	return oom.Group{}
}
