// SPDX-License-Identifier: Apache-2.0

package oom

import "time"

// Node is the machine at one moment. Sizes are in bytes.
type Node struct {
	Release  Release
	PageSize uint64
	CPUs     int
	BootID   string
	BootTime time.Time // zero: unknown.

	Total, Free, Available     Amount // MemTotal, MemFree, MemAvailable.
	SwapTotal, SwapFree        Amount
	ActiveFile, InactiveFile   Amount
	KReclaimable, SReclaimable Amount
	Hugepages                  Amount // the pools of all sizes, used or not.

	OOMKills                                   Amount // /proc/vmstat oom_kill, absent before 4.13.
	PanicOnOOM, KillAllocatingTask, Overcommit Amount
	Swappiness                                 Amount
	Zones                                      []Zone
}

// Zone is one zone of /proc/zoneinfo. Sizes are in bytes.
type Zone struct {
	NUMANode                 int
	Name                     string
	Free, Min, Present       uint64
	Managed                  Amount // pages that the allocator has; not yet those of memory that comes online late.
	Protection               uint64 // the last entry of the protection list.
	ActiveFile, InactiveFile uint64
	SlabReclaimable          uint64 // of the NUMA node; only on the node's first zone, 0 on the others.
}

// Release is a kernel release such as 5.10.0-32-cloud-amd64.
type Release struct {
	Major, Minor, Patch int
	Text                string
}

// AtLeast tells whether the release is major.minor or later. It knows nothing
// of a distribution's backports.
func (r Release) AtLeast(major, minor int) bool {
	return r.Major > major || r.Major == major && r.Minor >= minor
}

// ParseRelease reads the leading numbers of a release text; what is not there
// is 0, so that an odd text reads as a very old kernel.
func ParseRelease(text string) Release {
	r := Release{Text: text}
	fields := [3]*int{&r.Major, &r.Minor, &r.Patch}
	i := 0
	for _, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9' && *fields[i] < 1<<20:
			*fields[i] = *fields[i]*10 + int(c-'0')
		case c == '.' && i < 2:
			i++
		default:
			return r
		}
	}
	return r
}

// Process is one process at one moment. Sizes are in bytes.
type Process struct {
	PID   int32
	Group int32 // index in Tree.Groups, -1 if unknown.
	Adj   int16 // /proc/PID/oom_score_adj.
	// Exact says that RSS, Swap, PageTables and Anon come from
	// /proc/PID/status and Comm and Start are set; else RSS and Anon are
	// statm's.
	Exact bool
	Init  bool   // pid 1 of the init pid namespace: never killed.
	Score Amount // /proc/PID/oom_score.
	// Stale says that the last scan did not read all of the process: RSS and Anon are
	// 0 or from an earlier scan, Adj and, if the usage of its cgroup is unchanged,
	// Score may be from an earlier scan.
	Stale      bool
	RSS        uint64
	Swap       uint64
	PageTables uint64
	Anon       uint64
	Start      uint64 // clock ticks since boot: with PID the identity of a process.
	Comm       string
}
