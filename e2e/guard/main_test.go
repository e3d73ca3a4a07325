// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package guard_test lets the real oom_guard loose on groups of its own, and
// holds what it does against the kernel's counters.
//
// The environment tunes a run:
//
//	OOM_E2E_FULL      all cases, and the long times.
//	OOM_E2E_SEED      seed of the draws; printed, drawn by time if not given.
//	OOM_E2E_CASES     leaks for each policy and rate, instead of the test's own number.
//	OOM_E2E_EVIDENCE  directory to write the tables to.
//	OOM_E2E_LEAKS     file of the leaks so far, for a run in pieces.
//	OOM_E2E_GUEST     tests to run in the guest, instead of the test's own choice.
//	OOM_E2E_HANDOFF   set in a guest: what the host needs for what speed_test.go times.
//	OOM_E2E_TICK      likewise.
//	OOM_E2E_HOG       a built hog, likewise.
//	OOM_E2E_KINDS     kinds of leaks of TestMatrix, with commas, instead of all in a long run.
//	OOM_E2E_LOAD      processes that never wait, for the tests that can do with some.
package guard_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const mib = 1 << 20

// TestMain lets more tests wait at the same time than there are CPUs.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// load is how many processes should keep the CPUs busy.
func load(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("OOM_E2E_LOAD"))
	if err != nil && os.Getenv("OOM_E2E_LOAD") != "" {
		t.Fatal(err)
	}
	return n
}

func full() bool { return os.Getenv("OOM_E2E_FULL") != "" }

func hog(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("OOM_E2E_HOG"); path != "" {
		return path
	}
	return lab.Hog(t)
}

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) % 1e6
	if text := os.Getenv("OOM_E2E_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("seed %d: repeat with OOM_E2E_SEED=%d", seed, seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// base is the group that all groups of a test lie in. The guard watches
// nothing else: other tests run on this host.
func base(t *testing.T) string {
	t.Helper()
	lab.Root(t)
	path := basePath(t.Name())
	lab.NewGroup(t, path, lab.Unlimited)
	return path
}

func basePath(test string) string {
	return fmt.Sprintf("/oomguard-%d-%s", os.Getpid(), strings.ToLower(test))
}

// crowd lets a test share the time with others that wait most of theirs, but in
// a long run, whose tables are of machines that do nothing else, and in a guest,
// whose emulated CPUs have no time to share: leaks that have seconds from the
// threshold to the limit were missed there beside others.
func crowd(t *testing.T) {
	t.Helper()
	if !full() && !emulated() {
		t.Parallel()
	}
}

// quiet waits until the tests that keep the CPUs busy have removed their groups.
func quiet(t *testing.T) {
	t.Helper()
	h := lab.MemoryHierarchy(t)
	for _, test := range []string{"TestCacheIsNoReason", "TestKilledInTheMiddle", "TestSwitchAndNoop", "TestStanding", "TestShapes", "TestAttacks", "TestHugePages"} {
		lab.Eventually(t, 5*time.Minute, test+" is over", func() bool { return !lab.Exists(h.Mount + basePath(test)) })
	}
}

// guard is a running oom_guard.
type guard struct {
	*lab.Process
	url string
}

// startGuard runs the guard on the groups below base, with bounds that do not
// get in the way.
func startGuard(t *testing.T, binary, base string, args ...string) *guard {
	t.Helper()
	port := lab.FreePort(t)
	args = append([]string{
		"--include.container=" + regexp.QuoteMeta(base) + "/.*", "--exclude.pod=.+",
	}, args...)
	for flag, value := range map[string]string{"--kills-per-minute": "60000", "--kill-switch": filepath.Join(t.TempDir(), "off")} {
		if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, flag+"=") }) {
			args = append(args, flag+"="+value)
		}
	}
	return awaitGuard(t, binary, port, args)
}

// awaitGuard runs the guard and waits until it serves.
func awaitGuard(t *testing.T, binary string, port int, args []string) *guard {
	t.Helper()
	args = append(args, "--web.listen-address=127.0.0.1:"+strconv.Itoa(port))
	g := &guard{lab.Start(t, exec.Command(binary, args...)), fmt.Sprintf("http://127.0.0.1:%d", port)}
	lab.AwaitExporter(t, g.Process, port)
	return g
}

// await waits until the guard watches that many groups.
func (g *guard) await(t *testing.T, n int) {
	t.Helper()
	lab.Eventually(t, time.Minute, fmt.Sprintf("%d groups watched", n), func() bool {
		return len(lab.Scrape(t, g.url)["oom_guard_threshold_bytes"].GetMetric()) == n
	})
}

func (g *guard) outcome(t *testing.T, outcome string) float64 {
	t.Helper()
	return lab.Scrape(t, g.url).Sum("oom_guard_actions_total", "outcome", outcome)
}

// kernelKills is the kernel's own count for a group.
func kernelKills(t *testing.T, g *lab.Group) uint64 {
	t.Helper()
	kills, ok := g.Kills(t)
	if !ok {
		t.Skip("the kernel does not count kills in groups")
	}
	return kills
}

// peak is the most that a group has used, 0 where the kernel does not say.
func peak(t *testing.T, g *lab.Group) uint64 {
	t.Helper()
	file := "memory.peak"
	if g.Version == 1 {
		file = "memory.max_usage_in_bytes"
	}
	if _, err := os.Stat(g.File(file)); err != nil {
		return 0
	}
	return g.Uint(t, file)
}

// marginOf is the guard's default margin below a limit in bytes, on up to two CPUs.
func marginOf(limit int) int { return min(max(limit/50, mib), 50*mib) }

// start runs a hog in the group. Its memory is in small pages, whatever the kernel is set
// to, unless its first step says otherwise: a transparent huge page is more than most
// margins here, and where it ends differs from run to run. See TestHugePages.
func start(t *testing.T, hog string, g *lab.Group, steps ...string) *lab.Process {
	t.Helper()
	if len(steps) == 0 || !strings.HasPrefix(steps[0], "pages:") {
		steps = append([]string{"pages:small"}, steps...)
	}
	return lab.Start(t, exec.Command(hog, append([]string{"enter:" + g.File("cgroup.procs")}, steps...)...))
}

func killed(status syscall.WaitStatus) bool {
	return status.Signaled() && status.Signal() == syscall.SIGKILL
}

// running tells whether a process of the test has not ended.
func running(p *lab.Process) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// evidence writes a table for the record, if asked for.
func evidence(t *testing.T, name, text string) {
	t.Helper()
	t.Log("\n" + text)
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// machine says where a table comes from.
func machine() string {
	read := func(path string) string {
		b, _ := os.ReadFile(path)
		return strings.TrimSpace(string(b))
	}
	load, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	return fmt.Sprintf("Linux %s, %d CPUs, load average %s at the end of the run", read("/proc/sys/kernel/osrelease"), cpus(), load)
}

func cpus() int {
	b, _ := os.ReadFile("/proc/stat")
	return strings.Count(string(b), "\ncpu")
}
