// SPDX-License-Identifier: Apache-2.0

//go:build e2e && scale

package scale

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestScale measures CPU time per scrape at three sizes; it asks for the bars
// of docs/performance.md, which are ratios within the run.
func TestScale(t *testing.T) {
	hold(t, scale(t, "v%d", size{100, 1000, 0}, size{500, 5000, 0}, size{1000, 10000, 0}))
}

// TestScaleBusy measures it on nodes of which a part is at work. It holds no bars.
func TestScaleBusy(t *testing.T) {
	scale(t, "busy-v%d", size{110, 1100, 30}, size{250, 2500, 30})
}

// scale measures at some sizes and publishes the table. It returns none for other sizes,
// or another machine: they have figures only.
func scale(t *testing.T, file string, sizes ...size) (results []result) {
	t.Helper()
	lab.Root(t)
	text := os.Getenv("OOM_E2E_SCALE_SIZES")
	if text != "" {
		sizes = parseSizes(t, text)
	}
	for _, s := range sizes {
		t.Run(fmt.Sprintf("%d-%d-%d", s.groups, s.processes, s.busy), func(t *testing.T) { results = append(results, measure(t, s)) })
	}
	table := render(t, results)
	t.Log("\n" + table)
	if text != "" {
		return nil
	}
	if len(results) == len(sizes) {
		publish(t, fmt.Sprintf(file, lab.MemoryHierarchy(t).Version), table)
	}
	return results
}

// TestScaleGuest measures on cgroup v2, in an emulated machine: there user time
// counts for several times as much as on a real one, so it holds no bars.
func TestScaleGuest(t *testing.T) {
	lab.Root(t)
	vm := guest.RunTests(t, guest.Options{
		MemoryMB: 1024, Files: map[string]string{"/bin/pods": compiled(t, "pods"), "/bin/floor": compiled(t, "floor")},
	}, guest.Tests{
		Run: "^TestScale$", Tags: "e2e,scale", Timeout: 11 * time.Minute,
		Env: map[string]string{
			"OOM_E2E_SCALE_SIZES": "20/200,40/400", "OOM_E2E_SCALE_ROUNDS": "10", "OOM_E2E_SCALE_REST": "20", "OOM_E2E_SCALE_PROGRAMS": "/bin",
		},
	})
	log := vm.File(t, "test.log")
	_, table, found := strings.Cut(log, "Linux ")
	if !found || !strings.Contains(log, "--- PASS: TestScale ") {
		t.Fatalf("in the guest:\n%s", log)
	}
	table, _, _ = strings.Cut("Linux "+table, "---"+" PASS")
	var b strings.Builder
	for line := range strings.Lines(table) {
		b.WriteString(strings.TrimLeft(line, " "))
	}
	t.Log("\n" + b.String())
	publish(t, "v2", b.String())
}
