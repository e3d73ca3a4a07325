// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"cmp"
	_ "embed" // the object.
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

//go:embed processes_bpfel.o
var processesObject []byte

// Processes lists all processes that have memory. It is safe for concurrent use.
type Processes struct {
	objects *ebpf.Collection
	iter    *link.Iter
	most    int

	mu  sync.Mutex
	buf []byte
}

// OpenProcesses loads the program. The error is an *UnavailableError.
func OpenProcesses(o Options) (*Processes, error) {
	return withMemory(func() (*Processes, error) { return openProcesses(o) })
}

func openProcesses(o Options) (_ *Processes, err error) {
	p := &Processes{most: o.MaxProcesses, buf: make([]byte, readBytes)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.objects, err = o.Kernel.load(processesObject, func(*ebpf.CollectionSpec, *btf.Spec) error { return nil }); err != nil {
		return nil, err
	}
	if p.iter, err = link.AttachIter(link.IterOptions{Program: p.objects.Programs[programProcesses]}); err != nil {
		return nil, fmt.Errorf("attach the iterator: %w", err)
	}
	return p, nil
}

const (
	programProcesses = "processes"
	// readBytes is what the kernel hands out at most in one read of an iterator.
	readBytes = 32 << 10
)

// Scan returns all processes that have memory, ordered by PID, in the memory of dst, and
// counts those over the bound. They are those of the PID namespace that the program was
// opened in.
func (p *Processes) Scan(dst []oom.Process) ([]oom.Process, oom.Skipped, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pass, err := p.iter.Open()
	if err != nil {
		return dst[:0], oom.Skipped{}, fmt.Errorf("begin a pass over the processes: %w", err)
	}
	defer func() { _ = pass.Close() }()
	unit := uint64(os.Getpagesize())
	dst, sorted := dst[:0], true
	for carried := 0; ; {
		n, err := pass.Read(p.buf[carried:])
		if err != nil && !errors.Is(err, io.EOF) {
			return dst, oom.Skipped{}, fmt.Errorf("read the processes: %w", err)
		}
		if n == 0 {
			break
		}
		rest := p.buf[:carried+n]
		for len(rest) >= processBytes {
			var last oom.Process
			if len(dst) < cap(dst) {
				last = dst[:len(dst)+1][len(dst)]
			}
			row := decodeProcess(rest, unit, last)
			sorted = sorted && (len(dst) == 0 || dst[len(dst)-1].PID < row.PID)
			dst, rest = append(dst, row), rest[processBytes:]
		}
		carried = copy(p.buf, rest)
	}
	if !sorted { // a process whose first thread has gone comes with each of its others.
		slices.SortStableFunc(dst, func(a, b oom.Process) int { return cmp.Compare(a.PID, b.PID) })
		dst = slices.CompactFunc(dst, func(a, b oom.Process) bool { return a.PID == b.PID })
	}
	var skipped oom.Skipped
	if p.most > 0 && len(dst) > p.most {
		skipped.ProcessesOverBound = uint64(len(dst) - p.most)
		dst = dst[:p.most]
	}
	return dst, skipped, nil
}

// Close ends it.
func (p *Processes) Close() error {
	var err error
	if p.iter != nil {
		err = p.iter.Close()
	}
	if p.objects != nil {
		p.objects.Close()
	}
	return err
}
