// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup1"
	v1stats "github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/containerd/cgroups/v3/cgroup2"

	"github.com/oom-exporter/oom_exporter/internal/kernfs"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// OwnLimit returns the memory limit that binds this process: the lowest of its
// own cgroup and of those above it, as far as its cgroup namespace shows them. It
// is unset where none of them has a limit. It is read once, when the program
// starts, so the library reads it.
func OwnLimit(o Options) (oom.Amount, error) {
	o = o.withDefaults()
	proc := openProc(o.Procfs)
	p, err := find(o, proc)
	if err != nil {
		return oom.Amount{}, err
	}
	if proc == nil {
		return oom.Amount{}, fmt.Errorf("find this process in %s: %w", o.Procfs, os.ErrNotExist)
	}
	self, err := proc.Self()
	if err != nil {
		return oom.Amount{}, fmt.Errorf("find this process in %s: %w", o.Procfs, err)
	}
	of, err := self.Cgroups()
	if err != nil {
		return oom.Amount{}, fmt.Errorf("find the cgroup of this process: %w", err)
	}
	path := kernfs.MemoryCgroup(of, p.version == 2)
	if path == "" {
		return oom.Amount{}, nil
	}
	if _, err := os.Stat(filepath.Join(p.dir, path)); err != nil {
		// A container without a cgroup namespace is told the host's path, and has
		// its own cgroup mounted as the root.
		path = "/"
	}
	if p.version == 1 {
		return lowestLimitV1(p.dir, path)
	}
	return lowestLimitV2(p.dir, path)
}

// lowestLimitV1 asks memory.stat, which has the lowest limit of all levels.
func lowestLimitV1(dir, path string) (oom.Amount, error) {
	if filepath.Base(dir) != string(cgroup1.Memory) { // the only place where the library looks.
		return oom.Amount{}, nil
	}
	lib := cgroup1.NewMemory(filepath.Dir(dir), cgroup1.IgnoreModules("memsw", "kmem", "kmem.tcp"))
	var m v1stats.Metrics
	if err := lib.Stat(path, &m); err != nil {
		return oom.Amount{}, fmt.Errorf("read this process's memory cgroup: %w", err)
	}
	n := m.Memory.HierarchicalMemoryLimit
	if n == 0 || n >= unlimitedFrom { // 0: memory.stat does not have it.
		return oom.Amount{}, nil
	}
	return oom.Of(n), nil
}

// lowestLimitV2 asks each level up to the root. The library has 0 for a file
// that is not there, and the largest number for "max".
func lowestLimitV2(dir, path string) (limit oom.Amount, err error) {
	for lowest := uint64(math.MaxUint64); ; path = filepath.Dir(path) {
		lib, err := cgroup2.Load(path, cgroup2.WithMountpoint(dir))
		if err != nil {
			return limit, fmt.Errorf("read this process's memory cgroup: %w", err)
		}
		m, err := lib.StatFiltered(cgroup2.StatMemory)
		if err != nil {
			return limit, fmt.Errorf("read this process's memory cgroup: %w", err)
		}
		if n := m.Memory.UsageLimit; n > 0 && n < lowest {
			lowest, limit = n, oom.Of(n)
		}
		if path == "/" {
			return limit, nil
		}
	}
}
