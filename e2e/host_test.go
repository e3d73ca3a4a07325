// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup1"
	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/prometheus/procfs"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestHostMemory puts 20 MiB of each kind of memory under a limit of 64 MiB.
func TestHostMemory(t *testing.T) {
	const size, slack = 20 * mib, mib // slack: the hog's own pages.
	shm, err := os.MkdirTemp("/dev/shm", "oom-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	cases := []struct {
		name, step string
		kind       func(lab.Memory) uint64 // where the kernel must show the 20 MiB.
		reclaim    bool                    // the memory is page cache.
	}{
		{"anonymous", "anon:20M", func(m lab.Memory) uint64 { return m.Anon }, false},
		{"page-cache", "file:20M:" + filepath.Join(t.TempDir(), "file"), func(m lab.Memory) uint64 { return m.InactiveFile + m.ActiveFile }, true},
		{"tmpfs", "dirty:20M:" + filepath.Join(shm, "file"), func(m lab.Memory) uint64 { return m.Shmem }, false},
		{"mlock", "mlock:20M", func(m lab.Memory) uint64 { return min(m.Anon, m.Unevictable) }, false},
	}
	e := lab.StartExporter(t, "--metrics.enable=oom_container_memory_.*", refresh)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := lab.NewGroup(t, "host/"+c.name, 64*mib)
			lab.StartHog(t, g, c.step, "stop").WaitStopped(t)
			m, mem := scrapeStill(t, e, g)
			least := uint64(size)
			if c.reclaim {
				least = size / 2 // a kernel may take back what nobody uses (DAMON).
			}
			within(t, "the kernel's own count", c.kind(mem), least, size+slack)
			checkMemory(t, m, g.Path, mem)
			checkParts(t, m, g.Path, mem)
			checkLibrary(t, g, mem)
			ws := m.Value(t, "oom_container_memory_working_set_bytes", workload(g.Path)...)
			if c.reclaim {
				within(t, "usage", mem.Usage, least, size+4*mib)
			} else {
				within(t, "working set", uint64(ws), size, size+4*mib)
			}
		})
	}
	e.Stop(t)
}

// TestHostUnlimited has a group without a limit, an empty one, and one that
// goes away: no limit series, zeros that are true, and nothing at all.
func TestHostUnlimited(t *testing.T) {
	e := lab.StartExporter(t, refresh)
	g := lab.NewGroup(t, "unlimited/one", lab.Unlimited)
	lab.StartHog(t, g, "anon:20M", "stop").WaitStopped(t)
	m, mem := scrapeStill(t, e, g)
	checkMemory(t, m, g.Path, mem)

	gone := lab.NewGroup(t, "unlimited/gone", 64*mib)
	if m := e.Scrape(t); !m.Has("oom_container_memory_limit_bytes", workload(gone.Path)...) {
		t.Errorf("no series for the new group %s", gone.Path)
	}
	if err := os.Remove(gone.File("")); err != nil {
		t.Fatal(err)
	}
	m = e.Scrape(t)
	for _, family := range m.Names() {
		if m.Has(family, "container", gone.Path) && family != "oom_container_kills_total" {
			t.Errorf("%s still has a series for the removed group", family)
		}
	}
}

// TestHostProcess compares a process with its files in /proc.
func TestHostProcess(t *testing.T) {
	g := lab.NewGroup(t, "process/one", 64*mib)
	hog := lab.StartHog(t, g, "comm:e2e \"hog\"", "adj:1000", "anon:20M", "stop")
	hog.WaitStopped(t)
	e := lab.StartExporter(t)
	m := e.Scrape(t)
	labels := append(workload(g.Path), "pid", strconv.Itoa(hog.PID), "comm", `e2e "hog"`)
	for family, file := range map[string]string{
		"oom_process_oom_score": "oom_score", "oom_process_oom_score_adj": "oom_score_adj",
	} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", hog.PID, file))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(m.Value(t, family, labels...)); got != strings.TrimSpace(string(b)) {
			t.Errorf("%s is %s, the kernel says %s", family, got, b)
		}
	}
	p, err := procfs.NewProc(hog.PID)
	if err != nil {
		t.Fatal(err)
	}
	status, err := p.NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Value(t, "oom_process_resident_bytes", labels...); got != float64(status.VmRSS) {
		t.Errorf("resident is %.0f, procfs says %d", got, status.VmRSS)
	}
	for family, want := range map[string]float64{"oom_container_oom_score_adj_max": 1000} {
		if got := m.Value(t, family, workload(g.Path)...); got != want {
			t.Errorf("%s is %.0f, want %.0f", family, got, want)
		}
	}
}

// TestHostNobody runs the exporter without any right: groups and processes are
// there all the same.
func TestHostNobody(t *testing.T) {
	g := lab.NewGroup(t, "nobody/one", 64*mib)
	hog := lab.StartHog(t, g, "adj:1000", "anon:20M", "stop")
	hog.WaitStopped(t)
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	e := lab.StartExporterAs(t, nobody, refresh)
	m, mem := scrapeStill(t, e, g)
	checkMemory(t, m, g.Path, mem)
	within(t, "resident", uint64(m.Value(t, "oom_process_resident_bytes", "pid", strconv.Itoa(hog.PID))), 20*mib, 22*mib)
	e.Stop(t)

	restricted, err := os.ReadFile("/proc/sys/kernel/dmesg_restrict")
	if err != nil {
		t.Fatal(err)
	}
	// What is missing is said once, with the remedy: the kernel log, where the
	// kernel keeps it from users.
	// Kills are warnings too, and the machine may have some of others.
	warnings := strings.Count(e.Output(), "level=warn") - strings.Count(e.Output(), `msg="OOM kill"`)
	if strings.TrimSpace(string(restricted)) == "1" && (warnings != 1 || !strings.Contains(e.Output(), "grant CAP_SYSLOG")) {
		t.Errorf("%d warnings, want one with its remedy:\n%s", warnings, e.Output())
	}
}

// checkLibrary holds our reading of the kernel's files against containerd's.
func checkLibrary(t *testing.T, g *lab.Group, want lab.Memory) {
	t.Helper()
	var usage, limit, inactive uint64
	if g.Version == 1 {
		var stats v1.Metrics
		memory := cgroup1.NewMemory(filepath.Dir(g.Mount), cgroup1.OptionalSwap(), cgroup1.IgnoreModules("kmem", "kmem.tcp"))
		if err := memory.Stat(g.Path, &stats); err != nil {
			t.Fatal(err)
		}
		usage, limit, inactive = stats.Memory.Usage.Usage, stats.Memory.Usage.Limit, stats.Memory.TotalInactiveFile
	} else {
		manager, err := cgroup2.Load(g.Path, cgroup2.WithMountpoint(g.Mount))
		if err != nil {
			t.Fatal(err)
		}
		stats, err := manager.StatFiltered(cgroup2.StatMemory)
		if err != nil {
			t.Fatal(err)
		}
		usage, limit, inactive = stats.Memory.Usage, stats.Memory.UsageLimit, stats.Memory.InactiveFile
	}
	got := [3]uint64{usage, limit, inactive}
	if got != [3]uint64{want.Usage, uint64(want.Limit), want.InactiveFile} {
		t.Errorf("containerd/cgroups reads usage, limit, inactive_file %d, we read %+v", got, want)
	}
}
