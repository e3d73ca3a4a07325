// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup1"
	v1stats "github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/containerd/cgroups/v3/cgroup2"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The library reads the same files another way. It says 0 for what is not there
// and a huge number for no limit, so only values are compared.

type compared struct {
	what  string
	ours  oom.Amount
	lib   uint64
	slack uint64 // how far a living group may have moved between the readings.
}

func compare(t *testing.T, path string, list []compared) {
	t.Helper()
	for _, c := range list {
		n, ok := c.ours.Get()
		if c.ours.IsUnlimited() {
			if c.lib < unlimitedFrom {
				t.Errorf("%s: %s is unlimited, the library has %d", path, c.what, c.lib)
			}
			continue
		}
		if diff := max(n, c.lib) - min(n, c.lib); diff > c.slack || !ok && c.lib != 0 {
			t.Errorf("%s: %s is %v, the library has %d", path, c.what, c.ours, c.lib)
		}
	}
}

// statV1 reads a group with the library.
func statV1(h *Hierarchy, path string) (*v1stats.Metrics, error) {
	var m v1stats.Metrics
	lib := cgroup1.NewMemory(filepath.Dir(h.Mount()), cgroup1.OptionalSwap(), cgroup1.IgnoreModules("kmem.tcp"))
	return &m, lib.Stat(path, &m)
}

func compareV1(t *testing.T, g oom.Group, m *v1stats.Metrics, slack uint64) {
	t.Helper()
	s, c := m.Memory, m.MemoryOomControl
	compare(t, g.Path, []compared{
		{"usage", g.Usage, s.Usage.Usage, slack},
		{"limit", g.Limit, s.Usage.Limit, 0},
		{"failcnt", g.Events.Max, s.Usage.Failcnt, slack},
		{"peak", g.Peak, s.Usage.Max, slack},
		{"memsw usage", g.MemswUsage, s.Swap.Usage, slack},
		{"memsw limit", g.MemswLimit, s.Swap.Limit, 0},
		{"kernel", g.Stat.Kernel, s.Kernel.Usage, slack},
		{"anon", g.Stat.Anon, s.TotalRSS, slack},
		{"file", g.Stat.File, s.TotalCache, slack},
		{"inactive_file", g.Stat.InactiveFile, s.TotalInactiveFile, slack},
		{"active_file", g.Stat.ActiveFile, s.TotalActiveFile, slack},
		{"unevictable", g.Stat.Unevictable, s.TotalUnevictable, slack},
		{"kills", g.Events.OwnKills, c.OomKill, 0},
		{"kill disabled", g.KillDisabled, c.OomKillDisable, 0},
		{"under oom", g.UnderOOM, c.UnderOom, 0},
	})
}

// compareLive compares by whichever version h is.
func compareLive(t *testing.T, h *Hierarchy, g oom.Group, slack uint64) {
	t.Helper()
	if h.Version() == 2 {
		compareV2(t, h, g, slack)
		return
	}
	m, err := statV1(h, g.Path)
	if err != nil {
		t.Fatal(err)
	}
	compareV1(t, g, m, slack)
}

func compareV2(t *testing.T, h *Hierarchy, g oom.Group, slack uint64) {
	t.Helper()
	lib, err := cgroup2.Load(g.Path, cgroup2.WithMountpoint(h.Mount()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := lib.StatFiltered(cgroup2.StatMemory | cgroup2.StatMemoryEvents)
	if err != nil {
		t.Fatal(err)
	}
	s, e := m.Memory, m.MemoryEvents
	compare(t, g.Path, []compared{
		{"usage", g.Usage, s.Usage, slack},
		{"limit", g.Limit, s.UsageLimit, 0},
		{"peak", g.Peak, s.MaxUsage, slack},
		{"swap", g.SwapUsage, s.SwapUsage, slack},
		{"swap limit", g.SwapLimit, s.SwapLimit, 0},
		{"anon", g.Stat.Anon, s.Anon, slack},
		{"file", g.Stat.File, s.File, slack},
		{"shmem", g.Stat.Shmem, s.Shmem, slack},
		{"inactive_file", g.Stat.InactiveFile, s.InactiveFile, slack},
		{"active_file", g.Stat.ActiveFile, s.ActiveFile, slack},
		{"unevictable", g.Stat.Unevictable, s.Unevictable, slack},
		{"slab_reclaimable", g.Stat.SlabReclaimable, s.SlabReclaimable, slack},
	})
	if e == nil {
		t.Fatalf("the library has no events of %s", g.Path)
	}
	kills := g.Events.TreeKills
	if !kills.IsSet() {
		kills = g.Events.OwnKills // the file counts the group alone.
	}
	compare(t, g.Path, []compared{{"kills", kills, e.OomKill, 0}})
	if s.PSI != nil {
		compare(t, g.Path, []compared{
			{"some", g.Pressure.WaitingMicros, s.PSI.Some.Total, 0},
			{"full", g.Pressure.StalledMicros, s.PSI.Full.Total, 0},
		})
	}
}

func TestLibraryAgrees(t *testing.T) {
	for _, name := range []string{"v1", "hybrid", "v1-3.10", "v2", "v2-4.19", "v2-5.2", "v2-localevents"} {
		t.Run(name, func(t *testing.T) {
			h := mustFind(t, options(unpack(t, name), PartsAll))
			tree, _ := mustRead(t, h)
			for _, g := range tree.Groups {
				switch {
				case h.Version() == 1:
					compareLive(t, h, g, 0)
				case g.Usage.IsSet(): // the library has nothing for others but zeros.
					compareV2(t, h, g, 0)
				}
			}
		})
	}
}

// On the running host, only what stands still between two readings of ours can
// be compared with the library's in between.
func TestLibraryAgreesOnThisHost(t *testing.T) {
	h := live(t)
	if h.Version() == 2 {
		t.Skip("on v2 the library has zeros for a group that vanishes")
	}
	tree, _ := mustRead(t, h)
	same := 0
	for _, g := range tree.Groups {
		for range 5 {
			before, err1 := h.ReadGroup(g.Path)
			m, err2 := statV1(h, g.Path)
			after, err3 := h.ReadGroup(g.Path)
			if errors.Join(err1, err2, err3) != nil {
				break // it has gone meanwhile.
			}
			if diff(before, after) == "" {
				compareV1(t, before, m, mi) // open files alone are kernel memory.
				same++
				break
			}
		}
	}
	t.Logf("%d of %d groups stood still and are the same", same, len(tree.Groups))
}
