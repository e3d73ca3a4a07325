// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestRest measures what the exporter costs when nothing happens and nobody
// scrapes.
func TestRest(t *testing.T) {
	b := newBench(t)
	b.containers(t, 64, groupLimit)
	e := lab.StartExporter(t)
	b.baseline(t, e)
	span := long(time.Minute, 20*time.Second)
	const bar = 10 * time.Millisecond // a minute.
	var minute time.Duration
	for try := 1; ; try++ {
		<-time.After(14 * time.Second) // after kills it looks whether their groups live on.
		kills, before := lab.NodeKills(t), e.CPUTime(t)
		<-time.After(span)
		minute = time.Duration(float64(e.CPUTime(t)-before) * float64(time.Minute) / float64(span))
		killed := kills != lab.NodeKills(t)
		if !killed && minute <= bar {
			break
		}
		t.Logf("%v of CPU a minute at rest; a kill came between: %v", minute, killed)
		if try == tries {
			t.Errorf("%v of CPU a minute at rest, more than %v", minute, bar)
			break
		}
	}
	b.evidence(t, "rest", "# CPU at rest\n\nNobody scrapes and nothing is killed; 64 containers are there.\n\n"+b.by("TestRest")+
		fmt.Sprintf("| watched for | CPU a minute |\n|---|---|\n| %v | %.1f ms |\n", span, minute.Seconds()*1e3))
}

// thrashing measures what a container costs the exporter that reads more than
// its limit, again and again: it has to reclaim all the time and is never
// killed.
func (b *bench) thrashing(t *testing.T) {
	c := b.container(t, b.pod(t, lab.Unlimited), 4*mib)
	e := lab.StartExporter(t)
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
	const bar = 0.01
	var share, perSecond float64
	for try := 1; ; try++ {
		hits := b.hits(t, c)
		before = e.CPUTime(t)
		<-time.After(span)
		share = (e.CPUTime(t) - before).Seconds() / span.Seconds()
		perSecond = float64(b.hits(t, c)-hits) / span.Seconds()
		if n := lab.NodeKills(t) - kills; n > 0 || perSecond < 100 {
			t.Fatalf("the container did not thrash: %d kills, %v hits of the limit a second; it printed:\n%s", n, perSecond, p.Output())
		}
		if share <= bar {
			break
		}
		t.Logf("%.2f %% of a CPU while a container thrashes", 100*share)
		if try == tries {
			t.Errorf("%.2f %% of a CPU, more than %g %%", 100*share, 100*bar)
			break
		}
	}
	p.Signal(t, syscall.SIGKILL)
	b.evidence(t, "thrashing", "# CPU while a container thrashes at its limit\n\n"+
		"A container reads more than its limit again and again, which raises a counter of its and an event of cgroup v2 each time. Nobody scrapes.\n\n"+b.by("TestGuest")+
		fmt.Sprintf("| | hits of the limit a second | CPU of the exporter |\n|---|---|---|\n| at rest | 0 | %.2f %% |\n| thrashing | %.0f | %.2f %% |\n",
			100*rest.Seconds()/span.Seconds(), perSecond, 100*share))
}

// hits is how often the container ran into its limit.
func (b *bench) hits(t *testing.T, c container) uint64 {
	t.Helper()
	if b.Version == 1 {
		return c.Uint(t, "memory.failcnt")
	}
	return c.Keys(t, "memory.events")["max"]
}
