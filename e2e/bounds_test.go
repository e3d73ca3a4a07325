// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestBounds holds the exporter's own memory on hosts as large as they come,
// with the default bounds: 100,000 processes and 10,000 groups. What is over a
// bound is not read, but counted in each pass.
func TestBounds(t *testing.T) {
	const most = 150 * mib
	const above = 3 // above the pods: the root, kubepods.slice and one of its QoS classes.
	cases := []struct {
		name                  string
		containers, processes int
		kind                  string
		over                  uint64
	}{
		{"100000-processes", 1000, 100_000, "process_over_limit", 1}, // init is one more.
		{"50000-groups", 25_000, 25_000, "group_over_limit", 50_000 + above - 10_000},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			tree := lab.MakeTree(t, c.containers, c.processes)
			t.Logf("made %d names in %.1f s", tree.Names, time.Since(start).Seconds())
			e := lab.StartExporter(t, "--path.procfs="+tree.Procfs, "--path.sysfs="+tree.Sysfs)
			scrape := func() (skipped float64) {
				start = time.Now()
				m := e.Scrape(t)
				t.Logf("scraped %d families, %d containers in %.1f s; heap %.0f MiB, next collection at %.0f MiB", len(m),
					len(m.Find("oom_container_memory_usage_bytes")), time.Since(start).Seconds(),
					m.Value(t, "go_memstats_heap_alloc_bytes")/mib, m.Value(t, "go_memstats_next_gc_bytes")/mib)
				return m.Value(t, "oom_exporter_skipped_total", "kind", c.kind)
			}
			scrape()
			second := scrape()
			if got := scrape() - second; got != float64(c.over) {
				t.Errorf("%s counts %.0f a pass, want %d", c.kind, got, c.over)
			}
			status := e.Status(t)
			t.Logf("peak RSS %d MiB, now %d MiB", status["VmHWM"]/mib, status["VmRSS"]/mib)
			if status["VmHWM"] > most {
				t.Errorf("peak RSS is %d MiB, want at most %d", status["VmHWM"]/mib, most/mib)
			}
		})
	}
}
