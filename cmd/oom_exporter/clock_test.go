// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/page"
)

func TestJudgeClock(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		state clockState
		err   error
		want  page.State
		says  string
	}{
		"kept in step":       {clockState{true, 12 * time.Millisecond}, nil, page.StateOK, "2026-11-24T10:00:00Z; synchronized, off by 12ms at most"},
		"just good enough":   {clockState{true, time.Second}, nil, page.StateOK, "off by 1s at most"},
		"corrected long ago": {clockState{true, 1500 * time.Millisecond}, nil, page.StateOptional, "off by up to 1.5s"},
		"never corrected":    {clockState{false, 16 * time.Second}, nil, page.StateOptional, "not synchronized: times of kills may be wrong"},
		"refused":            {clockState{}, errors.New("operation not permitted"), page.StateOK, "not known: operation not permitted"},
	} {
		f := judgeClock(now, c.state, c.err)
		if f.State != c.want || !strings.Contains(f.Detail, c.says) || f.Source != "clock" {
			t.Errorf("%s: %v %q, want %v with %q", name, f.State, f.Detail, c.want, c.says)
		}
		if (f.Remedy != "") != (f.State == page.StateOptional) {
			t.Errorf("%s: remedy %q for %v", name, f.Remedy, f.State)
		}
	}
}

// TestClockOfThisMachine: the clock is this machine's, and not that of one whose
// files were saved.
func TestClockOfThisMachine(t *testing.T) {
	if _, err := os.Stat(filepath.Join("/proc", bootID)); err != nil {
		t.Skip("no Linux here")
	}
	if list := (&config{procfs: "/proc"}).examineClock(); len(list) != 1 || list[0].Detail == "" {
		t.Errorf("here: %v", list)
	}
	saved := t.TempDir()
	if list := (&config{procfs: saved}).examineClock(); len(list) != 0 {
		t.Errorf("a tree without a boot: %v", list)
	}
	if err := os.MkdirAll(filepath.Join(saved, filepath.Dir(bootID)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(saved, bootID), []byte("0b5f1a5e-0000-4000-8000-000000000000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if list := (&config{procfs: saved}).examineClock(); len(list) != 0 {
		t.Errorf("another machine: %v", list)
	}
}
