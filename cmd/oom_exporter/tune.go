// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// gcPercent is the value of GOGC if the environment sets none. A scrape allocates
	// about as much as stays alive between scrapes, and the program rests for seconds
	// after it: collecting earlier costs little and lowers the peak.
	gcPercent = 25
	// maxProcs is the highest GOMAXPROCS if the environment sets none. A scrape is the
	// work of one goroutine, while another one reads events; each further processor
	// would only spin and collect garbage.
	maxProcs = 2
)

// runtimeKnobs are those of Go's runtime, or a test's.
type runtimeKnobs struct {
	getenv   func(string) string
	gc       func(int) int
	procs    func(int) int
	memory   func(int64) int64
	ownLimit func() oom.Amount // of this process' cgroup.
}

// tune sets what the environment does not. docs/performance.md has the figures.
func (k runtimeKnobs) tune() {
	if k.getenv("GOMEMLIMIT") == "" {
		// A tenth is left for what Go does not manage.
		if n := k.ownLimit().Or(0); n > 0 && n <= math.MaxInt64 {
			k.memory(int64(n - n/10))
		}
	}
	if k.getenv("GOGC") == "" {
		k.gc(gcPercent)
	}
	if k.getenv("GOMAXPROCS") == "" { // set even if unchanged: else Go follows a cgroup's CPU limit.
		k.procs(min(k.procs(0), maxProcs))
	}
}

func tuneRuntime() {
	runtimeKnobs{os.Getenv, debug.SetGCPercent, runtime.GOMAXPROCS, debug.SetMemoryLimit, ownLimit}.tune()
}

// ownLimit is the memory limit of this process. It ignores the flags, which may name
// the file systems of another host.
func ownLimit() oom.Amount {
	limit, err := cgroup.OwnLimit(cgroup.Options{})
	if err != nil {
		return oom.Amount{} // Go's own default is no limit either.
	}
	return limit
}
