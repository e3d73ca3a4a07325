// SPDX-License-Identifier: Apache-2.0

//go:build e2e && scale

package recorder_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// load is what the cgroups do while a cost is measured.
type load struct {
	containers, moving int
}

// cost is what an exporter took under a load.
type cost struct {
	cpu      time.Duration // a second.
	rss      uint64        // bytes.
	interval float64
}

// TestScaleRecorder measures the exporter with and without its recorder, beside a
// floor that reads the usage of each container once a second.
func TestScaleRecorder(t *testing.T) {
	lab.Root(t)
	var b strings.Builder
	fmt.Fprintf(&b, "# What the flight recorder costs\n\nCPU of an exporter that nobody scrapes, with its recorder and without. Containers are limited, four in a pod. The floor reads the usage of each container once a second by a descriptor that stays open.\n\n")
	fmt.Fprintf(&b, "Written by `go test -tags e2e,scale -run TestScaleRecorder ./e2e/recorder` with OOM_E2E_EVIDENCE set.\n\nLinux %s, cgroup v%d, %s.\n\n", kernel(), lab.MemoryHierarchy(t).Version, time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "| containers | moving | CPU without | CPU with | recorder | floor | recorder / floor | memory of the recorder | interval |\n|---|---|---|---|---|---|---|---|---|\n")
	loads := []load{{1000, 0}, {1000, 100}}
	if os.Getenv("OOM_E2E_RECORDER_SMALL") == "" {
		loads = append(loads, load{10000, 0}, load{10000, 1000})
	}
	for _, l := range loads {
		groups := containers(t, l.containers)
		without, with := measure(t, l, groups, "--no-recorder"), measure(t, l, groups, "--recorder")
		floor := floorOf(t, groups)
		own := with.cpu - without.cpu
		percent := func(d time.Duration) float64 { return 100 * d.Seconds() }
		fmt.Fprintf(&b, "| %d | %d | %.3f %% | %.3f %% | %.3f %% | %.3f %% | %.2f | %.1f MiB | %v s |\n", l.containers, l.moving,
			percent(without.cpu), percent(with.cpu), percent(own), percent(floor), own.Seconds()/floor.Seconds(),
			(float64(with.rss)-float64(without.rss))/mi, with.interval)
		if ratio := own.Seconds() / floor.Seconds(); l.moving == 0 && ratio > 1 || ratio > 5 {
			t.Errorf("%d containers, %d moving: the recorder takes %.2f of the floor", l.containers, l.moving, ratio)
		}
		if most := 8.0 * mi * max(1, float64(l.containers)/2000); float64(with.rss) > float64(without.rss)+most {
			t.Errorf("%d containers, %d moving: the recorder takes %d bytes", l.containers, l.moving, with.rss-without.rss)
		}
		for _, g := range groups {
			vacate(t, g)
		}
	}
	evidence(t, fmt.Sprintf("recorder-cost-v%d.md", lab.MemoryHierarchy(t).Version), b.String())
}

// containers makes limited cgroups, four in a pod, and returns their directories.
func containers(t *testing.T, n int) (dirs []string) {
	t.Helper()
	root := lab.NewGroup(t, fmt.Sprintf("cost-%d-%d", n, time.Now().UnixNano()), lab.Unlimited)
	limit, control := "/memory.limit_in_bytes", ""
	if root.Version == 2 {
		limit, control = "/memory.max", "/cgroup.subtree_control"
	}
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	enable := func(dir string) {
		if control != "" {
			write(dir+control, "+memory")
		}
	}
	enable(root.File(""))
	for i := range n {
		pod := root.File(fmt.Sprintf("p%d", i/4))
		if i%4 == 0 {
			if err := os.Mkdir(pod, 0o755); err != nil {
				t.Fatal(err)
			}
			enable(pod)
		}
		dir := fmt.Sprintf("%s/c%d", pod, i%4)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(dir+limit, strconv.Itoa(256*mi))
		dirs = append(dirs, dir)
	}
	t.Cleanup(func() {
		for i, dir := range slices.Backward(dirs) {
			vacate(t, dir)
			if i%4 == 0 {
				vacate(t, filepath.Dir(dir))
			}
		}
	})
	return dirs
}

// vacate removes a cgroup, if it is there.
func vacate(t *testing.T, dir string) {
	if _, err := os.Stat(dir); err != nil {
		return
	}
	for range 1000 {
		if err := os.Remove(dir); err == nil {
			return
		}
		if entries, err := filepath.Glob(dir + "/c*/cgroup.procs"); err == nil && len(entries) > 0 {
			return // a pod: its containers go first.
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Errorf("%s could not be removed", dir)
}

// measure runs an exporter and returns what it takes once it has settled.
func measure(t *testing.T, l load, groups []string, flag string) cost {
	t.Helper()
	e := lab.StartExporter(t, flag, "--events.kmsg=off", "--limits.groups=20000", "--log.level=warn")
	defer e.Stop(t)
	stop, moved := make(chan struct{}), make(chan struct{})
	go func() { defer close(moved); move(groups[:l.moving], stop) }()
	<-time.After(6 * time.Second)
	const length = 10 * time.Second
	before := cpuOf(t, e.PID)
	<-time.After(length)
	c := cost{cpu: (cpuOf(t, e.PID) - before) / time.Duration(length/time.Second)}
	close(stop)
	<-moved
	c.rss = e.Status(t)["VmRSS"]
	if flag == "--recorder" {
		c.interval = e.Scrape(t).Value(t, "oom_recorder_interval_seconds")
	}
	return c
}

// cpuOf is what all threads of a process have used.
func cpuOf(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, file := range files {
		b, _ := os.ReadFile(file) // a thread that ended takes its time along.
		ns, _, _ := strings.Cut(string(b), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		sum += time.Duration(n)
	}
	if sum == 0 {
		t.Fatalf("process %d has used no time", pid)
	}
	return sum
}

// move charges a megabyte to each of the cgroups every second, as files in
// memory, until it is stopped.
func move(dirs []string, stop chan struct{}) {
	if len(dirs) == 0 {
		return
	}
	home, pid := filepath.Dir(filepath.Dir(filepath.Dir(dirs[0]))), []byte(strconv.Itoa(os.Getpid()))
	shm, err := os.MkdirTemp("/dev/shm", "oom-e2e-")
	if err != nil {
		return
	}
	defer func() {
		_ = os.WriteFile(filepath.Join(mountOf(home), "cgroup.procs"), pid, 0)
		_ = os.RemoveAll(shm)
	}()
	lump := make([]byte, mi)
	for round := 0; ; round++ {
		began := time.Now()
		for i, dir := range dirs {
			_ = os.WriteFile(dir+"/cgroup.procs", pid, 0)
			flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
			if round%6 == 5 {
				flags |= os.O_TRUNC
			}
			if f, err := os.OpenFile(fmt.Sprintf("%s/%d", shm, i), flags, 0o600); err == nil {
				_, _ = f.Write(lump)
				_ = f.Close()
			}
		}
		select {
		case <-stop:
			return
		case <-time.After(max(time.Second-time.Since(began), 0)):
		}
	}
}

// mountOf returns the root of the hierarchy that a cgroup is in.
func mountOf(dir string) string {
	for {
		up := filepath.Dir(dir)
		if _, err := os.Stat(up + "/cgroup.procs"); err != nil {
			return dir
		}
		dir = up
	}
}

// floorOf is what reading the usage of each container once takes.
func floorOf(t *testing.T, groups []string) time.Duration {
	t.Helper()
	name := "/memory.usage_in_bytes"
	if lab.MemoryHierarchy(t).Version == 2 {
		name = "/memory.current"
	}
	var fds []int
	for _, dir := range groups {
		fd, err := unix.Open(dir+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
		fds = append(fds, fd)
	}
	used := func() time.Duration {
		var u unix.Rusage
		_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	const rounds = 10
	buf := make([]byte, 32)
	before := used()
	for range rounds {
		for _, fd := range fds {
			_, _ = unix.Pread(fd, buf, 0)
		}
		<-time.After(50 * time.Millisecond) // caches are not warm once a second either.
	}
	return (used() - before) / rounds
}
