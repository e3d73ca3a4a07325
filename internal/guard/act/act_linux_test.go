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
	return k, newGroup(t, k, fmt.Sprintf("/oom-guard-%d-%s", os.Getpid(), strings.ToLower(strings.NewReplacer("/", "-", "{", "", "}", "", "&", "").Replace(t.Name()))), limit)
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

func one(id oom.GroupID, p oom.Process) []guard.Victim {
	return []guard.Victim{{Process: p, Cgroup: id}}
}

func end(ctx context.Context, k *Kernel, id oom.GroupID, spare func(*oom.Process) string, still func() error) error {
	_, err := k.Container(ctx, guard.Ending{Cgroup: id, Spare: spare, Still: still})
	return err
}

func lives(cmd *exec.Cmd) bool { return cmd.Process.Signal(syscall.Signal(0)) == nil }

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
	if n, err := k.Process(one(id, p), yes); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	killedBySignal(t, cmd)
	if _, err := k.Process(one(id, p), yes); !errors.Is(err, guard.ErrGone) {
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
	if _, err := k.Process(one(id, stale), yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("pid used again: %v", err)
	}
	if _, err := k.Process(one(other, p), yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("process of another group: %v", err)
	}
	wrong := id
	wrong.Inode++
	if _, err := k.Process(one(wrong, p), yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("group made anew: %v", err)
	}
	if _, err := k.Process(one(id, p), func() error { return guard.ErrBelow }); !errors.Is(err, guard.ErrBelow) {
		t.Errorf("below the threshold: %v", err)
	}
	spare := func(*oom.Process) string { return "protected" }
	ctx := context.Background()
	if err := end(ctx, k, id, spare, yes); !errors.Is(err, guard.ErrSpared) {
		t.Errorf("protected: %v", err)
	}
	if err := end(ctx, k, wrong, nobody, yes); !errors.Is(err, guard.ErrGone) {
		t.Errorf("container made anew: %v", err)
	}
	if err := end(ctx, k, id, nobody, func() error { return guard.ErrSwitched }); !errors.Is(err, guard.ErrSwitched) {
		t.Errorf("switched off: %v", err)
	}
	if _, err := k.Recheck(wrong); !errors.Is(err, guard.ErrGone) {
		t.Errorf("usage of a group made anew: %v", err)
	}
	if err := k.Reclaim(wrong, 1); !errors.Is(err, guard.ErrGone) {
		t.Errorf("reclaim of a group made anew: %v", err)
	}
	if !lives(cmd) {
		t.Fatal("the process is dead")
	}
}

// fakeRuntime is one whose Stop hangs, or does nothing, or does what it should.
type fakeRuntime struct {
	hangs, idle bool
	main        int32
	of          string
	stopped     []string
	group       string // of the container that it knows.
}

func (r *fakeRuntime) Stop(ctx context.Context, id string) error {
	r.stopped = append(r.stopped, id)
	switch {
	case r.hangs:
		<-ctx.Done()
		return ctx.Err()
	case !r.idle:
		b, _ := os.ReadFile(filepath.Join(r.group, "cgroup.procs"))
		for _, pid := range parsePIDs(b) {
			_ = syscall.Kill(int(pid), syscall.SIGKILL)
		}
		<-time.After(50 * time.Millisecond)
	}
	return nil
}

func (r *fakeRuntime) Main(context.Context, string) (int32, string, error) { return r.main, r.of, nil }

const (
	uid    = "01234567-89ab-cdef-0123-456789abcdef"
	digits = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

// TestContainerEnds has a container end by its runtime, one that hangs, and one
// that says so and has done nothing: in the end all of its processes are dead,
// and no others.
func TestContainerEnds(t *testing.T) {
	for _, r := range []*fakeRuntime{{}, {hangs: true}, {idle: true}, nil} {
		t.Run(fmt.Sprintf("%+v", r), func(t *testing.T) {
			k, root := live(t, 64*mib)
			k.o.KubeRoot = root.Path
			for _, dir := range []string{"/kubepods", "/kubepods/pod" + uid} {
				newGroup(t, k, root.Path+dir, 0)
			}
			id := newGroup(t, k, root.Path+"/kubepods/pod"+uid+"/"+digits, 0)
			child := newGroup(t, k, id.Path+"/child", 0)
			cmds := []*exec.Cmd{sleeper(t, k, id), sleeper(t, k, id), sleeper(t, k, child)}
			spared := sleeper(t, k, root)
			if r != nil {
				r.main, r.of, r.group = int32(cmds[0].Process.Pid), uid, filepath.Join(k.scanned.Mount(), id.Path)
				k.o.Runtime = r
			}
			n, err := k.Container(context.Background(), guard.Ending{
				Cgroup: id, Identity: oom.Identity{ContainerID: digits, PodUID: uid}, Spare: nobody, Still: yes,
			})
			if err != nil || n != 3 {
				t.Errorf("%d killed, %v; want 3", n, err)
			}
			for _, cmd := range cmds {
				killedBySignal(t, cmd)
			}
			if r != nil && !slices.Equal(r.stopped, []string{digits}) || !lives(spared) {
				t.Errorf("the neighbour lives: %v; %+v", lives(spared), r)
			}
		})
	}
}

// TestNoContainerIsStoppedByAForgedName names groups as somebody else's
// container: the runtime is not asked to end that one.
func TestNoContainerIsStoppedByAForgedName(t *testing.T) {
	k, root := live(t, 64*mib)
	k.o.KubeRoot = root.Path
	pod := "/kubepods/pod" + uid
	own := strings.Repeat("ab", 32)
	for _, dir := range []string{"/kubepods", pod, pod + "/" + own, pod + "/" + own + "/nested", "/user.slice"} {
		newGroup(t, k, root.Path+dir, 0)
	}
	for _, c := range []struct {
		path string
		main bool // the runtime says that its first process is there.
		of   string
	}{
		{pod + "/" + own + "/nested/cri-containerd-" + digits + ".scope", true, uid},
		{pod + "/" + own + "/" + digits, true, uid},
		{"/user.slice/cri-containerd-" + digits + ".scope", true, uid},
		{pod + "/" + digits, false, uid},
		{pod + "/" + strings.Repeat("cd", 32), true, strings.Replace(uid, "0", "1", 1)},
	} {
		id := newGroup(t, k, root.Path+c.path, 0)
		cmd := sleeper(t, k, id)
		r := &fakeRuntime{main: 1, of: c.of}
		if c.main {
			r.main = int32(cmd.Process.Pid)
		}
		k.o.Runtime = r
		container := digits
		if strings.Contains(c.path, "cdcd") {
			container = strings.Repeat("cd", 32)
		}
		n, err := k.Container(context.Background(), guard.Ending{
			Cgroup: id, Identity: oom.Identity{ContainerID: container, PodUID: uid}, Spare: nobody, Still: yes,
		})
		if n != 1 || err != nil || len(r.stopped) > 0 {
			t.Errorf("%s: %d killed, %v; the runtime stopped %v", c.path, n, err, r.stopped)
		}
		killedBySignal(t, cmd)
	}
}

// TestTheSwitchEndsTheKilling throws the kill switch after the first kills, and
// has the context end: the rest lives, and what was killed is counted.
func TestTheSwitchEndsTheKilling(t *testing.T) {
	k, id := live(t, 64*mib)
	var cmds []*exec.Cmd
	for range 5 {
		cmds = append(cmds, sleeper(t, k, id))
	}
	m, err := k.Members(&oom.Group{GroupID: id})
	if err != nil {
		t.Fatal(err)
	}
	held, err := k.hold(alive(&m))
	if err != nil || len(held) != 5 {
		t.Fatalf("%d held, %v", len(held), err)
	}
	defer release(held)
	ctx, cancel := context.WithCancel(context.Background())
	if n, err := k.killAll(ctx, held[:1]); n != 1 || err != nil {
		t.Error(n, err)
	}
	if err := os.WriteFile(k.o.KillSwitch, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := k.killAll(ctx, held[1:]); n != 0 || !errors.Is(err, guard.ErrSwitched) {
		t.Error(n, err)
	}
	if err := os.Remove(k.o.KillSwitch); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := k.killAll(ctx, held[1:]); n != 0 || !errors.Is(err, context.Canceled) {
		t.Error(n, err)
	}
	living := 0
	for _, cmd := range cmds {
		if cmd.Process.Pid != int(held[0].PID) && lives(cmd) {
			living++
		}
	}
	if living != 4 {
		t.Errorf("%d of 4 live", living)
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
	for _, first := range []bool{true, false} {
		if told, missed := b.Observe(&tree); !told || missed != first {
			t.Errorf("observed for the first time %v: told %v, missed %v", first, told, missed)
		}
	}
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
	} else if after, _ := k.Recheck(id); err == nil && after.Usage > before/2 {
		t.Errorf("%d of %d bytes are left", after.Usage, before)
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

func TestParseStat(t *testing.T) {
	const good = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 2 0 99 4096 5 18446744073709551615 1 1 0 0 0 0 0 0 0 17 1\n"
	s, err := parseStat([]byte(good))
	if want := (stat{comm: "a) b", state: 'S', threads: 2, start: 99, vsize: 4096, rss: 5, parent: 3}); err != nil || s != want {
		t.Errorf("%+v, %v; want %+v", s, err, want)
	}
	killed := strings.Replace(good, " 1 1 0 0 0 0 ", " 1 1 0 0 0 256 ", 1)
	if s, err := parseStat([]byte(killed)); err != nil || !s.dying {
		t.Errorf("pending SIGKILL: %+v, %v", s, err)
	}
	for _, bad := range []string{"", "7 (a", "7 )a( S", "7 (a) S 1", strings.Replace(good, " 99 ", " x ", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for text, want := range map[string]oom.Amount{"under_oom 0\noom_kill 3\n": oom.Of(3), "oom_kill_disable 7\n": {}, "": {}, "oom_kill x": {}} {
		if got := parseKills([]byte(text)); got != want {
			t.Errorf("kills of %q: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]oom.Amount{"max\n": oom.Unlimited(), "9223372036854771712\n": oom.Unlimited(), "1048576\n": oom.Of(mib)} {
		if got := parseLimit([]byte(text)); got != want {
			t.Errorf("limit of %q: %v, want %v", text, got, want)
		}
	}
}

func TestKubeContainer(t *testing.T) {
	under := strings.ReplaceAll(uid, "-", "_")
	for path, want := range map[string]bool{
		"/kubepods/pod" + uid + "/" + digits:                                                  true,
		"/kubepods/burstable/pod" + uid + "/" + digits:                                        true,
		"/kubepods/other/pod" + uid + "/" + digits:                                            false,
		"/kubepods/pod" + uid + "/" + digits[1:]:                                              false,
		"/kubepods/pod" + uid + "/x/" + digits:                                                false,
		"/a/kubepods/pod" + uid + "/" + digits:                                                false,
		"/kubepods/pod" + uid:                                                                 false,
		"/kubepods/burstable/pod" + uid + "/" + digits + "/more":                              false,
		"/kubepods.slice/kubepods-pod" + under + ".slice/cri-containerd-" + digits + ".scope": true,
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + under + ".slice/crio-" + digits + ".scope":               true,
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-burstable-pod" + under + ".slice/crio-" + digits + ".scope":                false,
		"/kubepods.slice/kubepods-pod" + under + ".slice/docker-" + digits + ".scope":                                                  false,
		"/user.slice/kubepods.slice/kubepods-pod" + under + ".slice/cri-containerd-" + digits + ".scope":                               false,
		"/kubepods.slice/kubepods-pod" + under + ".slice/cri-containerd-" + digits + ".scope/cri-containerd-" + digits + ".scope/more": false,
	} {
		gotUID, id, ok := kubeContainer("", path)
		if ok != want || ok && (gotUID != uid || id != digits) {
			t.Errorf("%s: %q %q %v", path, gotUID, id, ok)
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
		_, _ = parseStat(b)
		_, _ = parseLimit(b), parseKills(b)
		if uid, id, ok := kubeContainer("/", string(b)); ok && (len(id) != 64 || uid == "") {
			t.Errorf("%q is container %q of pod %q", b, id, uid)
		}
	})
}
