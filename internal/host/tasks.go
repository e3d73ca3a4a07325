// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Lister lists all processes with their exact sizes in one pass; package bpf has one.
type Lister interface {
	// Scan returns the processes that have memory, ordered by PID, in the memory of dst.
	Scan(dst []oom.Process) ([]oom.Process, oom.Skipped, error)
}

const (
	// checkEvery is how often what a Lister says is compared with /proc.
	checkEvery = time.Hour
	// checked is how many processes are compared.
	checked = 24
	// sizeSlack is by how much sizes may differ: the kernel spreads its counters over the
	// CPUs, and the two are not read at the same moment.
	sizeSlack = 16 << 20
)

// Tasks is a Lister for as long as it can be believed. After the first failure the
// processes are read from /proc for good.
type Tasks struct {
	lister Lister
	proc   Proc
	failed func(error)

	mu   sync.Mutex
	last time.Time // when it was compared with /proc.
	err  error     // why it is not used any more.
}

// NewTasks compares what the lister says with /proc and returns the difference, if there
// is one. failed is called once, should it fail later.
func NewTasks(l Lister, p Proc, now time.Time, failed func(error)) (*Tasks, error) {
	t := &Tasks{lister: l, proc: p, failed: failed, last: now}
	procs, _, err := l.Scan(nil)
	if err == nil {
		err = compare(procs, p, int32(os.Getpid()))
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// scan lists the processes; it is false where /proc has to be read instead.
func (t *Tasks) scan(dst []oom.Process, now time.Time) ([]oom.Process, oom.Skipped, bool) {
	if t == nil {
		return dst, oom.Skipped{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return dst, oom.Skipped{}, false
	}
	procs, skipped, err := t.lister.Scan(dst)
	if err == nil && now.Sub(t.last) >= checkEvery {
		t.last = now
		err = compare(procs, t.proc, int32(os.Getpid()))
	}
	if err != nil {
		t.err = err
		t.failed(err)
		return procs, oom.Skipped{}, false
	}
	return procs, skipped, true
}

// compare returns how a list differs from /proc. Processes end, grow and run other
// programs in between, so that some may differ; this process may not be missing.
func compare(procs []oom.Process, p Proc, self int32) error {
	own := oom.Process{PID: self, Stale: true}
	if err := p.Exact(&own); err != nil {
		return fmt.Errorf("compare with /proc: %w: is it of another host, or of another PID namespace?", err)
	}
	if i, ok := find(procs, self); !ok || procs[i].Start != own.Start {
		return fmt.Errorf("compare with /proc: this process (%d) is not listed: is it in another PID namespace than the host's?", self)
	}
	looked, differ := 0, 0
	var first error
	for i := 0; i < len(procs); i += max(1, len(procs)/checked) {
		seen := oom.Process{PID: procs[i].PID, Stale: true}
		if p.Exact(&seen) != nil {
			continue // it has gone, or is hidden from this user.
		}
		looked++
		if err := difference(&procs[i], &seen); err != nil {
			differ++
			first = errors.Join(first, err)
		}
	}
	if differ > looked/2 {
		return fmt.Errorf("compare with /proc: %d of %d processes differ: %w", differ, looked, first)
	}
	return nil
}

// difference returns in what a listed process differs from what /proc says.
func difference(listed, seen *oom.Process) error {
	switch {
	case listed.Start != seen.Start:
		return fmt.Errorf("process %d: start %d, in /proc %d", seen.PID, listed.Start, seen.Start)
	case listed.Adj != seen.Adj:
		return fmt.Errorf("process %d: oom_score_adj %d, in /proc %d", seen.PID, listed.Adj, seen.Adj)
	case listed.Comm != seen.Comm:
		return fmt.Errorf("process %d: name %q, in /proc %q", seen.PID, listed.Comm, seen.Comm)
	}
	for _, size := range []struct {
		name         string
		listed, seen uint64
	}{
		{"rss", listed.RSS, seen.RSS}, {"swap", listed.Swap, seen.Swap}, {"page tables", listed.PageTables, seen.PageTables},
	} {
		if most := max(size.listed, size.seen); most-min(size.listed, size.seen) > most/4+sizeSlack {
			return fmt.Errorf("process %d: %s %d, in /proc %d", seen.PID, size.name, size.listed, size.seen)
		}
	}
	return nil
}
