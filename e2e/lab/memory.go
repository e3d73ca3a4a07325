// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// Memory is what the kernel's own files say about a group, with the names of
// cgroup v2. A limit of Unlimited is none.
type Memory struct {
	Version                      int
	Usage                        uint64
	Limit                        int64
	Anon, Shmem, File            uint64
	InactiveFile, ActiveFile     uint64
	SlabReclaimable, Unevictable uint64
	Kernel                       uint64 // 0 where the kernel does not say.
}

// WorkingSet is usage minus inactive_file, as kubelet has it.
func (m Memory) WorkingSet() uint64 { return m.Usage - min(m.Usage, m.InactiveFile) }

// ReadMemory reads the group's files.
func (g *Group) ReadMemory(t testing.TB) Memory {
	t.Helper()
	return ParseMemory(t, g.Version, func(name string) string {
		b, err := os.ReadFile(g.File(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	})
}

// ParseMemory reads a group's files by the function, which gets their names.
func ParseMemory(t testing.TB, version int, file func(name string) string) Memory {
	t.Helper()
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(strings.TrimSpace(file(name)), 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	stat := Keys(file("memory.stat"))
	m := Memory{Version: version, Limit: Unlimited}
	if version == 2 {
		m.Usage = number("memory.current")
		if strings.TrimSpace(file("memory.max")) != "max" {
			m.Limit = int64(number("memory.max"))
		}
		m.Anon, m.Shmem, m.File, m.Kernel = stat["anon"], stat["shmem"], stat["file"], stat["kernel"]
		m.InactiveFile, m.ActiveFile = stat["inactive_file"], stat["active_file"]
		m.SlabReclaimable, m.Unevictable = stat["slab_reclaimable"], stat["unevictable"]
		return m
	}
	m.Usage, m.Kernel = number("memory.usage_in_bytes"), number("memory.kmem.usage_in_bytes")
	const unlimited = 1 << 62 // v1 has no "max" but the largest number of pages.
	if limit := number("memory.limit_in_bytes"); limit < unlimited {
		m.Limit = int64(limit)
	}
	m.Anon, m.Shmem, m.File = stat["total_rss"], stat["total_shmem"], stat["total_cache"]
	m.InactiveFile, m.ActiveFile = stat["total_inactive_file"], stat["total_active_file"]
	m.Unevictable = stat["total_unevictable"]
	return m
}
