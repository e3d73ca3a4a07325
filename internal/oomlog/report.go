// SPDX-License-Identifier: Apache-2.0

// Package oomlog reads OOM reports out of the kernel's log, in the wordings of
// every kernel from 3.10 on. It does no I/O. The formats are those of
// mm/oom_kill.c and mm/memcontrol.c.
package oomlog

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Report is one OOM report: everything from "invoked oom-killer" to the last
// process that it killed. What the log does not say is unset.
type Report struct {
	Seq         uint64 // of its first record.
	Time        time.Time
	Approximate bool
	Uptime      time.Duration // the kernel's clock; 0 if unknown.
	Release     oom.Release   // of the kernel, where a stack trace names it.
	PageSize    uint64

	Trigger    *oom.Trigger
	Constraint oom.Constraint
	Global     bool   // not the limit of a memory cgroup.
	LimitPath  string // memory cgroup whose limit was hit.
	VictimPath string // memory cgroup of the chosen process.
	GroupPath  string // memory cgroup that memory.oom.group killed as a whole.

	Memory, Memsw, Kmem, Swap Usage  // of the memory cgroup at LimitPath.
	Stats                     []Stat // its memory.stat, in the kernel's order.
	Node                      NodeMemory

	Tasks        []Task // the task table, in the kernel's order.
	TasksOmitted int    // rows beyond the bound.

	Kills        []oom.Kill // in the kernel's order, duplicates included.
	KillsOmitted int        // kills beyond the bound.
	Exiting      []Exiting  // victims that had gone by themselves.

	Suppressed uint64 // calls that the rate limit silenced before this report.
	Lines      int    // records that belong to the report.
	// Headless says that there is no report, only kills: the kernel prints
	// no more than 10 reports in 5 s.
	Headless   bool
	Sysrq      bool
	NoKillable bool // nothing could be killed.
	Partial    bool // cut, broken, or records of it were lost.
}

// Usage is one "usage, limit, failcnt" line, in bytes.
type Usage struct {
	Usage, Limit, Failcnt oom.Amount
}

// Stat is one key of memory.stat: bytes, or a number of events.
type Stat struct {
	Key   string
	Value uint64
}

// Stat returns the value of a key of memory.stat.
func (r *Report) Stat(key string) oom.Amount {
	for _, s := range r.Stats {
		if s.Key == key {
			return oom.Of(s.Value)
		}
	}
	return oom.Amount{}
}

// NodeMemory is what Mem-Info says about the node, in bytes.
type NodeMemory struct {
	RAM, Reserved       oom.Amount // RAM - Reserved is what MemTotal is made of.
	SwapTotal, SwapFree oom.Amount
	Anon, File, Shmem   oom.Amount
	Unevictable, Free   oom.Amount
	Slab, Unreclaimable oom.Amount // Slab is the reclaimable part.
}

// Task is one row of the task table. Sizes are in bytes.
type Task struct {
	PID, TGID                  int
	UID                        oom.Amount
	TotalVM, RSS               oom.Amount
	RSSAnon, RSSFile, RSSShmem oom.Amount // since 6.8.
	PageTables, Swap           oom.Amount
	Adj                        int
	Comm                       string
	// OldTables says that PageTables counts what 3.10 to 4.15 counted.
	OldTables bool
}

// Exiting is a victim that was already exiting when its turn came.
type Exiting struct {
	PID  int
	Comm string
}

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of events.
const (
	// KindKill is one "Killed process" line, told at once.
	KindKill EventKind = iota + 1
	// KindGroup says that memory.oom.group kills all of Group: the kill
	// number Seq was its first, more follow.
	KindGroup
	// KindSuppressed tells how many reports the rate limit has silenced.
	KindSuppressed
	// KindReport is a whole report, told when it is over.
	KindReport
)

// Event is one thing that the parser found out.
type Event struct {
	Kind       EventKind
	Kill       oom.Kill // KindKill.
	Group      string   // KindGroup.
	Seq        uint64   // KindGroup.
	Suppressed uint64   // KindSuppressed.
	Report     *Report  // KindReport.
}

// Stats counts what the parser met.
type Stats struct {
	Records  uint64
	Refused  uint64 // not printed by the kernel itself: forgeries among them.
	Lost     uint64 // records lost before they could be read.
	Kills    uint64 // "Killed process" lines.
	Unparsed uint64 // lines that begin like a kill but are none.
}
