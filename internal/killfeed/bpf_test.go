// SPDX-License-Identifier: Apache-2.0

package killfeed

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/bpf"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// fakeTrace tells of what it has, and then ends or waits.
type fakeTrace struct {
	victims []oom.Sighting
	lost    uint64
	ends    error // nil: it waits for the context.
}

func (f fakeTrace) Run(ctx context.Context, seen func(oom.Sighting), lost func(uint64)) error {
	for _, v := range f.victims {
		seen(v)
	}
	if f.lost > 0 {
		lost(f.lost)
	}
	if f.ends != nil {
		return f.ends
	}
	<-ctx.Done()
	return ctx.Err()
}

func victims() []oom.Sighting {
	return []oom.Sighting{
		{By: oom.ByBPF, Path: "/a/b", Victim: oom.Victim{PID: 42, Comm: "hog"}},
		{By: oom.ByBPF, Victim: oom.Victim{PID: 43, Comm: "deep"}},
	}
}

func TestBPFFeedsTheSink(t *testing.T) {
	var s sink
	var reported []string
	f := open(t, Options{
		KmsgMode: Off, BPFMode: Require, Reported: func(path string) { reported = append(reported, path) },
		openBPF: func() (victimTrace, error) { return fakeTrace{victims: victims(), lost: 3}, nil },
	})
	f.Connect(&s)
	if got := f.TraceEventsLost(); got != oom.Of(0) || f.BPFError() != nil {
		t.Errorf("%v lost at first, error %v", got, f.BPFError())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	s.await(t, 3)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if diff := cmp.Diff([]string{"bpf saw 42 hog in /a/b", "bpf saw 43 deep in "}, s.all()[1:]); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/a/b"}, reported); diff != "" {
		t.Errorf("reported (-want +got):\n%s", diff)
	}
	if got := f.TraceEventsLost(); got != oom.Of(3) {
		t.Errorf("%v lost, want 3", got)
	}
	if diff := cmp.Diff([]oom.Source{{Name: "bpf", Up: true}}, f.Sources()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestBPFModes(t *testing.T) {
	refused := &bpf.UnavailableError{Err: errors.New("CAP_BPF missing"), Remedy: "grant it"}
	for _, tt := range []struct {
		mode    Mode
		sources []oom.Source
		fails   bool
		opened  int
	}{
		{mode: Off},
		{mode: ""},
		{mode: Auto, sources: []oom.Source{{Name: "bpf"}}, opened: 1},
		{mode: Require, fails: true, opened: 1},
	} {
		var said bytes.Buffer
		opened := 0
		f, err := New(Options{
			KmsgMode: Off, BPFMode: tt.mode, Logger: log.NewLogfmtLogger(&said),
			openBPF: func() (victimTrace, error) { opened++; return nil, refused },
		})
		if opened != tt.opened {
			t.Errorf("%q: opened %d times, want %d", tt.mode, opened, tt.opened)
		}
		if tt.fails {
			if !errors.Is(err, refused) || !strings.Contains(err.Error(), "grant it") {
				t.Errorf("%q: error %v", tt.mode, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.mode, err)
			continue
		}
		if diff := cmp.Diff(tt.sources, f.Sources()); diff != "" {
			t.Errorf("%q: sources (-want +got):\n%s", tt.mode, diff)
		}
		if f.BPFError() == nil || f.TraceEventsLost().IsSet() {
			t.Errorf("%q: error %v, %v lost", tt.mode, f.BPFError(), f.TraceEventsLost())
		}
		lines := strings.Count(said.String(), "\n")
		if want := tt.opened; lines != want || want == 1 && !strings.Contains(said.String(), "grant it") {
			t.Errorf("%q: it says %q", tt.mode, said.String())
		}
	}
}

// Where the trace ends by itself, that is told once, and the other sources go on.
func TestBPFEnds(t *testing.T) {
	var s sink
	var said bytes.Buffer
	broken := errors.New("broken")
	f := open(t, Options{
		KmsgMode: Off, BPFMode: Auto, Logger: log.NewLogfmtLogger(&said),
		openBPF: func() (victimTrace, error) { return fakeTrace{victims: victims(), ends: broken}, nil },
	})
	f.Connect(&s)
	if err := f.Run(t.Context()); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if diff := cmp.Diff([]oom.Source{{Name: "bpf"}}, f.Sources()); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if !errors.Is(f.BPFError(), broken) || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("error %v; it says %q", f.BPFError(), said.String())
	}
}
