// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const vmlinux = "/sys/kernel/btf/vmlinux"

// TestKernel kills in cgroups that are gone with the kill, and only then reads what
// the program has told. It tells of all of them, or of how many it could not.
func TestKernel(t *testing.T) {
	if missing := missingCapabilities(); len(missing) > 0 {
		t.Skip("may not load programs:", missing)
	}
	const memory = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(filepath.Join(memory, "memory.oom_control")); err != nil {
		t.Skip("no cgroup v1 memory hierarchy:", err)
	}
	for _, tt := range []struct {
		name  string
		ring  uint32
		kills int
		loses bool
	}{
		{"all fit", 0, 5, false},
		{"a ring of one page", uint32(os.Getpagesize()), os.Getpagesize() / 100, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := OpenVictims(Options{Kernel: NewKernel(vmlinux), RingBytes: tt.ring})
			if err != nil {
				t.Fatal(err)
			}
			truth := map[int]string{}
			for i := range tt.kills {
				name := fmt.Sprintf("/oom_exporter_bpf_%d_%d", os.Getpid(), i)
				truth[kill(t, memory+name)] = name
			}
			seen, lost := collect(t, v, truth)
			// Those of others may be among the lost ones.
			if seen+lost < tt.kills || seen > tt.kills || (lost > 0) != tt.loses || seen == 0 {
				t.Errorf("%d seen and %d lost of %d kills", seen, lost, tt.kills)
			}
		})
	}
}

// collect reads what the program has told and holds it against the truth.
func collect(t *testing.T, v *Victims, truth map[int]string) (seen, lost int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	enough := func() {
		if seen+lost >= len(truth) {
			cancel()
		}
	}
	err := v.Run(ctx, func(s oom.Sighting) {
		want, ours := truth[s.Victim.PID]
		if !ours {
			return // somebody else's.
		}
		seen++
		defer enough()
		if s.Path != want || s.Victim.Comm != "tail" || s.Victim.TGID != s.Victim.PID || s.CgroupID == 0 || s.Trigger.PID != s.Victim.PID {
			t.Errorf("%+v, trigger %+v; want the path %s", s, s.Trigger, want)
		}
		if rss, ok := s.Victim.AnonRSS.Get(); !ok || rss == 0 || rss > 2<<20 {
			t.Errorf("%s has %v of anonymous memory in a cgroup of 2 MiB", s.Victim.Comm, s.Victim.AnonRSS)
		}
		if age := time.Since(s.Time); age < 0 || age > time.Minute {
			t.Errorf("killed %v ago", age)
		}
	}, func(n uint64) {
		lost += int(n)
		enough()
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	return seen, lost
}

// kill makes a cgroup, lets one process run into its limit, removes it, and returns
// who died.
func kill(t *testing.T, dir string) int {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte("2M"), 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `echo 0 > "$0/cgroup.procs" && exec tail /dev/zero`, dir)
	err := cmd.Run()
	for end := time.Now().Add(10 * time.Second); os.Remove(dir) != nil; {
		if time.Now().After(end) {
			t.Fatal("the cgroup can't be removed")
		}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v", err)
	}
	return cmd.Process.Pid
}
