// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestExact(t *testing.T) {
	const kib = 1024
	f := open4k(t, hostTree(t))
	for _, want := range []oom.Process{
		{
			PID: 1, Group: 5, Init: true, Exact: true, Comm: "systemd", Start: 27, Score: oom.Of(0),
			RSS: 8000 * kib, Anon: 2000 * kib, Swap: 4 * kib, PageTables: 68 * kib,
		},
		{
			PID: 4242, Group: 6, Adj: 900, Exact: true, Comm: "a) b) (c", Start: 987654321, Score: oom.Of(1266),
			RSS: 48004 * kib, Anon: 44800 * kib, Swap: 1024 * kib, PageTables: 132 * kib,
		},
	} {
		got := oom.Process{PID: want.PID, Group: want.Group, Adj: want.Adj, Score: want.Score, RSS: 1, Anon: 1}
		for range 2 { // the second time it knows its start.
			if err := f.Exact(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, amounts); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
	}
}

func TestExactOldKernels(t *testing.T) {
	root := hostTree(t)
	f := open4k(t, root)
	path := filepath.Join(root, "4242/status")
	write(t, path, "Name:\tjava\nVmRSS:\t100 kB\nVmPTE:\t20 kB\nVmPMD:\t12 kB\nVmSwap:\t0 kB\n")
	p := oom.Process{PID: 4242, Anon: 7}
	if err := f.Exact(&p); err != nil || p.PageTables != 32*1024 || p.Anon != 7 || p.Swap != 0 {
		t.Errorf("got %+v, %v, want both page table sizes and the scan's anon", p, err)
	}
}

func TestExactFails(t *testing.T) {
	vanished := func(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }
	damaged := func(err error) bool { return errors.Is(err, errDamaged) && !vanished(err) }
	status := func(lines string) string { return "Name:\ta\nState:\tS (sleeping)\n" + lines }
	for name, c := range map[string]struct {
		file, content string
		want          func(error) bool
	}{
		"process gone":       {"", "-", vanished},
		"stat gone":          {"stat", "-", vanished},
		"status gone":        {"status", "-", vanished},
		"no memory":          {"status", status("Threads:\t1\n"), vanished},
		"status empty":       {"status", "", damaged},
		"status garbage":     {"status", "\x7fELF\x00\xff\xfe", damaged},
		"status beyond 2^64": {"status", status("VmRSS:\t18446744073709551616 kB\n"), damaged},
		"stat empty":         {"stat", "", damaged},
		"stat cut":           {"stat", "4242 (a) R 1 2", damaged},
		"stat garbage":       {"stat", "\x00)\xff", damaged},
		"pid used again":     {"stat", strings.Replace("4242 (a)"+statTail, " 27 ", " 28 ", 1), vanished},
	} {
		t.Run(name, func(t *testing.T) {
			root := hostTree(t)
			path := filepath.Join(root, "4242", c.file)
			if c.content == "-" {
				remove(t, path)
			} else {
				write(t, path, c.content)
			}
			p := oom.Process{PID: 4242, Start: 987654321, RSS: 1, Comm: "x"}
			before := p
			err := open4k(t, root).Exact(&p)
			if !c.want(err) {
				t.Errorf("Exact = %v", err)
			}
			if diff := cmp.Diff(before, p, amounts); diff != "" {
				t.Errorf("a failure changed the process:\n%s", diff)
			}
		})
	}
}

func TestExactDeadLeader(t *testing.T) {
	root := hostTree(t)
	dir := filepath.Join(root, "4242")
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "status"), "Name:\tleader\nState:\tZ (zombie)\nThreads:\t2\n")
	write(t, filepath.Join(dir, "task/4242/status"), "Name:\tleader\nState:\tZ (zombie)\n")
	write(t, filepath.Join(dir, "task/4300/status"), string(status))
	p := oom.Process{PID: 4242}
	if err := open4k(t, root).Exact(&p); err != nil || p.Comm != "leader" || p.RSS != 48004*1024 || p.Start != 987654321 {
		t.Errorf("got %+v, %v, want the leader's name and the thread's size", p, err)
	}
}

// TestExactLongStatus has the groups of a user who is in very many of them
// before the sizes.
func TestExactLongStatus(t *testing.T) {
	root := hostTree(t)
	write(t, filepath.Join(root, "4242/status"),
		"Name:\ta\nGroups:\t"+strings.Repeat("1000000 ", 65536)+"\nVmRSS:\t     100 kB\n")
	p := oom.Process{PID: 4242}
	if err := open4k(t, root).Exact(&p); err != nil || p.RSS != 100*1024 {
		t.Errorf("got %+v, %v, want 100 kB", p, err)
	}
}
