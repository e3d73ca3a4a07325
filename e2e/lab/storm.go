// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Death is one kill of a storm.
type Death struct {
	At   time.Duration // after the start of the storm.
	Life time.Duration // of the group that is made for this kill; Lasting: it is there and stays.
	Comm string        // up to 15 bytes without white space.
	Path string        // of the group, in the hierarchy.

	// What became of it.
	PID    int
	Signal syscall.Signal // below 0: it was not killed.
	Died   time.Duration  // how long it took.
	Gone   time.Duration  // how long the group lived.
}

// Lasting is the life of a group that is not made for a kill.
const Lasting time.Duration = -1

// Storm is a run of e2e/storm.
type Storm struct {
	*Process
	plan []Death
}

var stormProgram built

// StormProgram compiles e2e/storm and returns its path. OOM_E2E_STORM names a
// ready-made one instead.
func StormProgram(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("OOM_E2E_STORM"); path != "" {
		return path
	}
	src := filepath.Join(Repository(t), "e2e", "storm", "storm.c")
	return stormProgram.get(t, "storm", func(out string) *exec.Cmd {
		return exec.Command("gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", out, src)
	})
}

// StartStorm starts a storm of kills in groups of the hierarchy. The limit is
// that of the groups that are made for one kill.
func StartStorm(t testing.TB, h Hierarchy, limit int64, plan []Death) *Storm {
	t.Helper()
	var b bytes.Buffer
	for i := range plan {
		d := &plan[i]
		life := int64(-1)
		if d.Life != Lasting {
			life = d.Life.Milliseconds()
		}
		fmt.Fprintln(&b, d.At.Milliseconds(), life, d.Comm, filepath.Join(h.Mount, d.Path))
	}
	file := "memory.max"
	if h.Version == 1 {
		file = "memory.limit_in_bytes"
	}
	cmd := exec.Command(StormProgram(t), file, strconv.FormatInt(limit, 10))
	cmd.Stdin = &b
	return &Storm{Process: Start(t, cmd), plan: plan}
}

// Deaths waits for the end of the storm and returns what became of its plan,
// and how long it took. Whoever was not killed fails the test.
func (s *Storm) Deaths(t testing.TB) ([]Death, time.Duration) {
	t.Helper()
	if status := s.Wait(t, 10*time.Minute); status.ExitStatus() != 0 {
		t.Fatalf("storm ended with %d: %s", status.ExitStatus(), s.Output())
	}
	lines := strings.Split(strings.TrimSpace(s.Output()), "\n")
	if len(lines) != len(s.plan)+1 {
		t.Fatalf("storm printed %d lines for %d kills: %s", len(lines), len(s.plan), s.Output())
	}
	deaths := append([]Death(nil), s.plan...)
	for i := range deaths {
		d := &deaths[i]
		var signal, died, gone int
		if _, err := fmt.Sscan(lines[i], &d.PID, &signal, &died, &gone); err != nil {
			t.Fatalf("storm printed %q: %v", lines[i], err)
		}
		d.Signal = syscall.Signal(signal)
		d.Died, d.Gone = time.Duration(died)*time.Microsecond, time.Duration(gone)*time.Microsecond
		if d.Signal != syscall.SIGKILL {
			t.Errorf("%s in %s was not killed: %v", d.Comm, d.Path, d.Signal)
		}
	}
	ms, err := strconv.Atoi(lines[len(deaths)])
	if err != nil {
		t.Fatalf("storm printed %q: %v", lines[len(deaths)], err)
	}
	return deaths, time.Duration(ms) * time.Millisecond
}

// CPUTime is what the process has used so far, all its threads together, to
// the nanosecond: its own clock, see clock_getcpuclockid(3).
func (p *Process) CPUTime(t testing.TB) time.Duration {
	t.Helper()
	const scheduler = 2 // CPUCLOCK_SCHED.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.PID<<3|scheduler), &ts); err != nil {
		t.Fatalf("read the CPU clock of process %d: %v", p.PID, err)
	}
	return time.Duration(ts.Nano())
}
