// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// quickReader holds what Resident and NodeMemory reuse between calls.
type quickReader struct {
	mu   sync.Mutex
	path []byte
	buf  []byte
}

// Resident returns the resident memory of one process in bytes, from statm alone.
// It is cheap enough to be called every second for a few processes, and does not
// wait for a scan. The error wraps fs.ErrNotExist or unix.ESRCH if the process is gone.
func (f *FS) Resident(pid int32) (uint64, error) {
	q := &f.quick
	q.mu.Lock()
	defer q.mu.Unlock()
	defer runtime.KeepAlive(f.root)
	q.path = append(strconv.AppendInt(q.path[:0], int64(pid), 10), "/statm\x00"...)
	if q.buf == nil {
		q.buf = make([]byte, 8<<10)
	}
	content, err := readSmall(f.dir, q.path, q.buf)
	if err != nil {
		return 0, fmt.Errorf("read process %d in %s: %w", pid, f.path, err)
	}
	m, ok := parseStatm(content)
	rss, fits := times(m.resident, f.pageSize)
	if !ok || !fits {
		return 0, fmt.Errorf("read process %d in %s: %w", pid, f.path, errDamaged)
	}
	return rss, nil
}

// NodeMemory reads a sample of the node. It is much cheaper than Node and may be
// called every second.
func (f *FS) NodeMemory(out *oom.Sample) error {
	q := &f.quick
	q.mu.Lock()
	defer q.mu.Unlock()
	defer runtime.KeepAlive(f.root)
	var err error
	var content []byte
	if content, q.buf, err = readAll(f.dir, []byte("meminfo\x00"), q.buf); err != nil {
		return fmt.Errorf("read %s/meminfo: %w", f.path, err)
	}
	*out = oom.Sample{}
	parseNodeSample(content, out)
	if pressure, err := f.lib.PSIStatsForResource("memory"); err == nil && pressure.Full != nil {
		out.StalledMicros = oom.Of(pressure.Full.Total)
	}
	return nil
}
