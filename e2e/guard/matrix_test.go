// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guard_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// The matrix has leaks of every kind, rate and limit, on an idle and on a busy
// machine. A leak must be met where it takes more than rowTime from the
// threshold to the limit, or in a guest as much longer as its emulated CPUs need:
// rowShare of those of each kind, allShare of all. A kind has 9 to 17 of them,
// too few to tell a share of 0.95 by, so they run matrixRounds times.
const (
	rowTime      = 50 * time.Millisecond
	matrixRounds = 3
	rowShare     = 0.95
	allShare     = 0.99
	busyLoad     = 10
)

var (
	matrixRates  = []int{1, 3, 10, 25, 50, 120, 200, 400} // MiB a second.
	matrixLimits = []int{64, 256, 1024}                   // MiB.
	matrixKinds  = []string{"anon", "tmpfs", "mlock", "pipes", "fork pool", "cache and leak", "steps", "1000 processes"}
)

// forks is how many children of a fork pool leak, one after the other.
const forks = 3

// cell is one leak of the matrix.
type cell struct {
	leak
	kind string
	load int
	dir  string // for files.
	in   *lab.Group
}

// want is how many kills the leak takes.
func (c *cell) want() int {
	if c.kind == "fork pool" {
		return forks
	}
	return 1
}

// file is what fills the page cache.
func (c *cell) file() string { return filepath.Join(c.dir, path.Base(c.in.Path)) }

// fits tells whether the kind can have such a limit without being about
// something else, such as the number of descriptors or the speed of the disk.
func (c *cell) fits() bool {
	switch c.kind {
	case "pipes", "cache and leak":
		return c.Limit <= 256
	case "1000 processes":
		return c.Limit > 64 // they alone fill less.
	}
	return true
}

// steps are what the hog does: it fills the group up to half a second before
// the threshold, and then leaks.
func (c *cell) steps(filled int) []string {
	rate := []string{"sleep:200", fmt.Sprintf("rate:%dM", c.Rate)}
	anon, more := fmt.Sprintf("anon:%dK", filled>>10), fmt.Sprintf("anon:%dM", 2*c.Limit)
	then := func(first string, rest ...string) []string { return append(append([]string{first}, rate...), rest...) }
	switch c.kind {
	case "tmpfs":
		return then(fmt.Sprintf("shmem:%dK", filled>>10), fmt.Sprintf("shmem:%dM", 2*c.Limit))
	case "mlock":
		slice := fmt.Sprintf("mlock:%dK", c.Rate<<10/20)
		return then(fmt.Sprintf("mlock:%dK", filled>>10), strings.Fields(strings.Repeat(slice+" ", 40+20*c.margin()/(c.Rate*mib)))...)
	case "pipes":
		// A pipe takes up to a twentieth more than what is in it.
		return then(fmt.Sprintf("pipes:%dK", (filled-filled/20)>>10), fmt.Sprintf("pipes:%dM", c.Limit))
	case "fork pool":
		return append([]string{fmt.Sprintf("fork:%d", forks)}, then(anon, more)...)
	case "cache and leak":
		return append([]string{fmt.Sprintf("file:%dM:%s", 3*c.Limit/2, c.file())}, then(anon, more)...)
	case "steps": // 20 a second.
		step := fmt.Sprintf("anon:%dK sleep:50 ", c.Rate<<10/20)
		return append([]string{anon, "sleep:200"}, strings.Fields(strings.Repeat(step, 40+20*c.margin()/(c.Rate*mib)))...)
	}
	return then(anon, more)
}

// run starts the leak and waits until somebody has killed as often as it takes.
func (c *cell) run(t *testing.T, g *guard, hog string) {
	group := c.in
	lab.Eventually(t, time.Minute, "the group is watched", func() bool {
		return lab.Scrape(t, g.url).Has("oom_guard_threshold_bytes", "container", group.Path)
	})
	threshold := c.Limit*mib - c.margin()
	filled := max(mib, threshold-c.Rate*mib/2-mib-int(usage(t, group)))
	w := watchGroup(t, group, c.Limit*mib)
	p := start(t, hog, group, c.steps(filled)...)
	lab.Eventually(t, 2*time.Minute, "the leak is over", func() bool {
		return w.count(g.Output())+int(kernelKills(t, group)) >= c.want()
	})
	w.end()
	c.Kernel = kernelKills(t, group)
	kills := w.check(t, g.Output())
	c.Acted = c.Kernel == 0 && kills >= c.want()
	if !c.Acted {
		t.Logf("%s, %d MiB/s under %d MiB: %d kills by the guard, %d by the kernel, budget %v\n%s", c.kind, c.Rate, c.Limit, kills, c.Kernel, c.budget(),
			linesWith(g.Output(), " cgroup="+group.Path+" "))
	}
	p.Signal(t, 9)
	_ = os.Remove(c.file()) // few kinds have one.
}

// linesWith is what a log says of something.
func linesWith(log, of string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, of) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// processes is how many there are in the groups that have many.
const processes = 1000

// fill has a group hold many processes, which end with its removal. They must not
// keep the shell's output open: whoever waits for its end would wait for theirs.
func (c *cell) fill(t *testing.T) {
	t.Helper()
	script := fmt.Sprintf("echo 0 > %s; for i in $(seq %d); do sleep 600 >/dev/null 2>&1 & done; echo up; wait", c.in.File("cgroup.procs"), processes)
	lab.Start(t, exec.Command("sh", "-c", script)).WaitLine(t, "up")
}

// settle waits until a group has stopped growing: the last of its processes may
// still be on their way into their program.
func (c *cell) settle(t *testing.T) {
	t.Helper()
	before := uint64(0)
	lab.Eventually(t, time.Minute, c.in.Path+" has stopped growing", func() bool {
		was := before
		before = usage(t, c.in)
		<-time.After(100 * time.Millisecond)
		return before == was
	})
}

// usage is what a group uses now.
func usage(t *testing.T, group *lab.Group) uint64 {
	t.Helper()
	return group.Uint(t, map[int]string{1: "memory.usage_in_bytes", 2: "memory.current"}[group.Version])
}

// keepBusy has processes that never wait until the test ends.
func keepBusy(t *testing.T, n int) {
	t.Helper()
	for range n {
		lab.Start(t, exec.Command("sh", "-c", "while :; do :; done"))
	}
}

// TestMatrix runs the matrix, in a long run or where OOM_E2E_KINDS names some of
// its kinds.
func TestMatrix(t *testing.T) {
	kinds := matrixKinds
	if own := os.Getenv("OOM_E2E_KINDS"); own != "" {
		kinds = strings.Split(own, ",")
	} else if !full() {
		kinds = nil // TestLeaks and TestShapes have some of each.
	}
	root := base(t)
	binary, hog := lab.Guard(t), hog(t)
	dir := diskDir(t)
	g := startGuard(t, binary, root, "--policy=process", "--cool-down=1s")
	var all []*cell
	for _, load := range []int{0, busyLoad} {
		for _, kind := range kinds {
			for round := range matrixRounds {
				t.Run(fmt.Sprintf("%s at load %d, round %d", kind, load, round), func(t *testing.T) {
					cells := cellsOf(t, root, dir, kind, load, round)
					prepare(t, cells)
					keepBusy(t, load)
					runAll(t, cells, g, hog)
					all = append(all, cells...)
				})
			}
		}
	}
	if len(all) == 0 {
		return
	}
	evidence(t, fmt.Sprintf("guard-matrix-v%d.md", lab.MemoryHierarchy(t).Version), matrixTable(t, all))
}

// prepare makes what is there before the leaks.
func prepare(t *testing.T, cells []*cell) {
	t.Helper()
	if cells[0].kind != "1000 processes" {
		return
	}
	for _, c := range cells {
		c.fill(t)
	}
	for _, c := range cells {
		c.settle(t)
	}
}

func runAll(t *testing.T, cells []*cell, g *guard, hog string) {
	t.Helper()
	t.Run("leaks", func(t *testing.T) {
		for _, c := range cells {
			t.Run(fmt.Sprintf("%d MiB a second below %d MiB", c.Rate, c.Limit), func(t *testing.T) {
				t.Parallel()
				c.run(t, g, hog)
			})
		}
	})
}

// parallel is how many leaks run at a time.
func parallel() int {
	n, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String())
	if err != nil {
		return 0
	}
	return n
}

// cellsOf makes the groups of one kind, all at once: the guard finds them in one
// pass.
func cellsOf(t *testing.T, root, dir, kind string, load, round int) []*cell {
	t.Helper()
	var cells []*cell
	for _, rate := range matrixRates {
		for _, limit := range matrixLimits {
			c := &cell{leak: leak{Policy: "process", Rate: rate, Limit: limit}, kind: kind, load: load, dir: dir}
			if !c.fits() {
				continue
			}
			name := fmt.Sprintf("%s-%d-%d-%d-%d", strings.ReplaceAll(kind, " ", "-"), load, round, rate, limit)
			c.in = lab.NewGroup(t, path.Join(root, name), int64(limit)*mib)
			cells = append(cells, c)
		}
	}
	return cells
}

// matrixTable is the matrix for the record; a row that does not hold its bar
// fails the test.
func matrixTable(t *testing.T, all []*cell) string {
	t.Helper()
	took := measure(t)
	bar := time.Duration(took.factor() * float64(rowTime))
	var b strings.Builder
	fmt.Fprintf(&b, "# oom_guard against leaks of all kinds, cgroup v%d\n\n%s.\n\n", lab.MemoryHierarchy(t).Version, machine())
	fmt.Fprintf(&b, "Policy process; growth of 1 to 400 MiB/s under limits of 64 MiB to 1 GiB with the default margin, %d leaks at a time, all of it %d times. \"Met\": the guard\n"+
		"killed and the kernel's oom_kill of the group did not move; each kill was held against a witness that reads usage and the kernel's counter\n"+
		"by itself. A busy node has %d more processes that never wait. The bound is margin / growth, the time from the threshold to the limit.\n\n",
		parallel(), matrixRounds, busyLoad)
	if emulated() {
		fmt.Fprintf(&b, "The guest's CPUs are emulated, without KVM: what a notice and a look are made of takes %.1f times as long as on the host, and so does the bound.\n\n", took.factor())
	}
	fmt.Fprintf(&b, "| leak | node | leaks | met | bound > %v: leaks | met | share |\n|---|---|---|---|---|---|---|\n", bar.Round(time.Millisecond))
	met, of := 0, 0
	for start := 0; start < len(all); {
		end, in, slow, inTime := start, 0, 0, 0
		for ; end < len(all) && all[end].kind == all[start].kind && all[end].load == all[start].load; end++ {
			c := all[end]
			if c.Acted {
				in++
			}
			if c.budget() > bar {
				slow++
				if c.Acted {
					inTime++
				}
			}
		}
		node := "idle"
		if all[start].load > 0 {
			node = "busy"
		}
		share := float64(inTime) / float64(max(slow, 1))
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %.3f |\n", all[start].kind, node, end-start, in, slow, inTime, share)
		if share < rowShare {
			t.Errorf("%s on a node that is %s: %d of %d leaks with more than %v were met", all[start].kind, node, inTime, slow, bar)
		}
		met, of, start = met+inTime, of+slow, end
	}
	fmt.Fprintf(&b, "\nWith a bound above %v: %d of %d, a share of %.3f.\n", bar.Round(time.Millisecond), met, of, float64(met)/float64(max(of, 1)))
	if float64(met)/float64(max(of, 1)) < allShare {
		t.Errorf("%d of %d leaks with more than %v were met, want %.0f %%", met, of, bar, 100*allShare)
	}
	return b.String()
}
