// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// kind is one kind of OOM, and what the books must say of it.
type kind struct {
	name  string
	dies  int    // processes.
	ooms  int    // decisions.
	level string // whose limit.
	// provoke makes the OOM and returns the container in which it kills.
	provoke func(t *testing.T, b *bench) container
}

// ooms provokes OOMs of all kinds and holds the books against each.
func (b *bench) ooms(t *testing.T) {
	kinds := []kind{
		{"own limit", 1, 1, "container", func(t *testing.T, b *bench) container {
			c := b.container(t, b.pod(t, lab.Unlimited), groupLimit)
			b.storm(t, b.plan([]container{c}, 1, 0))
			return c
		}},
		{"limit of the pod", 1, 1, "pod", func(t *testing.T, b *bench) container {
			c := b.container(t, b.pod(t, groupLimit), lab.Unlimited)
			b.storm(t, b.plan([]container{c}, 1, 0))
			return c
		}},
		{"the whole machine", 1, 1, "node", func(t *testing.T, b *bench) container {
			return b.wholeMachine(t)
		}},
		{"the whole machine, oom_kill_allocating_task", 1, 1, "node", func(t *testing.T, b *bench) container {
			sysctl(t, "vm/oom_kill_allocating_task", "1")
			return b.wholeMachine(t)
		}},
		{"sysrq f", 1, 1, "node", func(t *testing.T, b *bench) container {
			c := b.container(t, b.pod(t, lab.Unlimited), lab.Unlimited)
			p := b.hog(t, c, "anon:32M", "say:ready")
			p.WaitLine(t, "ready")
			writeFile(t, "/proc/sysrq-trigger", "f")
			died(t, p)
			return c
		}},
		{"only oom_score_adj -1000", 0, 0, "", func(t *testing.T, b *bench) container {
			c := b.container(t, b.pod(t, lab.Unlimited), 4*mib)
			p := b.hogAt(t, c, -1000, "anon:64M")
			<-time.After(b.slow(time.Second))
			p.Signal(t, syscall.SIGKILL)
			p.Wait(t, time.Minute)
			return c
		}},
	}
	if b.Version == 2 {
		for _, n := range []int{1, 2, 20} {
			kinds = append(kinds, kind{
				fmt.Sprintf("memory.oom.group, %d processes", n), n, 1, "container",
				func(t *testing.T, b *bench) container { return b.groupKill(t, n) },
			})
		}
	}
	e := lab.StartExporter(t)
	b.baseline(t, e)
	var rows strings.Builder
	for _, k := range kinds {
		t.Run(strings.ReplaceAll(k.name, " ", "_"), func(t *testing.T) { rows.WriteString(b.oom(t, e, k)) })
	}
	b.evidence(t, "ooms", "# OOMs of all kinds: the books balance after each\n\n"+
		"Each row is what the counters of /metrics moved by: oom_node_kills_total = killed + unattributed + pending + duplicates, "+
		"and the sum of oom_kills_total = killed + unattributed, where killed is the sum of oom_container_kills_total. "+
		"The kernel counts the first victim of a group kill twice.\n\n"+b.by("TestGuest")+
		"| OOM | died | vmstat | killed | in the right container | OOMs | duplicates | unattributed | pending | level |\n|---|---|---|---|---|---|---|---|---|---|\n"+rows.String())
}

func (b *bench) oom(t *testing.T, e *lab.Exporter, k kind) string {
	before := b.settled(t, e, readBooks(t, e))
	c := k.provoke(t, b)
	now := b.settled(t, e, before)
	d := now.since(before)
	if err := d.balance(); err != nil {
		t.Error(err)
	}
	m := e.Scrape(t)
	ooms := m.Sum("oom_container_ooms_total", "pod", c.key.pod, "container", c.key.name)
	more := 0.0
	if k.level == "node" {
		more = d.vmstat - float64(k.dies)
	}
	if d.kills[c.key] != float64(k.dies) || d.attributed != float64(k.dies)+more || d.unattributed != 0 || d.pending != 0 {
		t.Errorf("%d died in %s; the books have %v there, %v in all, %v unattributed, %v pending", k.dies, c.path, d.kills[c.key], d.attributed, d.unattributed, d.pending)
	}
	if ooms != float64(k.ooms) {
		t.Errorf("%v OOMs, want %d", ooms, k.ooms)
	}
	if k.dies > 0 && d.byLevel[k.level] != float64(k.dies)+more {
		t.Errorf("kills by level %v, want %d of %s", d.byLevel, k.dies, k.level)
	}
	if k.level == "pod" {
		if n := m.Sum("oom_pod_limit_kills_total", "pod", c.key.pod); n != float64(k.dies) {
			t.Errorf("oom_pod_limit_kills_total is %v, want %d", n, k.dies)
		}
	}
	return fmt.Sprintf("| %s | %d | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %s |\n", k.name, k.dies, d.vmstat, d.attributed, d.kills[c.key],
		ooms, d.duplicates, d.unattributed, d.pending, k.level)
}

// hog runs e2e/hog in the container with oom_score_adj 0.
func (b *bench) hog(t *testing.T, c container, steps ...string) *lab.Process {
	t.Helper()
	return b.hogAt(t, c, 0, steps...)
}

func (b *bench) hogAt(t *testing.T, c container, adj int, steps ...string) *lab.Process {
	t.Helper()
	steps = append([]string{"enter:" + c.File("cgroup.procs"), fmt.Sprintf("adj:%d", adj)}, steps...)
	return lab.Start(t, exec.Command("hog", steps...))
}

// died waits for the end of the process, which the kernel must have killed.
func died(t *testing.T, p *lab.Process) {
	t.Helper()
	if status := p.Wait(t, 5*time.Minute); status.Signal() != syscall.SIGKILL {
		t.Fatalf("the process was not killed: it ended with %d; it printed:\n%s", status.ExitStatus(), p.Output())
	}
}

// wholeMachine takes memory until the machine has none left. The kernel kills
// once more where an allocation failed just before the memory was free again;
// it panics when there is nobody left.
func (b *bench) wholeMachine(t *testing.T) container {
	t.Helper()
	sysctl(t, "vm/overcommit_memory", "1")
	spare := b.container(t, b.pod(t, lab.Unlimited), lab.Unlimited)
	for range 8 {
		b.hogAt(t, spare, -500, "say:ready").WaitLine(t, "ready")
	}
	c := b.container(t, b.pod(t, lab.Unlimited), lab.Unlimited)
	died(t, b.hog(t, c, "anon:4G"))
	return c
}

// groupKill makes a container with n processes in which one of them runs into
// the limit, and all die together.
func (b *bench) groupKill(t *testing.T, n int) container {
	t.Helper()
	c := b.container(t, b.pod(t, lab.Unlimited), 32*mib)
	c.Write(t, "memory.oom.group", "1")
	var others []*lab.Process
	for range n - 1 {
		p := b.hog(t, c, "say:ready")
		p.WaitLine(t, "ready")
		others = append(others, p)
	}
	b.storm(t, b.plan([]container{c}, 1, 0))
	for _, p := range others {
		died(t, p)
	}
	return c
}

// sysctl sets a value for the test.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	file := "/proc/sys/" + name
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, value)
	t.Cleanup(func() { writeFile(t, file, string(old)) })
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}
