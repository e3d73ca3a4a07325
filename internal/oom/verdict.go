// SPDX-License-Identifier: Apache-2.0

package oom

import "time"

// Cause is why a kill came about, in one word of a bounded set.
type Cause string

// The causes.
const (
	CauseStartup      Cause = "startup"       // killed within its first minute, rising from nothing.
	CauseLeak         Cause = "leak"          // what cannot be freed rose steadily for most of its life.
	CauseBurst        Cause = "burst"         // from a steady level over the limit within a minute.
	CauseSteady       Cause = "steady"        // the ordinary working set does not fit.
	CauseLimitLowered Cause = "limit_lowered" // the limit was lowered under what was in use.
	CauseSibling      Cause = "sibling"       // the growth was another container's, below the same limit.
	CauseNode         Cause = "node"          // the node ran out.
	CauseProcesses    Cause = "processes"     // their number grew, not their size.
	CauseRestartDebt  Cause = "restart_debt"  // what an earlier instance left behind was there at the start.
	CauseUnknown      Cause = "unknown"       // too few samples, or they contradict each other.
)

// Known tells whether it is one of the causes.
func (c Cause) Known() bool {
	switch c {
	case CauseStartup, CauseLeak, CauseBurst, CauseSteady, CauseLimitLowered, CauseSibling, CauseNode, CauseProcesses, CauseRestartDebt, CauseUnknown:
		return true
	default:
		return false
	}
}

// Memory is the kind of memory that grew: anon, shmem, kernel, file, hugetlb
// or mixed; empty if unknown.
type Memory string

// The kinds of memory.
const (
	MemoryAnon    Memory = "anon"
	MemoryShmem   Memory = "shmem"
	MemoryKernel  Memory = "kernel"
	MemoryFile    Memory = "file"
	MemoryHugetlb Memory = "hugetlb"
	MemoryMixed   Memory = "mixed"
)

// Known tells whether it is empty or one of the kinds.
func (m Memory) Known() bool {
	switch m {
	case "", MemoryAnon, MemoryShmem, MemoryKernel, MemoryFile, MemoryHugetlb, MemoryMixed:
		return true
	default:
		return false
	}
}

// TaskGrowth is by how much one process grew before a kill, in bytes.
type TaskGrowth struct {
	PID      int32
	Comm     string
	From, To uint64
}

// Verdict says why a kill came about, as far as the recording shows it.
type Verdict struct {
	Cause    Cause
	Grew     Memory
	Sure     bool   // high confidence; else low.
	Sentence string // what was seen, in numbers; for CauseUnknown why it is not known.
	Tasks    []TaskGrowth
	Siblings []SiblingGrowth
	Advice   string // what would have helped, in a sentence; empty if not known.
	// AdvisedLimit is the limit that would have been enough; AtLeast says that
	// the true need was cut off by the limit.
	AdvisedLimit Amount
	AtLeast      bool
}

// SiblingGrowth is by how much a container grew before a kill below a limit
// that both share, in bytes.
type SiblingGrowth struct {
	Workload Workload
	From, To uint64
}

// SeriesPoint is one moment of what a recording shows of the cgroup whose limit
// ran out.
type SeriesPoint struct {
	Seconds                     float64 // relative to the kill: negative before it.
	Usage, Unreclaimable, Limit Amount
}

// Leak is a container that leaks, judging by what was recorded of it so far, and
// how soon it will reach its own limit.
type Leak struct {
	Workload Workload
	In       time.Duration
}

// Advice is what one container's limit should be.
type Advice struct {
	Workload Workload
	Limit    Amount  // what it is.
	Peak     Amount  // the most that was seen that cannot be freed.
	Advised  Amount  // what it should be; unset where no limit helps, or it is right.
	AtLeast  bool    // the true need was cut off by the limit.
	Hours    float64 // for how long it was seen.
	Kills    uint64
	Cause    Cause // of the last kill; empty without one.
	Sure     bool
	Text     string
}
