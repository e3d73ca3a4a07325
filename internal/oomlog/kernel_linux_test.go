// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// hogEnv makes the test binary a memory hog in the cgroup that it names.
const hogEnv = "OOMLOG_TEST_HOG_CGROUP"

func TestMain(m *testing.M) {
	if dir := os.Getenv(hogEnv); dir != "" {
		hog(dir)
		return
	}
	os.Exit(m.Run())
}

// hog joins the group and takes memory until the kernel kills it.
func hog(dir string) {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
		fmt.Println(err)
		return
	}
	var held [][]byte
	for range 64 { // 64 MiB at most.
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 512 {
			b[i] = 1
		}
		held = append(held, b)
	}
	fmt.Println("survived with", len(held), "MiB")
}

// limitedGroup makes a cgroup of 16 MiB, or skips.
func limitedGroup(t *testing.T) (dir, path string) {
	t.Helper()
	name := fmt.Sprintf("oomlog%d", time.Now().UnixNano()%1e9)
	for _, h := range []struct{ root, limit, swap string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", ""},
		{"/sys/fs/cgroup", "memory.max", "memory.swap.max"},
	} {
		if _, err := os.Stat(filepath.Join(h.root, "cgroup.procs")); err != nil {
			continue
		}
		dir := filepath.Join(h.root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("no memory cgroup can be made: %v", err)
		}
		t.Cleanup(func() { removeGroup(t, dir) })
		if err := os.WriteFile(filepath.Join(dir, h.limit), []byte("16777216"), 0o644); err != nil {
			t.Skipf("the memory cgroup can't be limited: %v", err)
		}
		if h.swap != "" {
			_ = os.WriteFile(filepath.Join(dir, h.swap), []byte("0"), 0o644)
		}
		return dir, "/" + name
	}
	t.Skip("no memory cgroups")
	return "", ""
}

// removeGroup removes the group, which stays busy for a moment after the last
// process has died.
func removeGroup(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for os.Remove(dir) != nil {
		if time.Now().After(deadline) {
			t.Errorf("%s can't be removed", dir)
			return
		}
	}
}

// kernelLog follows the real log and sends the kills of one group.
func kernelLog(t *testing.T, path string) <-chan oom.Kill {
	t.Helper()
	d, err := kmsg.OpenDevice("/dev/kmsg")
	if err != nil {
		t.Skipf("the kernel log can't be read: %v", err)
	}
	kills := make(chan oom.Kill, 16)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p := New(Options{PageSize: uint64(os.Getpagesize())})
		_ = d.Run(ctx, func(r kmsg.Record) {
			for _, e := range p.Add(r) {
				if e.Kind == KindKill && ours(e.Kill, path) {
					kills <- e.Kill
				}
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return kills
}

const forgedComm = "oomlog-forged"

// ours tells whether a kill is of this test: in its group, forged by it, or of
// its hog without a report, where others have used the rate limit up. The hog
// is called like its group.
func ours(k oom.Kill, path string) bool {
	hog := "/" + k.Victim.Comm
	return k.VictimPath == path || k.Victim.Comm == forgedComm || hog == path && k.VictimPath == ""
}

// forge writes what looks like a kill to the kernel's log.
func forge(t *testing.T) {
	t.Helper()
	text := "<3>Memory cgroup out of memory: Killed process 1 (" + forgedComm + ") total-vm:8kB, anon-rss:4kB, " +
		"file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n"
	if err := os.WriteFile("/dev/kmsg", []byte(text), 0); err != nil {
		t.Skipf("the kernel log can't be written: %v", err)
	}
}

func TestRealKill(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make a memory cgroup")
	}
	dir, path := limitedGroup(t)
	syslog := kmsg.NewSyslog()
	_, _, syslogErr := syslog.Poll(t.Context())
	kills := kernelLog(t, path)

	forge(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.Symlink(self, exe); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), hogEnv+"="+dir, "GOGC=off", "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("the hog was not killed: %s", out)
	}
	forge(t)

	var kill oom.Kill
	select {
	case kill = <-kills:
	case <-time.After(10 * time.Second):
		t.Fatal("the kill did not come")
	}
	checkRealKill(t, kill, path, cmd.Process.Pid)

	if syslogErr != nil {
		t.Logf("syslog(2): %v", syslogErr)
	} else {
		checkSyslog(t, syslog, path, cmd.Process.Pid)
	}
	// The second forgery is behind the kill in the log, so a reader that
	// took it for one would have sent it by the time that it is idle.
	select {
	case k := <-kills:
		t.Errorf("one more kill: %+v", k)
	case <-time.After(100 * time.Millisecond):
	}
}

func checkRealKill(t *testing.T, k oom.Kill, path string, pid int) {
	t.Helper()
	if k.Victim.PID != pid && k.Victim.TGID != pid || "/"+k.Victim.Comm != path {
		t.Errorf("victim %+v, want %d", k.Victim, pid)
	}
	if time.Since(k.Time).Abs() > time.Minute {
		t.Errorf("time %v", k.Time)
	}
	if k.VictimPath == "" {
		t.Logf("others have used the kernel's rate limit up: %+v", k)
		return
	}
	if k.LimitPath != path || k.VictimPath != path || k.Limit != oom.Of(16<<20) || k.Constraint != oom.ConstraintMemcg || k.Trigger == nil {
		t.Errorf("kill %+v", k)
	}
}

func checkSyslog(t *testing.T, s *kmsg.Syslog, path string, pid int) {
	t.Helper()
	recs, turned, err := s.Poll(t.Context())
	if err != nil || turned {
		t.Fatalf("syslog(2): turned %v, %v", turned, err)
	}
	var found []string
	for _, k := range parseRecords(recs).kills {
		if ours(k, path) {
			found = append(found, strconv.Itoa(max(k.Victim.TGID, k.Victim.PID)))
		}
	}
	if len(found) != 1 || found[0] != strconv.Itoa(pid) {
		t.Errorf("syslog(2) has kills of %q, want %d alone", found, pid)
	}
}
