// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// watching is an exporter with or without its flight recorder, which has a clock
// of its own and so costs something also when nothing happens.
type watching struct {
	name string
	args []string
	rest time.Duration // the CPU time that it may take a minute at rest.
	busy float64       // what it may take beside a thrashing container, in readings a second, see reading.
}

var watchings = []watching{
	{name: "without the flight recorder", args: []string{"--no-recorder"}, rest: 10 * time.Millisecond, busy: 23},
	// Its budget is 60 ms a minute among 1,000 cgroups at rest (docs/recorder.md).
	// What it takes is written down; this is what it must never take: beside a
	// thrashing container ten full samples a second, each of which takes about as much as
	// ten readings. How many there are depends on by how much reclaim moves its usage.
	{name: "with it", rest: 150 * time.Millisecond, busy: 100},
}

// reading is the CPU time that this machine takes now to read a small file. What an
// exporter takes is held against it, since an emulated machine is at times half as fast.
func reading(t *testing.T) time.Duration {
	t.Helper()
	const n = 2000
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	for range n {
		if _, err := os.ReadFile("/proc/self/status"); err != nil {
			t.Fatal(err)
		}
	}
	return (used() - before) / n
}

// TestRest measures what the exporter costs when nothing happens and nobody
// scrapes.
func TestRest(t *testing.T) {
	b := newBench(t)
	b.containers(t, 64, groupLimit)
	span := long(time.Minute, 20*time.Second)
	var rows strings.Builder
	for _, w := range watchings {
		t.Run(w.name, func(t *testing.T) {
			minute := b.atRest(t, w, span)
			fmt.Fprintf(&rows, "| %s | %v | %.1f ms |\n", w.name, span, minute.Seconds()*1e3)
		})
	}
	b.evidence(t, "rest", "# CPU at rest\n\nNobody scrapes and nothing is killed; 64 containers are there.\n\n"+b.by("TestRest")+
		"| exporter | watched for | CPU a minute |\n|---|---|---|\n"+rows.String())
}

// atRest returns the CPU time that an exporter takes a minute.
func (b *bench) atRest(t *testing.T, w watching, span time.Duration) (minute time.Duration) {
	e := lab.StartExporter(t, w.args...)
	b.baseline(t, e)
	for try := 1; ; try++ {
		<-time.After(14 * time.Second) // after kills it looks whether their groups live on.
		kills, before := lab.NodeKills(t), e.CPUTime(t)
		<-time.After(span)
		minute = time.Duration(float64(e.CPUTime(t)-before) * float64(time.Minute) / float64(span))
		killed := kills != lab.NodeKills(t)
		if !killed && minute <= w.rest {
			return minute
		}
		t.Logf("%v of CPU a minute at rest; a kill came between: %v", minute, killed)
		if try == tries {
			t.Errorf("%v of CPU a minute at rest, more than %v", minute, w.rest)
			return minute
		}
	}
}

// thrashing measures what a container costs the exporter that reads more than
// its limit, again and again: it has to reclaim all the time and is never
// killed.
func (b *bench) thrashing(t *testing.T) {
	c := b.container(t, b.pod(t, lab.Unlimited), 4*mib)
	var rows strings.Builder
	for _, w := range watchings {
		t.Run(w.name, func(t *testing.T) { rows.WriteString(b.besideThrashing(t, w, c)) })
	}
	b.evidence(t, "thrashing", "# CPU while a container thrashes at its limit\n\n"+
		"A container reads more than its limit again and again, which raises a counter of its and an event of cgroup v2 each time. Nobody scrapes. "+
		"A reading is what /proc/self/status takes to read on the same machine at that time: an emulated one is at times half as fast.\n\n"+b.by("TestGuest")+
		"| exporter | hits of the limit a second | CPU at rest | CPU while it thrashes | a reading | readings a second | at most | full samples a second |\n|---|---|---|---|---|---|---|---|\n"+rows.String())
}

// besideThrashing returns a row of the table: what an exporter takes.
func (b *bench) besideThrashing(t *testing.T, w watching, c container) string {
	e := lab.StartExporter(t, w.args...)
	b.baseline(t, e)
	span := long(20*time.Second, 6*time.Second)
	<-time.After(12 * time.Second) // after kills it looks whether their groups live on.
	before := e.CPUTime(t)
	<-time.After(span)
	rest := e.CPUTime(t) - before
	// The guest's disk has no file system; reading it fills the page cache, too.
	const script = `echo 0 >"$0"; while :; do dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null; done`
	p := lab.Start(t, exec.Command("sh", "-c", script, c.File("cgroup.procs")))
	<-time.After(2 * time.Second)
	kills := lab.NodeKills(t)
	var share, perSecond, readings, full float64
	var floor time.Duration
	for try := 1; ; try++ {
		floor = reading(t)
		hits, earlier := b.hits(t, c), e.Scrape(t)
		before = e.CPUTime(t)
		<-time.After(span)
		share = (e.CPUTime(t) - before).Seconds() / span.Seconds()
		perSecond = float64(b.hits(t, c)-hits) / span.Seconds()
		now := e.Scrape(t)
		full = (now.Sum("oom_recorder_full_samples_total") - earlier.Sum("oom_recorder_full_samples_total")) / span.Seconds()
		floor = (floor + reading(t)) / 2
		readings = share / floor.Seconds()
		if n := lab.NodeKills(t) - kills; n > 0 || perSecond < 100 {
			t.Fatalf("the container did not thrash: %d kills, %v hits of the limit a second; it printed:\n%s", n, perSecond, p.Output())
		}
		if readings <= w.busy {
			break
		}
		t.Logf("%.2f %% of a CPU while a container thrashes, as much as %.0f readings a second, for %.1f full samples a second", 100*share, readings, full)
		if try == tries {
			t.Errorf("as much as %.0f readings a second, more than %g", readings, w.busy)
			break
		}
	}
	return fmt.Sprintf("| %s | %.0f | %.2f %% | %.2f %% | %v | %.0f | %g | %.1f |\n", w.name, perSecond, 100*rest.Seconds()/span.Seconds(), 100*share, floor.Round(time.Microsecond), readings, w.busy, full)
}

// hits is how often the container ran into its limit.
func (b *bench) hits(t *testing.T, c container) uint64 {
	t.Helper()
	if b.Version == 1 {
		return c.Uint(t, "memory.failcnt")
	}
	return c.Keys(t, "memory.events")["max"]
}
