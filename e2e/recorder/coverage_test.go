// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package recorder_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/proc"
	"github.com/oom-exporter/oom_exporter/internal/recorder"
)

// growth is one container that grows until it is killed.
type growth struct {
	base, limit, rate float64 // bytes, and bytes a second.

	near    time.Duration // for how long before the kill it was near.
	gap     time.Duration // from the last sample to the kill; negative: none.
	late    time.Duration // by how much the machine itself was late in that second.
	samples int
	known   float64 // usage at the last sample.
}

// draw draws a growth that takes half a second to twelve seconds.
func draw(rng *rand.Rand, most float64) *growth {
	rate := mi * math.Exp(rng.Float64()*math.Log(most))
	grow := min(max(rate*(0.5+11.5*rng.Float64()), 6*mi), 300*mi)
	base := (16 + 100*rng.Float64()) * mi
	return &growth{base: base, limit: math.Ceil((base+grow)/4096) * 4096, rate: rate}
}

// TestCoverage has containers of more than five seconds grow at rates between 1
// and 200 MiB a second until the kernel kills in them.
func TestCoverage(t *testing.T) {
	lab.Root(t)
	n, parallel, most := 24, 6, 200.0
	if full() {
		n = 300
	}
	if os.Getenv("OOM_E2E_GUEST") != "" { // an emulated machine has no more to give.
		n, parallel, most = 40, 2, 40
	}
	seed := seed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	all := make([]*growth, n)
	for i := range all {
		all[i] = draw(rng, most)
	}
	rec := record(t)
	clock := watchClock(t)
	next := make(chan int, n)
	for i := range all {
		next <- i
	}
	close(next)
	var workers sync.WaitGroup
	groups := make([]*lab.Group, n)
	for i, g := range all { // only the test's goroutine may fail it.
		groups[i] = lab.NewGroup(t, fmt.Sprintf("recorded/%03d", i), int64(g.limit))
	}
	errs := make(chan error, n)
	for range parallel {
		workers.Go(func() {
			for i := range next {
				if err := all[i].run(rec, groups[i], filepath.Join(t.TempDir(), fmt.Sprint(i)), clock); err != nil {
					errs <- fmt.Errorf("growth %d: %w", i, err)
				}
			}
		})
	}
	workers.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if !t.Failed() {
		judge(t, all, seed, groups[0].Version)
	}
}

// record runs a recorder of this host until the test ends.
func record(t *testing.T) *recorder.Recorder {
	t.Helper()
	h, err := cgroup.Find(cgroup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sampler, err := h.Sampler(cgroup.SamplerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := proc.New(proc.Options{Root: "/proc"})
	if err != nil {
		t.Fatal(err)
	}
	rec := recorder.New(recorder.Options{Source: sampler, Node: fs.NodeMemory, Processes: fs, MaxRecordings: 1000})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = rec.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = sampler.Close()
		_ = fs.Close()
	})
	return rec
}

// lateness is by how much a goroutine woke too late, by time.
type lateness struct {
	mu  sync.Mutex
	all []struct{ at, by time.Duration }
}

// watchClock measures how late the machine is.
func watchClock(t *testing.T) *lateness {
	l := &lateness{}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			before := boottime()
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			now := boottime()
			l.mu.Lock()
			l.all = append(l.all, struct{ at, by time.Duration }{now, now - before - 10*time.Millisecond})
			l.mu.Unlock()
		}
	}()
	return l
}

// before returns the most by which the machine was late in a time before another.
func (l *lateness) before(at, length time.Duration) (most time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.all) - 1; i >= 0 && l.all[i].at >= at-length; i-- {
		if l.all[i].at-l.all[i].by <= at {
			most = max(most, l.all[i].by)
		}
	}
	return most
}

// run lets the container grow until it is killed, and takes its recording.
func (g *growth) run(rec *recorder.Recorder, group *lab.Group, beatFile string, clock *lateness) error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%s,%.0f,5.2,%.0f", hogVariable, group.File("cgroup.procs"), beatFile, g.base, g.rate))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := os.WriteFile(beatFile, make([]byte, 4096), 0o600); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = cmd.Wait() // the state is what counts.
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGKILL {
		return fmt.Errorf("it ended by itself: %v", cmd.ProcessState)
	}
	b, err := os.ReadFile(beatFile)
	if err != nil {
		return err
	}
	died, began := time.Duration(binary.NativeEndian.Uint64(b)), time.Duration(binary.NativeEndian.Uint64(b[8:]))
	if died == 0 || began == 0 {
		return fmt.Errorf("it was killed before it grew: limit %.0f MiB", g.limit/mi)
	}
	now := time.Now()
	k := oom.Kill{ID: group.Path, Time: now.Add(died - boottime()), VictimPath: group.Path, LimitPath: group.Path}
	rec.Freeze(k)
	r, ok := rec.Recording(group.Path)
	if !ok {
		return fmt.Errorf("no recording")
	}
	g.gap, g.samples = r.Gap, len(r.Victim.Fine)
	for _, s := range r.Victim.Fine {
		if !s.Time.After(k.Time) {
			g.known = float64(s.Usage.Or(0))
		}
	}
	// It is near while 30 s are left at its rate, or a quarter of its limit.
	left := max(30*g.rate, g.limit/4)
	g.near = min(died-began, time.Duration(left/g.rate*float64(time.Second)))
	g.late = clock.before(died, 1200*time.Millisecond)
	return nil
}

// judge holds the bars, and makes the table.
func judge(t *testing.T, all []*growth, seed uint64, version int) {
	t.Helper()
	within := func(g *growth, most time.Duration) bool { return g.gap >= 0 && g.gap <= most }
	var second, near, fast, fastMachine int
	var gaps []time.Duration
	var lost []float64
	for _, g := range all {
		if within(g, time.Second) {
			second++
		} else {
			t.Logf("%.1f MiB/s, %.0f to %.0f MiB, near for %v: last sample %v before, machine late by %v", g.rate/mi, g.base/mi, g.limit/mi, g.near, g.gap, g.late)
		}
		if g.near < time.Second {
			continue
		}
		near++
		gaps = append(gaps, g.gap)
		lost = append(lost, (g.limit-g.known)/g.limit)
		if within(g, 150*time.Millisecond) {
			fast++
		}
		if within(g, 150*time.Millisecond+g.late) {
			fastMachine++
		} else {
			t.Logf("near: %.1f MiB/s, %.0f to %.0f MiB, near for %v: last sample %v before, machine late by %v", g.rate/mi, g.base/mi, g.limit/mi, g.near, g.gap, g.late)
		}
	}
	slices.Sort(gaps)
	slices.Sort(lost)
	at := func(q float64) time.Duration { return gaps[min(int(q*float64(len(gaps))), len(gaps)-1)] }
	share := func(n, of int) float64 { return float64(n) / float64(max(of, 1)) }
	if s := share(second, len(all)); s < 0.99 && len(all)-second > 1 {
		t.Errorf("%d of %d kills have a sample in the last second", second, len(all))
	}
	if s := share(fastMachine, near); s < 0.99 && near-fastMachine > 1 {
		t.Errorf("%d of %d kills of cgroups that were near have a sample in the last 150 ms, and what the machine was late", fastMachine, near)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# How near to a kill the flight recorder's last sample is\n\n")
	fmt.Fprintf(&b, "%d containers of more than five seconds that grow at 1 to 200 MiB a second, drawn, until the kernel kills in them. The kill is at the last heartbeat of the process that grows. A container is near once less than 30 s are left at its rate, or a quarter of its limit; that it is has to be found out within the first second. The last column grants what a sleeping goroutine of the same process was late by in that second.\n\n", len(all))
	fmt.Fprintf(&b, "Written by `go test -tags e2e -run TestCoverage ./e2e/recorder` with OOM_E2E_EVIDENCE set.\n\nLinux %s, cgroup v%d, %s, seed %d.\n\n", kernel(), version, time.Now().UTC().Format(time.DateOnly), seed)
	fmt.Fprintf(&b, "| kills | at most 1 s before | near for a second | median gap | 90 %% | longest | at most 150 ms before | and what the machine was late | usage of the last sample below the limit, median |\n|---|---|---|---|---|---|---|---|---|\n")
	fmt.Fprintf(&b, "| %d | %.3f | %d | %v | %v | %v | %.3f | %.3f | %.1f %% |\n", len(all), share(second, len(all)), near,
		at(0.5), at(0.9), gaps[len(gaps)-1], share(fast, near), share(fastMachine, near), 100*lost[len(lost)/2])
	name := fmt.Sprintf("recorder-coverage-v%d.md", version)
	if os.Getenv("OOM_E2E_GUEST") != "" {
		name = "recorder-coverage-guest.md"
	}
	evidence(t, name, b.String())
}

// TestCoverageGuest repeats it where memory is on cgroup v2.
func TestCoverageGuest(t *testing.T) {
	if os.Getenv("OOM_E2E_GUEST") != "" || !full() {
		t.Skip("with OOM_E2E_FULL only, and not in the guest itself")
	}
	lab.Root(t)
	keep := map[string]string{}
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" {
		keep["recorder-coverage-guest.md"] = filepath.Join(dir, "recorder-coverage-6.1-v2.md")
	}
	guest.RunTests(t, guest.Options{Kernel: guest.K61, Cgroup: 2, MemoryMB: 1024, Parallel: true}, guest.Tests{
		Run: "^TestCoverage$", Before: "echo -1000 >/proc/self/oom_score_adj", Timeout: 10 * time.Minute, Keep: keep,
		Env: map[string]string{"OOM_E2E_GUEST": "6.1-v2", "OOM_E2E_SEED": os.Getenv("OOM_E2E_SEED")},
	})
}
