// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/proc"
)

// liveTree makes pods of four limited containers each in the host's hierarchy,
// which have some memory that stays, and returns their directories.
func liveTree(b *testing.B, pods int) (h *cgroup.Hierarchy, containers []string) {
	b.Helper()
	h, err := cgroup.Find(cgroup.Options{})
	if err != nil || os.Geteuid() != 0 {
		b.Skipf("this needs root and memory cgroups: %v", err)
	}
	root := fmt.Sprintf("%s/oom-exporter-recorder-%d", h.Mount(), os.Getpid())
	b.Cleanup(func() { removeTree(b, root) })
	if h.Version() == 1 { // only there is the limit in this file, and children need no leave.
		for i := range pods {
			for j := range 4 {
				dir := fmt.Sprintf("%s/p%d/c%d", root, i, j)
				if err := os.MkdirAll(dir, 0o755); err != nil {
					b.Fatal(err)
				}
				if err := os.WriteFile(dir+"/memory.limit_in_bytes", []byte("256M"), 0); err != nil {
					b.Fatal(err)
				}
				containers = append(containers, dir)
			}
		}
		charge(b, h, containers, 256<<10)
		return h, containers
	}
	b.Skip("for cgroup v1")
	return nil, nil
}

func removeTree(b *testing.B, root string) {
	dirs := []string{}
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		for range 100 {
			if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSecond is what one second of recording the containers of 16 and of 250
// pods takes, at rest and while a tenth of them grows, beside the least that a
// reading of each of them takes by descriptors that stay open.
func BenchmarkSecond(b *testing.B) {
	for _, pods := range []int{16, 250} {
		b.Run(fmt.Sprint("containers=", 4*pods), func(b *testing.B) {
			h, containers := liveTree(b, pods)
			b.Run("floor", func(b *testing.B) { benchFloor(b, containers) })
			b.Run("still", func(b *testing.B) { benchSecond(b, h, nil) })
			b.Run("moving", func(b *testing.B) { benchSecond(b, h, containers[:len(containers)/10]) })
		})
	}
}

// benchSecond measures seconds in which these containers grow.
func benchSecond(b *testing.B, h *cgroup.Hierarchy, moving []string) {
	s, err := h.Sampler(cgroup.SamplerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	fs, err := proc.New(proc.Options{Root: "/proc"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = fs.Close() }()
	now := time.Hour
	r := New(Options{
		Source: s, Node: fs.NodeMemory, Processes: fs,
		Uptime: func() time.Duration { return now }, Names: func(tree *oom.Tree) { kinds(tree) },
	})
	for range 120 {
		now += time.Second
		r.tick()
	}
	b.ReportAllocs()
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		charge(b, h, moving, mi)
		b.StartTimer()
		now += time.Second
		before := cpuTime()
		r.tick()
		used += cpuTime() - before
	}
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/s")
	b.ReportMetric(float64(r.samples)/float64(b.N+120), "samples/s")
}

func benchFloor(b *testing.B, containers []string) {
	var fds []int
	for _, dir := range containers {
		fd, err := unix.Open(dir+"/memory.usage_in_bytes", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
		fds = append(fds, fd)
	}
	buf := make([]byte, 32)
	for b.Loop() {
		for _, fd := range fds {
			_, _ = unix.Pread(fd, buf, 0)
		}
	}
}

// charge makes each of the cgroups larger, and now and then smaller.
func charge(b *testing.B, h *cgroup.Hierarchy, dirs []string, by int) {
	if len(dirs) == 0 {
		return
	}
	defer func() {
		_ = os.WriteFile(h.Mount()+"/cgroup.procs", []byte(fmt.Sprint(os.Getpid())), 0)
	}()
	more := make([]byte, by)
	for i, dir := range dirs {
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(fmt.Sprint(os.Getpid())), 0); err != nil {
			b.Fatal(err)
		}
		path := fmt.Sprintf("/dev/shm/oom-exporter-%d-%d", os.Getpid(), i)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		if info, err := f.Stat(); err == nil && info.Size() > 64*mi {
			_ = f.Truncate(0)
		}
		_, _ = f.Write(more)
		_ = f.Close()
		b.Cleanup(func() { _ = os.Remove(path) })
	}
}
