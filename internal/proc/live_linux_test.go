// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// helperEnv makes this binary be a child that the tests look at.
const helperEnv = "PROC_TEST_HELPER"

// isHelper is set before main begins: only until then is its goroutine sure to be on the
// first thread, to which a helper binds it.
var isHelper = beHelper()

func beHelper() bool {
	if os.Getenv(helperEnv) == "" {
		return false
	}
	runtime.LockOSThread()
	return true
}

func TestMain(m *testing.M) {
	if !isHelper {
		os.Exit(m.Run())
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends.
		os.Exit(0)
	}()
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0) // this thread only.
}

// live opens the real thing.
func live(t *testing.T) *FS {
	t.Helper()
	f, err := New(Options{Root: "/proc"})
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// child starts a process that waits for its input, and returns its PID.
func child(t *testing.T, cmd *exec.Cmd) int32 {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return int32(cmd.Process.Pid)
}

// waitState waits until the process is in a state, as /proc/PID/stat has it.
func waitState(t *testing.T, pid int32, state string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for tick := time.Tick(time.Millisecond); ; <-tick {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && strings.Contains(string(content), ") "+state+" ") {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("process %d is not in state %s: %s, %v", pid, state, content, err)
		default:
		}
	}
}

// find returns the process out of a new scan.
func find(t *testing.T, f *FS, pid int32) (oom.Process, bool) {
	t.Helper()
	processes, _, err := f.Scan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(processes, func(p oom.Process) bool { return p.PID == pid })
	if i < 0 {
		return oom.Process{}, false
	}
	return processes[i], true
}

func TestLiveZombie(t *testing.T) {
	f := live(t)
	pid := child(t, exec.Command("cat"))
	p, ok := find(t, f, pid)
	if !ok || p.RSS == 0 || !p.Score.IsValue() {
		t.Fatalf("the child is %+v, %t, want it with size and score", p, ok)
	}
	if err := f.Exact(&p); err != nil || p.Start == 0 {
		t.Fatalf("Exact = %v, %+v", err, p)
	}
	if err := unix.Kill(int(pid), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitState(t, pid, "Z")
	if p, ok := find(t, f, pid); ok {
		t.Errorf("a zombie is among the processes: %+v", p)
	}
	if err := f.Exact(&p); !gone(err) {
		t.Errorf("Exact of a zombie = %v, want one that says it has gone", err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(int(pid), &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Exact(&p); !gone(err) {
		t.Errorf("Exact of nobody = %v, want one that says it has gone", err)
	}
}

func TestLiveDeadLeader(t *testing.T) {
	f := live(t)
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	pid := child(t, cmd)
	waitState(t, pid, "Z")
	p, ok := find(t, f, pid)
	if !ok {
		t.Fatal("a process whose first thread has exited is not found")
	}
	rss := p.RSS
	if err := f.Exact(&p); err != nil || rss == 0 || p.RSS == 0 || p.Comm == "" {
		t.Errorf("Exact = %v, %+v, and the scan had rss %d, want sizes and a name", err, p, rss)
	}
}

// TestLiveComm gives this process a name that tries to look like more.
func TestLiveComm(t *testing.T) {
	f := live(t)
	old, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = os.WriteFile("/proc/self/comm", old[:len(old)-1], 0) })
	for _, comm := range []string{"a) R 1 (b", "a\nVmRSS:\t1 kB", "\\n\\\\", "\"'é\xff\xfe", " "} {
		if err := os.WriteFile("/proc/self/comm", []byte(comm), 0); err != nil {
			t.Skip(err)
		}
		p := oom.Process{PID: int32(os.Getpid())}
		if err := f.Exact(&p); err != nil || p.Comm != comm || p.RSS < 1<<20 {
			t.Errorf("name %q: got %+v, %v", comm, p, err)
		}
	}
}

// TestLiveChurn scans while processes come and go.
func TestLiveChurn(t *testing.T) {
	f := live(t)
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := exec.Command("true").Run(); err != nil {
				done <- err
				return
			}
		}
	}()
	var processes []oom.Process
	for range 30 {
		var err error
		if processes, _, err = f.Scan(processes, nil); err != nil {
			t.Error(err)
		}
		for i := range processes {
			if i > 0 && processes[i-1].PID >= processes[i].PID {
				t.Errorf("process %d before %d", processes[i-1].PID, processes[i].PID)
			}
			if err := f.Exact(&processes[i]); err != nil && !gone(err) && os.Getuid() == 0 {
				t.Error(err)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Skipf("no processes to come and go: %v", err)
	}
}

func TestLiveOOMKills(t *testing.T) {
	f := live(t)
	for range 3 { // the first opens the file, the others use it again.
		want, found := vmstatLine(t, "oom_kill")
		got, err := f.OOMKills()
		if err != nil || found != got.IsSet() {
			t.Fatalf("OOMKills = %v, %v, the line is there: %t", got, err, found)
		}
		if again, _ := vmstatLine(t, "oom_kill"); again == want && got.Or(0) != want {
			t.Errorf("OOMKills = %v, the file says %d", got, want)
		}
	}
}

// vmstatLine reads one counter in the plainest way.
func vmstatLine(t *testing.T, key string) (uint64, bool) {
	t.Helper()
	file, err := os.Open("/proc/vmstat")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 2 && fields[0] == key {
			n, err := strconv.ParseUint(fields[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// TestLiveCgroup: a process' cgroup is the one that it was put into, and one that
// has gone has none.
func TestLiveCgroup(t *testing.T) {
	f := live(t)
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Cgroup(int32(os.Getpid()))
	if err != nil || got == "" || !strings.Contains(string(text), ":"+got+"\n") {
		t.Errorf("%q, %v; want one of\n%s", got, err, text)
	}
	if path, err := f.Cgroup(math.MaxInt32); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a process that is not there: %q, %v", path, err)
	}
}
