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
	Host, Boot  string // the machine, and which boot of it; empty if unknown.
	Time        time.Time
	Approximate bool
	Uptime      time.Duration // the kernel's clock; 0 if unknown.
	// NoYear and NoZone say that the log lacks the year or zone, so Time assumes one.
	// Date is the date as it is written there.
	NoYear, NoZone bool
	Date           string
	Release        oom.Release // of the kernel, where a stack trace names it.
	PageSize       uint64

	Trigger    *oom.Trigger
	Constraint oom.Constraint
	Global     bool   // not the limit of a memory cgroup.
	LimitPath  string // memory cgroup whose limit was hit.
	VictimPath string // memory cgroup of the chosen process.
	GroupPath  string // memory cgroup that memory.oom.group killed as a whole.
	// The NUMA nodes that the allocation could use: by its memory policy, and
	// by its cpuset.
	NodeMask, MemsAllowed string
	CPUSet                string // the cpuset of MemsAllowed; empty if unknown.

	Memory, Memsw, Kmem, Swap Usage   // of the memory cgroup at LimitPath.
	Stats                     []Stat  // its memory.stat, in the kernel's order.
	Groups                    []Group // what each cgroup below it has; up to 5.2.
	Node                      NodeMemory

	Tasks        []Task // the task table, in the kernel's order.
	TasksOmitted int    // rows beyond the bound.

	Kills        []oom.Kill // in the kernel's order, duplicates included.
	KillsOmitted int        // kills beyond the bound.
	Exiting      []Exiting  // victims that were already exiting.
	// Chosen is who was to be killed, where the log has no line of the kill.
	Chosen *oom.Victim
	// Reaped says that Chosen's memory was reaped, so it was killed.
	Reaped bool
	// Panic is why the kernel panicked instead of killing; empty if it did not.
	Panic string

	Suppressed uint64 // calls that the rate limit silenced before this report.
	Lines      int    // records that belong to the report.
	// Headless says that there is no report, only kills. RateLimited says
	// why: the kernel prints no more than 10 reports in 5 s.
	Headless    bool
	RateLimited bool
	Sysrq       bool
	NoKillable  bool // nothing could be killed.
	Partial     bool // cut, broken, or records of it were lost.

	caller    int    // the task that printed the first line.
	middle    bool   // it begins in the middle.
	statsPath string // of the first "Memory cgroup stats for".
}

// useCaller fills in a missing pid of the trigger: the trigger is the task that
// printed the report.
func (r *Report) useCaller() {
	if r.Trigger != nil && r.Trigger.PID == 0 {
		r.Trigger.PID = r.caller
	}
}

// Binding returns the counter that is at its limit, by the kernel's name, and
// what it says. cgroup v1 has limits of memory, of memory with swap and of
// kernel memory, and each of them can be the one that was hit.
func (r *Report) Binding() (name string, u Usage) {
	if full(r.Memory) || !r.Memory.Usage.IsSet() && !full(r.Memsw) && !full(r.Kmem) {
		return "memory", r.Memory
	}
	switch {
	case full(r.Memsw):
		return "memory+swap", r.Memsw
	case full(r.Kmem):
		return "kmem", r.Kmem
	default:
		return "memory", r.Memory
	}
}

// full tells whether a counter is at its limit; per-CPU stocks may still hold
// some pages.
func full(u Usage) bool {
	usage, ok := u.Usage.Get()
	limit, ok2 := u.Limit.Get()
	return ok && ok2 && limit > 0 && usage >= limit-min(limit, limit/64)
}

// Group is what "Memory cgroup stats for" says about one cgroup.
type Group struct {
	Path      string
	RSS, Swap uint64
	Cache     uint64
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
	LargestSlab         Slab
}

// Slab is one unreclaimable slab cache of the kernel.
type Slab struct {
	Name string
	Size oom.Amount
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
	// OldTables says that page tables were counted in pages: up to 4.14.
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
