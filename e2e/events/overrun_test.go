// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// overrun makes the kernel's log lose records before the exporter reads them:
// by a flood of it, and while the exporter is stopped. Kills must be counted
// all the same, and the reader must live.
func (b *bench) overrun(t *testing.T) {
	sysctl(t, "kernel/printk_devkmsg", "on\n") // the kernel wants the newline.
	e := lab.StartExporter(t)
	b.baseline(t, e)
	var rows strings.Builder
	for _, c := range []struct {
		name  string
		storm func(*testing.T, *lab.Exporter, []container) []lab.Death
	}{
		{"flood of the log", b.flooded},
		{"reader frozen by SIGSTOP", b.frozen},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			all := b.containers(t, 64, groupLimit)
			before := b.settled(t, e, readBooks(t, e))
			vmstat := lab.NodeKills(t)
			deaths := c.storm(t, e, all)
			d := b.settled(t, e, before).since(before)
			truth := float64(lab.NodeKills(t) - vmstat)
			right, wrong := d.right(deaths)
			if d.counted() != truth {
				t.Errorf("counted %v of %v kills", d.counted(), truth)
			}
			if err := d.balance(); err != nil {
				t.Error(err)
			}
			if d.lost == 0 {
				t.Error("no record was lost")
			}
			if bar := 0.99; right < bar*float64(len(deaths)) {
				t.Errorf("%v of %d kills in the right container, %v in a wrong one", right, len(deaths), wrong)
			}
			next := b.nextTen(t, e, all)
			rows.WriteString(fmt.Sprintf("| %s | %d | %.0f | %.0f | %.3f | %.3f | %d of 10 |\n", c.name, len(deaths), d.lost, truth,
				d.counted()/truth, right/float64(len(deaths)), next))
		})
	}
	b.evidence(t, "overrun", "# The kernel's log overflows\n\n"+
		"Two writers flood /dev/kmsg until the exporter has lost records, and on through a storm; then the exporter is stopped by SIGSTOP through a storm. "+
		"The next ten kills show that the log is read again: each must have a record with its process id and name.\n\n"+b.by("TestGuest")+
		"| what | kills | log records lost | vmstat | counted / true | attributed / kills | of the next ten recorded |\n|---|---|---|---|---|---|---|\n"+rows.String())
}

// flooded writes to the log as fast as two writers can, until records are
// lost, and then while kills are made.
func (b *bench) flooded(t *testing.T, e *lab.Exporter, all []container) []lab.Death {
	t.Helper()
	lost := readBooks(t, e).lost
	var stop atomic.Bool
	done := make(chan error, 2)
	for range cap(done) {
		go func() { done <- flood(&stop) }()
	}
	defer func() {
		stop.Store(true)
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}()
	lab.Eventually(t, 5*time.Minute, "the exporter loses records", func() bool { return readBooks(t, e).lost > lost })
	deaths, _ := b.storm(t, b.plan(all, 100, 2*time.Second))
	return deaths
}

func flood(stop *atomic.Bool) error {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	line := []byte("<14>flood: " + strings.Repeat("x", 20))
	for !stop.Load() {
		if _, err := f.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// frozen makes a storm while the exporter is stopped.
func (b *bench) frozen(t *testing.T, e *lab.Exporter, all []container) []lab.Death {
	t.Helper()
	e.Signal(t, syscall.SIGSTOP)
	defer e.Signal(t, syscall.SIGCONT)
	deaths, _ := b.storm(t, b.plan(all, 1000, 2*time.Second))
	return deaths
}

// nextTen makes ten more kills and returns how many of them have a record with
// process id and name.
func (b *bench) nextTen(t *testing.T, e *lab.Exporter, all []container) (recorded int) {
	t.Helper()
	before := readBooks(t, e)
	deaths, _ := b.storm(t, b.plan(all, 10, 2*time.Second))
	d := b.settled(t, e, before).since(before)
	records := readRecords(t, e)
	for _, death := range deaths {
		if records[death.PID].Victim.Comm == death.Comm {
			recorded++
		}
	}
	if right, _ := d.right(deaths); recorded != len(deaths) || right != float64(len(deaths)) {
		t.Errorf("of the next %d kills %d are recorded and %v attributed", len(deaths), recorded, right)
	}
	return recorded
}
