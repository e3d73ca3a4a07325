// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestMetrics(t *testing.T) {
	m := ParseMetrics(t, `# TYPE oom_a_bytes gauge
oom_a_bytes{container="x",pod=""} 1
oom_a_bytes{container="y",pod="p"} 2
# TYPE oom_b_total counter
oom_b_total 3
`)
	if got := m.Value(t, "oom_a_bytes", "container", "y"); got != 2 {
		t.Errorf("a of y is %v, want 2", got)
	}
	if got := m.Sum("oom_a_bytes"); got != 3 {
		t.Errorf("sum of a is %v, want 3", got)
	}
	if got := m.Value(t, "oom_b_total"); got != 3 {
		t.Errorf("b is %v, want 3", got)
	}
	if m.Has("oom_a_bytes", "pod", "q") || !m.Has("oom_a_bytes", "pod", "", "namespace", "") {
		t.Error("an absent label must count as an empty one, and only so")
	}
}

// TestGroupGoesAway checks the promise that the host is left as it was, also
// with processes that do not run.
func TestGroupGoesAway(t *testing.T) {
	var files []string
	var hog *Process
	t.Run("inside", func(t *testing.T) {
		g := NewGroup(t, "goes/away", 64<<20)
		hog = StartHog(t, g, "anon:4M", "stop")
		hog.WaitStopped(t)
		parent := Group{Hierarchy: g.Hierarchy, Path: g.Path + "/.."}
		files = []string{g.File(""), parent.File("")}
		if got := g.Uint(t, "cgroup.procs"); got != uint64(hog.PID) {
			t.Errorf("the group holds %d, want %d", got, hog.PID)
		}
		if usage := g.ReadMemory(t).Anon; usage < 4<<20 || usage > 5<<20 {
			t.Errorf("the hog's 4 MiB show as %d", usage)
		}
	})
	for _, f := range files {
		if _, err := os.Stat(f); !os.IsNotExist(err) {
			t.Errorf("%s is still there", f)
		}
	}
	if err := syscall.Kill(hog.PID, 0); err == nil {
		t.Errorf("pid %d is still there", hog.PID)
	}
}

func TestHog(t *testing.T) {
	start := time.Now()
	hog := StartHog(t, nil, "comm:renamed", "rate:20M", "anon:4M", "say:full", "exit:7")
	hog.WaitLine(t, "full")
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("4 MiB at 20 MiB/s took %v", took)
	}
	if status := hog.Wait(t, 10*time.Second); status.ExitStatus() != 7 {
		t.Errorf("the hog ended with %d, want 7", status.ExitStatus())
	}
}
