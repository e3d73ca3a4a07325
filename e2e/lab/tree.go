// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Tree is a made-up host, in files. Names is how many there are.
type Tree struct {
	Procfs, Sysfs string
	Names         int
}

// variants is how many different processes and containers a tree has; the
// others are hard links to the same files.
const variants = 1000

// MakeTree makes a host with cgroup v2 and that many containers, each in a pod
// of its own, and processes, spread over the containers. It lives in memory:
// a big one has a million names.
func MakeTree(t testing.TB, containers, processes int) Tree {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "oom-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := treeWriter{t: t, dir: dir, templates: map[string][]string{}}
	w.node()
	members := make([][]byte, containers)
	for i := range processes {
		const firstPID = 2
		pid := firstPID + i
		w.process(pid, i%variants)
		c := i % containers
		members[c] = append(strconv.AppendInt(members[c], int64(pid), 10), '\n')
	}
	w.groups(members)
	return Tree{Procfs: filepath.Join(dir, "proc"), Sysfs: filepath.Join(dir, "sys"), Names: w.names}
}

// treeWriter writes a tree; the first error ends the test.
type treeWriter struct {
	t         testing.TB
	dir       string
	templates map[string][]string
	names     int
}

func (w *treeWriter) file(name, text string) {
	w.names++
	path := filepath.Join(w.dir, name)
	err := os.WriteFile(path, []byte(text), 0o644)
	if os.IsNotExist(err) {
		w.mkdir(filepath.Dir(name))
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *treeWriter) mkdir(name string) {
	if err := os.MkdirAll(filepath.Join(w.dir, name), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// copies puts the files into the directory: written the first time that the
// variant of this kind is asked for, and linked from there later.
func (w *treeWriter) copies(dir, kind string, variant int, files func(variant int) map[string]string) {
	key := fmt.Sprintf("templates/%s/%d", kind, variant)
	if w.templates[key] == nil {
		for name, text := range files(variant) {
			w.file(filepath.Join(key, name), text)
			w.templates[key] = append(w.templates[key], name)
		}
	}
	w.mkdir(dir)
	for _, name := range w.templates[key] {
		w.names++
		if err := os.Link(filepath.Join(w.dir, key, name), filepath.Join(w.dir, dir, name)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// node copies this host's own files on the whole machine.
func (w *treeWriter) node() {
	for _, name := range []string{
		"meminfo", "zoneinfo", "vmstat", "stat", "uptime", "pressure/memory", "sys/kernel/osrelease", "sys/kernel/random/boot_id",
		"sys/vm/panic_on_oom", "sys/vm/oom_kill_allocating_task", "sys/vm/overcommit_memory", "sys/vm/swappiness",
	} {
		b, err := os.ReadFile(filepath.Join("/proc", name))
		if os.IsNotExist(err) {
			continue // this kernel has no such file.
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.file(filepath.Join("proc", name), string(b))
	}
	w.mkdir("proc/self")
	w.process(1, 0)
}

func (w *treeWriter) process(pid, variant int) {
	w.copies(fmt.Sprintf("proc/%d", pid), "process", variant, func(v int) map[string]string {
		pages, comm := 100+v, fmt.Sprintf("worker-%d", v)
		return map[string]string{
			"comm":          comm + "\n",
			"oom_score":     fmt.Sprintf("%d\n", 666+v%300),
			"oom_score_adj": fmt.Sprintf("%d\n", v%1000),
			"statm":         fmt.Sprintf("%d %d 20 10 0 90 0\n", 10*pages, pages),
			"stat":          fmt.Sprintf("%d (%s) S 1 1 1 0 -1 4194560 100 0 0 0 1 1 0 0 20 0 1 0 %d 4096000 %d\n", pid, comm, 1000+v, pages),
			"status": fmt.Sprintf("Name:\t%s\nState:\tS (sleeping)\nTgid:\t%d\nPid:\t%d\nPPid:\t1\nVmRSS:\t%d kB\nRssAnon:\t%d kB\nRssFile:\t80 kB\n"+
				"RssShmem:\t0 kB\nVmPTE:\t40 kB\nVmSwap:\t0 kB\nThreads:\t1\n", comm, pid, pid, 4*pages, 4*(pages-20)),
		}
	})
}

// groups makes a pod and a container for each list of process ids.
func (w *treeWriter) groups(members [][]byte) {
	const root, pods = "sys/fs/cgroup", "sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice"
	w.file(root+"/cgroup.controllers", "cpu memory pids\n")
	w.file(root+"/cgroup.procs", "1\n")
	w.file(root+"/memory.stat", "anon 1073741824\nfile 1073741824\n")
	for _, dir := range []string{filepath.Dir(pods), pods} {
		w.copies(dir, "group", 0, groupFiles)
		w.file(dir+"/cgroup.procs", "")
	}
	for i, pids := range members {
		uid := fmt.Sprintf("%08x_0000_4000_8000_%012x", i, i)
		pod := fmt.Sprintf("%s/kubepods-burstable-pod%s.slice", pods, uid)
		container := fmt.Sprintf("%s/cri-containerd-%064x.scope", pod, i)
		for _, dir := range []string{pod, container} {
			w.copies(dir, "group", i%variants, groupFiles)
		}
		w.file(pod+"/cgroup.procs", "")
		w.file(container+"/cgroup.procs", string(pids))
	}
}

func groupFiles(v int) map[string]string {
	usage := (20 + v) << 20
	stat := []string{
		"anon", strconv.Itoa(usage / 2), "file", strconv.Itoa(usage / 2), "kernel", "1048576", "shmem", "4096",
		"inactive_anon", "0", "active_anon", strconv.Itoa(usage / 2), "inactive_file", strconv.Itoa(usage / 4),
		"active_file", strconv.Itoa(usage / 4), "unevictable", "0", "slab_reclaimable", "524288", "slab_unreclaimable", "262144",
	}
	var text strings.Builder
	for i := 0; i < len(stat); i += 2 {
		fmt.Fprintln(&text, stat[i], stat[i+1])
	}
	const events = "low 0\nhigh 0\nmax 3\noom 0\noom_kill 0\noom_group_kill 0\n"
	return map[string]string{
		"memory.stat": text.String(), "memory.current": fmt.Sprintln(usage), "memory.peak": fmt.Sprintln(usage + usage/8),
		"memory.max": fmt.Sprintln(2 * usage), "memory.high": "max\n", "memory.min": "0\n",
		"memory.swap.current": "0\n", "memory.swap.max": "max\n", "memory.oom.group": "1\n",
		"memory.events": events, "memory.events.local": events,
		"memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500\n",
	}
}
