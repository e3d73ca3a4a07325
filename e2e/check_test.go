// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const mib = 1 << 20

// workload returns the labels of a group that has no other name than its path.
func workload(path string) []string {
	return []string{"namespace", "", "pod", "", "container", path}
}

// checkMemory compares one container's series with the kernel's own files.
func checkMemory(t *testing.T, m lab.Metrics, path string, want lab.Memory) {
	t.Helper()
	check := func(family string, want uint64) {
		t.Helper()
		if got := m.Value(t, "oom_container_"+family, workload(path)...); got != float64(want) {
			t.Errorf("%s of %s is %.0f, the kernel says %d", family, path, got, want)
		}
	}
	check("memory_usage_bytes", want.Usage)
	check("memory_working_set_bytes", want.WorkingSet())
	check("memory_anon_bytes", want.Anon)
	check("memory_shmem_bytes", want.Shmem)
	if want.Limit == lab.Unlimited {
		for _, family := range []string{"oom_container_memory_limit_bytes", "oom_container_limit_margin_bytes"} {
			if m.Has(family, workload(path)...) {
				t.Errorf("%s has a series for the unlimited group %s", family, path)
			}
		}
		return
	}
	check("memory_limit_bytes", uint64(want.Limit))
	check("limit_margin_bytes", uint64(want.Limit)-want.WorkingSet())
}

// checkParts compares the families of memory.stat that are off by default.
func checkParts(t *testing.T, m lab.Metrics, path string, want lab.Memory) {
	t.Helper()
	for part, want := range map[string]uint64{
		"file": want.File, "inactive_file": want.InactiveFile, "active_file": want.ActiveFile,
		"unevictable": want.Unevictable, "kernel": want.Kernel,
	} {
		if got := m.Value(t, "oom_container_memory_"+part+"_bytes", workload(path)...); got != float64(want) {
			t.Errorf("%s of %s is %.0f, the kernel says %d", part, path, got, want)
		}
	}
}

// refresh has the exporter read each group in full in each scrape: a scrape
// that is repeated may leave out what seems not to have changed.
const refresh = "--limits.refresh=1"

// scrapeStill scrapes until the group's files say the same before and after:
// per-CPU counters of stopped processes may still be settling.
func scrapeStill(t *testing.T, e *lab.Exporter, g *lab.Group) (lab.Metrics, lab.Memory) {
	t.Helper()
	var m lab.Metrics
	var before, after lab.Memory
	lab.Eventually(t, 30*time.Second, "the group's files stand still over a scrape", func() bool {
		before = g.ReadMemory(t)
		m = e.Scrape(t)
		after = g.ReadMemory(t)
		return before == after
	})
	return m, after
}

// within fails the test unless lo <= got <= hi.
func within(t *testing.T, what string, got, lo, hi uint64) {
	t.Helper()
	if got < lo || got > hi {
		t.Errorf("%s is %d, want %d to %d", what, got, lo, hi)
	}
}
