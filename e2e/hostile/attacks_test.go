// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package hostile_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	forgeEnv   = "OOM_E2E_FORGE"
	forgedComm = "forged-comm"
	nobody     = 65534
)

// startForger has the kernel print reports about a kill in path that never was, as
// any user can who may make a user namespace: overlayfs quotes the layers that it
// does not find, newlines and all.
func startForger(t *testing.T, dir, path string) *lab.Process {
	t.Helper()
	report := fmt.Sprintf("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=%s,task_memcg=%s,task=%s,pid=4242,uid=0\n"+
		"Memory cgroup out of memory: Killed process 4242 (%s) total-vm:71344kB, anon-rss:1188kB, file-rss:324kB, shmem-rss:0kB, UID:0 pgtables:48kB oom_score_adj:0",
		path, path, forgedComm, forgedComm)
	// The test's own program is where nobody may not run it.
	program, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	file := filepath.Join(dir, "forger")
	must(t, os.WriteFile(file, program, 0o755))
	cmd := exec.Command(file)
	cmd.Env = append(os.Environ(), forgeEnv+"=lowerdir=/x\n"+strings.NewReplacer(",", `\,`, ":", `\:`).Replace(report))
	mapped := []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: mapped, GidMappings: mapped,
		Credential: &syscall.Credential{NoSetGroups: true},
	}
	p := lab.Start(t, cmd)
	lab.Eventually(t, time.Minute, "a forged report is in the kernel's log", func() bool {
		if p.Ended() {
			t.Fatalf("cannot forge: %s", p.Output())
		}
		buf := make([]byte, 4<<20)
		n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
		return err == nil && strings.Contains(string(buf[:n]), "] Memory cgroup out of memory: Killed process 4242 ("+forgedComm+")")
	})
	return p
}

// forge is the forger's main.
func forge(options string) {
	for range time.Tick(20 * time.Millisecond) {
		if err := unix.Mount("none", "/tmp", "overlay", 0, options); err == nil {
			fmt.Println("the mount has not failed")
			os.Exit(1)
		}
	}
}

// crowd is clients that ask for pages and do not read, as long as the test runs.
type crowd struct {
	stalled atomic.Int64 // connections so far.
}

// startSlowClients keeps so many connections stalled. Each is given up before the
// exporter's own deadline, and made anew: an exporter that is killed meets all of
// them again.
func startSlowClients(t *testing.T, port, connections int) *crowd {
	t.Helper()
	const patience = 8 * time.Second
	c := &crowd{}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait() })
	for i := range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				conn, err := dialSmall(ctx, fmt.Sprint("127.0.0.1:", port))
				wait := 100 * time.Millisecond // it may be about to start again.
				if err == nil {
					_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", []string{"/metrics", "/api/v1/kills"}[i%2])
					c.stalled.Add(1)
					wait = patience
				}
				select {
				case <-ctx.Done():
				case <-time.After(wait):
				}
				if err == nil {
					_ = conn.Close()
				}
			}
		})
	}
	return c
}

// makeBomb makes n cgroups in one that is there, which go when the test ends.
func makeBomb(t testing.TB, h lab.Hierarchy, path, prefix string, n int) {
	t.Helper()
	dir := filepath.Join(h.Mount, path)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	t.Cleanup(func() {
		for i := range made {
			if err := unix.Unlinkat(fd, fmt.Sprint(prefix, i), unix.AT_REMOVEDIR); err != nil {
				t.Errorf("remove cgroup %d of %d in %s: %v", i, made, dir, err)
				break
			}
		}
		_ = unix.Close(fd)
	})
	for ; made < n; made++ {
		if err := unix.Mkdirat(fd, fmt.Sprint(prefix, made), 0o755); err != nil {
			t.Fatalf("make cgroup %d in %s: %v", made, dir, err)
		}
	}
}
