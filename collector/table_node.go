// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// processFamilies are those of single processes.
func (t *table) processFamilies() {
	t.processes.add(family{name: "oom_process_oom_score", typ: gauge, help: "The kernel's score, scaled by the node's memory; only the top processes and the predicted victims.", source: "/proc/PID/oom_score"}, func(r *oom.ProcessRow) (float64, bool) { return amount(r.Score) })
	t.processes.add(family{name: "oom_process_oom_score_adj", typ: gauge, profile: ProfileMinimal, help: "The adjustment, -1000 (never) to 1000 (first).", source: "/proc/PID/oom_score_adj"}, func(r *oom.ProcessRow) (float64, bool) { return float64(r.Adj), true })
	t.processes.add(family{name: "oom_process_badness_bytes", typ: gauge, help: "What the kernel ranks by when the node runs out: rss + swap + page tables + adjustment, in bytes; may be negative.", source: "docs/prediction.md"}, func(r *oom.ProcessRow) (float64, bool) { return float64(r.Badness), true })
	t.processes.add(family{name: "oom_process_resident_bytes", typ: gauge, help: "Resident memory, shared pages counted in full.", source: "/proc/PID/status VmRSS"}, func(r *oom.ProcessRow) (float64, bool) { return float64(r.RSS), true })
	t.processes.add(family{name: "oom_process_swap_bytes", typ: gauge, help: "Swapped-out memory.", source: "/proc/PID/status VmSwap"}, func(r *oom.ProcessRow) (float64, bool) { return float64(r.Swap), true })
	t.listed.add(family{name: "oom_process_source_info", typ: gauge, help: "1 for what the processes are listed by: procfs, or bpf (--source.bpf) for as long as it works.", source: "docs/bpf.md"}, func(*oom.Processes) (float64, bool) { return 1, true })
	t.listedCgroups.add(family{name: "oom_cgroup_source_info", typ: gauge, help: "1 for what usage, limits and counters of cgroups are read by: cgroupfs, or bpf (--source.bpf) for as long as it works.", source: "docs/bpf.md"}, func(*oom.Groups) (float64, bool) { return 1, true })
	t.victims.add(family{name: "oom_next_victim_badness_bytes", typ: gauge, profile: ProfileMinimal, help: "The process that the kernel would kill if this limit, or the node, ran out now; the value is its badness in that scope. scope and cgroup name the limit. One series for the node and one for each limit that is near.", source: "docs/prediction.md"}, func(r *oom.NextVictim) (float64, bool) { return float64(r.Badness), true })
}

// nodeFamilies are those of the whole machine.
func (t *table) nodeFamilies() {
	t.totals.add(family{name: "oom_node_kills_total", typ: counter, since: epochBoot, help: "OOM kills on the whole machine since boot, raw; a group kill's first victim counts twice.", source: "/proc/vmstat oom_kill (4.13)"}, func(r *oom.KillTotals) (float64, bool) { return amount(r.NodeKills) })
	t.node.add(family{name: "oom_node_kill_margin_bytes", typ: gauge, profile: ProfileMinimal, help: "Bytes that may still be allocated before the kernel must kill for the node's sake.", source: "docs/margins.md"}, func(r *oom.NodeState) (float64, bool) { return float64(r.Margin.Bytes), r.Margin.Known })
	t.node.add(family{name: "oom_node_kill_margin_ratio", typ: gauge, profile: ProfileMinimal, help: "Kill margin divided by MemTotal.", source: "docs/margins.md"}, func(r *oom.NodeState) (float64, bool) { return r.Margin.Ratio, r.Margin.Known })
	t.node.add(family{name: "oom_node_memory_capacity_bytes", typ: gauge, profile: ProfileMinimal, help: "Memory that the kernel manages.", source: "/proc/meminfo MemTotal"}, func(r *oom.NodeState) (float64, bool) { return amount(r.Total) })
	t.node.add(family{name: "oom_node_memory_available_bytes", typ: gauge, help: "The kernel's estimate of what may be used without swapping; neither the kill margin nor kubelet's memory.available.", source: "/proc/meminfo MemAvailable"}, func(r *oom.NodeState) (float64, bool) { return amount(r.Available) })
	t.node.add(family{name: "oom_node_eviction_margin_bytes", typ: gauge, profile: ProfileMinimal, help: "kubelet's memory.available minus the eviction threshold; negative while kubelet evicts. --eviction.hugepages says whether hugepages are subtracted.", source: "docs/margins.md"}, evictionMargin)
	t.node.add(family{name: "oom_node_eviction_threshold_bytes", typ: gauge, profile: ProfileMinimal, help: "The eviction threshold as given by --eviction.threshold.", source: "flag"}, func(r *oom.NodeState) (float64, bool) { return amount(r.EvictionThreshold) })
	t.unkillable.add(family{name: "oom_node_unkillable_bytes", typ: gauge, profile: ProfileMinimal, help: "Anonymous and swapped memory of processes at oom_score_adj -1000, which the kernel never kills.", source: "/proc/PID/status RssAnon + VmSwap"}, func(r *oom.Processes) (float64, bool) { return amount(r.Unkillable) })
	t.node.add(family{name: "oom_node_panic_on_oom", typ: gauge, help: "0: kill; 1: panic when the node runs out; 2: panic also for cgroups.", source: "/proc/sys/vm/panic_on_oom"}, func(r *oom.NodeState) (float64, bool) { return amount(r.PanicOnOOM) })
	t.node.add(family{name: "oom_node_oom_kill_allocating_task", typ: gauge, help: "1: a node-wide OOM kills the task that allocates, without ranking.", source: "/proc/sys/vm/oom_kill_allocating_task"}, func(r *oom.NodeState) (float64, bool) { return amount(r.KillAllocatingTask) })
	t.node.add(family{name: "oom_node_overcommit_memory", typ: gauge, help: "0: heuristic; 1: always; 2: never overcommit.", source: "/proc/sys/vm/overcommit_memory"}, func(r *oom.NodeState) (float64, bool) { return amount(r.Overcommit) })
	t.totals.add(family{name: "oom_node_last_kill_timestamp_seconds", typ: gauge, help: "When the kernel last killed any process; only after a kill.", source: "docs/ledger.md"}, func(r *oom.KillTotals) (float64, bool) { return timestamp(r.LastKill) })
	t.clock.add(family{name: "oom_node_time_seconds", typ: gauge, profile: ProfileMinimal, help: "The node's clock at the scrape: timestamps of kills are in its time.", source: "clock_gettime(2)"}, func(r *time.Time) (float64, bool) { return timestamp(*r) })
}
