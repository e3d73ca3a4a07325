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
	lab.Root(t)
	sizes := []size{{100, 1000}, {500, 5000}, {1000, 10000}}
	if text := os.Getenv("OOM_E2E_SCALE_SIZES"); text != "" {
		sizes = parseSizes(t, text)
	}
	var results []result
	for _, s := range sizes {
		t.Run(strings.ReplaceAll(s.String(), "/", "-"), func(t *testing.T) { results = append(results, measure(t, s)) })
	}
	table := render(t, results)
	t.Log("\n" + table)
	if os.Getenv("OOM_E2E_SCALE_SIZES") != "" {
		return // another size, or another machine: figures only.
	}
	if len(results) == len(sizes) {
		publish(t, fmt.Sprintf("v%d", lab.MemoryHierarchy(t).Version), table)
	}
	hold(t, results)
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
