// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package scale

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// compiled builds one of the C programs. OOM_E2E_SCALE_PROGRAMS names a
// directory with ready-made ones instead.
func compiled(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv("OOM_E2E_SCALE_PROGRAMS"); dir != "" {
		return filepath.Join(dir, name)
	}
	lab.Need(t, "gcc")
	out := filepath.Join(t.TempDir(), name)
	lab.Command(t, "gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", out, filepath.Join("programs", name+".c"))
	return out
}

// size is how much there is to watch, and in how many percent of the pods memory moves
// before each scrape.
type size struct{ groups, processes, busy int }

func (s size) String() string {
	if s.busy > 0 {
		return fmt.Sprintf("%d/%d, %d %% busy", s.groups, s.processes, s.busy)
	}
	return fmt.Sprintf("%d/%d", s.groups, s.processes)
}

// obedient is a program that answers each line with a line.
type obedient struct {
	*lab.Process
	in io.Writer
}

var loads atomic.Int32

func obey(t testing.TB, path string, args ...string) *obedient {
	t.Helper()
	cmd := exec.Command(path, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &obedient{Process: lab.Start(t, cmd), in: in}
}

// ask sends a line and returns the answer.
func (o *obedient) ask(t testing.TB, line string) string {
	t.Helper()
	before := strings.Count(o.Output(), "\n")
	if _, err := fmt.Fprintln(o.in, line); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, time.Minute, "an answer to "+line, func() bool { return strings.Count(o.Output(), "\n") > before })
	lines := strings.Split(strings.TrimSpace(o.Output()), "\n")
	return lines[len(lines)-1]
}

// load makes pods and processes, and takes them away when the test ends.
func load(t testing.TB, s size) (pods *obedient) {
	t.Helper()
	lab.Root(t)
	h := lab.MemoryHierarchy(t)
	root := filepath.Join(h.Mount, fmt.Sprintf("oom-scale-%d-%d", os.Getpid(), loads.Add(1)))
	per := max(1, s.processes/s.groups)
	pods = obey(t, compiled(t, "pods"), h.Mount, root, strconv.Itoa(h.Version), strconv.Itoa(s.groups), strconv.Itoa(per), "64")
	t.Cleanup(func() {
		pods.Signal(t, unix.SIGTERM)
		pods.Wait(t, 3*time.Minute)
		if lab.Exists(root) {
			t.Errorf("%s is left", root)
		}
	})
	lab.Eventually(t, 3*time.Minute, "pods are up", func() bool { return strings.Contains(pods.Output(), "\n") })
	if !strings.HasPrefix(pods.Output(), "ready\n") {
		t.Fatalf("pods: %s", pods.Output())
	}
	return pods
}

// floor reads what must be read, and nothing more.
type floor struct{ *obedient }

// startFloor has it read all groups of the machine, as the exporter does: other
// tests may have theirs.
func startFloor(t testing.TB) floor {
	h := lab.MemoryHierarchy(t)
	return floor{obey(t, compiled(t, "floor"), h.Mount, strconv.Itoa(h.Version))}
}

// pass returns the CPU time of one pass, and over what it went.
func (f floor) pass(t testing.TB) (spent time.Duration, groups, processes int) {
	t.Helper()
	var micros int64
	if _, err := fmt.Sscan(f.ask(t, ""), &micros, &groups, &processes); err != nil {
		t.Fatal(err)
	}
	return time.Duration(micros) * time.Microsecond, groups, processes
}

// cpu is what a process has used so far, all its threads together, to the
// nanosecond: its own clock, see clock_getcpuclockid(3).
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	const scheduler = 2 // CPUCLOCK_SCHED.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &ts); err != nil {
		t.Fatalf("read the CPU clock of process %d: %v", pid, err)
	}
	return time.Duration(ts.Nano())
}
