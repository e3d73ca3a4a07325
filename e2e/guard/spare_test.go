// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// diskDir is a directory whose files are page cache.
func diskDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv("OOM_E2E_DISK"), "oomguard-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestCacheIsNoReason has one group that fills its limit with page cache over
// and over, and one that maps a hot file larger than its limit, both always at
// their limits: nobody is killed.
func TestCacheIsNoReason(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	dir := diskDir(t)
	last := 20 * time.Second
	if full() {
		last = 10 * time.Minute
	}
	crowd(t)
	writer := lab.NewGroup(t, path.Join(root, "writer"), 64*mib)
	mapper := lab.NewGroup(t, path.Join(root, "mapper"), 64*mib)
	g := startGuard(t, binary, root, "--policy=container", "--cool-down=1s", "--reclaim-interval=10s")
	g.await(t, 2)
	hot := filepath.Join(dir, "hot")
	maker := lab.NewGroup(t, path.Join(root, "maker"), lab.Unlimited)
	if status := start(t, hog, maker, "file:96M:"+hot, "exit:0").Wait(t, time.Minute); status.ExitStatus() != 0 {
		t.Fatal("the file could not be written")
	}
	runs, full := 0, map[string]int{}
	for end := time.Now().Add(last); time.Now().Before(end); runs++ {
		w := start(t, hog, writer, "file:96M:"+filepath.Join(dir, "cache"), "exit:0")
		m := start(t, hog, mapper, "map:96M:"+hot, "map:96M:"+hot, "exit:0")
		for what, p := range map[string]*lab.Process{"writer": w, "mapper": m} {
			if status := p.Wait(t, 2*time.Minute); status.ExitStatus() != 0 {
				t.Fatalf("run %d: the %s ended with %v and %q:\n%s", runs, what, status, p.Output(), g.Output())
			}
		}
		for what, group := range map[string]*lab.Group{"writer": writer, "mapper": mapper} {
			if peak(t, group) > 62*mib {
				full[what]++
			}
		}
	}
	if full["writer"] == 0 {
		t.Error("the writer was never near its limit: the test shows nothing")
	}
	m := lab.Scrape(t, g.url)
	var b strings.Builder
	fmt.Fprintf(&b, "# oom_guard and page cache, cgroup v%d\n\n%s. Policy container, %v: files of 96 MiB under limits of 64 MiB, one written over and over,\none mapped and read over and over.\n\n", writer.Version, machine(), last)
	fmt.Fprintf(&b, "| runs | crossings | looks that found it reclaimable | fell below by reclaim | reclaims | reclaimed bytes | kills |\n|---|---|---|---|---|---|---|\n| %d | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f |\n",
		runs, m.Value(t, "oom_guard_crossings_total"), m.Sum("oom_guard_actions_total", "outcome", "reclaimable"), m.Sum("oom_guard_actions_total", "outcome", "below"),
		m.Value(t, "oom_guard_reclaims_total"), m.Value(t, "oom_guard_reclaimed_bytes_total"), m.Sum("oom_guard_actions_total", "outcome", "killed"))
	evidence(t, fmt.Sprintf("guard-cache-v%d.md", writer.Version), b.String())
	if kills := m.Sum("oom_guard_actions_total", "outcome", "killed"); kills > 0 {
		t.Errorf("%v kills:\n%s", kills, g.Output())
	}
}

// TestManyGroups watches 1,000 groups, of which 50 cross at once: the bound on
// kills holds, and only the processes of those groups die. Before that it
// measures what the guard costs at rest.
func TestManyGroups(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	const watched, crossing, bound = 1000, 50, 30
	speed := measureRest(t)
	groups := make([]*lab.Group, watched)
	for i := range groups {
		groups[i] = lab.NewGroup(t, path.Join(root, "kube", strconv.Itoa(i)), 32*mib)
	}
	g := startGuard(t, binary, "", "--policy=process", "--kills-per-minute="+strconv.Itoa(bound), "--path.sysfs="+view(t, root, 0))
	g.await(t, watched)
	begun := time.Now()
	// Another gets no notices, whatever the version, and has to poll.
	polling := startGuard(t, binary, "", "--policy=noop", "--path.sysfs="+view(t, root, unix.MS_RDONLY))
	polling.await(t, watched)
	var others, leaks []*lab.Process
	for i := range 100 { // neighbours at half of their limit.
		others = append(others, start(t, hog, groups[crossing+i], "anon:16M", "say:up"))
	}
	for _, p := range others {
		p.WaitLine(t, "up")
	}
	rest := atRest(t, speed, g, polling)
	fds := g.files(t)
	polling.Signal(t, syscall.SIGTERM)
	polling.Wait(t, 10*time.Second)
	crowd(t)
	lab.Eventually(t, 2*time.Minute, "the first minute is over", func() bool { return time.Since(begun) > 61*time.Second })
	for i := range crossing {
		leaks = append(leaks, start(t, hog, groups[i], "anon:24M", "say:up", "sleep:500", "rate:4M", "anon:16M"))
	}
	for _, p := range leaks {
		p.WaitLine(t, "up")
	}
	lab.Eventually(t, time.Minute, "all leaks are over", func() bool {
		return count(leaks, func(p *lab.Process) bool { return !running(p) }) == crossing
	})
	wrong := 0
	for i, p := range others {
		if !running(p) {
			wrong++
			t.Errorf("the process of group %d was killed, which is at half of its limit", crossing+i)
		}
	}
	m := lab.Scrape(t, g.url)
	kernel := uint64(0)
	for _, group := range groups {
		kernel += kernelKills(t, group)
	}
	kills, limited := g.outcome(t, "killed"), g.outcome(t, "rate_limited")
	evidence(t, fmt.Sprintf("guard-many-v%d.md", groups[0].Version), fmt.Sprintf(`# oom_guard with 1,000 groups, cgroup v%d

%s.

| watched | CPU at rest, %% of one | the same by polling alone | open files | goroutines | crossings at once | bound on kills | kills | looks that the bound stopped | wrong kills | kernel's kills |
|---|---|---|---|---|---|---|---|---|---|---|
| %d | %.3f | %.3f | %d | %.0f | %d | %d a minute | %.0f | %.0f | %d | %d |
%s`, groups[0].Version, machine(), watched, 100*rest[0], 100*rest[1], fds, m.Value(t, "go_goroutines"), crossing, bound, kills, limited, wrong, kernel, speed.slower()))
	if kills != bound || kernel < crossing-bound {
		t.Errorf("%v kills by the guard, %d by the kernel; want the bound of %d, and the rest by the kernel", kills, kernel, bound)
	}
	if limited == 0 {
		t.Error("the bound stopped nothing: the test shows nothing")
	}
	if fds > 4096 || m.Value(t, "go_goroutines") > 100 {
		t.Errorf("%d open files, %v goroutines", fds, m.Value(t, "go_goroutines"))
	}
	for i, cpu := range rest {
		if cpu > restBar*speed.factor() {
			t.Errorf("guard %d takes %.3f %% of a CPU at rest, want less than %.1f %%, %.1f times as much in a guest", i, 100*cpu, 100*restBar, speed.factor())
		}
	}
}

// view makes a sysfs whose memory hierarchy is the groups below root: what else
// comes and goes on this host is no rest.
func view(t *testing.T, root string, flags uintptr) string {
	t.Helper()
	h := lab.MemoryHierarchy(t)
	sysfs := t.TempDir()
	dir := filepath.Join(sysfs, "fs/cgroup")
	if h.Version == 1 {
		dir = filepath.Join(dir, "memory")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(h.Mount+root, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
	return sysfs
}

// restBar is the most of a CPU that a guard may take at rest.
const restBar = 0.001

// atRest measures the guards' shares of a CPU while nothing happens. Short
// spans are tried up to three times, until all hold the bar: what else the
// machine does only adds to them.
func atRest(t *testing.T, speed speed, guards ...*guard) []float64 {
	t.Helper()
	<-time.After(20 * time.Second) // what began with the groups is over, and two half-lives of their growth.
	span := 20 * time.Second
	if full() {
		span = 2 * time.Minute
	}
	shares := make([]float64, len(guards))
	for try := range 3 {
		before := make([]time.Duration, len(guards))
		for i, g := range guards {
			before[i] = g.cpu(t)
		}
		<-time.After(span)
		for i, g := range guards {
			shares[i] = (g.cpu(t) - before[i]).Seconds() / span.Seconds()
		}
		t.Logf("at rest, span %d: %.5f of a CPU", try, shares)
		if full() || slices.Max(shares) <= restBar*speed.factor() {
			break
		}
	}
	return shares
}

// files counts the guard's open files.
func (g *guard) files(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.PID))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// cpu is the time that the guard's threads have run, to the nanosecond; stat
// has it in ticks of 10 ms only.
func (g *guard) cpu(t *testing.T) time.Duration {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", g.PID))
	if err != nil || len(files) == 0 {
		t.Skip("needs schedstat")
	}
	var sum uint64
	for _, f := range files {
		b, _ := os.ReadFile(f)
		n, _ := strconv.ParseUint(strings.Fields(string(b) + " 0")[0], 10, 64)
		sum += n
	}
	return time.Duration(sum)
}

func count[T any](all []T, of func(T) bool) int {
	n := 0
	for _, v := range all {
		if of(v) {
			n++
		}
	}
	return n
}

// TestSwitchAndNoop has a leak run into its limit with the kill switch thrown,
// and one with the policy noop: the kernel does it.
func TestSwitchAndNoop(t *testing.T) {
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	crowd(t)
	rate := "rate:10M" // it is not about speed.
	if emulated() {
		rate = "rate:2M"
	}
	for i, c := range []struct {
		args    []string
		outcome string
	}{
		{[]string{"--policy=container", "--kill-switch=/proc/self/stat"}, "switched_off"},
		{[]string{"--policy=noop"}, "would_kill"},
		{[]string{"--policy=process", "--protect.comm=hog"}, "protected"},
		{[]string{"--policy=process", "--kills-per-minute=0"}, "rate_limited"},
	} {
		group := lab.NewGroup(t, path.Join(root, strconv.Itoa(i)), 64*mib)
		g := startGuard(t, binary, root, c.args...)
		g.await(t, i+1)
		p := start(t, hog, group, "anon:60M", rate, "anon:128M")
		if status := p.Wait(t, time.Minute); !killed(status) || kernelKills(t, group) != 1 {
			t.Errorf("%v: ended with %v, the kernel killed %d", c.args, status, kernelKills(t, group))
		}
		if g.outcome(t, c.outcome) == 0 || g.outcome(t, "killed") != 0 {
			t.Errorf("%v: %v %s, %v killed:\n%s", c.args, g.outcome(t, c.outcome), c.outcome, g.outcome(t, "killed"), g.Output())
		}
		g.Signal(t, syscall.SIGTERM)
		g.Wait(t, 10*time.Second)
	}
}
