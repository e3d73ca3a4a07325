// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// nodeReader holds what Node uses again.
type nodeReader struct {
	mu  sync.Mutex
	buf []byte
}

// Node reads the machine's numbers. What the kernel does not have, or does not
// let us read, stays unset; only a missing meminfo is an error.
func (f *FS) Node() (oom.Node, error) {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	defer runtime.KeepAlive(f.root)

	n := oom.Node{PageSize: f.pageSize}
	content, err := f.node.readFile(f.dir, "meminfo")
	if err != nil {
		return n, fmt.Errorf("read %s/meminfo: %w", f.path, err)
	}
	parseMeminfo(content, &n)
	n.Zones = parseZoneinfo(f.node.content(f.dir, "zoneinfo"), f.pageSize)
	n.Pressure = parsePressure(f.node.content(f.dir, "pressure/memory"))
	n.Release = oom.ParseRelease(string(bytes.TrimSpace(f.node.content(f.dir, "sys/kernel/osrelease"))))
	n.BootID = parseBootID(f.node.content(f.dir, "sys/kernel/random/boot_id"))
	n.PanicOnOOM = parseAmount(f.node.content(f.dir, "sys/vm/panic_on_oom"))
	n.KillAllocatingTask = parseAmount(f.node.content(f.dir, "sys/vm/oom_kill_allocating_task"))
	n.Overcommit = parseAmount(f.node.content(f.dir, "sys/vm/overcommit_memory"))
	n.Swappiness = parseAmount(f.node.content(f.dir, "sys/vm/swappiness"))
	btime, cpus := parseKernelStat(f.node.content(f.dir, "stat"))
	n.CPUs = cpus
	if seconds, ok := btime.Get(); ok && seconds < 1<<40 {
		n.BootTime = time.Unix(int64(seconds), 0)
	}
	n.OOMKills, _ = f.OOMKills() // it says so itself when it is asked alone.
	return n, nil
}

// readFile reads one file of the tree; the contents are valid until the next.
func (r *nodeReader) readFile(dir int, name string) (content []byte, err error) {
	content, r.buf, err = readAll(dir, append([]byte(name), 0), r.buf)
	return content, err
}

// content is readFile for what may be missing: then it is empty.
func (r *nodeReader) content(dir int, name string) []byte {
	content, err := r.readFile(dir, name)
	if err != nil {
		return nil
	}
	return content
}
