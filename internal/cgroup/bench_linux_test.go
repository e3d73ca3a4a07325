// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// benchPods pods of one container each are 1,000 groups below /kubepods.
const benchPods = 500

func benchPaths() []string {
	paths := []string{"/kubepods"}
	for i := range benchPods {
		pod := fmt.Sprintf("/kubepods/pod%08d-1111-2222-3333-444444444444", i)
		paths = append(paths, pod, fmt.Sprintf("%s/%064x", pod, i))
	}
	return paths
}

// floor opens, reads and closes files by raw calls, and parses nothing.
func floor(b *testing.B, paths []string, buf []byte) {
	b.Helper()
	for _, path := range paths {
		if _, errno := readAt(unix.AT_FDCWD, path, buf); errno != 0 && errno != unix.ENOENT {
			b.Fatal(errno)
		}
	}
}

// cpuTime is the time that this thread has run: others on the machine don't count.
func cpuTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// benchmark runs the passes over h, and tells their CPU time as a ratio to a loop
// that only opens, reads and closes the same files of the groups.
func benchmark(b *testing.B, h *Hierarchy, paths []string) {
	files := map[string][]string{
		"Read": {
			"memory.usage_in_bytes", "memory.stat", "memory.limit_in_bytes", "memory.failcnt",
			"memory.oom_control", "memory.kmem.usage_in_bytes", "cgroup.procs",
		},
		"ReadKills": {"memory.oom_control"},
	}
	if h.Version() == 2 {
		files["Read"] = []string{
			"memory.current", "memory.stat", "memory.max", "memory.high", "memory.events", "memory.events.local", "cgroup.procs",
		}
		files["ReadKills"] = []string{"memory.events", "memory.events.local"}
	}
	for _, name := range []string{"Read", "ReadKills"} {
		b.Run(name, func(b *testing.B) {
			pass := h.Read
			if name == "ReadKills" {
				pass = h.ReadKills
			}
			var all []string
			for _, path := range paths {
				for _, file := range files[name] {
					all = append(all, h.Mount()+path+"/"+file+"\x00")
				}
			}
			buf := make([]byte, 64<<10)
			floors, passes := []time.Duration{}, []time.Duration{}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			b.ReportAllocs()
			for b.Loop() {
				start := cpuTime(b)
				floor(b, all, buf)
				middle := cpuTime(b)
				if _, _, err := pass(); err != nil {
					b.Fatal(err)
				}
				floors, passes = append(floors, middle-start), append(passes, cpuTime(b)-middle)
			}
			slices.Sort(floors)
			slices.Sort(passes)
			f, p := floors[len(floors)/2], passes[len(passes)/2]
			b.ReportMetric(float64(p.Microseconds())/1000, "cpu-ms/pass")
			b.ReportMetric(float64(p)/float64(f), "x-floor")
		})
	}
}

// BenchmarkTree runs on ordinary files, so that it needs no right.
func BenchmarkTree(b *testing.B) {
	for version, makeRoot := range map[string]func(testing.TB) (string, string){"v1": rootV1, "v2": rootV2} {
		dir, mount := makeRoot(b)
		for _, path := range benchPaths() {
			if version == "v1" {
				groupV1(b, mount+path, 1)
			} else {
				groupV2(b, mount+path, 1)
			}
		}
		h := mustFind(b, options(dir, PartProcs))
		b.Run(version, func(b *testing.B) { benchmark(b, h, benchPaths()) })
	}
}

// BenchmarkLive runs on groups of the host's own hierarchy.
func BenchmarkLive(b *testing.B) {
	h := live(b)
	h.options.Parts = PartProcs
	top := makeLive(b, h, "bench")
	enable(b, h, top)
	paths := benchPaths()
	for i, path := range paths {
		paths[i] = top + path
		dir := h.Mount() + paths[i]
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { removeLive(b, dir) })
		if strings.Count(path, "/") < 3 { // not a container.
			enable(b, h, paths[i])
		}
	}
	benchmark(b, h, paths)
}

// BenchmarkSampler reads a thousand real cgroups, in 250 pods.
func BenchmarkSampler(b *testing.B) {
	h := live(b)
	root := makeLive(b, h, "samplers")
	enable(b, h, root)
	for i := range 250 {
		pod := fmt.Sprintf("%s%s/p%d", h.Mount(), root, i)
		for j := range 4 {
			if err := os.MkdirAll(fmt.Sprintf("%s/c%d", pod, j), 0o755); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { removeLive(b, fmt.Sprintf("%s/c%d", pod, j)) })
		}
		enable(b, h, root+fmt.Sprintf("/p%d", i))
	}
	b.Cleanup(func() {
		for i := range 250 {
			for j := range 4 {
				removeLive(b, fmt.Sprintf("%s%s/p%d/c%d", h.Mount(), root, i, j))
			}
			removeLive(b, fmt.Sprintf("%s%s/p%d", h.Mount(), root, i))
		}
	})
	s := newSampled(b, h, SamplerOptions{})
	s.find()
	for range youngFinds {
		s.find()
	}
	var handles []oom.CgroupHandle
	for path, f := range s.known {
		if strings.HasPrefix(path, root+"/") {
			handles = append(handles, f.Handle)
		}
	}
	dst := make([]oom.Amount, len(handles))
	b.Run("Usages", func(b *testing.B) {
		for b.Loop() {
			s.Usages(handles, dst)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(handles)), "ns/cgroup")
	})
	b.Run("Find", func(b *testing.B) {
		for b.Loop() {
			s.find()
		}
	})
	b.Run("Sample", func(b *testing.B) {
		var out oom.Sample
		for i := 0; b.Loop(); i++ {
			s.Sample(handles[i%len(handles)], &out)
		}
	})
	b.Run("Limit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			s.Limit(handles[i%len(handles)])
		}
	})
}

// BenchmarkLibrary compares reading one cgroup by containerd/cgroups with reading it
// by this package. docs/architecture.md has the figures.
func BenchmarkLibrary(b *testing.B) {
	h := live(b)
	root := makeLive(b, h, "library")
	enable(b, h, root)
	path := root + "/one"
	if err := os.Mkdir(h.Mount()+path, 0o755); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { removeLive(b, h.Mount()+path) })
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			if _, err := h.ReadGroup(path); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			if err := statLibrary(h, path); err != nil {
				b.Fatal(err)
			}
		}
	})
	group, err := h.ReadGroup(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Limit", func(b *testing.B) {
		for b.Loop() {
			h.Limit(group.GroupID)
		}
	})
}

// statLibrary reads a cgroup by the library.
func statLibrary(h *Hierarchy, path string) error {
	if h.Version() == 1 {
		_, err := statV1(h, path)
		return err
	}
	lib, err := cgroup2.Load(path, cgroup2.WithMountpoint(h.Mount()))
	if err != nil {
		return err
	}
	_, err = lib.StatFiltered(cgroup2.StatMemory | cgroup2.StatMemoryEvents)
	return err
}
