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
