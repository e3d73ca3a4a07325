// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestTuneGC(t *testing.T) {
	for text, want := range map[string]int{"": gcPercent, "100": 0, "off": 0} {
		got := 0
		tuneGC(func(string) string { return text }, func(n int) int { got = n; return 100 })
		if got != want {
			t.Errorf("GOGC=%q: set to %d, want %d (0: left alone)", text, got, want)
		}
	}
}
