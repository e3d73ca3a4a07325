// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// nodeReader holds what Node reuses between calls.
type nodeReader struct {
	mu    sync.Mutex
	buf   []byte
	reads uint64
	cpus  int
	boot  time.Time
}

// statReads is the number of calls of Node that share one reading of /proc/stat: the
// kernel sums up all interrupts for it, and neither the number of CPUs nor the boot
// time changes often.
const statReads = 64

// Node reads the machine's numbers. What the kernel does not have, or does not
// let us read, stays unset; only a missing meminfo is an error.
func (f *FS) Node() (oom.Node, error) {
	r := &f.node
	r.mu.Lock()
	defer r.mu.Unlock()
	defer runtime.KeepAlive(f.root)

	n := oom.Node{
		PageSize: f.pageSize, Release: f.release, BootID: f.bootID,
		PanicOnOOM:         f.sysctl("vm.panic_on_oom"),
		KillAllocatingTask: f.sysctl("vm.oom_kill_allocating_task"),
		Overcommit:         f.sysctl("vm.overcommit_memory"),
		Swappiness:         f.sysctl("vm.swappiness"),
	}
	content, err := r.readFile(f.dir, "meminfo")
	if err != nil {
		return oom.Node{}, fmt.Errorf("read %s/meminfo: %w", f.path, err)
	}
	parseMeminfo(content, &n)
	if content, err := r.readFile(f.dir, "zoneinfo"); err == nil {
		n.Zones = parseZoneinfo(content, f.pageSize)
	}
	if r.reads%statReads == 0 {
		if stat, err := f.lib.Stat(); err == nil {
			r.cpus = len(stat.CPU)
			if stat.BootTime > 0 && stat.BootTime < 1<<40 {
				r.boot = time.Unix(int64(stat.BootTime), 0)
			}
		}
	}
	r.reads++
	n.CPUs, n.BootTime = r.cpus, r.boot
	n.OOMKills, _ = f.OOMKills() // who calls OOMKills itself gets the error.
	return n, nil
}

// readFile reads one file of the tree; the contents are valid until the next call.
func (r *nodeReader) readFile(dir int, name string) (content []byte, err error) {
	content, r.buf, err = readAll(dir, append([]byte(name), 0), r.buf)
	return content, err
}

// sysctl returns a sysctl that is one number, unset where the kernel does not
// have it.
func (f *FS) sysctl(name string) oom.Amount {
	n, err := f.lib.SysctlInts(name)
	if err != nil || len(n) != 1 || n[0] < 0 {
		return oom.Amount{}
	}
	return oom.Of(uint64(n[0]))
}

// sysctlText returns a sysctl that is one word, empty where there is none.
func (f *FS) sysctlText(name string) string {
	words, err := f.lib.SysctlStrings(name)
	if err != nil || len(words) != 1 {
		return ""
	}
	return words[0]
}
