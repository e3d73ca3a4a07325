// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Hierarchy is the host's memory hierarchy: where it is mounted, and which
// version of cgroups it speaks.
type Hierarchy struct {
	Mount   string
	Version int
}

// MemoryHierarchy finds the hierarchy that has the memory controller.
func MemoryHierarchy(t testing.TB) Hierarchy {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var v2 string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case f[2] == "cgroup" && strings.Contains(","+f[3]+",", ",memory,"):
			return Hierarchy{Mount: f[1], Version: 1}
		case f[2] == "cgroup2" && v2 == "": // later ones may be views of it.
			v2 = f[1]
		}
	}
	controllers, err := os.ReadFile(filepath.Join(v2, "cgroup.controllers"))
	if err != nil || !strings.Contains(string(controllers), "memory") {
		t.Skip("needs a cgroup hierarchy with the memory controller")
	}
	return Hierarchy{Mount: v2, Version: 2}
}

// Group is a memory cgroup of the host that a test made.
type Group struct {
	Hierarchy
	Path string // in the hierarchy, as the kernel's log would print it.
}

// Unlimited is the limit of a group without one.
const Unlimited int64 = -1

// NewGroup makes a memory cgroup, with the parents that are missing, and
// removes what it made when the test ends, killing what runs in it. A relative
// path is put under a directory of this test process' own.
func NewGroup(t testing.TB, name string, limit int64) *Group {
	t.Helper()
	Root(t)
	if !path.IsAbs(name) {
		name = path.Join(fmt.Sprintf("/oom-e2e-%d", os.Getpid()), name)
	}
	g := &Group{Hierarchy: MemoryHierarchy(t), Path: name}
	dir := g.Mount
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if g.Version == 2 {
			writeFile(t, filepath.Join(dir, "cgroup.subtree_control"), "+memory")
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		made := dir
		t.Cleanup(func() { removeGroup(t, made) })
	}
	if limit != Unlimited {
		g.SetLimit(t, limit)
	}
	return g
}

// SetLimit sets the group's own limit in bytes.
func (g *Group) SetLimit(t testing.TB, limit int64) {
	t.Helper()
	file := "memory.max"
	if g.Version == 1 {
		file = "memory.limit_in_bytes"
	}
	g.Write(t, file, strconv.FormatInt(limit, 10))
}

// File returns the path of one of the group's files.
func (g *Group) File(name string) string { return filepath.Join(g.Mount, g.Path, name) }

// Write writes one of the group's files.
func (g *Group) Write(t testing.TB, name, text string) {
	t.Helper()
	writeFile(t, g.File(name), text)
}

// Kills is the kernel's own count of the processes killed in the group; ok is
// false where it does not count them.
func (g *Group) Kills(t testing.TB) (n uint64, ok bool) {
	t.Helper()
	file := "memory.events"
	if g.Version == 1 {
		file = "memory.oom_control"
	}
	n, ok = g.Keys(t, file)["oom_kill"]
	return n, ok
}

// Uint reads a file of the group that holds one number.
func (g *Group) Uint(t testing.TB, name string) uint64 {
	t.Helper()
	b, err := os.ReadFile(g.File(name))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Keys reads a file of the group that holds "key number" lines.
func (g *Group) Keys(t testing.TB, name string) map[string]uint64 {
	t.Helper()
	b, err := os.ReadFile(g.File(name))
	if err != nil {
		t.Fatal(err)
	}
	return Keys(string(b))
}

// Keys parses "key number" lines; others are left out.
func Keys(text string) map[string]uint64 {
	keys := make(map[string]uint64)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			keys[key] = n
		}
	}
	return keys
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// removeGroup ends what runs in the group and removes it; rmdir fails with
// EBUSY until the last process has left.
func removeGroup(t testing.TB, dir string) {
	removed := poll(10*time.Second, func() bool {
		for _, pid := range pidsIn(filepath.Join(dir, "cgroup.procs")) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		err := os.Remove(dir)
		return err == nil || errors.Is(err, fs.ErrNotExist)
	})
	if !removed {
		t.Errorf("cgroup %s could not be removed", dir)
	}
}

// pidsIn reads a cgroup.procs file; processes of other pid namespaces and init
// are left out.
func pidsIn(file string) []int {
	procs, _ := os.ReadFile(file) // gone: nothing runs in it.
	var pids []int
	for pid := range strings.FieldsSeq(string(procs)) {
		if n, err := strconv.Atoi(pid); err == nil && n > 1 {
			pids = append(pids, n)
		}
	}
	return pids
}
