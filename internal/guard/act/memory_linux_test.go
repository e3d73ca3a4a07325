// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// role makes this test binary one of the processes that tests look at.
const role = "OOM_GUARD_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "thread":
		threadElsewhere(os.Args[1])
	case "without-pidfd":
		os.Exit(killWithoutPidfd(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// threadElsewhere puts one of its threads into another group, and sleeps.
func threadElsewhere(tasks string) {
	tid := make(chan int, 2)
	for range 2 { // one of them may be the first thread.
		go func() {
			runtime.LockOSThread()
			if id := unix.Gettid(); id != os.Getpid() {
				tid <- id
			}
			_ = unix.Pause()
		}()
	}
	if err := os.WriteFile(tasks, strconv.AppendInt(nil, int64(<-tid), 10), 0); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up")
	<-time.After(time.Hour)
}

// helper runs this test binary in a role, and waits for its first line.
func helper(t *testing.T, as string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), role+"="+as)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var line [256]byte
	n, _ := out.Read(line[:])
	if got := string(line[:n]); got != "up\n" {
		t.Fatalf("it said %q", got)
	}
	return cmd
}

// TestAThreadIsNoMember has a process of another group with one thread in this:
// its memory is not charged here, so it is none of those that may be killed.
func TestAThreadIsNoMember(t *testing.T) {
	k, id := live(t, 64*mib)
	if k.Version() != 1 {
		t.Skip("v2 has all threads of a process in one group")
	}
	helper(t, "thread", filepath.Join(k.scanned.Mount(), id.Path, "tasks"))
	pids, err := k.pids(id)
	if err != nil || len(pids) != 1 {
		t.Fatalf("%v, %v: the kernel does not list the process here", pids, err)
	}
	m, err := k.Members(&oom.Group{GroupID: id})
	if err != nil || len(m.Procs) != 0 {
		t.Errorf("members = %+v, %v; want none", m.Procs, err)
	}
}

// TestRunnable has a process that sleeps, and one that never does.
func TestRunnable(t *testing.T) {
	k, id := live(t, 64*mib)
	for _, c := range []struct {
		script string
		want   bool
	}{{"exec sleep 60", false}, {"while :; do :; done", true}} {
		cmd := exec.Command("sh", "-c", "echo 0 > "+filepath.Join(k.scanned.Mount(), id.Path, "cgroup.procs")+"; echo up; "+c.script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var line [8]byte
		_, _ = out.Read(line[:])
		met := false
		for end := time.Now().Add(20 * time.Second); !met && time.Now().Before(end); <-time.After(5 * time.Millisecond) {
			met = k.Runnable(&oom.Group{GroupID: id}) == c.want
		}
		if !met {
			t.Errorf("%s: runnable %v", c.script, !c.want)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if !k.Runnable(&oom.Group{GroupID: oom.GroupID{Path: id.Path, Inode: id.Inode + 1}}) {
		t.Error("a group that can't be read is in doubt")
	}
}

// vfork starts a process that shares this one's memory until it is another
// program, which it never becomes: it sleeps in a system call.
func vfork(t *testing.T) int {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	const program = `
import ctypes, os, time
libc = ctypes.CDLL(None)
stack = ctypes.create_string_buffer(1 << 20)
nap = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
top = ctypes.cast(ctypes.addressof(stack) + (1 << 20) - 64, ctypes.c_void_p)
child = libc.clone(ctypes.cast(libc.pause, ctypes.c_void_p), top, 0x100 | 17, None)
print(child, flush=True)
time.sleep(3600)
`
	cmd := exec.Command(python, "-c", program)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var line [32]byte
	n, _ := out.Read(line[:])
	child, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil || child <= 0 {
		t.Fatalf("it said %q", line[:n])
	}
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	return cmd.Process.Pid
}

// TestSharersDieTogether has two processes share their memory, which is free
// only when both have ended: they are killed together.
func TestSharersDieTogether(t *testing.T) {
	k, id := live(t, 0)
	parent := vfork(t)
	if !sameMemory(int32(parent), int32(parent)) {
		t.Skip("the kernel does not compare processes")
	}
	other := sleeper(t, k, id)
	procs := filepath.Join(k.scanned.Mount(), id.Path, "cgroup.procs")
	if err := os.WriteFile(procs, fmt.Append(nil, parent), 0); err != nil {
		t.Fatal(err)
	}
	m, err := k.Members(&oom.Group{GroupID: id})
	if err != nil || len(m.Procs) != 2 {
		t.Fatalf("members = %+v, %v", m.Procs, err)
	}
	at := 0
	if m.Procs[0].PID != int32(parent) {
		at = 1
	}
	sharers, err := k.Sharers(&m, at)
	if err != nil || len(sharers) != 1 {
		t.Fatalf("sharers = %+v, %v; want one, which is in no group of these", sharers, err)
	}
	n, err := k.Process(append(one(id, m.Procs[at]), sharers...), yes)
	if n != 2 || err != nil {
		t.Errorf("%d killed, %v; want both", n, err)
	}
	if !lives(other) {
		t.Error("another process was killed")
	}
	if none, err := k.Sharers(&m, 1-at); err != nil || len(none) != 0 {
		t.Errorf("the other shares its memory with %+v, %v", none, err)
	}
}

// withoutPidfd denies what is about pidfds to this process, as a kernel below 5.3
// does, or a seccomp filter of a container runtime.
func withoutPidfd(errno uint32) error {
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	is := func(n uint32, yes uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: n, Jt: yes}
	}
	say := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	filter := []unix.SockFilter{
		load(0), is(unix.SYS_PIDFD_OPEN, 2), is(unix.SYS_PIDFD_SEND_SIGNAL, 1),
		say(unix.SECCOMP_RET_ALLOW), say(unix.SECCOMP_RET_ERRNO | errno),
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return e
	}
	return nil
}

// killWithoutPidfd kills the one process of a group, where there are no pidfds;
// before that it tries what must not be done without them either.
func killWithoutPidfd(args []string) int {
	errno, _ := strconv.Atoi(args[0])
	inode, _ := strconv.ParseUint(args[2], 10, 64)
	id := oom.GroupID{Path: args[1], Inode: inode}
	if err := withoutPidfd(uint32(errno)); err != nil {
		fmt.Println("no filter:", err)
		return 77
	}
	k, err := New(Options{Procfs: "/proc", Sysfs: "/sys", Names: paths{}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	m, err := k.Members(&oom.Group{GroupID: id})
	if err != nil || len(m.Procs) != 1 || HasPidfd() {
		fmt.Println(m, err, HasPidfd())
		return 1
	}
	stale := m.Procs[0]
	stale.Start--
	if n, err := k.Process(one(id, stale), yes); n != 0 || err == nil {
		fmt.Println("a pid that was used again:", n, err)
		return 1
	}
	if n, err := k.Process(one(id, m.Procs[0]), yes); n != 1 || err != nil {
		fmt.Println(n, err)
		return 1
	}
	return 0
}

func TestKernelsWithoutPidfd(t *testing.T) {
	for name, errno := range map[string]unix.Errno{"missing": unix.ENOSYS, "denied": unix.EPERM} {
		t.Run(name, func(t *testing.T) { withoutPidfds(t, errno) })
	}
}

func withoutPidfds(t *testing.T, errno unix.Errno) {
	k, id := live(t, 64*mib)
	if !HasPidfd() {
		t.Log("this kernel has none")
	}
	cmd := sleeper(t, k, id)
	self := exec.Command(os.Args[0], strconv.Itoa(int(errno)), id.Path, strconv.FormatUint(id.Inode, 10))
	self.Env = append(os.Environ(), role+"=without-pidfd")
	out, err := self.CombinedOutput()
	if self.ProcessState.ExitCode() == 77 {
		t.Skipf("needs seccomp: %s", out)
	}
	if err != nil {
		t.Fatalf("%v: %v, %s", errno, err, out)
	}
	killedBySignal(t, cmd)
}

// TestManyMembersAreReadInTime has a look at a thousand processes: a leak among
// them does not wait for long.
func TestManyMembersAreReadInTime(t *testing.T) {
	k, id := live(t, 0)
	const many = 300
	cmd := exec.Command("sh", "-c", fmt.Sprintf("echo $$ >%s; for i in $(seq %d); do sleep 1000 & done; echo up; wait",
		filepath.Join(k.scanned.Mount(), id.Path, "cgroup.procs"), many))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var up [8]byte
	_, _ = out.Read(up[:])
	t.Cleanup(func() { _ = end(t.Context(), k, id, nobody, yes); _ = cmd.Wait() })
	best := time.Hour
	for range 5 {
		begun := time.Now()
		m, err := k.Members(&oom.Group{GroupID: id})
		if err != nil || len(m.Procs) < many {
			t.Fatalf("%d members, %v", len(m.Procs), err)
		}
		t.Logf("%d processes in %v", len(m.Procs), time.Since(begun))
		best = min(best, time.Since(begun))
	}
	t.Logf("%d processes in %v", many, best)
	if best > many*200*time.Microsecond {
		t.Errorf("%v for %d processes, want less than 200 us each", best, many)
	}
	begun := time.Now()
	if err := end(t.Context(), k, id, nobody, yes); err != nil {
		t.Error(err)
	}
	t.Logf("ended in %v", time.Since(begun))
}
