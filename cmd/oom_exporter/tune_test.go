// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestTune(t *testing.T) {
	for _, c := range []struct {
		gogc, gomaxprocs string
		procs            int
		wantGC, want     int // 0: left alone.
	}{
		{"", "", 64, gcPercent, maxProcs},
		{"", "", 2, gcPercent, 2},
		{"", "", 1, gcPercent, 1},
		{"100", "16", 64, 0, 0},
		{"off", "", 8, 0, maxProcs},
	} {
		gc, procs := 0, 0
		runtimeKnobs{
			getenv: func(name string) string {
				return map[string]string{"GOGC": c.gogc, "GOMAXPROCS": c.gomaxprocs}[name]
			},
			ownLimit: func() oom.Amount { return oom.Amount{} },
			gc:       func(n int) int { gc = n; return 100 },
			procs: func(n int) int {
				if n > 0 {
					procs = n
				}
				return c.procs
			},
		}.tune()
		if gc != c.wantGC || procs != c.want {
			t.Errorf("GOGC=%q GOMAXPROCS=%q with %d processors: set to %d and %d, want %d and %d (0: left alone)",
				c.gogc, c.gomaxprocs, c.procs, gc, procs, c.wantGC, c.want)
		}
	}
}

func TestTuneMemory(t *testing.T) {
	for _, c := range []struct {
		gomemlimit string
		limit      oom.Amount
		want       int64 // 0: left alone.
	}{
		{"", oom.Of(100 << 20), 90 << 20},
		{"", oom.Amount{}, 0},
		{"", oom.Of(math.MaxUint64), 0},
		{"40MiB", oom.Of(100 << 20), 0},
	} {
		var got int64
		runtimeKnobs{
			getenv: func(name string) string {
				return map[string]string{"GOMEMLIMIT": c.gomemlimit}[name]
			},
			gc:       func(int) int { return 100 },
			procs:    func(int) int { return 1 },
			memory:   func(n int64) int64 { got = n; return 0 },
			ownLimit: func() oom.Amount { return c.limit },
		}.tune()
		if got != c.want {
			t.Errorf("GOMEMLIMIT=%q below a limit of %v: set to %d, want %d (0: left alone)", c.gomemlimit, c.limit, got, c.want)
		}
	}
}
