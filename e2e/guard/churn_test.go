// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// manyCPUs is how many the guest of TestManyCPUs has.
const manyCPUs = 16

// TestManyCPUs boots a guest with many CPUs, which charge more ahead than the margin
// of a small group has room for, and has workloads stand there.
func TestManyCPUs(t *testing.T) {
	if emulated() {
		churn(t)
		return
	}
	if !full() && os.Getenv("OOM_E2E_EVIDENCE") == "" {
		t.Skip("with OOM_E2E_FULL, or where its page is to be written")
	}
	lab.Root(t)
	keep := map[string]string{}
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" {
		keep["guard-cpus-v2.md"] = filepath.Join(dir, "guard-cpus-v2.md")
	}
	guest.RunTests(t, guest.Options{MemoryMB: 3072, CPUs: manyCPUs, Parallel: true, Files: map[string]string{"/bin/oom_guard": lab.Guard(t)}}, guest.Tests{
		Run: "^TestManyCPUs$", Timeout: 20 * time.Minute, Keep: keep,
		Env: map[string]string{
			"OOM_E2E_HANDOFF": handoff(t).String(), "OOM_E2E_GUARD": "/bin/oom_guard", "OOM_E2E_HOG": "/bin/hog", "OOM_E2E_SEED": fmt.Sprint(seeded(t).Uint32() % 1e6),
		},
	})
}

// churn has workloads fill their groups slowly and then stand, with threads on all
// CPUs that give pages back and take them again.
func churn(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	limits := []int{24, 32, 48, 64, 96, 128, 256, 512}
	var groups []*lab.Group
	for i, limit := range limits {
		groups = append(groups, lab.NewGroup(t, path.Join(root, fmt.Sprint(i)), int64(limit)*mib))
	}
	overhead := emptyHog(t, hog, root)
	g := startGuard(t, binary, root, "--policy=process")
	g.await(t, len(groups))
	var all []*lab.Process
	for i, limit := range limits {
		stand := limit*mib - 2*marginOf(limit*mib)/3 - overhead - runtime.NumCPU()*40<<10
		all = append(all, start(t, hog, groups[i], fmt.Sprint("churn:", runtime.NumCPU()), fmt.Sprintf("anon:%dK", (stand-4*mib)>>10), "rate:1M", "anon:4M", "say:up"))
	}
	for _, p := range all {
		lab.Eventually(t, 2*time.Minute, "the group is filled", func() bool { return strings.Contains(p.Output(), "up") || p.Ended() })
	}
	var least, most [8]uint64
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		for i := range groups {
			now := usage(t, groups[i])
			most[i] = max(most[i], now)
			if least[i] == 0 || now < least[i] {
				least[i] = now
			}
		}
	}
	var b strings.Builder
	overfull := 0
	for i, limit := range limits {
		kernel := kernelKills(t, groups[i])
		fmt.Fprintf(&b, "| %d MiB | %.1f MiB | %.1f to %.1f MiB | %d | %v |\n", limit, float64(limit)-lab.Scrape(t, g.url).Value(t, "oom_guard_threshold_bytes", "container", groups[i].Path)/mib,
			float64(least[i])/mib, float64(most[i])/mib, kernel, running(all[i]))
		if !running(all[i]) && kernel == 0 {
			t.Errorf("limit %d MiB: it stood, and was killed", limit)
		}
		if kernel > 0 {
			overfull++ // what it held beside its memory was more than in the empty one.
		}
	}
	t.Logf("%v kills\n%s", g.outcome(t, "killed"), b.String())
	if n := g.outcome(t, "killed"); n > 0 {
		t.Errorf("%v kills:\n%s", n, g.Output())
	}
	if overfull > len(limits)/4 {
		t.Errorf("the kernel killed %d of %d: the test shows nothing", overfull, len(limits))
	}
	if t.Failed() {
		return
	}
	evidence(t, "guard-cpus-v2.md", fmt.Sprintf(`# oom_guard on a node with %d CPUs

%s. Policy process. Each workload fills its cgroup at 1 MiB a second to two thirds of 2 %% (1 MiB at least) below its limit, and then stands for 30 s. A thread on each
CPU gives a page back and takes it again every 5 to 200 ms, for which the kernel charges 256 KiB ahead there, and takes back what it had charged for another cgroup.

| limit | margin | usage while it stands | kernel's kills | it runs |
|---|---|---|---|---|
%s`, runtime.NumCPU(), machine(), b.String()))
}
