// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package containers_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// myth is a sentence that is often read, and what the kernel did.
type myth struct{ sentence, tried, seen string }

// TestMyths tries what is said of the OOM killer, and writes what came of it.
func TestMyths(t *testing.T) {
	lab.Root(t)
	myths := []myth{}
	for _, try := range []struct {
		name string
		run  func(t *testing.T) myth
	}{
		{"asks", asksNobody},
		{"nice", looksAtSizeOnly},
		{"adj", adjCountsInALimit},
		{"999", spares999},
		{"working set", ignoresWorkingSet},
		{"above", neverAboveTheLimit},
		{"range", hasItsRange},
		{"lower", mayNotBeLowered},
		{"panic", killsWithoutPanic},
	} {
		t.Run(try.name, func(t *testing.T) { myths = append(myths, try.run(t)) })
	}
	version, rows := "", []string{}
	t.Run("formulas", func(t *testing.T) { version, rows = compareFormulas(t) })
	writeMyths(t, myths, version, rows)
}

func mythGroup(t *testing.T, name string) *lab.Group {
	t.Helper()
	return lab.NewGroup(t, "myths/"+name, limit)
}

// holding starts a hog that has done its first steps and stopped itself; the
// others follow when it may go on.
func holding(t *testing.T, g *lab.Group, steps ...string) *lab.Process {
	t.Helper()
	hog := lab.StartHog(t, g, steps...)
	hog.WaitStopped(t)
	return hog
}

// tries is how often a kill is provoked until it says something.
const tries = 5

// diesBefore lets a process grow until it is grown, and tells whether the other,
// the victim, is killed for it and not it. The kernel may kill both: it takes the
// next one if it comes to look again before the memory of the first is free. That
// says nothing about which it prefers, so then it is done again.
func diesBefore(t *testing.T, start func(g *lab.Group) (victim, grows *lab.Process), name string) bool {
	t.Helper()
	for try := range tries {
		victim, grows := start(mythGroup(t, fmt.Sprintf("%s%d", name, try)))
		grows.Signal(t, syscall.SIGCONT)
		done := func() bool { return grows.Ended() || strings.Contains(grows.Output(), "grown\n") }
		lab.Eventually(t, time.Minute, "it has grown, or was killed", done)
		if !grows.Ended() {
			return victim.Wait(t, time.Minute).Signal() == syscall.SIGKILL
		}
		both := false
		for range 10 { // a kill takes its time to be seen.
			if both = both || victim.Ended(); !both {
				<-time.After(10 * time.Millisecond)
			}
		}
		if !both {
			return false
		}
		t.Logf("the kernel killed both; once more")
	}
	t.Fatalf("the kernel killed both %d times", tries)
	return false
}

func verdict(t *testing.T, ok bool, text string) string {
	t.Helper()
	if !ok {
		t.Errorf("not so: %s", text)
	}
	return text
}

func asksNobody(t *testing.T) myth {
	g := mythGroup(t, "asks")
	script := `trap 'echo asked' TERM INT HUP QUIT; echo $$ > ` + g.File("cgroup.procs") + `; x=$(head -c 256M /dev/zero | tr '\0' x); echo survived`
	p := lab.Start(t, exec.Command("sh", "-c", script))
	status := p.Wait(t, time.Minute)
	killed := status.Signal() == syscall.SIGKILL
	return myth{
		"The killer asks first: SIGTERM, then SIGKILL", "a shell with handlers for SIGTERM, SIGINT, SIGHUP and SIGQUIT outgrows its limit",
		verdict(t, killed && p.Output() == "", "it died of SIGKILL; no handler ran"),
	}
}

func looksAtSizeOnly(t *testing.T) myth {
	var used time.Duration
	died := diesBefore(t, func(g *lab.Group) (victim, grows *lab.Process) {
		burn := fmt.Sprintf("renice -n 19 $$ >/dev/null; i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; exec %s enter:%s comm:old anon:12M stop rate:50M anon:20M say:grown", lab.Hog(t), g.File("cgroup.procs"))
		old := lab.Start(t, exec.Command("sh", "-c", burn))
		old.WaitStopped(t)
		used = old.CPUTime(t)
		young := holding(t, g, "comm:young", "anon:36M", "stop")
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, young.PID, -20); err != nil {
			t.Fatal(err)
		}
		return young, old
	}, "nice")
	return myth{
		"Priority, CPU time and run time count", fmt.Sprintf("an old process (nice 19, %s of CPU time, 12 MiB) grows beside a young one (nice -20, none, 36 MiB)", used.Round(100*time.Millisecond)),
		verdict(t, died, "the young one was killed: it was bigger"),
	}
}

func adjCountsInALimit(t *testing.T) myth {
	died := diesBefore(t, func(g *lab.Group) (victim, grows *lab.Process) {
		small := holding(t, g, "adj:900", "anon:20M", "stop")
		return small, holding(t, g, "anon:30M", "stop", "rate:50M", "anon:20M", "say:grown")
	}, "adj")
	return myth{
		"oom_score_adj has no part in the kill of a limit", "20 MiB at 900 beside 30 MiB at 0, which grows to 50 of 64",
		verdict(t, died, "the smaller one was killed"),
	}
}

// spares999 needs CAP_SYS_RESOURCE for values below 0. Without it, the same
// difference is tried higher up.
func spares999(t *testing.T) myth {
	g := mythGroup(t, "999")
	low, high := -999, 0
	probe := lab.StartHog(t, nil, "adj:-999", "stop")
	if probe.WaitStoppedOrEnded(t); probe.Ended() {
		low, high = 0, 999
	}
	big := holding(t, g, fmt.Sprintf("adj:%d", low), "anon:44M", "stop")
	little := holding(t, g, fmt.Sprintf("adj:%d", high), "anon:4M", "stop", "anon:40M")
	little.Signal(t, syscall.SIGCONT)
	status := little.Wait(t, time.Minute)
	return myth{
		"At -999 a process with much memory is still likely to be killed", fmt.Sprintf("44 MiB at %d beside 4 MiB at %d, which grows: 999 apart", low, high),
		verdict(t, status.Signal() == syscall.SIGKILL && !big.Ended(), fmt.Sprintf("the one at %d was killed, though it was the smaller one", high)),
	}
}

func ignoresWorkingSet(t *testing.T) myth {
	g := mythGroup(t, "workingset")
	file := filepath.Join(t.TempDir(), "file")
	reads := []string{"file:50M:" + file}
	for range 4 { // so that the pages become active.
		reads = append(reads, "read:"+file)
	}
	hog := lab.StartHog(t, g, append(reads, "say:read", "anon:1M")...)
	hog.WaitLine(t, "read")
	m := g.ReadMemory(t)
	kills, _ := g.Kills(t)
	share := 100 * float64(m.WorkingSet()) / float64(m.Limit)
	margin := float64(m.Limit) - float64(m.WorkingSet())
	t.Logf("working set %.1f MiB, inactive %.1f, active %.1f, %d kills", float64(m.WorkingSet())/mib, float64(m.InactiveFile)/mib, float64(m.ActiveFile)/mib, kills)
	grow := lab.StartHog(t, g, "adj:1000", "anon:20M", "say:grown")
	grow.WaitLine(t, "grown")
	return myth{
		"The killer watches container_memory_working_set_bytes",
		fmt.Sprintf("a file is read several times until the working set is %.0f %% of the limit (%.1f MiB below it); then a process takes 20 MiB", share, margin/mib),
		verdict(t, share > 70 && margin < 20*mib && kills == 0 && !hog.Ended(), "nobody was killed: the page cache went"),
	}
}

func neverAboveTheLimit(t *testing.T) myth {
	g := mythGroup(t, "above")
	if !lab.StartHog(t, g, "anon:256M").Wait(t, time.Minute).Signaled() {
		t.Error("nobody was killed")
	}
	name := "memory.max_usage_in_bytes"
	if g.Version == 2 {
		name = "memory.peak"
	}
	peak := g.Uint(t, name)
	return myth{
		"On a full node those that use more than their limit die first", "a process asks for 256 MiB in a limit of 64",
		verdict(t, peak <= limit, fmt.Sprintf("the most that the group ever had is %.1f MiB: nobody has more than the limit", float64(peak)/mib)),
	}
}

func hasItsRange(t *testing.T) myth {
	hog := holding(t, mythGroup(t, "range"), "stop")
	file := func(name string) string { return fmt.Sprintf("/proc/%d/%s", hog.PID, name) }
	write := func(name, text string) error { return os.WriteFile(file(name), []byte(text), 0) }
	must(t, write("oom_adj", "8"))
	adj, err := os.ReadFile(file("oom_score_adj"))
	must(t, err)
	must(t, write("oom_score_adj", "1000"))
	refused := write("oom_score_adj", "1001") != nil
	return myth{
		"oom_adj goes from -17 to 15, and so does oom_score_adj", "8 is written to oom_adj; then 1000 and 1001 to oom_score_adj",
		verdict(t, refused && strings.TrimSpace(string(adj)) == "470", "8 in the old file is 470 in the new one; 1000 is taken, 1001 refused"),
	}
}

func mayNotBeLowered(t *testing.T) myth {
	const script = `for v in 500 100 -1; do echo $v > /proc/$$/oom_score_adj; cat /proc/$$/oom_score_adj; done 2>/dev/null`
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	p := lab.Start(t, cmd)
	p.Wait(t, time.Minute)
	return myth{
		"A program may lower its own oom_score_adj", "a process of nobody, started at 0, writes 500, 100 and -1",
		verdict(t, p.Output() == "500\n100\n100\n", "500 and 100 are taken, -1 is refused: not below what was last given by somebody with CAP_SYS_RESOURCE"),
	}
}

func killsWithoutPanic(t *testing.T) myth {
	b, err := os.ReadFile("/proc/sys/vm/panic_on_oom")
	must(t, err)
	before := lab.NodeKills(t)
	lab.StartHog(t, mythGroup(t, "panic"), "anon:256M").Wait(t, time.Minute)
	after := lab.NodeKills(t)
	return myth{
		"vm.panic_on_oom=0 switches the killer off", fmt.Sprintf("with vm.panic_on_oom=%s, its default, a process outgrows its limit", strings.TrimSpace(string(b))),
		verdict(t, strings.TrimSpace(string(b)) == "0" && after > before, "it was killed: 1 would be a panic instead of a kill"),
	}
}

// mix is what a container of the table holds.
type mix struct {
	name  string
	steps func(file string) []string
}

func mixes() []mix {
	return []mix{
		{"40 MiB anonymous", func(string) []string { return []string{"anon:40M"} }},
		{"10 MiB anonymous, a file of 30 MiB written once", func(f string) []string { return []string{"anon:10M", "file:30M:" + f} }},
		{"10 MiB anonymous, a file of 40 MiB read often", func(f string) []string {
			return []string{"file:40M:" + f, "read:" + f, "read:" + f, "read:" + f, "anon:10M"}
		}},
		{"10 MiB anonymous, 30 MiB shared (tmpfs)", func(string) []string { return []string{"anon:10M", "shmem:30M"} }},
	}
}

// compareFormulas fills containers of dockerd and takes, in the same second,
// what `docker stats` prints, what others compute from the same files, and what
// the exporter says; then a process takes memory until the kernel kills.
func compareFormulas(t *testing.T) (version string, rows []string) {
	lab.OwnGroup(t, "docker")
	d := startDocker(t)
	e := lab.StartExporter(t, "--path.rootfs="+d.root)
	engine := d.engine(t)
	for i, m := range mixes() {
		name := fmt.Sprintf("e2e-mix-%d", i)
		steps := append(m.steps("/file"), "say:full")
		engine.start(t, name, steps...)
		lab.Eventually(t, late, "the container is full", func() bool { return strings.Contains(d.must(t, "logs", name), "full") })
		g := &lab.Group{Hierarchy: lab.MemoryHierarchy(t), Path: engine.cgroup(t, name)}
		lab.Eventually(t, late, "the container has its name", func() bool {
			return e.Scrape(t).Has("oom_container_memory_usage_bytes", plainName(name)...)
		})
		rows = append(rows, formulaRow(t, d, e, g, m.name, name))
		engine.remove(t, name)
	}
	return engine.version, rows
}

func formulaRow(t *testing.T, d *docker, e *lab.Exporter, g *lab.Group, what, name string) string {
	t.Helper()
	start := time.Now()
	stat := g.Keys(t, "memory.stat")
	memory := g.ReadMemory(t)
	metrics := e.Scrape(t)
	took := time.Since(start)
	told := strings.Fields(d.must(t, "stats", "--no-stream", "--format", "{{.MemUsage}}", name))[0]
	if took > time.Second {
		t.Errorf("the numbers of %s are %v apart", name, took)
	}
	value := func(family string) float64 { return metrics.Value(t, family, plainName(name)...) }
	margin := value("oom_container_kill_margin_bytes")
	if diff := value("oom_container_memory_working_set_bytes") - float64(memory.WorkingSet()); diff > mib || diff < -mib {
		t.Errorf("the working set of %s differs from the files' by %.0f bytes", name, diff)
	}
	left := allocatable(t, g)
	if diff := left - margin; diff > 4*mib || diff < -4*mib {
		t.Errorf("%s: %.1f MiB could be allocated, the kill margin was %.1f", what, left/mib, margin/mib)
	}
	cells := []string{what, told}
	for _, bytes := range []float64{
		float64(memory.Usage), float64(memory.Usage) - dockerCache(g, stat), float64(memory.Usage) - dockerInactive(g, stat),
		float64(memory.Limit) - float64(memory.WorkingSet()), value("oom_container_memory_unreclaimable_bytes"), margin, left,
	} {
		cells = append(cells, strconv.FormatFloat(bytes/mib, 'f', 1, 64))
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// dockerCache is what docker stats took off until 19.03; v2 has no such key.
func dockerCache(g *lab.Group, stat map[string]uint64) float64 {
	if g.Version == 2 {
		return 0
	}
	return float64(stat["cache"])
}

// dockerInactive is what it takes off since 20.10, and kubelet always did.
func dockerInactive(g *lab.Group, stat map[string]uint64) float64 {
	if g.Version == 2 {
		return float64(stat["inactive_file"])
	}
	return float64(stat["total_inactive_file"])
}

// allocatable grows a process in the group, in steps, until the kernel kills it.
func allocatable(t *testing.T, g *lab.Group) float64 {
	t.Helper()
	const piece = 256 << 10
	steps := []string{"adj:1000"}
	for i := range limit / piece {
		steps = append(steps, fmt.Sprintf("anon:%d", piece), fmt.Sprintf("say:%d", i+1))
	}
	hog := lab.StartHog(t, g, steps...)
	if !hog.Wait(t, time.Minute).Signaled() {
		t.Errorf("nobody was killed in %s", g.Path)
	}
	lines := strings.Fields(hog.Output())
	if len(lines) == 0 {
		return 0
	}
	n, err := strconv.Atoi(lines[len(lines)-1])
	must(t, err)
	return float64(n) * piece
}

const mythsHead = `# What is said of the OOM killer, and what it does

docs/myths.md has the sentences with the kernel's source. Each was tried in a cgroup with a limit of 64 MiB.

Written by ` + "`go test -tags e2e -run TestMyths ./e2e/containers`" + ` with OOM_E2E_EVIDENCE set.

`

const formulasHead = `
## One container, one second, many numbers

Containers of dockerd with a limit of 64 MiB. All numbers are of the same second, in MiB; *docker stats* is what that command of %s prints right after.
*usage* is the kernel's; *- cache* is what docker stats of 19.03 and before printed on cgroup v1, *- inactive file* what it prints since 20.10 (v1
total_inactive_file, v2 inactive_file), which is also ` + "`kubectl top`" + ` and container_memory_working_set_bytes. *limit - working set* is what is left by that.
*unreclaimable* and *kill margin* are this exporter's. *allocated* is what a process then really got before the kernel killed it, in steps of 0.25 MiB.

| holds | docker stats | usage | - cache | - inactive file | limit - working set | unreclaimable | kill margin | allocated |
|---|---|---|---|---|---|---|---|---|
`

func writeMyths(t *testing.T, myths []myth, version string, rows []string) {
	t.Helper()
	var b strings.Builder
	b.WriteString(mythsHead)
	fmt.Fprintf(&b, "Linux %s, cgroup v%d, %s.\n\n", release(t), lab.MemoryHierarchy(t).Version, time.Now().UTC().Format(time.DateOnly))
	b.WriteString("| it is said | tried | seen |\n|---|---|---|\n")
	for _, m := range myths {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.sentence, m.tried, m.seen)
	}
	fmt.Fprintf(&b, formulasHead, version)
	b.WriteString(strings.Join(rows, "\n") + "\n")
	t.Log(b.String())
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		must(t, os.WriteFile(filepath.Join(dir, "myths.md"), []byte(b.String()), 0o644))
	}
}
