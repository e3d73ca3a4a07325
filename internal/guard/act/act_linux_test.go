// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const mib = 1 << 20

// paths names every group a container.
type paths struct{}

func (paths) Name(tree *oom.Tree) {
	for i := range tree.Groups {
		if i > 0 {
			tree.Groups[i].Kind = oom.KindContainer
		}
		tree.Groups[i].Workload.Container = tree.Groups[i].Path
	}
}

func (paths) Identify(string) (oom.Identity, bool) { return oom.Identity{}, false }

// live opens the running kernel and makes a group in it.
func live(t *testing.T, limit uint64) (*Kernel, oom.GroupID) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	k, err := New(Options{Procfs: "/proc", Sysfs: "/sys", Names: paths{}, KillSwitch: filepath.Join(t.TempDir(), "off")})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k, newGroup(t, k, fmt.Sprintf("/oom-guard-%d-%s", os.Getpid(), strings.ToLower(t.Name())), limit)
}

func newGroup(t *testing.T, k *Kernel, path string, limit uint64) oom.GroupID {
	t.Helper()
	dir := k.scanned.Mount() + path
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("needs a hierarchy to write to: %v", err)
	}
	t.Cleanup(func() {
		for range 1000 {
			if os.Remove(dir) == nil {
				return
			}
			<-time.After(5 * time.Millisecond) // its last process is on its way.
		}
		t.Errorf("%s could not be removed", dir)
	})
	if limit > 0 {
		file := map[int]string{1: "memory.limit_in_bytes", 2: "memory.max"}[k.Version()]
		if err := os.WriteFile(filepath.Join(dir, file), fmt.Append(nil, limit), 0); err != nil {
			t.Skipf("needs the memory controller: %v", err)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return oom.GroupID{Path: path, Inode: st.Ino}
}

// sleeper starts a process in the group; it is killed at the end.
func sleeper(t *testing.T, k *Kernel, id oom.GroupID) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	procs := filepath.Join(k.scanned.Mount(), id.Path, "cgroup.procs")
	if err := os.WriteFile(procs, fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func nobody(*oom.Process) string { return "" }

func yes() error { return nil }

// chosen returns the one process of a group as the guard has chosen it.
func chosen(t *testing.T, k *Kernel, id oom.GroupID) oom.Process {
	t.Helper()
	m, err := k.Members(&oom.Group{GroupID: id})
	if err != nil || len(m.Procs) != 1 {
		t.Fatalf("members = %+v, %v; want one process", m.Procs, err)
	}
	return m.Procs[0]
}

func alive(cmd *exec.Cmd) bool { return cmd.Process.Signal(syscall.Signal(0)) == nil }

func killedBySignal(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	_ = cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGKILL {
		t.Errorf("the process ended with %v, want SIGKILL", s)
	}
}

func TestProcessIsKilled(t *testing.T) {
	k, id := live(t, 64*mib)
	cmd := sleeper(t, k, id)
	p := chosen(t, k, id)
	if p.PID != int32(cmd.Process.Pid) || p.Comm != "sleep" || p.RSS == 0 || p.Start == 0 {
		t.Errorf("member = %+v", p)
	}
	if err := k.Process(id, p, yes); err != nil {
		t.Fatal(err)
	}
	killedBySignal(t, cmd)
	if err := k.Process(id, p, yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("a process that is gone: %v", err)
	}
}

// TestEveryRaceIsLost changes what was chosen before the kill: nobody dies.
func TestEveryRaceIsLost(t *testing.T) {
	k, id := live(t, 64*mib)
	other := newGroup(t, k, id.Path+"-other", 64*mib)
	cmd := sleeper(t, k, id)
	p := chosen(t, k, id)
	stale := p
	stale.Start--
	if err := k.Process(id, stale, yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("pid used again: %v", err)
	}
	if err := k.Process(other, p, yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("process of another group: %v", err)
	}
	wrong := id
	wrong.Inode++
	if err := k.Process(wrong, p, yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("group made anew: %v", err)
	}
	if err := k.Process(id, p, func() error { return guard.ErrBelow }); !errors.Is(err, guard.ErrBelow) {
		t.Errorf("below the threshold: %v", err)
	}
	spare := func(*oom.Process) string { return "protected" }
	ctx := context.Background()
	if err := k.Container(ctx, id, oom.Identity{}, spare, yes); !errors.Is(err, guard.ErrSpared) {
		t.Errorf("protected: %v", err)
	}
	if err := k.Container(ctx, wrong, oom.Identity{}, nobody, yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("container made anew: %v", err)
	}
	if err := k.Container(ctx, id, oom.Identity{}, nobody, func() error { return guard.ErrSwitched }); !errors.Is(err, guard.ErrSwitched) {
		t.Errorf("switched off: %v", err)
	}
	if _, err := k.Usage(wrong); !errors.Is(err, guard.ErrGone) {
		t.Errorf("usage of a group made anew: %v", err)
	}
	if err := k.Reclaim(wrong, 1); !errors.Is(err, guard.ErrGone) {
		t.Errorf("reclaim of a group made anew: %v", err)
	}
	if !alive(cmd) {
		t.Fatal("the process is dead")
	}
}

// hanging is a runtime that never answers.
type hanging struct{ asked int }

func (h *hanging) Stop(ctx context.Context, _ string) error {
	h.asked++
	<-ctx.Done()
	return ctx.Err()
}

func TestContainerEndsAlsoWithoutItsRuntime(t *testing.T) {
	k, id := live(t, 64*mib)
	runtime := &hanging{}
	k.o.Runtime = runtime
	child := newGroup(t, k, id.Path+"/child", 0)
	cmds := []*exec.Cmd{sleeper(t, k, id), sleeper(t, k, id), sleeper(t, k, child)}
	neighbour := newGroup(t, k, id.Path+"-other", 0)
	spared := sleeper(t, k, neighbour)
	begun := time.Now()
	if err := k.Container(context.Background(), id, oom.Identity{ContainerID: "0123"}, nobody, yes); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, cmd := range cmds {
		killedBySignal(t, cmd)
	}
	if runtime.asked != 1 || !alive(spared) {
		t.Errorf("the runtime was asked %d times; the neighbour lives: %v", runtime.asked, alive(spared))
	}
	below := func() error {
		if runtime.asked > 1 {
			return guard.ErrBelow // while the runtime hung.
		}
		return nil
	}
	if err := k.Container(context.Background(), neighbour, oom.Identity{ContainerID: "4567"}, nobody, below); !errors.Is(err, guard.ErrBelow) || !alive(spared) {
		t.Errorf("%v; it lives: %v", err, alive(spared))
	}
}

func TestKillSwitch(t *testing.T) {
	k, _ := live(t, 0)
	if k.Off() {
		t.Error("off without the file")
	}
	if err := os.WriteFile(k.o.KillSwitch, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !k.Off() {
		t.Error("not off with the file")
	}
	k.o.KillSwitch = filepath.Join(k.o.KillSwitch, "below", "a", "file")
	if !k.Off() {
		t.Error("a switch that can't be looked at is not thrown")
	}
}

// fill makes page cache that is charged to the group.
func fill(t *testing.T, k *Kernel, id oom.GroupID, mibs int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cache")
	script := fmt.Sprintf("echo $$ >%s && dd if=/dev/zero of=%s bs=1M count=%d conv=fsync status=none",
		filepath.Join(k.scanned.Mount(), id.Path, "cgroup.procs"), file, mibs)
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestNoticesAndReclaim(t *testing.T) {
	k, id := live(t, 64*mib)
	b, err := NewBell(k)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, tree, err := k.Scan()
	if err != nil {
		t.Fatal(err)
	}
	b.Observe(&tree)
	m, err := b.Watch(id, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	armed := m.Arm(4*mib, 6*mib)
	if armed != (k.Version() == 1) {
		t.Errorf("armed: %v on version %d", armed, k.Version())
	}
	fill(t, k, id, 20)
	before, err := m.Usage()
	if err != nil || before < 10*mib {
		t.Skipf("the file's pages were not charged to the group: %d bytes, %v", before, err)
	}
	if armed && !heard(b, guard.Notice{Kind: guard.NoticeUsage, Token: 7}) {
		t.Error("no notice of the usage")
	}
	if err := k.Reclaim(id, before); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	} else if after, _ := k.Usage(id); err == nil && after > before/2 {
		t.Errorf("%d of %d bytes are left", after, before)
	}
	limit := map[int]string{1: "memory.limit_in_bytes", 2: "memory.max"}[k.Version()]
	if err := os.WriteFile(filepath.Join(k.scanned.Mount(), id.Path, limit), []byte("50000000"), 0); err != nil {
		t.Fatal(err)
	}
	if !heard(b, guard.Notice{Kind: guard.NoticeLimit, Token: 7}) {
		t.Error("no notice of the limit")
	}
	newGroup(t, k, id.Path+"/new", 0)
	if !heard(b, guard.Notice{Kind: guard.NoticeTree}) {
		t.Error("no notice of the new group")
	}
	if !woken(b) {
		t.Error("a wake does not end the wait")
	}
}

// woken tells whether a wake alone ends a wait. Other tests make groups, of which
// there are notices: then it is tried again.
func woken(b *Bell) bool {
	for range 20 {
		b.Wake()
		begin := time.Now()
		notices := b.Wait(10 * time.Second)
		if time.Since(begin) > 5*time.Second {
			return false
		}
		if len(notices) == 0 {
			return true
		}
	}
	return false
}

// heard waits for a notice.
func heard(b *Bell, want guard.Notice) bool {
	for range 20 {
		if slices.Contains(b.Wait(100*time.Millisecond), want) {
			return true
		}
	}
	return false
}

func TestParsers(t *testing.T) {
	if got := parsePIDs([]byte("12\n0\n7\nx\n-3\n99999999999\n")); len(got) != 2 || got[0] != 12 || got[1] != 7 {
		t.Errorf("pids = %v", got)
	}
	for text, want := range map[string]bool{
		"Name:\tx\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n": true,
		"SigPnd:\t0000000000000100\n":                                      true,
		"SigPnd:\t0000000000000200\nShdPnd:\t00000000000000ff\n":           false,
		"SigBlk:\t0000000000000100\n":                                      false,
		"ShdPnd:\tjunk\n":                                                  false,
		"":                                                                 false,
	} {
		if got := parseDying([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for text, want := range map[string]uint64{"12\n": 12, "18446744073709551615\n": 1<<64 - 1} {
		if got, err := parseUsage([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "max\n", "-1\n", "1 2\n"} {
		if _, err := parseUsage([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("1\n2\n"))
	f.Add([]byte("ShdPnd:\t0000000000000100\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, pid := range parsePIDs(b) {
			if pid <= 0 {
				t.Errorf("pid %d of %q", pid, b)
			}
		}
		if parseDying(b) && !bytes.Contains(b, []byte("Pnd:")) {
			t.Errorf("%q is dying", b)
		}
		_, _ = parseUsage(b)
	})
}
