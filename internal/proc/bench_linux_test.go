// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// makeProcesses writes count processes with the files that a scan reads.
func makeProcesses(tb testing.TB, root string, count int) {
	tb.Helper()
	for pid := 1; pid <= count; pid++ {
		dir := filepath.Join(root, strconv.Itoa(pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
		for name, content := range map[string]string{
			"statm":         fmt.Sprintf("%d %d 100 1 0 50 0\n", pid+1000, pid+200),
			"oom_score":     "667\n",
			"oom_score_adj": strconv.Itoa(pid%2001-1000) + "\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// cpuMicros is the CPU time of this process: on a busy machine the only time
// that says anything.
func cpuMicros(b *testing.B) float64 {
	var spent unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &spent); err != nil {
		b.Fatal(err)
	}
	return float64(spent.Nano()) / 1e3
}

func BenchmarkScan(b *testing.B) {
	root := b.TempDir()
	if err := os.WriteFile(filepath.Join(root, "meminfo"), nil, 0o644); err != nil {
		b.Fatal(err)
	}
	makeProcesses(b, root, 10_000)
	for name, root := range map[string]string{"files=10000": root, "live": "/proc"} {
		b.Run(name, func(b *testing.B) {
			f := open4k(b, root)
			processes, _, err := f.Scan(nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			before := cpuMicros(b)
			for b.Loop() {
				if processes, _, err = f.Scan(processes, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpuMicros(b)-before)/float64(b.N), "cpu-us/op")
			b.ReportMetric(float64(len(processes)), "processes")
		})
	}
}

func BenchmarkNode(b *testing.B) {
	f := open4k(b, "/proc")
	for name, call := range map[string]func() error{
		"Node":     func() error { _, err := f.Node(); return err },
		"OOMKills": func() error { _, err := f.OOMKills(); return err },
		"Exact":    func() error { return f.Exact(&oom.Process{PID: int32(os.Getpid())}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLibrary compares the files that this package parses itself with what
// prometheus/procfs takes for them. docs/architecture.md has the figures.
func BenchmarkLibrary(b *testing.B) {
	f, lib := open4k(b, "/proc"), library(b, "/proc")
	pid := os.Getpid()
	var node oom.Node
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"meminfo/own", func() error {
			content, err := f.node.readFile(f.dir, "meminfo")
			parseMeminfo(content, &node)
			return err
		}},
		{"meminfo/procfs", func() error { _, err := lib.Meminfo(); return err }},
		{"process/own", func() error { return f.Exact(&oom.Process{PID: int32(pid)}) }},
		{"process/procfs", func() error {
			p, err := lib.Proc(pid)
			if err != nil {
				return err
			}
			if _, err := p.NewStatus(); err != nil {
				return err
			}
			_, err = p.Stat()
			return err
		}},
		{"zoneinfo/own", func() error {
			content, err := f.node.readFile(f.dir, "zoneinfo")
			parseZoneinfo(content, f.pageSize)
			return err
		}},
		{"zoneinfo/procfs", func() error { _, err := lib.Zoneinfo(); return err }},
		{"stat/procfs", func() error { _, err := lib.Stat(); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
