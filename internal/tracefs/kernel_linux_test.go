// SPDX-License-Identifier: Apache-2.0

package tracefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestKernel makes groups that live for some milliseconds, each with one kill,
// and counts how many of them get a name.
func TestKernel(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may trace")
	}
	const memory = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(filepath.Join(memory, "memory.oom_control")); err != nil {
		t.Skip("no cgroup v1 memory hierarchy:", err)
	}
	root := t.TempDir()
	if err := syscall.Mount("tracefs", root, "tracefs", 0, ""); err != nil {
		t.Skip("tracefs can't be mounted:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	var mu sync.Mutex
	seen := map[int]string{}
	enabled := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	o := Options{Root: root, Proc: "/proc", Started: func() { close(enabled) }}
	go func() {
		done <- Run(ctx, o, func(v Victim) {
			mu.Lock()
			defer mu.Unlock()
			seen[v.PID] = v.Path
		})
	}()
	select {
	case <-enabled:
	case err := <-done:
		t.Skip("no trace:", err)
	}
	const kills = 50
	truth := map[int]string{}
	var lived time.Duration
	for i := range kills {
		name := fmt.Sprintf("/oom_exporter_test_%d_%d", os.Getpid(), i)
		pid, life := provoke(t, filepath.Join(memory, name))
		truth[pid] = name
		lived += life
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	named, marked := 0, 0
	for pid, name := range truth {
		path, ok := seen[pid]
		if ok {
			marked++
		}
		if path == name {
			named++
		} else if path != "" {
			t.Errorf("pid %d was seen in %s, but was in %s", pid, path, name)
		}
	}
	t.Logf("%d kills in groups that lived %v: %d marked, %d named", kills, lived/kills, marked, named)
	if marked < kills {
		t.Errorf("%d of %d kills were marked", marked, kills)
	}
	if named < kills/2 {
		t.Errorf("%d of %d kills were named", named, kills)
	}
	own := filepath.Join(root, "instances", fmt.Sprint(instance, os.Getpid())) // others are other exporters'.
	if _, err := os.Stat(own); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %s", own)
	}
}

// provoke makes a group, lets one process run into its limit, and removes it.
func provoke(t *testing.T, dir string) (pid int, life time.Duration) {
	t.Helper()
	born := time.Now()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte("2M"), 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `echo 0 > "$0/cgroup.procs" && exec tail /dev/zero`, dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	for {
		if err := os.Remove(dir); err == nil || time.Since(born) > 10*time.Second {
			break
		}
	}
	life = time.Since(born)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v", err)
	}
	return cmd.Process.Pid, life
}
