// SPDX-License-Identifier: Apache-2.0

// Package cgroup finds the cgroup hierarchy that carries the memory controller
// and reads it into oom.Tree. What differs between cgroup v1, v2 and their
// hybrid ends here: both versions give the same fields with the same meaning,
// and what a kernel does not have stays unset.
//
// The kernel documents the files in Documentation/admin-guide/cgroup-v2.rst and
// Documentation/admin-guide/cgroup-v1/memory.rst.
package cgroup

import (
	"errors"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Parts names the optional files of a cgroup; each costs an open, a read and a
// close per cgroup. Usage, limits, memory.stat and the counters are always read.
type Parts uint32

// The optional parts of a Read.
const (
	// PartPeak is memory.peak, on v1 memory.max_usage_in_bytes.
	PartPeak Parts = 1 << iota
	// PartSwap is memory.swap.current and .max, on v1 memory.memsw.*.
	PartSwap
	// PartPressure is memory.pressure (v2).
	PartPressure
	// PartProcs is cgroup.procs.
	PartProcs
	// PartProtection is what margins and victims depend on besides the limits:
	// memory.min, memory.oom.group, on v1 memory.swappiness, and the group's
	// cpuset.mems.
	PartProtection
	// PartStartTime takes Group.StartTime from the directory's times. The kernel
	// sets them when it first looks the directory up and forgets them under
	// memory pressure, so the time is an upper bound.
	PartStartTime

	// PartsAll is all of them.
	PartsAll = PartPeak | PartSwap | PartPressure | PartProcs | PartProtection | PartStartTime
)

// DefaultMaxGroups bounds a pass when Options does not.
const DefaultMaxGroups = 10000

// maxDepth bounds the depth of a pass, since each level keeps up to two
// descriptors open while its children are read. Deeper groups are left out and
// counted as too deep.
const maxDepth = 128

// Options says where the kernel's files are and what is wanted of them. The
// zero value is the running host with no optional part.
type Options struct {
	Sysfs     string // default /sys.
	Procfs    string // default /proc.
	MaxGroups int    // most groups that a pass reads; default DefaultMaxGroups.
	// IsWorkload, if set, tells whether everything below a path belongs to one
	// workload. Where there are more groups than MaxGroups, those inside workloads
	// are chosen last.
	IsWorkload func(path string) bool
	Parts      Parts
	// Refresh is the number of passes within which every file of a cgroup is read
	// at least once. In the other passes, files that rarely change (memory.high,
	// memory.min, swap limits, swappiness, memory.oom.group) keep their last value,
	// and so do memory.stat, the peak and cgroup.procs of a cgroup whose usage is
	// unchanged (Group.Unchanged). A cgroup whose limit changed is read in full
	// immediately. 0 and 1 read everything in each pass.
	Refresh int
	// KeepOpen is the maximum number of cgroups kept open between passes, with three
	// descriptors and about 10 KiB of kernel memory each; reading an open one takes
	// half as long. 0 keeps none open. They have half of the descriptors at most.
	KeepOpen int
}

func (o Options) withDefaults() Options {
	if o.Sysfs == "" {
		o.Sysfs = "/sys"
	}
	if o.Procfs == "" {
		o.Procfs = "/proc"
	}
	if o.MaxGroups <= 0 {
		o.MaxGroups = DefaultMaxGroups
	}
	return o
}

// Numbers lists the numbers of all cgroups of a hierarchy at once; package bpf has one.
type Numbers interface {
	Read(dst []oom.CgroupNumbers) ([]oom.CgroupNumbers, error)
}

// WatchOptions tunes Watch; the zero value is ready to use.
type WatchOptions struct {
	// MinInterval is the least time between two wakes; default 100 ms.
	MinInterval time.Duration
	// Useful, if set, tells whether the last wake led to anything. As long as it did
	// not, the time to the next wake doubles, up to MaxInterval, default 1 s: a group
	// that thrashes at its limit raises events all the time.
	Useful      func() bool
	MaxInterval time.Duration
	// OnError is called, from any goroutine, when a new group cannot be watched, most
	// often because of fs.inotify.max_user_watches. It may be nil and must not call
	// the Hierarchy.
	OnError func(error)
}

func (o WatchOptions) withDefaults() WatchOptions {
	if o.MinInterval <= 0 {
		o.MinInterval = 100 * time.Millisecond
	}
	if o.Useful == nil {
		o.Useful = func() bool { return true }
	}
	if o.MaxInterval <= 0 {
		o.MaxInterval = max(time.Second, o.MinInterval)
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return o
}

// ErrNoHierarchy is wrapped by Find when no memory hierarchy was found.
var ErrNoHierarchy = errors.New("no memory cgroup hierarchy found")
