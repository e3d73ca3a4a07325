// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	manyContainers = 1000
	// roomy is a limit in which what moves can go on for minutes.
	roomy = 64 * mib
)

// recorderCost is two exporters on the same node, one of which has a flight
// recorder, and a floor beside them.
type recorderCost struct {
	*bench
	all           []container
	with, without *lab.Exporter
	floor         *floor
	rows          strings.Builder
}

// TestRecorderCost measures what the flight recorder costs among 1,000 containers
// with limits: while nothing moves, while ten are near their limits, while a tenth
// moves, and in a storm of kills.
func TestRecorderCost(t *testing.T) {
	if !full() && os.Getenv("OOM_E2E_EVIDENCE") == "" {
		t.Skip("with OOM_E2E_FULL, or where its page is to be written")
	}
	b := newBench(t)
	c := &recorderCost{bench: b, all: b.containers(t, manyContainers, roomy)}
	small := b.containers(t, 64, groupLimit)
	b.charge(t, c.all)
	c.floor = startFloor(t, b.Hierarchy, c.all)
	c.without, c.with = lab.StartExporter(t, "--no-recorder"), lab.StartExporter(t)
	b.baseline(t, c.without)
	b.baseline(t, c.with)
	span := long(time.Minute, 20*time.Second)
	c.moving(t, "10 near their limits", 10, span, 5, "anon:49M", "rate:150K")
	c.moving(t, "100 move", 100, span, 5, "anon:1M", "rate:300K") // more than the kernel charges ahead.
	storm := c.storming(t, small)
	<-time.After(14 * time.Second) // after kills it looks whether their groups live on.
	c.measure(t, "nothing moves", span, 2)
	b.evidence(t, "recorder-cost", "# What the flight recorder costs\n\n"+
		"Two exporters watch 1,000 containers with limits at the same time, one without the flight recorder; nobody scrapes. "+
		"The difference is the recorder's. The floor is a thread that reads the usage of each container once a second, by descriptors that stay open, and nothing else.\n\n"+
		b.by("TestRecorderCost")+
		"| what happens | watched for | without, a minute | with, a minute | the recorder, a minute | of a CPU | floor, a minute | recorder / floor |\n|---|---|---|---|---|---|---|---|\n"+
		c.rows.String()+"\n"+storm)
}

// charge gives each container some memory that stays.
func (b *bench) charge(t *testing.T, all []container) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "oom-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var script strings.Builder
	for i, c := range all {
		fmt.Fprintf(&script, "%s enter:%s file:256K:%s/%d exit:0\n", lab.Hog(t), c.File("cgroup.procs"), dir, i)
	}
	cmd := exec.Command("sh", "-e")
	cmd.Stdin = strings.NewReader(script.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("charge the containers: %v\n%s", err, out)
	}
}

// spent is the CPU time of each so far.
type spent struct{ without, with, floor time.Duration }

func (c *recorderCost) spent(t *testing.T) spent {
	return spent{c.without.CPUTime(t), c.with.CPUTime(t), c.floor.used()}
}

// measure makes a row of the table. The recorder may take so many times what the
// floor takes: both have to wait for the same memory on a busy machine. The budgets
// are stricter (docs/recorder.md); this is what it must never take.
func (c *recorderCost) measure(t *testing.T, name string, span time.Duration, bar float64) {
	t.Helper()
	for try := 1; ; try++ {
		before := c.spent(t)
		<-time.After(span)
		now := c.spent(t)
		minute := func(d time.Duration) time.Duration { return d * time.Minute / span }
		without, with, floor := minute(now.without-before.without), minute(now.with-before.with), minute(now.floor-before.floor)
		took := with - without
		ratio := float64(took) / float64(floor)
		row := fmt.Sprintf("| %s | %v | %.0f ms | %.0f ms | %.0f ms | %.3f %% | %.0f ms | %.2f |\n", name, span,
			without.Seconds()*1e3, with.Seconds()*1e3, took.Seconds()*1e3, 100*took.Minutes(), floor.Seconds()*1e3, ratio)
		held := took > 0 && ratio <= bar // a clock that went back, or kills in between, leave nothing to compare.
		if held || try == tries {
			if !held {
				t.Errorf("%s: the recorder takes %v of CPU a minute, %.2f times the floor's %v; want more than none and at most %g times", name, took, ratio, floor, bar)
			}
			c.rows.WriteString(row)
			return
		}
		t.Log(row)
	}
}

// moving measures while n containers, in as many pods as can be, grow slowly.
func (c *recorderCost) moving(t *testing.T, name string, n int, span time.Duration, bar float64, steps ...string) {
	t.Helper()
	var hogs []*lab.Process
	for i := range n {
		hogs = append(hogs, lab.StartHog(t, c.all[i*len(c.all)/n].Group, append(steps, "anon:1G")...))
	}
	<-time.After(3 * time.Second)
	kills := lab.NodeKills(t)
	c.measure(t, name, span, bar)
	for _, h := range hogs {
		if h.Ended() {
			t.Errorf("%s: a container was killed in; %d kills on the node", name, lab.NodeKills(t)-kills)
		}
		h.Signal(t, syscall.SIGKILL)
	}
	for _, h := range hogs {
		h.Wait(t, time.Minute)
	}
}

// storming returns a table of what a kill costs.
func (c *recorderCost) storming(t *testing.T, small []container) string {
	t.Helper()
	kills, over := 200, 10*time.Second
	if full() {
		kills, over = 1000, 50*time.Second
	}
	from := c.settled(t, c.with, readBooks(t, c.with))
	before := c.spent(t)
	c.storm(t, c.plan(small, kills, over))
	<-time.After(quiet)
	now := c.spent(t)
	c.settled(t, c.with, from)
	perKill := func(d time.Duration) float64 { return d.Seconds() * 1e3 / float64(kills) }
	without, with := perKill(now.without-before.without), perKill(now.with-before.with)
	return fmt.Sprintf("| storm | CPU a kill without | with | with / without |\n|---|---|---|---|\n| %d kills in %v, in 64 other containers of 1 MiB | %.2f ms | %.2f ms | %.2f |\n",
		kills, over, without, with, with/without)
}

// floor is a thread that reads the usage of cgroups once a second.
type floor struct{ nanos atomic.Int64 }

func (f *floor) used() time.Duration { return time.Duration(f.nanos.Load()) }

func startFloor(t *testing.T, h lab.Hierarchy, all []container) *floor {
	t.Helper()
	name := "memory.current"
	if h.Version == 1 {
		name = "memory.usage_in_bytes"
	}
	var files []*os.File
	for _, c := range all {
		f, err := os.Open(filepath.Join(c.File(""), name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	f, stop, done := &floor{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f.run(files, stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		for _, f := range files {
			_ = f.Close()
		}
	})
	return f
}

func (f *floor) run(files []*os.File, stop <-chan struct{}) {
	runtime.LockOSThread() // whose CPU time is what counts.
	buf := make([]byte, 32)
	fds := make([]int, len(files))
	for i := range files {
		fds[i] = int(files[i].Fd())
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for _, fd := range fds {
			_, _ = unix.Pread(fd, buf, 0)
		}
		var u unix.Rusage
		if unix.Getrusage(unix.RUSAGE_THREAD, &u) == nil {
			f.nanos.Store(u.Utime.Nano() + u.Stime.Nano())
		}
	}
}
