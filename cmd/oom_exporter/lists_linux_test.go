// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/bpf"
	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/host"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/predict"
	"github.com/oom-exporter/oom_exporter/internal/proc"
)

// listedHere are this host's processes, by BPF and by /proc.
func listedHere(t testing.TB) (*bpf.Processes, *proc.FS) {
	t.Helper()
	list, err := bpf.OpenProcesses(bpf.Options{Kernel: bpf.NewKernel("/sys/kernel/btf/vmlinux")})
	if why := (*bpf.UnavailableError)(nil); errors.As(err, &why) && os.Geteuid() != 0 {
		t.Skip("may not load programs:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = list.Close() })
	fs, err := proc.New(proc.Options{Root: "/proc", Refresh: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fs.Close() })
	return list, fs
}

// TestListedProcessesAreThoseOfProc holds what the kernel lists against /proc, oom_score
// included, which is computed.
func TestListedProcessesAreThoseOfProc(t *testing.T) {
	list, fs := listedHere(t)
	if _, err := host.NewTasks(list, fs, time.Now(), nil); err != nil {
		t.Error(err)
	}
	node, err := fs.Node()
	if err != nil {
		t.Fatal(err)
	}
	rules := predict.RulesFor(node.Release, 1)
	total := rules.Total(&node, &oom.Tree{}, predict.Node)
	score := func(pid int32) string {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score", pid))
		return strings.TrimSpace(string(text))
	}
	rows, _, err := list.Scan(nil)
	if err != nil {
		t.Fatal(err)
	}
	before := map[int32]string{}
	for i := range rows {
		before[rows[i].PID] = score(rows[i].PID)
	}
	if rows, _, err = list.Scan(nil); err != nil {
		t.Fatal(err)
	}
	compared, scored := 0, 0
	for i := range rows {
		row := &rows[i]
		after := score(row.PID)
		seen := oom.Process{PID: row.PID, Stale: true}
		if after == "" || after != before[row.PID] || fs.Exact(&seen) != nil {
			continue // it has gone, or grows.
		}
		compared++
		if got := rules.Score(row, total, node.PageSize); got.String() == after {
			scored++
		}
		if int(row.PID) == os.Getpid() && (row.Start != seen.Start || row.Comm != seen.Comm || row.Adj != seen.Adj) {
			t.Errorf("listed %+v\nin /proc %+v", *row, seen)
		}
	}
	if compared < 3 || scored*100 < compared*90 {
		t.Errorf("oom_score as computed is that of /proc for %d of %d processes", scored, compared)
	}
}

// BenchmarkScan lists this host's processes by the program, and by reading /proc.
func BenchmarkScan(b *testing.B) {
	list, fs := listedHere(b)
	var (
		rows []oom.Process
		err  error
	)
	perProcess := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*max(1, len(rows))), "us/process")
	}
	b.Run("bpf", func(b *testing.B) {
		for b.Loop() {
			if rows, _, err = list.Scan(rows); err != nil {
				b.Fatal(err)
			}
		}
		perProcess(b)
	})
	b.Run("procfs", func(b *testing.B) {
		for b.Loop() {
			if rows, _, err = fs.Scan(rows, nil); err != nil {
				b.Fatal(err)
			}
		}
		perProcess(b)
	})
}

// treeHere reads all cgroups of this host, with their numbers listed by BPF or not.
func treeHere(t testing.TB, listed bool) oom.Tree {
	t.Helper()
	h, err := cgroup.Find(cgroup.Options{Parts: cgroup.PartsAll, Refresh: 4})
	if err != nil {
		t.Skip(err)
	}
	if listed {
		useList(t, h)
	}
	var tree oom.Tree
	for range 6 { // each is read in full, and in each other way.
		if tree, _, err = h.Read(); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func useList(t testing.TB, h *cgroup.Hierarchy) {
	t.Helper()
	list, err := bpf.OpenCgroups(bpf.Options{Kernel: bpf.NewKernel("/sys/kernel/btf/vmlinux")}, h.Mount())
	if why := (*bpf.UnavailableError)(nil); errors.As(err, &why) && (os.Geteuid() != 0 || errors.Is(err, bpf.ErrOldKernel)) {
		t.Skip("may not load programs:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = list.Close() })
	h.Use(list, func(err error) { t.Error(err) })
}

// TestListedCgroupsAreThoseOfTheFiles holds what hardly moves of this host's cgroups, as
// the kernel lists it, against the files, of those in which it does not move.
func TestListedCgroupsAreThoseOfTheFiles(t *testing.T) {
	before, listed, read := treeHere(t, false), treeHere(t, true), treeHere(t, false)
	if listed.Source != oom.ByBPF || read.Source != oom.ByCgroupfs {
		t.Fatalf("listed by %s, read by %s", listed.Source, read.Source)
	}
	say := func(g *oom.Group) string {
		return fmt.Sprintf("limit %v, high %v, min %v, swap limit %v, memsw limit %v, swappiness %v, group kill %v, kill disabled %v, own kills %v, kills below %v, user %d, hierarchical %v",
			g.Limit, g.High, g.Min, g.SwapLimit, g.MemswLimit, g.Swappiness, g.OOMGroup, g.KillDisabled, g.Events.OwnKills, g.Events.TreeKills, g.UID, g.Hierarchical)
	}
	said, want := map[oom.GroupID]string{}, map[oom.GroupID]string{}
	for i := range before.Groups {
		said[before.Groups[i].GroupID] = say(&before.Groups[i])
	}
	for i := range read.Groups {
		if g := &read.Groups[i]; said[g.GroupID] == say(g) {
			want[g.GroupID] = say(g)
		}
	}
	compared := 0
	for i := range listed.Groups {
		g := &listed.Groups[i]
		text, there := want[g.GroupID]
		if !there {
			continue // it came or went.
		}
		if compared++; say(g) != text {
			t.Errorf("%s is listed with %s\nits files have %s", g.Path, say(g), text)
		}
	}
	if compared == 0 || compared < len(want)/2 {
		t.Errorf("%d of %d cgroups compared", compared, len(read.Groups))
	}
}

// BenchmarkCgroups reads all cgroups of this host at rest, with their numbers listed and
// by their files.
func BenchmarkCgroups(b *testing.B) {
	for _, listed := range []bool{true, false} {
		b.Run(map[bool]string{true: oom.ByBPF, false: oom.ByCgroupfs}[listed], func(b *testing.B) {
			h, err := cgroup.Find(cgroup.Options{Parts: cgroup.PartsAll, Refresh: 8, KeepOpen: 384})
			if err != nil {
				b.Skip(err)
			}
			if listed {
				useList(b, h)
			}
			n := 0
			for b.Loop() {
				tree, _, err := h.Read()
				if err != nil {
					b.Fatal(err)
				}
				n = len(tree.Groups)
				h.Recycle(tree)
			}
			b.ReportMetric(float64(n), "cgroups")
		})
	}
}
