// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
	switch {
	case errors.Is(err, ErrOldKernel):
		t.Skip(err)
	case err != nil:
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

// TestKillsOfCgroups has the kernel kill one process in a cgroup below another: both
// counters of the one say so, and of the other, on cgroup v2, the one of the whole tree.
func TestKillsOfCgroups(t *testing.T) {
	c, dir, version := openCgroupsHere(t, 0)
	outer := makeCgroup(t, dir, fmt.Sprintf("oom-exporter-kills-%d", os.Getpid()), nil)
	limits := map[string]string{"memory.limit_in_bytes": "16M"}
	if version == 2 {
		if err := os.WriteFile(filepath.Join(outer, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			t.Skip(err)
		}
		limits = map[string]string{"memory.max": "16M"}
	}
	inner := makeCgroup(t, outer, "inner", limits)
	for file, text := range map[string]string{"memory.swap.max": "0", "memory.memsw.limit_in_bytes": "17M"} { // where there is swap.
		_ = os.WriteFile(filepath.Join(inner, file), []byte(text), 0)
	}
	out, err := exec.Command("sh", "-c", "echo 0 >"+inner+"/cgroup.procs && exec tail /dev/zero").CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
	all, err := c.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	in, above := find(all, inodeOf(t, inner)), find(all, inodeOf(t, outer))
	if in == nil || above == nil {
		t.Fatalf("of %d cgroups, the new ones are %+v and %+v", len(all), in, above)
	}
	if in.Events.OwnKills != oom.Of(1) || in.Events.OOMs.Or(0) == 0 && version == 2 {
		t.Errorf("in it: %+v, local %+v", in.Events, in.LocalEvents)
	}
	if version == 2 && (in.LocalEvents.OwnKills != oom.Of(1) || above.Events.OwnKills != oom.Of(1) || above.LocalEvents.OwnKills != oom.Of(0)) {
		t.Errorf("in it: local %+v; above: %+v, local %+v", in.LocalEvents, above.Events, above.LocalEvents)
	}
	if version == 1 && (above.Events.OwnKills != oom.Of(0) || in.LimitHits.Or(0) == 0) {
		t.Errorf("in it: %v limit hits; above: %+v", in.LimitHits, above.Events)
	}
}

// TestAllCgroups holds the limits, and on v1 the limit hits, of all cgroups of this host
// against their files. Others may have theirs changed meanwhile: they are listed twice.
func TestAllCgroups(t *testing.T) {
	c, dir, version := openCgroupsHere(t, 0)
	makeCgroup(t, dir, fmt.Sprintf("oom-exporter-all-%d", os.Getpid()), nil) // there may be no other.
	before, err := c.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	files := filesBelow(t, dir, version)
	after, err := c.Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i := range before {
		n, again := &before[i], find(after, before[i].Inode)
		want, ok := files[n.Inode]
		if !ok || again == nil || n.Limit != again.Limit || n.LimitHits != again.LimitHits {
			continue
		}
		compared++
		if version == 2 {
			want.hits = n.LimitHits // it has no file for them.
		}
		if n.Limit != want.limit || n.LimitHits != want.hits {
			t.Errorf("%s: limit %v, hits %v; by its files %v, %v", want.path, n.Limit, n.LimitHits, want.limit, want.hits)
		}
	}
	if compared == 0 {
		t.Errorf("none of %d cgroups compared", len(before))
	}
}

type limitFiles struct {
	path        string
	limit, hits oom.Amount
}

// filesBelow reads the limits of all cgroups below a directory, by their inodes.
func filesBelow(t *testing.T, dir string, version int) map[uint64]limitFiles {
	t.Helper()
	number := func(path, file string) oom.Amount {
		text, err := os.ReadFile(filepath.Join(path, file))
		if err != nil {
			return oom.Amount{}
		}
		if v, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63); err == nil && v < 1<<62 {
			return oom.Of(v)
		}
		return oom.Unlimited()
	}
	limit := "memory.max"
	if version == 1 {
		limit = "memory.limit_in_bytes"
	}
	found := map[uint64]limitFiles{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && e.IsDir() && path != dir && unix.Stat(path, &st) == nil {
			if n := number(path, limit); n.IsSet() {
				found[st.Ino] = limitFiles{path, n, number(path, "memory.failcnt")}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestTooManyCgroups has no room for them: that is an error, and no list without some.
func TestTooManyCgroups(t *testing.T) {
	c, dir, _ := openCgroupsHere(t, 1)
	makeCgroup(t, dir, fmt.Sprintf("oom-exporter-many-%d", os.Getpid()), nil)
	if all, err := c.Read(nil); !errors.Is(err, errTooMany) {
		t.Errorf("%d cgroups, and the error is %v", len(all), err)
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
