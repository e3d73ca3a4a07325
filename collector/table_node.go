// SPDX-License-Identifier: Apache-2.0

package collector

// table returns all families by id.
func table() *[families]family {
	t := &[families]family{}
	containerFamilies(t)
	podFamilies(t)
	processFamilies(t)
	nodeFamilies(t)
	eventFamilies(t)
	for _, i := range minimalFamilies() {
		t[i].minimal = true
	}
	return t
}

// minimalFamilies are what the shipped rules need; a test in dashboards holds
// them against the rules.
func minimalFamilies() []id {
	return []id{
		containerUsage, containerLimit, containerUnreclaimable, containerKillMargin, containerKillMarginRatio, containerStalled, containerMismatch,
		containerUnderOOM, containerInfo, containerKills, containerOOMs, containerSurvived, containerLastKill, containerLastKillInfo,
		containerLastKillResident, containerLastKillLimit, containerKillCauses, containerLastCause, containerLeak,
		podLimit, podUnreclaimable, podKillMargin, podLimitKills, sliceLimit, sliceUnreclaimable, sliceKillMargin,
		processAdj, nextVictim, nodeMargin, nodeMarginRatio, nodeCapacity, nodeEvictionMargin, nodeEvictionThreshold, nodeUnkillable, nodeTime,
		kills, pendingKills, unattributedKills, recordsLost, sourceUp, collectorSuccess, skipped,
	}
}

// podFamilies are those of pods and of limited slices: the same numbers, one
// level up.
func podFamilies(t *[families]family) {
	levels := []struct {
		first     id
		name      string
		labels    shape
		collector string
		note      string
	}{
		{podUsage, "oom_pod_", shapePod, "pod", ""},
		{sliceUsage, "oom_slice_", shapeCgroup, "slice", " Slices nest: don't sum."},
	}
	for _, l := range levels {
		rows := []family{
			{name: "memory_usage_bytes", help: "Memory charged, page cache included.", source: "memory.current | memory.usage_in_bytes"},
			{name: "memory_working_set_bytes", help: "Usage minus inactive file pages, floored at 0.", source: "usage - inactive_file | total_inactive_file"},
			{name: "memory_limit_bytes", help: "Own limit; no series when unlimited.", source: "memory.max | memory.limit_in_bytes"},
			{name: "memory_unreclaimable_bytes", help: "The part of the usage that reclaim can't free.", source: "docs/margins.md"},
			{name: "limit_margin_bytes", help: "Own limit minus working set.", source: "limit - working set"},
			{name: "kill_margin_bytes", help: "Bytes that may still be allocated before the kernel must kill in a scope that holds it. Minima do not add up: never sum.", source: "docs/margins.md"},
			{name: "kill_margin_ratio", help: "Kill margin divided by the limit that binds.", source: "docs/margins.md"},
		}
		for i, f := range rows {
			f.name, f.typ, f.labels, f.collector, f.help = l.name+f.name, gauge, l.labels, l.collector, f.help+l.note
			t[l.first+id(i)] = f
		}
	}
	t[podLimitKills] = family{name: "oom_pod_limit_kills_total", typ: counter, labels: shapePod, collector: "event", help: "Kills for which the pod's own limit was the reason; 0 from a limited pod's first scrape.", source: "docs/ledger.md"}
}

func processFamilies(t *[families]family) {
	p := func(i id, f family) {
		f.labels, f.collector, f.typ = shapeProcess, "process", gauge
		f.name = "oom_process_" + f.name
		t[i] = f
	}
	p(processScore, family{name: "oom_score", help: "The kernel's score, scaled by the node's memory; only the top processes and the predicted victims.", source: "/proc/PID/oom_score"})
	p(processAdj, family{name: "oom_score_adj", help: "The adjustment, -1000 (never) to 1000 (first).", source: "/proc/PID/oom_score_adj"})
	p(processBadness, family{name: "badness_bytes", help: "What the kernel ranks by when the node runs out: rss + swap + page tables + adjustment, in bytes; may be negative.", source: "docs/prediction.md"})
	p(processResident, family{name: "resident_bytes", help: "Resident memory, shared pages counted in full.", source: "/proc/PID/status VmRSS"})
	p(processSwap, family{name: "swap_bytes", help: "Swapped-out memory.", source: "/proc/PID/status VmSwap"})
	t[nextVictim] = family{name: "oom_next_victim_badness_bytes", typ: gauge, labels: shapeVictim, collector: "predict", help: "The process that the kernel would kill if this limit, or the node, ran out now; the value is its badness in that scope. scope and cgroup name the limit. One series for the node and one for each limit that is near.", source: "docs/prediction.md"}
}

func nodeFamilies(t *[families]family) {
	n := func(i id, f family) {
		f.collector, f.typ = "node", gauge
		f.name = "oom_node_" + f.name
		t[i] = f
	}
	n(nodeKills, family{name: "kills_total", help: "OOM kills on the whole machine since boot, raw; a group kill's first victim counts twice.", source: "/proc/vmstat oom_kill (4.13)"})
	t[nodeKills].typ, t[nodeKills].since = counter, epochBoot
	t[nodeKills].collector = "event"
	n(nodeMargin, family{name: "kill_margin_bytes", help: "Bytes that may still be allocated before the kernel must kill for the node's sake.", source: "docs/margins.md"})
	n(nodeMarginRatio, family{name: "kill_margin_ratio", help: "Kill margin divided by MemTotal.", source: "docs/margins.md"})
	n(nodeCapacity, family{name: "memory_capacity_bytes", help: "Memory that the kernel manages.", source: "/proc/meminfo MemTotal"})
	n(nodeAvailable, family{name: "memory_available_bytes", help: "The kernel's estimate of what may be used without swapping; neither the kill margin nor kubelet's memory.available.", source: "/proc/meminfo MemAvailable"})
	n(nodeEvictionMargin, family{name: "eviction_margin_bytes", help: "kubelet's memory.available minus the eviction threshold; negative while kubelet evicts. --eviction.hugepages says whether hugepages are subtracted.", source: "docs/margins.md"})
	n(nodeEvictionThreshold, family{name: "eviction_threshold_bytes", help: "The eviction threshold as given by --eviction.threshold.", source: "flag"})
	n(nodeUnkillable, family{name: "unkillable_bytes", help: "Anonymous and swapped memory of processes at oom_score_adj -1000, which the kernel never kills.", source: "/proc/PID/status RssAnon + VmSwap"})
	n(nodePanic, family{name: "panic_on_oom", help: "0: kill; 1: panic when the node runs out; 2: panic also for cgroups.", source: "/proc/sys/vm/panic_on_oom"})
	n(nodeAllocating, family{name: "oom_kill_allocating_task", help: "1: a node-wide OOM kills the task that allocates, without ranking.", source: "/proc/sys/vm/oom_kill_allocating_task"})
	n(nodeOvercommit, family{name: "overcommit_memory", help: "0: heuristic; 1: always; 2: never overcommit.", source: "/proc/sys/vm/overcommit_memory"})
	n(nodeLastKill, family{name: "last_kill_timestamp_seconds", help: "When the kernel last killed any process; only after a kill.", source: "docs/ledger.md"})
	t[nodeLastKill].collector = "event"
	n(nodeTime, family{name: "time_seconds", help: "The node's clock at the scrape: timestamps of kills are in its time.", source: "clock_gettime(2)"})
}

func eventFamilies(t *[families]family) {
	e := func(i id, f family) {
		f.collector = "event"
		f.name = "oom_" + f.name
		t[i] = f
	}
	e(kills, family{name: "kills_total", typ: counter, since: epochKills, labels: shapeLevel, help: "OOM kills by the kind of limit that was hit; all levels present at 0.", source: "docs/ledger.md"})
	e(pendingKills, family{name: "pending_kills", typ: gauge, help: "Kills that are counted by the kernel and not yet attributed; they wait 10 s for evidence.", source: "docs/ledger.md"})
	e(unattributedKills, family{name: "unattributed_kills_total", typ: counter, since: epochKills, help: "Kills for which no evidence named a workload in time.", source: "docs/ledger.md"})
	e(evictedKills, family{name: "evicted_kills_total", typ: counter, since: epochKills, help: "Kills of dead workloads whose series were dropped to bound their number.", source: "docs/ledger.md"})
	e(killDuplicates, family{name: "kill_duplicates_total", typ: counter, since: epochKills, help: "Kills that the kernel counted twice: the first victim of a group kill.", source: "docs/ledger.md"})
	e(recordsLost, family{name: "kmsg_records_lost_total", typ: counter, help: "Kernel log records that were overwritten before they could be read.", source: "sequence gaps of /dev/kmsg"})
	e(traceEventsLost, family{name: "trace_events_lost_total", typ: counter, help: "Victims that the buffers of the traces of victims (tracefs, BPF) lost; only once such a trace is in use. They are counted as kills all the same.", source: "tracefs: LOST EVENTS; BPF: a full ring"})
	e(stateUnsaved, family{name: "state_unsaved_seconds", typ: gauge, help: "Age of the oldest change that the state file lacks; only with --state.file. Kills are shown when they are saved, so this is also how late they are shown.", source: "docs/ledger.md"})
	e(sourceUp, family{name: "event_source_up", typ: gauge, labels: shapeSource, help: "1 while a source of kill events delivers; only sources that are switched on.", source: "-"})
	recorderFamilies(t)
	x := func(i id, f family) {
		f.collector = ""
		f.name = "oom_exporter_" + f.name
		t[i] = f
	}
	scrape := func(i id, f family) {
		f.name = "oom_scrape_" + f.name
		t[i] = f
	}
	scrape(collectorDuration, family{name: "collector_duration_seconds", typ: gauge, labels: shapeCollector, help: "How long a collector took in this scrape.", source: "-"})
	scrape(collectorSuccess, family{name: "collector_success", typ: gauge, labels: shapeCollector, help: "1 if a collector did its work in this scrape, else 0.", source: "-"})
	x(skipped, family{name: "skipped_total", typ: counter, since: epochStart, labels: shapeKind, help: "What a scrape left out: cgroups and processes that vanished half-way, were unreadable or over a bound (--limits.*), workloads of one user shown as one, and series over a bound.", source: "-"})
}

// recorderFamilies are how well the flight recorder does.
func recorderFamilies(t *[families]family) {
	r := func(i id, f family) {
		f.collector, f.source = "event", "docs/recorder.md"
		f.name = "oom_recorder_" + f.name
		t[i] = f
	}
	r(recorderInterval, family{name: "interval_seconds", typ: gauge, help: "Time between two samples of a cgroup whose usage moves; 1 unless there are very many cgroups."})
	r(recorderCgroups, family{name: "cgroups", typ: gauge, help: "Memory cgroups that the flight recorder samples."})
	r(recorderFast, family{name: "fast_cgroups", typ: gauge, help: "Of these, those near a limit, which are sampled every 100 ms; 64 at most."})
	r(recorderOver, family{name: "skipped_cgroups", typ: gauge, help: "Memory cgroups that are not sampled because of --limits.groups; a lower bound."})
	r(recorderSamples, family{name: "samples_total", typ: counter, help: "Samples of usage taken of all cgroups."})
	r(recorderRecordings, family{name: "recordings", typ: gauge, help: "Recordings of the time before a kill that are kept."})
	r(recorderDropped, family{name: "recordings_dropped_total", typ: counter, help: "Recordings that gave way to newer ones (--recorder.keep)."})
	r(recorderUnsaved, family{name: "unsaved_seconds", typ: gauge, help: "Age of the oldest recording that is not saved yet; only with --state.file."})
}
