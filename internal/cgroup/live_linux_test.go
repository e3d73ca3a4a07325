// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// hogVariable makes the test binary a process that takes so many bytes.
const hogVariable = "CGROUP_TEST_HOG"

func TestMain(m *testing.M) {
	if s := os.Getenv(hogVariable); s != "" {
		os.Exit(hog(s))
	}
	os.Exit(m.Run())
}

// hog waits for a line, takes memory, says so, and waits for the end of its
// input.
func hog(size string) int {
	n, err := strconv.Atoi(size)
	if err != nil {
		return 2
	}
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return 0
	}
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 3
	}
	for i := 0; i < n; i += os.Getpagesize() {
		b[i] = 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, in)
	return 0
}

// live finds the memory hierarchy of the running host.
func live(t testing.TB) *Hierarchy {
	t.Helper()
	h, err := Find(Options{Parts: PartsAll})
	switch {
	case errors.Is(err, ErrNoHierarchy):
		t.Skip("this host has no memory cgroups")
	case err != nil:
		t.Fatal(err)
	}
	return h
}

// enable lets the children of a v2 group have the memory controller.
func enable(t testing.TB, h *Hierarchy, path string) {
	t.Helper()
	if h.Version() == 1 {
		return
	}
	if err := os.WriteFile(h.Mount()+path+"/cgroup.subtree_control", []byte("+memory"), 0); err != nil {
		t.Skipf("the memory controller can't be enabled: %v", err)
	}
}

// name is the v1 or the v2 name of a file.
func name(h *Hierarchy, v1, v2 file) string {
	if h.Version() == 1 {
		return v1.String()
	}
	return v2.String()
}

// makeLive makes a group of our own in the host's hierarchy and removes it at
// the end of the test.
func makeLive(t testing.TB, h *Hierarchy, what string) (path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	enable(t, h, "/")
	path = fmt.Sprintf("/oom-exporter-test-%d-%s", os.Getpid(), what)
	if err := os.Mkdir(h.Mount()+path, 0o755); err != nil {
		t.Skipf("cgroups can't be made here: %v", err)
	}
	t.Cleanup(func() { removeLive(t, h.Mount()+path) })
	return path
}

// removeLive removes a group; the kernel needs a moment after its last process.
func removeLive(t testing.TB, dir string) {
	t.Helper()
	end := time.Now().Add(deadline)
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return
		}
		if time.Now().After(end) {
			t.Errorf("remove %s: %v", dir, err)
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

func limit(t testing.TB, h *Hierarchy, path string, bytes int) {
	t.Helper()
	err := os.WriteFile(h.Mount()+path+"/"+name(h, v1Limit, v2Max), []byte(strconv.Itoa(bytes)), 0)
	if err != nil {
		t.Fatal(err)
	}
}

// startHog runs a process in the group that takes so many bytes. It returns when
// it has them, or is dead.
func startHog(t testing.TB, h *Hierarchy, path string, bytes int) (cmd *exec.Cmd, alive bool) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", hogVariable, bytes))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	procs := h.Mount() + path + "/cgroup.procs"
	if err := os.WriteFile(procs, []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	return cmd, line == "ready\n"
}

// plain reads a number the plain way.
func plain(t *testing.T, h *Hierarchy, path, file string) uint64 {
	t.Helper()
	b, err := os.ReadFile(h.Mount() + path + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A group with a limit of 64 MiB and a process of 20 MiB shows what the kernel's
// files show.
func TestLiveGroup(t *testing.T) {
	h := live(t)
	path := makeLive(t, h, "live")
	limit(t, h, path, 64*mi)
	cmd, alive := startHog(t, h, path, 20*mi)
	if !alive {
		t.Fatal("the process died")
	}
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil { // nothing moves now.
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(unix.SIGCONT) })
	waitStill(t, h, path)
	tree, _ := mustRead(t, h)
	g := group(t, tree, path)
	const slack = mi / 4 // per-CPU counters that are not flushed yet.
	compare(t, path, []compared{
		{"usage", g.Usage, plain(t, h, path, name(h, v1Usage, v2Current)), slack},
		{"limit", g.Limit, 64 * mi, 0},
		{"limit hits", g.Events.Max, 0, 0},
	})
	compareLive(t, h, g, slack)
	if anon := g.Stat.Anon.Or(0); anon < 20*mi || anon > 40*mi {
		t.Errorf("anon is %d", anon)
	}
	hierarchical := h.Version() == 2 || plain(t, h, path, v1Hierarchy.String()) == 1
	if !slices.Equal(g.PIDs, []int32{int32(cmd.Process.Pid)}) || g.Hierarchical != hierarchical {
		t.Errorf("pids %v, hierarchical %v, want %v", g.PIDs, g.Hierarchical, hierarchical)
	}
	if g.Events.OwnKills != oom.Of(0) || h.Version() == 1 && (g.KillDisabled != oom.Of(0) || g.UnderOOM != oom.Of(0)) {
		t.Errorf("kills %v, disabled %v, under oom %v", g.Events.OwnKills, g.KillDisabled, g.UnderOOM)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(h.Mount(), path), &st); err != nil || st.Ino != g.Inode {
		t.Errorf("inode is %d, want %d, %v", g.Inode, st.Ino, err)
	}
	one, err := h.ReadGroup(path)
	if d := diff(g, one); err != nil || d != "" && one.Usage == g.Usage {
		t.Errorf("ReadGroup: %v %s", err, d)
	}
}

// waitStill waits until the group's usage has stopped moving.
func waitStill(t *testing.T, h *Hierarchy, path string) {
	t.Helper()
	last := uint64(0)
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		now := plain(t, h, path, name(h, v1Usage, v2Current))
		if now == last {
			return
		}
		last = now
		<-time.After(20 * time.Millisecond)
	}
}

// An OOM kill raises the group's own kills by one, for both passes, and on v2
// wakes the watch.
func TestLiveKill(t *testing.T) {
	h := live(t)
	defer h.storm.closeWhere(func(*node, held) bool { return true }) // its descriptors are not for other tests to miss.
	parent := makeLive(t, h, "kill")
	enable(t, h, parent)
	path := parent + "/inner"
	if err := os.Mkdir(h.Mount()+path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeLive(t, h.Mount()+path) })
	limit(t, h, path, 16*mi)
	wake, _ := watch(t, h, WatchOptions{})
	if before := group(t, mustReadKills(t, h), path); before.Events.OwnKills != oom.Of(0) {
		t.Fatalf("kills before are %v", before.Events.OwnKills)
	}
	drain(wake)
	if _, alive := startHog(t, h, path, 64*mi); alive {
		t.Fatal("a process of 64 MiB lives in a group of 16 MiB")
	}
	if h.propagates() {
		mustWake(t, wake)
	}
	light := mustReadKills(t, h)
	full, _ := mustRead(t, h)
	for _, tree := range []oom.Tree{light, full} {
		g, up := group(t, tree, path).Events, group(t, tree, parent).Events
		if g.OwnKills != oom.Of(1) || up.OwnKills != oom.Of(0) {
			t.Errorf("kills are %v, of the parent %v", g.OwnKills, up.OwnKills)
		}
		if up.TreeKills.IsSet() != (h.scope == scopeTree) || up.TreeKills.Or(1) != 1 {
			t.Errorf("kills of the tree are %v", up.TreeKills)
		}
	}
	if hits := group(t, full, path).Events.Max; hits.Or(0) == 0 {
		t.Errorf("limit hits are %v", hits)
	}
}

// Groups made and removed all the time never show as zeros.
func TestLiveChurn(t *testing.T) {
	h := live(t)
	parent := makeLive(t, h, "churn")
	limit(t, h, parent, 64*mi)
	enable(t, h, parent)
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			dir := fmt.Sprintf("%s%s/g%d", h.Mount(), parent, i)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Error(err)
				return
			}
			limitErr := os.WriteFile(dir+"/"+name(h, v1Limit, v2Max), []byte("33554432"), 0)
			removeLive(t, dir)
			if limitErr != nil {
				t.Error(limitErr)
				return
			}
		}
	}()
	seen := 0
	for range 300 {
		tree, _ := mustRead(t, h)
		for _, g := range tree.Groups {
			if !strings.HasPrefix(g.Path, parent+"/") {
				continue
			}
			seen++
			if !g.Usage.IsSet() || !g.Limit.IsSet() || !g.Stat.Anon.IsSet() || !g.Events.OwnKills.IsSet() {
				t.Errorf("%s has usage %v, limit %v, anon %v, kills %v", g.Path, g.Usage, g.Limit, g.Stat.Anon, g.Events.OwnKills)
			}
		}
	}
	close(stop)
	<-done
	t.Logf("%d rows of short-lived groups", seen)
}
