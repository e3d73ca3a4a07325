// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/proc"
)

// TestAWarningKillsNobody sends SIGUSR1, which ends a process without a handler,
// to one with and one without.
func TestAWarningKillsNobody(t *testing.T) {
	k, id := live(t, 64*mib)
	without := sleeper(t, k, id)
	procs := filepath.Join(k.scanned.Mount(), id.Path, "cgroup.procs")
	with := exec.Command("sh", "-c", "trap 'echo warned' USR1; echo 0 > "+procs+"; echo up; while :; do sleep 0.02; done")
	out, err := with.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := with.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = with.Process.Kill(); _ = with.Wait() })
	var line [64]byte
	_, _ = out.Read(line[:])
	m, err := k.Members(&oom.Group{GroupID: id})
	if err != nil {
		t.Fatal(err)
	}
	var all []guard.Victim
	for _, p := range m.Procs {
		if int(p.PID) == without.Process.Pid || int(p.PID) == with.Process.Pid {
			all = append(all, guard.Victim{Process: p, Cgroup: id})
		}
	}
	stop := errors.New("stop")
	if sent, err := k.Signal(all, syscall.SIGUSR1, true, func() error { return stop }); sent != 0 || !errors.Is(err, stop) {
		t.Errorf("after a refusal at the last look: %d sent, %v", sent, err)
	}
	if sent, err := k.Signal(all, syscall.SIGUSR1, true, yes); sent != 1 || err != nil {
		t.Fatalf("%d sent, %v; want 1", sent, err)
	}
	n, _ := out.Read(line[:])
	if got := string(line[:n]); got != "warned\n" {
		t.Errorf("the process with a handler said %q", got)
	}
	if !lives(without) || !lives(with) {
		t.Error("a warning has killed")
	}
	if sent, err := k.Signal(all[:1], syscall.SIGTERM, false, yes); sent != 1 || err != nil {
		t.Errorf("SIGTERM: %d sent, %v", sent, err)
	}
	if err := os.WriteFile(k.o.KillSwitch, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if sent, err := k.Signal(all, syscall.SIGTERM, false, yes); sent != 0 || !errors.Is(err, guard.ErrSwitched) {
		t.Errorf("with the switch thrown: %d sent, %v", sent, err)
	}
}

func TestParseCaught(t *testing.T) {
	const status = "Name:\tx\nSigIgn:\t0000000000000200\nSigCgt:\t0000000180004203\n"
	for sig, want := range map[syscall.Signal]bool{syscall.SIGUSR1: true, syscall.SIGUSR2: false, syscall.SIGHUP: true, syscall.SIGTERM: true, 64: false, 0: false, -1: false, 65: false} {
		if got := parseCaught([]byte(status), sig); got != want {
			t.Errorf("%v: %v, want %v", sig, got, want)
		}
	}
	for _, bad := range []string{"", "SigCgt:", "SigCgt:\tz\n", "SigCgt"} {
		if parseCaught([]byte(bad), syscall.SIGHUP) {
			t.Errorf("%q: caught", bad)
		}
	}
}

func FuzzParseCaught(f *testing.F) {
	f.Add([]byte("SigCgt:\t0000000180004203\n"), 10)
	f.Fuzz(func(t *testing.T, b []byte, sig int) { parseCaught(b, syscall.Signal(sig&63)) })
}

// onFiles is a kernel whose hierarchy of v2 is a directory with one group.
func onFiles(t *testing.T, high string) (*Kernel, guard.Target) {
	t.Helper()
	sysfs := t.TempDir()
	root := filepath.Join(sysfs, "fs/cgroup")
	dir := filepath.Join(root, "a")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"cgroup.controllers": "memory\n", "a/memory.current": "95\n", "a/memory.max": "100\n", "a/memory.high": high, "a/memory.stat": "",
	} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := &Kernel{o: Options{Procfs: "/proc"}, throttles: throttles{file: filepath.Join(t.TempDir(), "throttled")}}
	var err error
	if k.scanned, err = cgroup.Find(cgroup.Options{Sysfs: sysfs, Procfs: "/proc", MaxGroups: 10}); err != nil {
		t.Skip(err)
	}
	if k.Version() != 2 {
		t.Skip("a directory does not pass for a hierarchy of v2 here")
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return k, guard.Target{GroupID: oom.GroupID{Path: "/a", Inode: st.Ino}, Limit: 1000, Threshold: 980}
}

func (k *Kernel) highOf(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(k.scanned.Mount(), "a/memory.high"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// TestThrottlingIsPutBack, by the guard that throttled, or by the one after it.
func TestThrottlingIsPutBack(t *testing.T) {
	for _, was := range []string{"max", "950"} {
		k, target := onFiles(t, was+"\n")
		restore, err := k.Throttle(&target, 900)
		if err != nil || k.highOf(t) != "900" {
			t.Fatalf("memory.high is %s, %v", k.highOf(t), err)
		}
		restore()
		if got := k.highOf(t); got != was {
			t.Errorf("memory.high is %s, was %s", got, was)
		}
		if _, err := k.Throttle(&target, 900); err != nil {
			t.Fatal(err)
		}
		next := &Kernel{o: k.o, scanned: k.scanned, throttles: throttles{file: k.throttles.file}}
		if err := next.Unthrottle(); err != nil || next.highOf(t) != was {
			t.Errorf("after a restart memory.high is %s, %v; was %s", next.highOf(t), err, was)
		}
		if err := next.Unthrottle(); err != nil || len(next.throttles.groups) != 0 {
			t.Errorf("%v are left, %v", next.throttles.groups, err)
		}
	}
}

// TestNothingIsThrottledInDoubt: where it can't be recorded, where the owner has
// set less, where another group has the path.
func TestNothingIsThrottledInDoubt(t *testing.T) {
	k, target := onFiles(t, "max\n")
	k.throttles.file = filepath.Join(t.TempDir(), "not", "there")
	if _, err := k.Throttle(&target, 900); err == nil || k.highOf(t) != "max" {
		t.Errorf("without a record memory.high is %s, %v", k.highOf(t), err)
	}
	other := filepath.Join(t.TempDir(), "other")
	k.throttles.file = filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(other, k.throttles.file); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Throttle(&target, 900); err == nil || k.highOf(t) != "max" {
		t.Errorf("with a link for a record: memory.high %s, error %v", k.highOf(t), err)
	}
	if _, err := os.Lstat(other); err == nil {
		t.Error("what the link points to was written")
	}
	k, target = onFiles(t, "800\n")
	restore, err := k.Throttle(&target, 900)
	if err != nil || k.highOf(t) != "800" {
		t.Fatalf("its owner's memory.high is %s, %v", k.highOf(t), err)
	}
	restore()
	if got := k.highOf(t); got != "800" {
		t.Errorf("its owner's memory.high is %s", got)
	}
	target.Inode++
	if _, err := k.Throttle(&target, 100); !errors.Is(err, guard.ErrGone) {
		t.Errorf("another group: %v", err)
	}
	if err := os.WriteFile(k.throttles.file, []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Unthrottle(); err == nil {
		t.Error("a record that can't be read is no error")
	}
}

// TestMembersInDoubt has groups below that can't be read: whom they hold is not known, so
// nobody may be chosen. What has gone in between holds nobody.
func TestMembersInDoubt(t *testing.T) {
	k, target := onFiles(t, "max\n")
	top := filepath.Join(k.scanned.Mount(), "a")
	write := func(dir, procs string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(procs), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	members := func() (int, error) {
		m, err := k.Members(&oom.Group{GroupID: target.GroupID})
		return len(m.Procs), err
	}
	k.o.MaxProcesses = 10
	var err error
	if k.proc, err = proc.New(proc.Options{Root: "/proc"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	self := strconv.Itoa(os.Getpid()) + "\n"
	write(top, self)
	write(filepath.Join(top, "b"), "4194305\n") // above every pid.
	if err := os.Mkdir(filepath.Join(top, "gone"), 0o755); err != nil {
		t.Fatal(err)
	}
	if n, err := members(); n != 1 || err != nil {
		t.Errorf("%d members, %v; want 1", n, err)
	}
	deep := top
	for range maxDepth {
		deep = filepath.Join(deep, "d")
		write(deep, "")
	}
	if n, err := members(); n != 1 || err != nil {
		t.Errorf("%d levels: %d members, %v; want 1", maxDepth, n, err)
	}
	write(filepath.Join(deep, "d"), "")
	if _, err := members(); !errors.Is(err, errTooDeep) {
		t.Errorf("%d levels: %v", maxDepth+1, err)
	}
	if err := os.RemoveAll(filepath.Join(top, "d")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(top, "cgroup.procs"), filepath.Join(top, "gone", "cgroup.procs")); err != nil {
		t.Fatal(err)
	}
	if n, err := members(); err == nil {
		t.Errorf("%d members, though one group could not be read", n)
	}
}
