// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// hugeCase is a workload in transparent huge pages.
type hugeCase struct {
	limit, rate int // MiB, KiB a second.
	stands      bool
	huge        bool // it was seen to have huge pages.
	group       *lab.Group
	process     *lab.Process
}

// TestHugePages has workloads in transparent huge pages, of which one is charged as a
// whole when its first byte is written. Those that stand, with a page that brings them to
// the last of their margin, are left alone. Leaks are met, but where the last page that
// there is room for leaves too little below the limit for the rest to be seen.
func TestHugePages(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	crowd(t)
	overhead := emptyHog(t, hog, root)
	g := startGuard(t, binary, root, "--policy=process")
	rates, leaks := []int{1 << 10, 2 << 10, 5 << 10, 10 << 10}, 32
	if emulated() {
		rates, leaks = []int{512, 1 << 10, 2 << 10}, 24
	}
	if full() {
		leaks *= 4
	}
	var all []*hugeCase
	for i := range leaks {
		c := &hugeCase{limit: []int{64, 128, 256}[i%3], rate: rates[i/3%len(rates)], stands: i%2 == 1}
		c.group = lab.NewGroup(t, path.Join(root, fmt.Sprint(i)), int64(c.limit)*mib)
		all = append(all, c)
	}
	g.await(t, len(all))
	for i := 0; i < len(all); i += 4 { // four at a time.
		some := all[i:min(i+4, len(all))]
		for _, c := range some {
			c.process = start(t, hog, c.group, c.steps(overhead)...)
		}
		lab.Eventually(t, time.Minute, "they stand or were killed", func() bool {
			return count(some, func(c *hugeCase) bool { return c.isDone(t) }) == len(some)
		})
	}
	<-time.After(5 * time.Second)
	var b strings.Builder
	if met, of := judgeHuge(t, g, all, &b); met*100 < of*hugeBar {
		t.Errorf("%d of %d leaks met:\n%s\n%s", met, of, &b, g.Output())
	}
	if t.Failed() {
		return
	}
	setting, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		t.Fatal(err)
	}
	evidence(t, fmt.Sprintf("guard-huge-v%d.md", all[0].group.Version), fmt.Sprintf(`# oom_guard and transparent huge pages, cgroup v%d

%s; transparent_hugepage/enabled: %s. Policy process. Half of the workloads leak into their limits, half stand 0.65 margins below,
with a huge page on the way that brings usage nearer to the limit than that.

| workload | limit | with huge pages | met | killed by the guard | killed by the kernel |
|---|---|---|---|---|---|
%s`, all[0].group.Version, machine(), strings.TrimSpace(string(setting)), &b))
}

// hugeBar is the least share of leaks that are met, in percent.
const hugeBar = 60

// steps fill the group to some MiB below its limit, and then go on at the rate.
func (c *hugeCase) steps(overhead int) []string {
	const slow = 5
	fill := []string{"pages:huge", fmt.Sprintf("anon:%dM", c.limit-slow-2), fmt.Sprintf("rate:%dK", c.rate)}
	if !c.stands {
		return append(fill, "anon:32M", "say:up")
	}
	room := (slow+2)*mib - overhead - marginOf(c.limit*mib)*65/100
	return append(fill, fmt.Sprintf("anon:%dK:32M", (room-room/64)>>10), "say:up")
}

// isDone tells whether it has come to stand or was killed, and notes what pages it has.
func (c *hugeCase) isDone(t *testing.T) bool {
	t.Helper()
	key := map[int]string{1: "total_rss_huge", 2: "anon_thp"}[c.group.Version]
	c.huge = c.huge || c.group.Keys(t, "memory.stat")[key] > 0
	return strings.Contains(c.process.Output(), "up") || c.process.Ended()
}

// judgeHuge writes a row for each limit and kind of workload.
func judgeHuge(t *testing.T, g *guard, all []*hugeCase, b *strings.Builder) (met, of int) {
	t.Helper()
	near := 0
	for _, limit := range []int{64, 128, 256} {
		for _, stands := range []bool{false, true} {
			var n, huge, dead, kernel int
			for _, c := range all {
				if c.limit != limit || c.stands != stands {
					continue
				}
				n++
				if c.huge {
					huge++
				}
				switch kills := kernelKills(t, c.group); {
				case kills > 0:
					kernel++
				case !running(c.process):
					dead++
					if stands {
						t.Errorf("it stood %.2f MiB below %d MiB, filled at %d KiB/s, and was killed:\n%s", float64(uint64(limit*mib)-peak(t, c.group))/mib, limit, c.rate, linesWith(g.Output(), " cgroup="+c.group.Path+" "))
					}
				}
				if stands && peak(t, c.group) >= uint64(limit*mib-marginOf(limit*mib)/2) {
					near++
				}
			}
			if stands {
				fmt.Fprintf(b, "| stands | %d MiB | %d of %d | - | %d | %d |\n", limit, huge, n, dead, kernel)
				continue
			}
			fmt.Fprintf(b, "| leaks | %d MiB | %d of %d | %d | %d | %d |\n", limit, huge, n, dead, dead, kernel)
			met, of = met+dead, of+n
		}
	}
	if near == 0 {
		t.Error("none of those that stand was brought near to its limit by a huge page: the test shows nothing")
	}
	return met, of
}
