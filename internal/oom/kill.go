// SPDX-License-Identifier: Apache-2.0

package oom

import "time"

// Constraint is the kernel's word for the scope of an OOM, without its
// CONSTRAINT_ prefix: NONE, CPUSET, MEMORY_POLICY, MEMCG or a newer one; empty
// if unknown.
type Constraint string

// The constraints that every kernel knows.
const (
	ConstraintNone   Constraint = "NONE"
	ConstraintCPUSet Constraint = "CPUSET"
	ConstraintPolicy Constraint = "MEMORY_POLICY"
	ConstraintMemcg  Constraint = "MEMCG"
)

// Victim is the process that a kill took, as the kernel log has it.
type Victim struct {
	PID      int // as the Killed line has it; it may be a thread's id.
	TGID     int // the process id where the oom-kill line gave it, else 0.
	Comm     string
	UID      Amount
	TotalVM  Amount
	AnonRSS  Amount
	FileRSS  Amount
	ShmemRSS Amount
	PageTables,
	Swap Amount // PageTables from the Killed line or the task table; Swap from the table.
	Adj      int
	AdjKnown bool
}

// Trigger is the task whose allocation ran into the limit. It may be neither
// the victim nor the owner of the limit.
type Trigger struct {
	Comm       string
	PID        int // 0 if unknown.
	GFPMask    string
	Order      int // -1 for sysrq.
	Adj        int
	CPUSetPath string
}

// Kill is one OOM kill: one process that the kernel killed. What is not known
// is empty, unset or false.
type Kill struct {
	ID          string // given by the ledger: unique on this node, the same after a restart; empty elsewhere.
	Time        time.Time
	Approximate bool          // Time was computed from the kernel's clock, or is when the kill was seen.
	Uptime      time.Duration // the kernel's clock at the kill; 0 if unknown.
	Seq         uint64        // of the Killed line: rises within one log.
	Constraint  Constraint
	Level       Level
	Global      bool   // the log says global_oom.
	LimitPath   string // memcg whose limit was hit.
	VictimPath  string // memcg of the victim.
	Workload    Workload
	Victim      Victim
	Trigger     *Trigger
	Usage       Amount // of the memcg whose limit was hit, in bytes.
	Limit       Amount
	GroupKill   bool // memory.oom.group took it along.
	Duplicate   bool // the second line for a group kill's first victim.
	Sysrq       bool
	Allocating  bool // oom_kill_allocating_task.
	Partial     bool // the report was cut, broken or suppressed.
	History     bool // before the epoch: recorded, never counted.
	// Evidence says what named the victim's cgroup: report, counter, scan,
	// tracefs, bpf; empty when nothing did.
	Evidence string
}

// What sees a victim while the kernel kills it (tracefs, bpf), what lists the processes
// (bpf, procfs), and what the numbers of cgroups are read by (bpf, cgroupfs).
const (
	ByTracefs  = "tracefs"
	ByBPF      = "bpf"
	ByProcfs   = "procfs"
	ByCgroupfs = "cgroupfs"
)

// Sighting is a process that was seen while the kernel killed it.
type Sighting struct {
	By   string
	Time time.Time
	Path string // of its memory cgroup; empty where it was too late.
	// CgroupID is the inode of that cgroup's directory; 0 if unknown.
	CgroupID uint64
	Victim   Victim
	Trigger  *Trigger // nil if unknown.
}
