// SPDX-License-Identifier: Apache-2.0

package oom

// CgroupNumbers are the numbers of one memory cgroup's files, all of the same moment, as a
// program in the kernel finds them. What this kernel does not have is unset.
type CgroupNumbers struct {
	Inode, Parent uint64 // Parent is 0 for the root of the hierarchy.
	Children      uint64 // cgroups right below it, with the memory controller or without.

	Usage, Limit, High, Min, Peak, LimitHits Amount

	SwapUsage, SwapLimit   Amount // cgroup v2.
	MemswUsage, MemswLimit Amount // cgroup v1.
	Kernel, Swappiness     Amount // cgroup v1.
	KillDisabled, UnderOOM Amount // cgroup v1.
	OOMGroup               Amount // cgroup v2: 0 or 1.

	// Pressure is up to two seconds old while tasks wait for memory.
	Pressure Pressure // cgroup v2.

	// As in memory.events and memory.events.local, with the kills in OwnKills; on cgroup
	// v1 both are of the cgroup alone.
	Events, LocalEvents Events
}
