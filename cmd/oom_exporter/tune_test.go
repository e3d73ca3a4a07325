// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

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
			gc: func(n int) int { gc = n; return 100 },
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
