// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

const (
	// gcPercent is what GOGC is while nobody says otherwise. A scrape allocates
	// about as much as stays alive between scrapes, and rests for seconds after it:
	// collecting earlier costs little and lowers the peak.
	gcPercent = 25
	// maxProcs is likewise GOMAXPROCS at most. A scrape is the work of one
	// goroutine, beside which events are read; each further processor only spins,
	// and collects garbage, beside them.
	maxProcs = 2
)

// runtimeKnobs are those of Go's runtime, or a test's.
type runtimeKnobs struct {
	getenv func(string) string
	gc     func(int) int
	procs  func(int) int
}

// tune sets what the environment does not. GOMEMLIMIT is the runtime's own
// matter. docs/performance.md has the figures.
func (k runtimeKnobs) tune() {
	if k.getenv("GOGC") == "" {
		k.gc(gcPercent)
	}
	if k.getenv("GOMAXPROCS") == "" { // set though it be as it was: else Go follows a cgroup's CPU limit.
		k.procs(min(k.procs(0), maxProcs))
	}
}

func tuneRuntime() { runtimeKnobs{os.Getenv, debug.SetGCPercent, runtime.GOMAXPROCS}.tune() }
