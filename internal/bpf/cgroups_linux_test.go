// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// memoryMount is where this host's memory cgroups are, and their version.
func memoryMount(t *testing.T) (dir string, version int) {
	t.Helper()
	for _, m := range []struct {
		dir, file string
		version   int
	}{{"/sys/fs/cgroup/memory", "memory.usage_in_bytes", 1}, {"/sys/fs/cgroup", "cgroup.controllers", 2}} {
		if _, err := os.Stat(filepath.Join(m.dir, m.file)); err == nil {
			return m.dir, m.version
		}
	}
	t.Skip("no memory cgroups are mounted")
	return "", 0
}

func openCgroupsHere(t *testing.T, most int) (c *Cgroups, dir string, version int) {
	t.Helper()
	if missing := missingCapabilities(); len(missing) > 0 {
		t.Skip("may not load programs:", missing)
	}
	dir, version = memoryMount(t)
	c, err := OpenCgroups(Options{Kernel: NewKernel(vmlinux), MaxCgroups: most}, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, dir, version
}

// makeCgroup makes a cgroup with limits of its own, and nobody in it.
func makeCgroup(t *testing.T, dir, name string, files map[string]string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Skip("may not make cgroups:", err)
	}
	t.Cleanup(func() { _ = unix.Rmdir(path) })
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(path, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func find(all []oom.CgroupNumbers, inode uint64) *oom.CgroupNumbers {
	for i := range all {
		if all[i].Inode == inode {
			return &all[i]
		}
	}
	return nil
}

// TestCgroups holds what the program says of cgroups with limits of their own against
// what was written, and that those that are gone are gone.
func TestCgroups(t *testing.T) {
	c, dir, version := openCgroupsHere(t, 0)
	limits := map[string]string{"memory.limit_in_bytes": "64M", "memory.swappiness": "37"}
	if version == 2 {
		limits = map[string]string{"memory.max": "64M", "memory.high": "48M", "memory.min": "1M", "memory.oom.group": "1"}
	}
	path := makeCgroup(t, dir, fmt.Sprintf("oom-exporter-numbers-%d", os.Getpid()), limits)
	bare := makeCgroup(t, path, "bare", nil)
	parent, child := inodeOf(t, path), inodeOf(t, bare)
	all, err := c.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := find(all, parent)
	if n == nil || n.Parent != inodeOf(t, dir) {
		t.Fatalf("of %d cgroups, none is the new one below %d: %+v", len(all), inodeOf(t, dir), n)
	}
	if n.Limit != oom.Of(64<<20) || n.Usage.Or(1<<40) > 64<<20 || n.Events.OwnKills != oom.Of(0) {
		t.Errorf("it is %+v", n)
	}
	switch {
	case version == 1 && (n.Swappiness != oom.Of(37) || n.KillDisabled != oom.Of(0) || !n.MemswLimit.IsUnlimited() || !n.Kernel.IsSet()):
		t.Errorf("of v1 it is %+v", n)
	case version == 2 && (n.High != oom.Of(48<<20) || n.Min != oom.Of(1<<20) || n.OOMGroup != oom.Of(1) || !n.SwapLimit.IsUnlimited()):
		t.Errorf("of v2 it is %+v", n)
	}
	if version == 1 { // on v2 the memory controller of a child has to be switched on.
		if n := find(all, child); n == nil || n.Parent != parent || !n.Limit.IsUnlimited() {
			t.Errorf("its child is %+v", n)
		}
	}
	if err := unix.Rmdir(bare); err != nil {
		t.Fatal(err)
	}
	if all, err = c.Read(all); err != nil || find(all, child) != nil || find(all, parent) == nil {
		t.Errorf("after its end (%v) the child is %+v", err, find(all, child))
	}
}

// TestAllCgroups holds the limits and counters of all cgroups of this host against
// their files.
func TestAllCgroups(t *testing.T) {
	c, dir, version := openCgroupsHere(t, 0)
	all, err := c.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	limit, hits := "memory.max", ""
	if version == 1 {
		limit, hits = "memory.limit_in_bytes", "memory.failcnt"
	}
	looked := 0
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() || path == dir {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(path, limit))
		n := find(all, inodeOf(t, path))
		if err != nil || n == nil {
			return nil
		}
		looked++
		want := oom.Unlimited()
		if v, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63); err == nil && v < 1<<62 {
			want = oom.Of(v)
		}
		if n.Limit != want {
			t.Errorf("%s: limit %v, by its file %v", path, n.Limit, want)
		}
		if text, err := os.ReadFile(filepath.Join(path, hits)); hits != "" && err == nil && strings.TrimSpace(string(text)) != n.LimitHits.String() {
			t.Errorf("%s: hits %v, by its file %s", path, n.LimitHits, text)
		}
		return nil
	})
	if err != nil || looked == 0 {
		t.Errorf("%d cgroups compared: %v", looked, err)
	}
}

// TestTooManyCgroups has no room for them: that is an error, and no list without some.
func TestTooManyCgroups(t *testing.T) {
	c, dir, _ := openCgroupsHere(t, 1)
	makeCgroup(t, dir, fmt.Sprintf("oom-exporter-many-%d", os.Getpid()), nil)
	if all, err := c.Read(nil); err == nil {
		t.Errorf("%d cgroups without an error", len(all))
	}
}

func BenchmarkCgroups(b *testing.B) {
	if missing := missingCapabilities(); len(missing) > 0 {
		b.Skip("may not load programs:", missing)
	}
	c, err := OpenCgroups(Options{Kernel: NewKernel(vmlinux)}, "/sys/fs/cgroup/memory")
	if err != nil {
		b.Skip(err)
	}
	defer func() { _ = c.Close() }()
	var all []oom.CgroupNumbers
	for b.Loop() {
		if all, err = c.Read(all); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(all)), "cgroups")
}
