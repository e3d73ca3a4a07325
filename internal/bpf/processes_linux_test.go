// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func openProcessesHere(t *testing.T, most int) *Processes {
	t.Helper()
	if missing := missingCapabilities(); len(missing) > 0 {
		t.Skip("may not load programs:", missing)
	}
	p, err := OpenProcesses(Options{Kernel: NewKernel(vmlinux), MaxProcesses: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// child starts a process that waits, with a name and an oom_score_adj of its own.
func child(t *testing.T, adj int) int {
	t.Helper()
	script := fmt.Sprintf("echo %d > /proc/self/oom_score_adj; printf 'a (b) c' > /proc/self/comm; echo up; read x", adj)
	cmd := exec.Command("/bin/sh", "-c", script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return started(t, cmd)
}

// started starts a process that is ended with the test, and waits until it says that it
// is up.
func started(t *testing.T, cmd *exec.Cmd) (pid int) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// TestProcesses lists this test and two processes that it has started.
func TestProcesses(t *testing.T) {
	p := openProcessesHere(t, 0)
	first, second := child(t, 321), child(t, 1000)
	rows, _, err := p.Scan(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(rows, func(a, b oom.Process) int { return int(a.PID) - int(b.PID) }) {
		t.Error("they are not ordered by PID")
	}
	found := 0
	for i := range rows {
		row := &rows[i]
		switch int(row.PID) {
		case os.Getpid():
			found++
		case first, second:
			found++
			if row.Comm != "a (b) c" || int(row.Adj) != 321 && int(row.PID) == first || int(row.Adj) != 1000 && int(row.PID) == second {
				t.Errorf("listed %+v", *row)
			}
		default:
			continue
		}
		if !row.Exact || row.RSS < 256<<10 || row.RSS > 1<<30 || row.PageTables == 0 || row.Start == 0 || row.Group != -1 {
			t.Errorf("listed %+v", *row)
		}
	}
	if found != 3 {
		t.Errorf("%d of 3 are listed", found)
	}
}

// TestProcessesAreBounded has fewer than there are.
func TestProcessesAreBounded(t *testing.T) {
	p := openProcessesHere(t, 1)
	child(t, 0)
	rows, skipped, err := p.Scan(nil)
	if err != nil || len(rows) != 1 || skipped.ProcessesOverBound == 0 {
		t.Errorf("%d processes, %d over the bound, %v", len(rows), skipped.ProcessesOverBound, err)
	}
}

// withoutLeader is set for the process of TestALeaderThatIsGone.
const withoutLeader = "OOM_EXPORTER_TEST_WITHOUT_LEADER"

// endsLeader is set before main begins: only until then is its goroutine sure to be on
// the first thread, to which it is bound in that process.
var endsLeader = bindLeader()

func bindLeader() bool {
	if os.Getenv(withoutLeader) == "" {
		return false
	}
	runtime.LockOSThread()
	return true
}

func TestMain(m *testing.M) {
	if !endsLeader {
		os.Exit(m.Run())
	}
	go func() {
		<-time.After(time.Minute)
		os.Exit(0)
	}()
	fmt.Println("up")
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0) // this thread only.
}

// TestALeaderThatIsGone has a process whose first thread has exited while others live on:
// it is listed once.
func TestALeaderThatIsGone(t *testing.T) {
	p := openProcessesHere(t, 0)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), withoutLeader+"=1")
	pid := started(t, cmd)
	deadline := time.After(10 * time.Second)
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && strings.Contains(string(stat), ") Z ") {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the first thread does not exit")
		case <-time.After(time.Millisecond):
		}
	}
	rows, _, err := p.Scan(nil)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i := range rows {
		if int(rows[i].PID) == pid {
			found++
			if rows[i].RSS < 1<<20 || rows[i].Comm == "" {
				t.Errorf("%+v", rows[i])
			}
		}
	}
	if found != 1 {
		t.Errorf("listed %d times", found)
	}
}
