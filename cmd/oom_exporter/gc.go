// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is what GOGC is while nobody says otherwise. A scrape allocates
// about as much as stays alive between scrapes, and rests for seconds after it:
// collecting earlier costs little and lowers the peak.
// docs/performance.md has the figures.
const gcPercent = 25

// tuneGC sets the collector unless the environment does. GOMEMLIMIT is the
// runtime's own matter.
func tuneGC(getenv func(string) string, set func(int) int) {
	if getenv("GOGC") == "" {
		set(gcPercent)
	}
}

func tuneThisGC() { tuneGC(os.Getenv, debug.SetGCPercent) }
