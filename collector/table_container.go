// SPDX-License-Identifier: Apache-2.0

package collector

// containerFamilies are the families of one container each.
func containerFamilies(t *[families]family) {
	w := func(i id, f family) {
		f.labels, f.collector = max(f.labels, shapeWorkload), "container"
		f.name = "oom_container_" + f.name
		t[i] = f
	}
	w(containerUsage, family{name: "memory_usage_bytes", typ: gauge, help: "Memory charged to the container, page cache included.", source: "memory.current | memory.usage_in_bytes"})
	w(containerWorkingSet, family{name: "memory_working_set_bytes", typ: gauge, help: "Usage minus inactive file pages, floored at 0, as kubelet computes it.", source: "usage - memory.stat inactive_file | total_inactive_file"})
	w(containerLimit, family{name: "memory_limit_bytes", typ: gauge, help: "The container's own limit; no series when unlimited.", source: "memory.max | memory.limit_in_bytes"})
	w(containerHigh, family{name: "memory_high_bytes", typ: gauge, help: "The throttling limit, which never kills; no series when unlimited.", source: "memory.high | -"})
	w(containerUnreclaimable, family{name: "memory_unreclaimable_bytes", typ: gauge, help: "The part of the usage that reclaim can't free: what really counts against the limit.", source: "usage - active_file - inactive_file - slab_reclaimable, plus pinned slab and what memory.min of children protects"})
	w(containerLimitMargin, family{name: "limit_margin_bytes", typ: gauge, help: "Own limit minus working set, what is usually computed by hand; it may be 0 for ever without a kill.", source: "limit - working set"})
	w(containerLimitMarginRatio, family{name: "limit_margin_ratio", typ: gauge, optional: true, help: "Limit margin divided by the own limit.", source: "limit margin / limit"})
	w(containerKillMargin, family{name: "kill_margin_bytes", typ: gauge, help: "Bytes that may still be allocated before the kernel must kill a process of this container, or another that shares a limit with it: the minimum over its own limit, those above and those inside it. Where v1's oom_kill_disable is set, tasks hang there instead. Minima do not add up: never sum.", source: "docs/margins.md"})
	w(containerKillMarginRatio, family{name: "kill_margin_ratio", typ: gauge, help: "Kill margin divided by the limit that binds.", source: "docs/margins.md"})
	w(containerKillMarginInfo, family{name: "kill_margin_info", typ: gauge, labels: shapeWorkloadLevel, help: "Always 1; level says whose limit binds: nested (one inside the container), container, pod, slice, numa or node.", source: "docs/margins.md"})
	w(containerAnon, family{name: "memory_anon_bytes", typ: gauge, help: "Anonymous memory: heaps and stacks.", source: "memory.stat anon | total_rss"})
	w(containerShmem, family{name: "memory_shmem_bytes", typ: gauge, help: "Shared memory and tmpfs, emptyDir in memory included: it can't be reclaimed without swap.", source: "memory.stat shmem | total_shmem"})
	w(containerKernel, family{name: "memory_kernel_bytes", typ: gauge, optional: true, help: "Kernel memory: slab, stacks, page tables, sockets.", source: "memory.stat kernel | memory.kmem.usage_in_bytes"})
	w(containerFile, family{name: "memory_file_bytes", typ: gauge, optional: true, help: "Page cache, shmem included.", source: "memory.stat file | total_cache"})
	w(containerActiveFile, family{name: "memory_active_file_bytes", typ: gauge, optional: true, help: "Page cache on the active list: reclaimable, but part of the working set.", source: "memory.stat active_file | total_active_file"})
	w(containerInactiveFile, family{name: "memory_inactive_file_bytes", typ: gauge, optional: true, help: "Page cache on the inactive list.", source: "memory.stat inactive_file | total_inactive_file"})
	w(containerSlabReclaimable, family{name: "memory_slab_reclaimable_bytes", typ: gauge, optional: true, help: "Slab that the kernel calls reclaimable: dentries and inodes, including those that files in a tmpfs pin.", source: "memory.stat slab_reclaimable | -"})
	w(containerUnevictable, family{name: "memory_unevictable_bytes", typ: gauge, optional: true, help: "Memory that can't be reclaimed, mlock among it.", source: "memory.stat unevictable | total_unevictable"})
	w(containerSwap, family{name: "memory_swap_bytes", typ: gauge, optional: true, help: "Memory swapped out.", source: "memory.swap.current | total_swap"})
	w(containerPeak, family{name: "memory_peak_bytes", typ: gauge, optional: true, help: "The highest usage since the container began or somebody reset it.", source: "memory.peak (5.19) | memory.max_usage_in_bytes"})
	w(containerLimitHits, family{name: "limit_hits_total", typ: counter, optional: true, help: "How often usage ran into the own limit; the magnitudes of v1 and v2 do not compare.", source: "memory.events.local max | memory.failcnt"})
	w(containerHighHits, family{name: "high_hits_total", typ: counter, optional: true, help: "How often the container was throttled at memory.high.", source: "memory.events.local high | -"})
	w(containerWaiting, family{name: "pressure_waiting_seconds_total", typ: counter, optional: true, help: "Time in which at least one task waited for memory (PSI some).", source: "memory.pressure | -"})
	w(containerStalled, family{name: "pressure_stalled_seconds_total", typ: counter, help: "Time in which all tasks waited for memory (PSI full).", source: "memory.pressure | -"})
	w(containerScoreMax, family{name: "oom_score_max", typ: gauge, optional: true, help: "The highest oom_score of its processes: 0 to 2000, scaled by the node's memory, not by the container's.", source: "/proc/PID/oom_score"})
	w(containerAdjMax, family{name: "oom_score_adj_max", typ: gauge, help: "The highest oom_score_adj of its processes.", source: "/proc/PID/oom_score_adj"})
	w(containerProcesses, family{name: "processes", typ: gauge, optional: true, help: "Its processes.", source: "cgroup.procs"})
	w(containerMismatch, family{name: "oom_score_adj_mismatch", typ: gauge, help: "1 if the oldest process' oom_score_adj is not what the pod's QoS class implies, else 0; Kubernetes only.", source: "docs/names.md"})
	w(containerUnderOOM, family{name: "under_oom", typ: gauge, help: "1 while tasks hang in an OOM because oom_kill_disable is set; only where it is set.", source: "- | memory.oom_control"})
	w(containerInfo, family{name: "info", typ: gauge, labels: shapeWorkloadInfo, help: "Always 1; runtime, QoS class and image for joins, empty where unknown; Kubernetes and container runtimes only.", source: "docs/names.md"})
	w(containerStart, family{name: "start_time_seconds", typ: gauge, optional: true, help: "When the container's group was made, in seconds since the epoch.", source: "ctime of the group's directory"})
	event := func(i id, f family) { w(i, f); t[i].collector = "event" }
	event(containerKills, family{name: "kills_total", typ: counter, since: epochWorkloads, help: "Processes of the workload that the kernel's OOM killer killed; 0 from the workload's first scrape, goes on when the container is replaced. Over all workloads: step of oom_node_kills_total = oom_container_kills_total + oom_evicted_kills_total + oom_unattributed_kills_total + oom_pending_kills + oom_kill_duplicates_total, and sum of oom_kills_total = the first three of these.", source: "docs/ledger.md"})
	event(containerOOMs, family{name: "ooms_total", typ: counter, since: epochWorkloads, help: "OOM decisions that hit the workload: a group kill is one, so ooms <= kills. 0 from the first scrape of a workload with a limit, else only after its first kill.", source: "docs/ledger.md"})
	event(containerSurvived, family{name: "survived_kills_total", typ: counter, since: epochWorkloads, help: "Kills after which the group still had processes 10 s later: what PID 1 and kubelet did not notice. 0 from the first scrape of a workload with a limit, else only after its first kill.", source: "docs/ledger.md"})
	event(containerLastKill, family{name: "last_kill_timestamp_seconds", typ: gauge, help: "When the kernel last killed one of its processes; only after a kill.", source: "docs/ledger.md"})
	event(containerLastKillInfo, family{name: "last_kill_info", typ: gauge, labels: shapeWorkloadKill, help: "Always 1; the last kill's victim and whose limit was hit (container, pod, slice, node, numa or unknown). comm is empty where the kernel log did not tell; the process chose it. One series a workload.", source: "kernel log"})
	event(containerLastKillResident, family{name: "last_kill_resident_bytes", typ: gauge, help: "Resident memory of the last kill's victim, where the kernel log told.", source: "kernel log: anon-rss + file-rss + shmem-rss"})
	event(containerLastKillLimit, family{name: "last_kill_limit_bytes", typ: gauge, help: "The limit that was hit by the last kill, where the kernel log told.", source: "kernel log: limit of the report"})
	event(containerKillCauses, family{name: "kill_causes_total", typ: counter, labels: shapeWorkloadCause, help: "Kills by why they came about: startup, leak, burst, steady, limit_lowered, sibling, node, processes, restart_debt or unknown; grew is the kind of memory: anon, shmem, kernel, file, hugetlb, mixed or unknown. Only after a kill.", source: "docs/why.md"})
	event(containerLastCause, family{name: "last_kill_cause_info", typ: gauge, labels: shapeWorkloadCause, help: "Always 1; why the workload's last kill came about, and what grew; only after a kill.", source: "docs/why.md"})
	event(containerAdvised, family{name: "advised_limit_bytes", typ: gauge, optional: true, help: "The limit that the container needs by its recorded kills and the last 24 h, where it should be another one; computed once a minute.", source: "docs/why.md"})
}
