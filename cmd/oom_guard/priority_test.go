// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-kit/log"
	"golang.org/x/sys/unix"
)

// TestMain makes this test binary a program that raises its priority, and says
// how its threads are scheduled.
func TestMain(m *testing.M) {
	if os.Getenv("OOM_GUARD_TEST_PRIORITY") == "" {
		os.Exit(m.Run())
	}
	raisePriority(&config{procfs: "/proc", priority: -5, realtime: 1}, log.NewLogfmtLogger(os.Stdout))
	policies := map[string]bool{}
	err := forThreads("/proc", func(tid int) error {
		attr, err := unix.SchedGetAttr(tid, 0)
		if err == nil {
			policies[map[uint32]string{unix.SCHED_RR: "realtime", unix.SCHED_NORMAL: "normal"}[attr.Policy]] = true
		}
		return err
	})
	for p := range policies {
		_, _ = os.Stdout.WriteString(p + "\n")
	}
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error() + "\n")
	}
	os.Exit(0)
}

// TestRealtimePriority: all threads run in real time, or the log says that they
// do not.
func TestRealtimePriority(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "OOM_GUARD_TEST_PRIORITY=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	refused := bytes.Contains(out, []byte("could not raise scheduling priority"))
	if got := string(out); !refused && got != "realtime\n" || refused && !strings.Contains(got, "normal") {
		t.Errorf("its threads are %q", got)
	}
}

// TestForThreadsTellsOfErrors: what one thread refuses is told, a thread that has
// ended is no error.
func TestForThreadsTellsOfErrors(t *testing.T) {
	if err := forThreads("/proc", func(int) error { return unix.ESRCH }); err != nil {
		t.Errorf("threads that have ended: %v", err)
	}
	if err := forThreads("/proc", func(int) error { return unix.EPERM }); !errors.Is(err, unix.EPERM) {
		t.Errorf("refused: %v", err)
	}
	if err := forThreads(t.TempDir(), func(int) error { return nil }); err == nil {
		t.Error("no proc file system: no error")
	}
}
