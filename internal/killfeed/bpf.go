// SPDX-License-Identifier: Apache-2.0

package killfeed

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/bpf"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// withoutBPF says what to expect where BPF can't be used.
const withoutBPF = "kills in short-lived containers may stay without a name"

var errBPFOff = errors.New("BPF is switched off")

// victimTrace reports the processes that the OOM killer kills.
type victimTrace interface {
	Run(ctx context.Context, seen func(oom.Sighting), lost func(uint64)) error
}

// addBPF opens the trace of victims by BPF. It is opened once and stays open,
// because the rights to do so are given up afterwards.
func (f *Feed) addBPF() error {
	if f.o.BPFMode == Off || f.o.BPFMode == "" {
		f.bpfErr = errBPFOff
		return nil
	}
	trace, err := f.o.openBPF()
	switch {
	case err == nil:
		f.traceStarted(oom.ByBPF)
		f.tasks = append(f.tasks, func(ctx context.Context) error { return f.traceBPF(ctx, trace) })
		return nil
	case f.o.BPFMode == Require:
		return fmt.Errorf("BPF is required and can't be used: %w", err)
	}
	f.setBPF(err)
	remedy, err := bpf.Remedy(err)
	_ = level.Warn(f.o.Logger).Log("msg", "BPF can't be used: "+withoutBPF, "err", onOneLine(err), "remedy", OrSilence(remedy))
	return nil
}

// OrSilence adds to what can be done about BPF that is missing how to do without it.
func OrSilence(remedy string) string {
	const silence = "--source.bpf=off silences this"
	if remedy == "" {
		return silence
	}
	return remedy + "; " + silence
}

// traceBPF tells the sink of victims until the context ends. If the trace ends before
// that, the other sources go on.
func (f *Feed) traceBPF(ctx context.Context, trace victimTrace) error {
	err := trace.Run(ctx, func(s oom.Sighting) {
		if s.Path != "" && f.o.Reported != nil {
			f.o.Reported(s.Path)
		}
		f.sink.Witness(s)
	}, f.traceLoss())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.setBPF(err)
	_ = level.Error(f.o.Logger).Log("msg", "the trace of victims by BPF has ended: "+withoutBPF, "err", err, "remedy", "restart the exporter, and report this")
	return nil
}

// setBPF notes why BPF is not used any more.
func (f *Feed) setBPF(err error) {
	f.setSource(oom.ByBPF, false)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bpfErr = err
}

// BPFError returns why the trace of victims by BPF is not in use; nil where it is.
func (f *Feed) BPFError() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bpfErr
}
