// SPDX-License-Identifier: Apache-2.0

package oom

import "time"

// Sample is a memory cgroup, or the node, at one moment. Sizes are in bytes,
// whole pages of 4 KiB, and include descendants; what was not read is unset: the
// usage is read more often than the rest. For the node, Limit is the capacity,
// Usage what is not free of it, and Unreclaimable what is not available.
type Sample struct {
	Time                      time.Time
	Usage, Limit              Amount
	Unreclaimable             Amount // what reclaim cannot free: anonymous memory without swap, tmpfs, most kernel memory.
	Anon, Shmem, File, Kernel Amount
	LimitHits                 Amount // memory.events max (v1: failcnt), counted since the cgroup was made.
	StalledMicros, Processes  Amount // PSI full, counted likewise; the number of processes.
}

// Span sums up a longer time: the least and the most seen in it.
type Span struct {
	Start                              time.Time
	Length                             time.Duration
	UsageMin, UsageMax                 Amount
	UnreclaimableMin, UnreclaimableMax Amount
}

// TaskTrack is the resident memory of one process over the last samples.
type TaskTrack struct {
	PID   int32
	Start uint64 // clock ticks since boot.
	Comm  string
	Times []time.Time
	RSS   []uint64 // bytes, one for each time.
}

// Track is the recent past of one memory cgroup, or of the node (empty path).
// Each list is oldest first and may be empty; a finer one ends later and
// reaches back less far. While nothing moves, only the first and the last of the
// equal samples are there. A track that was frozen may have samples from shortly
// after the kill.
type Track struct {
	Cgroup   string
	Workload Workload
	Kind     Kind
	Born     time.Time // when the cgroup was made, at most a second earlier; zero if unknown.
	Fine     []Sample  // up to two minutes, mostly a second or less apart.
	Medium   []Sample  // up to 20 minutes, 15 s apart.
	Coarse   []Span    // up to a day, 5 minutes each.
	Tasks    []TaskTrack
}

// Recording is what the flight recorder kept of the time before a kill. A
// track without samples says that nothing was recorded of that cgroup.
type Recording struct {
	KillID   string // Kill.ID.
	Taken    time.Time
	Victim   Track   // the container in which a process was killed.
	Owner    *Track  // the cgroup whose limit ran out; nil where it is the victim's or the node's.
	Siblings []Track // containers below Owner that grew most, at most three.
	Node     Track
	Gap      time.Duration // from the last sample of Victim before the kill to the kill; negative if there is none.
}

// RecorderHealth is how well the flight recorder does.
type RecorderHealth struct {
	Interval          time.Duration // of cgroups that move; longer than a second where there are very many.
	Cgroups, Fast     int           // recorded; of these sampled every 100 ms.
	Over              int           // cgroups that are left out because there are too many.
	Samples           uint64        // taken, of usage.
	FullSamples       uint64        // taken of all else.
	Recordings        int           // kept.
	RecordingsDropped uint64        // that gave way to newer ones.
	Unsaved           time.Duration // for how long the oldest unsaved recording has waited.
	HasFile           bool          // recordings are saved.
}
