// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package timeline watches margins over time, from the first page to the kill
// or through a minute without one, by scraping the real exporter: the kill
// margin has to be near 0 when the kernel kills and must not be when it does
// not; limit minus working set stands beside it for comparison.
package timeline

import (
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const mib = 1 << 20

// scenario is a workload in a group of its own.
type scenario struct {
	name  string
	limit int64
	steps []string
	also  []string // the steps of a second process.
	kills bool
	pod   bool // the limit is the pod's, with a second container in it.
	hold  time.Duration
}

// run is what was seen of a scenario.
type run struct {
	scenario
	killed    bool
	last, low sample // at the kill, and the lowest.
	samples   int
}

// sample is one scrape's view of the container.
type sample struct{ kill, limit, nodeKills float64 }

// read takes the container's margins out of a scrape.
func read(t *testing.T, base, container string) (sample, bool) {
	t.Helper()
	text, err := lab.GetBy(http.DefaultClient, base+"/metrics?collect[]=container&collect[]=node&collect[]=event")
	if err != nil {
		t.Fatal(err)
	}
	m := lab.ParseMetrics(t, text)
	if !m.Has("oom_container_kill_margin_bytes", "container", container) {
		return sample{nodeKills: m.Value(t, "oom_node_kills_total")}, false
	}
	s := sample{
		kill:  m.Value(t, "oom_container_kill_margin_bytes", "container", container),
		limit: math.NaN(), nodeKills: m.Value(t, "oom_node_kills_total"),
	}
	if m.Has("oom_container_limit_margin_bytes", "container", container) {
		s.limit = m.Value(t, "oom_container_limit_margin_bytes", "container", container)
	}
	return s, true
}

// watch scrapes until the kernel has killed or the workload was held for long
// enough. A dying process frees its memory, so a sample counts only if the
// kernel had not killed after it. Where the workload does not go on by itself,
// next has it take the next step.
func watch(t *testing.T, base, container string, s scenario, killed func(sample) bool, next func()) run {
	t.Helper()
	r := run{scenario: s, low: sample{kill: math.Inf(1), limit: math.Inf(1)}}
	until := time.Now().Add(max(s.hold, 0))
	if s.kills {
		until = time.Now().Add(3 * time.Minute)
	}
	for time.Now().Before(until) {
		seen, ok := read(t, base, container)
		if killed(seen) {
			r.killed = true
			break
		}
		if ok {
			r.samples++
			r.last = seen
			r.low = sample{kill: min(r.low.kill, seen.kill), limit: min(r.low.limit, seen.limit)}
		}
		if next != nil {
			next()
		}
	}
	return r
}

// judge holds a run against the bars.
func (r *run) judge(t *testing.T) {
	t.Helper()
	if r.killed != r.kills {
		t.Errorf("%s: killed %v, want %v", r.name, r.killed, r.kills)
		return
	}
	if r.samples < 10 {
		t.Errorf("%s: %d samples only", r.name, r.samples)
	}
	limit := float64(r.scenario.limit)
	if allowed := max(0.02*limit, 2*mib); r.kills && r.last.kill >= allowed {
		t.Errorf("%s: the kill margin was %.1f MiB at the kill, want less than %.1f", r.name, r.last.kill/mib, allowed/mib)
	}
	if !r.kills && r.low.kill < 0.10*limit {
		t.Errorf("%s: the kill margin fell to %.1f MiB of %.0f although nobody was killed", r.name, r.low.kill/mib, limit/mib)
	}
}

func many(n int, steps ...string) []string {
	var all []string
	for range n {
		all = append(all, steps...)
	}
	return all
}

// slowly takes a memory of that kind by the MiB, and stops after each: how busy
// the machine is does not matter then.
func slowly(kind string) []string { return many(128, kind+":1M", "stop") }

func TestTimelineHost(t *testing.T) {
	lab.Root(t)
	e := lab.StartExporter(t, "--web.min-interval=0s") // a scrape a step.
	file := func(name string) string { return filepath.Join(t.TempDir(), name) }
	hot, cold := file("hot"), file("cold")
	scenarios := []scenario{
		{name: "anonymous leak", limit: 64 * mib, kills: true, steps: slowly("anon")},
		{name: "page cache at the limit for a minute", limit: 64 * mib, hold: time.Minute, steps: []string{"anon:10M", "file:80M:" + cold, "rate:8M", "file:600M:" + cold}},
		{name: "hot mapped file larger than the limit", limit: 64 * mib, hold: 20 * time.Second, steps: append([]string{"anon:10M", "file:128M:" + hot}, many(200, "map:128M:"+hot)...)},
		{name: "tmpfs filler", limit: 64 * mib, kills: true, steps: slowly("shmem")},
		{name: "open pipes, full (kernel memory)", limit: 32 * mib, kills: true, steps: slowly("pipes")},
		{name: "mlock", limit: 64 * mib, kills: true, steps: slowly("mlock")},
		{name: "cache first, then a leak", limit: 64 * mib, kills: true, steps: append([]string{"file:100M:" + file("first")}, slowly("anon")...)},
		{name: "pod's limit, two containers", limit: 96 * mib, pod: true, kills: true, steps: slowly("anon")},
	}
	var runs []run
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			name := fmt.Sprintf("timeline%d", i)
			path, own := name+"/c1", s.limit
			if s.pod {
				pod := lab.NewGroup(t, name, s.limit)
				other := lab.NewGroup(t, pod.Path+"/c2", s.limit)
				lab.StartHog(t, other, "anon:40M", "stop").WaitStopped(t)
				path = pod.Path + "/c1"
			}
			g := lab.NewGroup(t, path, own)
			hog := lab.StartHog(t, g, append([]string{"adj:1000"}, s.steps...)...)
			var next func()
			if s.kills {
				next = func() { hog.Step(t) }
			}
			r := watch(t, e.URL, g.Path, s, func(sample) bool { return g.Keys(t, "memory.oom_control")["oom_kill"] > 0 }, next)
			r.judge(t)
			runs = append(runs, r)
		})
	}
	evidence(t, "timeline-v1.md", "cgroup v1", release(t), runs)
}

// swapOn has swap on RAM disks of 16 MiB, since the disk has a file system.
const swapOn = "for disk in /dev/ram0 /dev/ram1 /dev/ram2 /dev/ram3; do mkswap $disk >/dev/null && swapon $disk; done\n"

// onDisk is how many files of an ext4 file system are looked at again and again:
// their dentries and inodes take more than the limit of that row.
const onDisk = 60_000

// TestTimelineGuest has what needs cgroup v2 or swap. The files of tmpfs stay
// where they are when their rows have ended: they must not count for others.
//
// A file system charges its inodes with GFP_NOFS, under which the kernel may free
// page cache, but neither dentries nor inodes. Where a cgroup has nothing but
// those, it is killed now and then for such a charge. A reader beside keeps some
// page cache there.
func TestTimelineGuest(t *testing.T) {
	scenarios := []scenario{
		{name: "dentries (negative)", limit: 48 * mib, hold: 25 * time.Second, steps: []string{"anon:6M", "dentries:2000000"}},
		{name: "swap allowed", limit: 32 * mib, kills: true, steps: []string{"rate:6M", "anon:160M"}},
		{name: "anonymous leak", limit: 48 * mib, kills: true, steps: []string{"rate:6M", "anon:128M"}},
		{name: "tmpfs: empty files", limit: 48 * mib, kills: true, steps: []string{"rate:16M", "files:1000000:0:8:/tmp/c3"}},
		{name: "tmpfs: empty files with long names", limit: 24 * mib, kills: true, steps: []string{"rate:16M", "files:1000000:0:188:/tmp/c4"}},
		{name: "tmpfs: hard links with long names", limit: 24 * mib, kills: true, steps: []string{"rate:16M", "links:1000000:188:/tmp/c5"}},
		{name: "tmpfs: files of 1 KiB", limit: 48 * mib, kills: true, steps: []string{"rate:8M", "files:1000000:1024:8:/tmp/c6"}},
		{name: "dentries and inodes of files on a disk", limit: 48 * mib, hold: 25 * time.Second, steps: append([]string{"anon:6M"}, many(400, fmt.Sprintf("stats:%d:0:8:/data/files", onDisk))...),
			also: many(8000, "read:/data/read", "sleep:1")},
		{name: "dentries (negative), with all these files of tmpfs", limit: 48 * mib, hold: 25 * time.Second, steps: []string{"anon:6M", "dentries:2000000"}},
	}
	script := guest.FileSystem + swapOn + fmt.Sprintf("mkdir /data/files\nhog files:%d:0:8:/data/files file:8M:/data/read exit:0\nsync\necho 3 >/proc/sys/vm/drop_caches\nexporter\n", onDisk)
	for i, s := range scenarios {
		script += fmt.Sprintf("mkgroup /timeline/c%d %d\nmkdir /tmp/c%d\nmount -t tmpfs -o nr_inodes=0 tmpfs /tmp/c%d\n", i, s.limit, i, i)
		if s.name == "swap allowed" {
			script += fmt.Sprintf("echo 32M >$R/timeline/c%d/memory.swap.max\n", i)
		} else {
			script += fmt.Sprintf("echo 0 >$R/timeline/c%d/memory.swap.max\n", i)
		}
		steps := "adj:1000"
		for _, step := range s.steps {
			steps += " " + step
		}
		script += fmt.Sprintf("say begin%d\nawait go%d\n", i, i)
		if s.also != nil {
			script += fmt.Sprintf("run /timeline/c%d %s\n", i, strings.Join(s.also, " "))
		}
		script += fmt.Sprintf("run /timeline/c%d %s\nhog=$!\n", i, steps)
		if s.kills {
			script += fmt.Sprintf("wait $hog || true\nsay end%d\n", i)
		} else {
			script += fmt.Sprintf("await stop%d\nkill -9 $hog || dmesg | grep invoked\n", i)
		}
	}
	vm := guest.Run(t, guest.Options{Kernel: guest.K61, Cgroup: 2, MemoryMB: 1024, SwapMB: 400, Modules: []string{"brd"}, Script: script, Timeout: 10 * time.Minute})
	var runs []run
	for i, s := range scenarios {
		vm.Await(t, fmt.Sprintf("begin%d", i))
		group := fmt.Sprintf("/timeline/c%d", i)
		before := lab.Scrape(t, vm.URL()).Value(t, "oom_node_kills_total")
		vm.Tell(t, fmt.Sprintf("go%d", i))
		r := watch(t, vm.URL(), group, s, func(s sample) bool { return s.nodeKills > before }, nil)
		r.judge(t)
		runs = append(runs, r)
		if s.kills {
			vm.Await(t, fmt.Sprintf("end%d", i))
		} else {
			vm.Tell(t, fmt.Sprintf("stop%d", i))
		}
	}
	vm.Wait(t)
	evidence(t, "timeline-v2.md", "cgroup v2", "6.1", runs)
}
