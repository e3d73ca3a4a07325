// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// quotas are the milliseconds of each 100 in which the exporter may run.
var quotas = []int{30, 10, 3}

// starved holds each group kill against the numbers of an exporter that hardly
// gets to run, so that the kernel log reaches it seconds late: whatever order
// the evidence comes in, each kill is counted once, each duplicate taken off
// once, and no kill is said to be the node's.
func (b *bench) starved(t *testing.T) {
	e := lab.StartExporter(t)
	b.baseline(t, e)
	quota := b.throttle(t, e)
	var rows strings.Builder
	for _, ms := range quotas {
		for _, n := range []int{2, 5, 20} {
			rows.WriteString(b.starvedStep(t, e, quota, ms, n))
		}
	}
	b.evidence(t, "starved", "# A slow exporter\n\n"+
		"cpu.max lets the exporter run for a few milliseconds of each 100, from before the kills until some seconds after them; a scrape then has all the time. Each row is one step: all processes of a container die together by memory.oom.group, "+
		"while one process dies in each of two containers of other pods. The numbers are what /metrics moved by; the kernel counts the first victim of a group kill twice.\n\n"+
		b.by("TestGuest")+"| runs, of 100 ms | processes in the group kill | died | vmstat | killed | in the right containers | duplicates | unattributed | of the node |\n|---|---|---|---|---|---|---|---|---|\n"+rows.String())
}

// starvedFor is how long the exporter is slow after the kills: longer than a
// step of a counter waits for its line.
const starvedFor = 4 * time.Second

// starvedStep makes the kills of one step and returns its row.
func (b *bench) starvedStep(t *testing.T, e *lab.Exporter, quota func(ms int), ms, n int) string {
	t.Helper()
	before := b.settled(t, e, readBooks(t, e))
	quota(ms)
	others := []container{b.container(t, b.pod(t, lab.Unlimited), groupLimit), b.container(t, b.pod(t, lab.Unlimited), groupLimit)}
	together := b.groupKill(t, n)
	deaths, _ := b.storm(t, b.plan(others, len(others), 0))
	<-time.After(starvedFor)
	quota(100)
	now := b.settled(t, e, before)
	d := now.since(before)
	died := float64(n + len(deaths))
	right := d.kills[together.key]
	for _, c := range others {
		right += d.kills[c.key]
	}
	if err := d.balance(); err != nil {
		t.Error(err)
	}
	twice := d.vmstat - died
	if d.pending != 0 || d.attributed != died || right != died || d.duplicates != twice || d.byLevel["node"] != 0 {
		t.Errorf("%d ms, %d together: %v died, vmstat moved by %v; %v killed, %v in the right containers, %v duplicates, %v unattributed, %v pending, %v of the node\n%s",
			ms, n, died, d.vmstat, d.attributed, right, d.duplicates, d.unattributed, d.pending, d.byLevel["node"], e.Output())
	}
	return fmt.Sprintf("| %d ms | %d | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f |\n", ms, n, died, d.vmstat, d.attributed, right, d.duplicates,
		d.unattributed, d.byLevel["node"])
}

// throttle moves the exporter to a cgroup of its own and returns the way to set
// its quota.
func (b *bench) throttle(t *testing.T, e *lab.Exporter) func(ms int) {
	t.Helper()
	control := filepath.Join(b.Mount, "cgroup.subtree_control")
	writeFile(t, control, "+cpu")
	t.Cleanup(func() { _ = os.WriteFile(control, []byte("-cpu"), 0) })
	g := lab.NewGroup(t, fmt.Sprintf("/oom-e2e-slow-%d", os.Getpid()), lab.Unlimited)
	g.Write(t, "cgroup.procs", strconv.Itoa(e.PID))
	t.Cleanup(func() { _ = os.WriteFile(g.File("cpu.max"), []byte("max"), 0) }) // it has to end, too.
	return func(ms int) {
		limit := "max"
		if ms < 100 {
			limit = strconv.Itoa(ms * 1000)
		}
		g.Write(t, "cpu.max", limit+" 100000")
	}
}
