// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package scale

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// render makes the table of a run.
func render(t testing.TB, results []result) string {
	var b strings.Builder
	load, _ := os.ReadFile("/proc/loadavg")
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	fmt.Fprintf(&b, "Linux %s, cgroup v%d, load average at the end %s\n\n", strings.TrimSpace(string(release)),
		lab.MemoryHierarchy(t).Version, strings.Join(strings.Fields(string(load))[:3], " "))
	b.WriteString("Medians of paired rounds: each scrape of a program follows a pass of the floor. Where some percent are busy, in so many of the pods, drawn anew each time, a process takes or gives back 512 KiB before the two; all others sleep. " +
		"With --limits.refresh=1 everything is read each time, which is what a scrape costs at most.\n\n")
	b.WriteString("| containers/processes | program | CPU ms a scrape | x floor | wall ms | series | KB text | KB gzip | RSS MiB | peak MiB | charged MiB | fds | CPU ms at rest, 60 s |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | floor (%d groups, %d processes) | %.1f | 1.00 | | | | | | | | | |\n", r.size, r.groups, r.processes, ms(r.floor))
		for _, f := range r.figures {
			rest := "kills went on"
			if f.rest >= 0 {
				rest = fmt.Sprintf("%.1f", ms(f.rest))
			}
			fmt.Fprintf(&b, "| %s | %s | %.1f | %.2f | %.0f | %d | %d | %d | %.1f | %.1f | %.1f | %d | %s |\n", r.size, f.name, ms(f.cpu), f.floor,
				ms(f.wall), f.series, f.bytes>>10, f.wire>>10, mib(f.rss), mib(f.peak), float64(f.charged)/(1<<20), f.descriptors, rest)
		}
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
func mib(n uint64) float64       { return float64(n) / (1 << 20) }
func (r *result) ours() *figures { return &r.figures[0] }
func (r *result) peer(name string) *figures {
	for i := range r.figures {
		if r.figures[i].name == name {
			return &r.figures[i]
		}
	}
	return nil
}

// publish writes the table where people read it.
func publish(t testing.TB, version, table string) {
	t.Helper()
	name := filepath.Join(lab.Repository(t), "docs", "evidence", "scale-"+version+".md")
	head := "<!-- Written by make bench-scale. -->\n# Cost at scale\n\n"
	if err := os.WriteFile(name, []byte(head+table), 0o644); err != nil {
		t.Error(err)
	}
}

// hold checks the bars.
func hold(t *testing.T, results []result) {
	for i := range results {
		r := &results[i]
		us := r.ours()
		if us.floor > 1.2 {
			t.Errorf("%s: %.2f times the floor, want at most 1.2", r.size, us.floor)
		}
		for name, part := range map[string]float64{"node_exporter": 1, "cadvisor": 1.0 / 4, "process-exporter": 1.0 / 15} {
			if p := r.peer(name); p != nil && us.floor > p.floor*part {
				t.Errorf("%s: %.2f times the floor, want at most %.2f of %s, which takes %.2f", r.size, us.floor, part, name, p.floor)
			}
		}
		peak := 40.0
		if r.size.groups <= 100 {
			peak = 25
		}
		if mib(us.peak) > peak {
			t.Errorf("%s: a peak of %.1f MiB, want at most %.0f", r.size, mib(us.peak), peak)
		}
		if us.charged > 64<<20 {
			t.Errorf("%s: %d MiB charged, want at most 64", r.size, us.charged>>20)
		}
		if us.rest > 10*time.Millisecond {
			t.Errorf("%s: %v of CPU at rest, want at most 10 ms in 60 s", r.size, us.rest)
		}
		if i > 0 && results[i-1].size == (size{500, 5000, 0}) && r.size == (size{1000, 10000, 0}) {
			if growth := float64(us.cpu) / float64(results[i-1].ours().cpu); growth > 2.1 {
				t.Errorf("twice the load costs %.2f times as much, want at most 2.1", growth)
			}
		}
	}
}
