// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestPopulated(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	inode := func(path string) uint64 {
		t.Helper()
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Ino
	}
	put("own/cgroup.procs", "12\n")
	put("below/cgroup.procs", "")
	put("below/a/b/cgroup.procs", "7\n")
	put("empty/cgroup.procs", "\n")
	put("empty/a/cgroup.procs", "")
	put("said/cgroup.events", "populated 1\nfrozen 0\n")
	put("denied/cgroup.events", "populated 0\nfrozen 0\n")
	for _, c := range []struct {
		version int
		path    string
		want    bool
	}{
		{1, "own", true},
		{1, "below", true},
		{1, "empty", false},
		{2, "own", true},
		{2, "said", true},
		{2, "denied", false},
	} {
		h := &Hierarchy{place: place{version: c.version, dir: root}}
		id := oom.GroupID{Path: "/" + c.path, Inode: inode(c.path)}
		if got := h.Populated(id); got != c.want {
			t.Errorf("v%d %s: %v, want %v", c.version, c.path, got, c.want)
		}
		id.Inode++
		if h.Populated(id) {
			t.Errorf("v%d %s: another group's inode is said to be populated", c.version, c.path)
		}
		if h.Populated(oom.GroupID{Path: "/gone", Inode: 1}) {
			t.Errorf("v%d: a group that is gone is said to be populated", c.version)
		}
	}
}
