// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// standing is a workload that fills its group and then stands.
type standing struct {
	limit   int     // MiB.
	rest    float64 // margins below the limit.
	rate    int     // MiB a second; 0: at once.
	group   *lab.Group
	process *lab.Process
}

// TestStanding has 50 workloads that stand near their limits, filled at once or
// at a rate while the guard watches: nobody is killed, and the guard does not
// take much of a CPU.
func TestStanding(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	last := 20 * time.Second
	if full() {
		last = 5 * time.Minute
	}
	crowd(t)
	keepBusy(t, load(t))
	overhead := emptyHog(t, hog, root)
	var all []*standing
	for i := range 50 {
		s := &standing{limit: []int{4, 8, 16, 24, 64}[i%5], rest: []float64{0.65, 0.75, 0.9}[i%3], rate: []int{0, 0, 10, 30, 100}[i/5%5]}
		s.group = lab.NewGroup(t, path.Join(root, strconv.Itoa(i)), int64(s.limit)*mib)
		all = append(all, s)
	}
	g := startGuard(t, binary, root, "--policy=process")
	g.await(t, len(all))
	for _, s := range all {
		margin := marginOf(s.limit * mib)
		fill := s.limit*mib - int(s.rest*float64(margin)) - overhead
		fill -= fill / 512 // for page tables.
		s.process = start(t, hog, s.group, fmt.Sprintf("rate:%dM", s.rate), fmt.Sprintf("anon:%dK", fill>>10), "say:up")
	}
	overfull := 0
	for _, s := range all {
		lab.Eventually(t, time.Minute, "the group is filled", func() bool { return strings.Contains(s.process.Output(), "up") || s.process.Ended() })
		if s.process.Ended() && kernelKills(t, s.group) > 0 {
			overfull++ // what it holds beside its memory was more than in the empty one.
		}
	}
	before := g.cpu(t)
	<-time.After(last)
	share := (g.cpu(t) - before).Seconds() / last.Seconds()
	near, dead := 0, 0
	for _, s := range all {
		margin := marginOf(s.limit * mib)
		if peak(t, s.group) >= uint64(s.limit*mib-margin) {
			near++
		}
		if !running(s.process) && kernelKills(t, s.group) == 0 {
			dead++
			t.Errorf("limit %d MiB, filled at %d MiB/s (0: at once), %.2f margins below it: killed", s.limit, s.rate, s.rest)
		}
	}
	kills := g.outcome(t, "killed")
	if kills > 0 || dead > 0 {
		t.Errorf("%v kills, %d dead:\n%s", kills, dead, g.Output())
	}
	if near < len(all)/2 || overfull > len(all)/10 {
		t.Errorf("%d of %d are over their thresholds, the kernel killed %d: the test shows nothing", near, len(all), overfull)
	}
	if t.Failed() {
		return
	}
	evidence(t, fmt.Sprintf("guard-standing-v%d.md", all[0].group.Version), fmt.Sprintf(`# oom_guard and workloads that stand near their limits, cgroup v%d

%s. Policy process; limits of 4 to 64 MiB, filled at once or at 10 to 100 MiB/s up to 0.65 to 0.9 margins below the limit, %v.

| groups | over their threshold | filled too far, the kernel's kills | kills | looks at which they stood | CPU, %% of one |
|---|---|---|---|---|---|
| %d | %d | %d | %.0f | %.0f | %.2f |
`, all[0].group.Version, machine(), last, len(all), near, overfull, kills, g.outcome(t, "standing"), 100*share))
}

// emptyHog is what a group holds that has a hog without memory of its own in it:
// the least of several, since what a CPU has charged ahead is in it, too.
func emptyHog(t *testing.T, hog, root string) int {
	t.Helper()
	least := uint64(1 << 62)
	for i := range 5 {
		group := lab.NewGroup(t, path.Join(root, fmt.Sprint("empty", i)), lab.Unlimited)
		start(t, hog, group, "say:up").WaitLine(t, "up")
		least = min(least, usage(t, group))
	}
	return int(least)
}

// shapes are leaks of other kinds than anonymous memory at a steady rate.
var shapes = map[string][]string{
	"tmpfs":       {"shmem:50M", "sleep:200", "rate:10M", "shmem:128M"},
	"pipes":       {"pipes:48M", "sleep:200", "rate:10M", "pipes:128M"},
	"steps":       append([]string{"anon:52M"}, strings.Fields(strings.Repeat("anon:500K sleep:50 ", 60))...),
	"cache first": {"file:96M:CACHE", "rate:10M", "anon:128M"},
	"fork pool":   {"fork:3", "anon:40M", "rate:10M", "anon:128M"},
}

// TestShapes has leaks of several shapes: the guard is first, a witness confirms
// each of its kills.
func TestShapes(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	dir := diskDir(t)
	crowd(t)
	g := startGuard(t, binary, root, "--policy=process", "--cool-down=10s")
	var b strings.Builder
	late := 0
	for name, steps := range shapes {
		if name == "pipes" && emulated() {
			continue // they take more descriptors than a guest's process may have.
		}
		group := lab.NewGroup(t, path.Join(root, strings.ReplaceAll(name, " ", "-")), 64*mib)
		lab.Eventually(t, time.Minute, "the group is watched", func() bool {
			return lab.Scrape(t, g.url).Has("oom_guard_threshold_bytes", "container", group.Path)
		})
		w := watchGroup(t, group, 64*mib)
		var args []string
		for _, s := range steps {
			s = strings.ReplaceAll(s, "CACHE", path.Join(dir, "cache"))
			if emulated() { // all takes several times as long there.
				s = strings.NewReplacer("rate:10M", "rate:2M", "sleep:50", "sleep:250").Replace(s)
			}
			args = append(args, s)
		}
		want := 1
		start(t, hog, group, args...)
		if name == "fork pool" {
			want = 3
		}
		lab.Eventually(t, time.Minute, name+" is over", func() bool {
			return w.count(g.Output())+int(kernelKills(t, group)) >= want
		})
		kernel := kernelKills(t, group)
		w.end()
		kills := w.check(t, g.Output())
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", name, want, kills, kernel)
		if late += int(kernel); kernel > 0 {
			t.Logf("%s: %d kills by the guard, %d by the kernel, want %d by the guard", name, kills, kernel, want)
		}
	}
	if late > 1 {
		t.Errorf("%d leaks were the kernel's; each has 128 ms, in which a busy machine may be late once", late)
	}
	if t.Failed() {
		return
	}
	version := lab.MemoryHierarchy(t).Version
	evidence(t, fmt.Sprintf("guard-shapes-v%d.md", version), fmt.Sprintf(`# oom_guard against leaks of other shapes, cgroup v%d

%s. Policy process, limits of 64 MiB, growth of 10 MiB/s, of 2 MiB/s in an emulated guest. Each kill was held against a witness that reads usage and the kernel's counter by itself.

| shape | leaks | met, and confirmed by the witness | kernel's kills |
|---|---|---|---|
%s`, version, machine(), b.String()))
}

// count is how many kills of the group the guard's log has.
func (w *witness) count(log string) int {
	n := 0
	for _, m := range killLine.FindAllStringSubmatch(log, -1) {
		if m[2] == w.group.Path {
			n++
		}
	}
	return n
}
