// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"path"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestKilledInTheMiddle ends the guard with SIGKILL again and again in the
// middle of what it does about a leak, between its crossing and the end of the
// last of 24 processes, and starts it anew: nobody but that container is ever
// killed, and its successor or the kernel ends what was begun. When the middle
// is depends on the machine: each round comes nearer to it than the one before.
func TestKilledInTheMiddle(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	rounds := 8
	if full() {
		rounds = 30
	}
	crowd(t)
	neighbour := lab.NewGroup(t, path.Join(root, "neighbour"), 64*mib)
	bystander := start(t, hog, neighbour, "anon:32M", "say:up")
	bystander.WaitLine(t, "up")
	const most = 80 * time.Millisecond // the leak needs as long from where the guard may act to its limit.
	delay, step := most/2, most/4
	var before, half, after, overtaken int
	for i := range rounds {
		name := path.Join(root, strconv.Itoa(i))
		group := lab.NewGroup(t, name, 64*mib)
		switch killed, dead, all := killInTheMiddle(t, root, name, binary, hog, group, delay); {
		case killed > 0: // by the kernel: the guard was too late.
			overtaken++
			delay -= step
		case dead == 0:
			before++
			delay += step
		case dead == all:
			after++
			delay -= step
		default:
			half++
		}
		delay = min(max(delay, 0), most)
		step = max(step/2, most/80)
		if !running(bystander) {
			t.Fatalf("round %d: the neighbour was killed", i)
		}
	}
	t.Logf("killed before it did anything in %d rounds, with a part of the container dead in %d, all of it in %d, after the kernel in %d", before, half, after, overtaken)
	if half == 0 && (before == 0 || after == 0) {
		t.Error("the guard was never killed in the middle: the test shows nothing")
	}
}

// killInTheMiddle has a container leak into its limit and ends the guard after this
// delay from where it may act. It returns how many the kernel had killed by then, how
// many were dead, and of how many.
func killInTheMiddle(t *testing.T, root, name, binary, hog string, group *lab.Group, delay time.Duration) (kernel uint64, dead, all int) {
	t.Helper()
	var leak []*lab.Process
	for range 24 {
		leak = append(leak, start(t, hog, group, "anon:1M", "say:up"))
	}
	for _, p := range leak {
		p.WaitLine(t, "up")
	}
	g := startGuard(t, binary, root, "--policy=container")
	lab.Eventually(t, time.Minute, "the group is watched", func() bool {
		return lab.Scrape(t, g.url).Has("oom_guard_threshold_bytes", "container", name)
	})
	last := start(t, hog, group, "anon:24M", "rate:8M", "anon:128M")
	leak = append(leak, last)
	const near = 64*mib - 64*mib/100 // half of the margin is used up: it acts.
	for usage := uint64(0); usage < near && running(last); {
		usage = group.Uint(t, map[int]string{1: "memory.usage_in_bytes", 2: "memory.current"}[group.Version])
	}
	<-time.After(delay)
	g.Signal(t, syscall.SIGKILL)
	g.Wait(t, 10*time.Second)
	kernel, dead = kernelKills(t, group), count(leak, func(p *lab.Process) bool { return !running(p) })
	again := startGuard(t, binary, root, "--policy=container")
	last.Wait(t, time.Minute) // by the guard, its successor or the kernel.
	again.Signal(t, syscall.SIGTERM)
	if status := again.Wait(t, 10*time.Second); status.ExitStatus() != 0 {
		t.Errorf("the guard ended with %v:\n%s", status, again.Output())
	}
	return kernel, dead, len(leak)
}
