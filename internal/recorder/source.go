// SPDX-License-Identifier: Apache-2.0

package recorder

import "github.com/oom-exporter/oom_exporter/internal/oom"

// Source reads memory cgroups. Package cgroup has one that reads their files; one
// that reads all of them in the kernel can take its place. It is asked by one
// goroutine only.
type Source interface {
	// Find returns which cgroups are gone and which are new, parents first. The
	// handle of one that is gone may be reused for another. What it returns is
	// valid until the next call.
	// isQuiet tells of a cgroup whether nothing has been charged to it for a
	// while: there it is enough to look now and then.
	Find(isQuiet func(oom.CgroupHandle) bool) (gone []oom.CgroupHandle, found []oom.FoundCgroup, err error)
	// Usages reads the usage of each cgroup into dst, which is as long; unset
	// where it can't be read.
	Usages(cgroups []oom.CgroupHandle, dst []oom.Amount)
	// Sample reads all of a sample except its time and processes. It returns
	// false where the cgroup can't be read.
	Sample(cgroup oom.CgroupHandle, out *oom.Sample) bool
	// Limit reads the limit alone.
	Limit(cgroup oom.CgroupHandle) oom.Amount
	// PIDs appends the processes in a cgroup and in those below it, but stops
	// when there are more than most.
	PIDs(dst []int32, cgroup oom.CgroupHandle, most int) []int32
	// Cost returns what reading the usage of every cgroup once costs, in readings
	// by a descriptor that is kept open.
	Cost() int
	// Over returns how many cgroups are left out because there are too many.
	Over() int
}

// Processes reads single processes; package proc has one.
type Processes interface {
	// Resident returns the resident memory of a process in bytes.
	Resident(pid int32) (uint64, error)
	// Exact fills in name and start, among others.
	Exact(p *oom.Process) error
}

// Store keeps files over restarts, by name.
type Store interface {
	// Load returns the content of a file. The error is fs.ErrNotExist where
	// there is none.
	Load(name string) ([]byte, error)
	// Save replaces a file in one step.
	Save(name string, content []byte) error
	// SetAside renames a file that is of no use, and returns its new name.
	SetAside(name string) (string, error)
}
