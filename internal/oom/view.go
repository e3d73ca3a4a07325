// SPDX-License-Identifier: Apache-2.0

package oom

import "time"

// Margin is how many bytes may still be allocated before the kernel must kill,
// and which limit is the first to be reached.
type Margin struct {
	Bytes  uint64
	Ratio  float64 // Bytes / the binding limit (node: MemTotal).
	Level  Level
	Cgroup string // path of the group whose limit binds; empty for the node's.
	Known  bool   // false where a part of the formula is missing: no series then.
}

// Row is one line of a view: a container, a pod or a slice. Where several
// groups have equal labels, gauges are those of the group that is nearest to a
// kill and counters are added up.
type Row struct {
	*Group
	MaxHits       Amount // hits of its own limit, added over cgroups with equal labels.
	HighHits      Amount
	Unreclaimable Amount // what reclaim can't free.
	Margin        Margin
	Processes     ProcessSummary // containers only.
}

// ProcessSummary is what a container's processes add up to.
type ProcessSummary struct {
	Known    bool // the processes were read and belong to this host's pid namespace.
	Count    int
	ScoreMax Amount
	Adj      bool // AdjMax is known: at least one process was read.
	AdjMax   int
	Mismatch Amount // 0 or 1: the oldest process' adj is not what the QoS class implies.
}

// Groups is one pass over the memory hierarchy, sorted into rows.
type Groups struct {
	Containers, Pods, Slices []Row
	Source                   string // as in Tree.
}

// NodeState is the node with what was computed from it.
type NodeState struct {
	Node
	Margin            Margin
	EvictionAvailable Amount // kubelet's memory.available.
	EvictionThreshold Amount
}

// ProcessRow is one process with the workload that it belongs to.
type ProcessRow struct {
	Process
	Workload Workload
	Badness  int64 // bytes, as the node's killer would rank it; may be negative since 5.9.
}

// NextVictim is the process that the kernel would kill next in one scope.
type NextVictim struct {
	Scope   Level
	Cgroup  string     // of the limit; empty for the node.
	Process ProcessRow // pid 0: nobody in this scope may be killed.
	Badness int64      // bytes, in this scope.
	All     int        // processes that die together, by memory.oom.group.
	Tie     bool       // another process ranks the same; age decides.
}

// Processes is one pass over the processes.
type Processes struct {
	Top        []ProcessRow
	Victims    []NextVictim
	Unkillable Amount // bytes held at oom_score_adj -1000.
	Source     string // what the processes were listed by: ByBPF or ByProcfs.
}

// KillTotals is what the kills since the epoch add up to.
type KillTotals struct {
	Epoch     time.Time // when counting began; zero: it has not.
	Workloads []WorkloadKills
	Pods      []PodKills
	Causes    []CauseKills
	ByLevel   map[Level]uint64 // whose limit it was.

	// NodeKills is the value of /proc/vmstat oom_kill that the rest was counted
	// by; unset where the kernel does not have it or before counting began.
	NodeKills Amount

	Pending, Unattributed, Evicted, Duplicates, RecordsLost uint64

	LastKill time.Time // zero: none known.
	Sources  []Source

	// TraceEventsLost is set where the trace of victims is in use.
	TraceEventsLost Amount
	// Unsaved is for how long the state file has lacked the oldest change;
	// HasState tells whether there is such a file.
	HasState bool
	Unsaved  time.Duration
}

// WorkloadKills are the kills of one workload; the dead keep theirs for a time.
type WorkloadKills struct {
	Workload              Workload
	Kills, OOMs, Survived uint64
	LastKill              time.Time // zero: none.
	Last                  *Kill     // what is known of it; nil: nothing. It must not be modified.
}

// CauseKills are the kills of one workload that had one cause; Last says that
// its last kill is of these.
type CauseKills struct {
	Workload Workload
	Cause    Cause
	Grew     Memory
	Kills    uint64
	Last     bool
}

// PodKills are the kills for which a pod's own limit was the reason.
type PodKills struct {
	Namespace, Pod string
	LimitKills     uint64
}

// Source is one source of events that is switched on.
type Source struct {
	Name string
	Up   bool
}
