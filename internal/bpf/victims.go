// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"context"
	_ "embed" // the object.
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

//go:embed victims_bpfel.o
var victimsObject []byte

// tracepoints by the program that is attached to them.
var tracepoints = map[string]string{programTask: "mark_victim", programPID: "mark_victim", programSignal: "signal_generate"}

// Victims tells of the processes that the OOM killer takes.
type Victims struct {
	objects *ebpf.Collection
	links   []link.Link
	ring    *ringbuf.Reader
	lost    uint64 // how many lost victims were reported.
}

// OpenVictims loads the programs and attaches them. From then on no privilege is
// needed any more. The error is an *UnavailableError.
func OpenVictims(o Options) (*Victims, error) {
	return withMemory(func() (*Victims, error) { return openVictims(o) })
}

func openVictims(o Options) (_ *Victims, err error) {
	v := &Victims{}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	var programs []string
	choose := func(spec *ebpf.CollectionSpec, types *btf.Spec) (err error) {
		programs, err = choosePrograms(spec, types)
		if o.RingBytes != 0 {
			spec.Maps["events"].MaxEntries = o.RingBytes
		}
		return err
	}
	if v.objects, err = o.Kernel.load(victimsObject, choose); err != nil {
		return nil, err
	}
	if v.ring, err = ringbuf.NewReader(v.objects.Maps["events"]); err != nil {
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	for _, name := range programs {
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: tracepoints[name], Program: v.objects.Programs[name]})
		if err != nil {
			return nil, fmt.Errorf("attach to %s: %w", tracepoints[name], err)
		}
		v.links = append(v.links, l)
	}
	return v, nil
}

// choosePrograms leaves the programs that fit this kernel, and returns their names.
func choosePrograms(spec *ebpf.CollectionSpec, types *btf.Spec) ([]string, error) {
	var tracepoint *btf.Typedef
	if err := types.TypeByName("btf_trace_mark_victim", &tracepoint); err != nil {
		return nil, fmt.Errorf("find the tracepoint mark_victim: %w", err)
	}
	programs, err := programsFor(tracepoint)
	if err != nil {
		return nil, err
	}
	for name := range spec.Programs {
		if !slices.Contains(programs, name) {
			delete(spec.Programs, name)
		}
	}
	if !slices.Contains(programs, programSignal) {
		delete(spec.Maps, "killed")
	}
	return programs, nil
}

// Run calls seen for each victim, and lost with the number of victims that the
// ring had no room for, until ctx is done. It then returns ctx's error.
func (v *Victims) Run(ctx context.Context, seen func(oom.Sighting), lost func(uint64)) error {
	defer func() { _ = v.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = v.ring.Close() })
	defer stop()
	var record ringbuf.Record
	for {
		if err := v.ring.ReadInto(&record); err != nil {
			return errors.Join(ctx.Err(), err)
		}
		boot, err := sinceBoot()
		if err != nil {
			return err
		}
		s, err := clock{now: time.Now(), boot: boot, pageSize: uint64(os.Getpagesize())}.decode(record.RawSample)
		if err != nil {
			return err
		}
		seen(s)
		// Victims are lost only while the ring is full, so there is a record to read
		// after each loss.
		if n := v.lostSince(); n > 0 {
			lost(n)
		}
	}
}

// lostSince returns how many victims were lost since it was called last.
func (v *Victims) lostSince() uint64 {
	var all uint64
	if err := v.objects.Variables["lost"].Get(&all); err != nil {
		return 0
	}
	n := all - v.lost
	v.lost = all
	return n
}

// Close detaches and unloads the programs. It may be called more than once.
func (v *Victims) Close() error {
	var errs []error
	for _, l := range v.links {
		errs = append(errs, l.Close())
	}
	v.links = nil
	if v.ring != nil {
		errs = append(errs, v.ring.Close())
	}
	if v.objects != nil {
		v.objects.Close()
	}
	return errors.Join(errs...)
}

func sinceBoot() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(t.Nano()), nil
}
