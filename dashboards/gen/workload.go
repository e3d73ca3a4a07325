// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// workload: usage against every limit up the tree, and what happened.
func workload() dashboard {
	b := newBoard("workload", "OOM / Workload",
		"One workload: usage against every limit up the tree, what really counts, kills. Opens on the container that is nearest to a kill; .* is all. "+
			"Restarts are marked, too, where oom_container_start_time_seconds is switched on (--metrics.enable).",
		clusterChoice(), nodeChoice(true), namespaceChoice(),
		worst("pod", "Pod", inNamespace), worst("container", "Container", inPod))
	b.kills(inContainer)
	b.starts(inContainer)
	b.alerts(inContainer)
	b.line(4, even(8), workloadStats()...)
	b.line(11, []int{14, 10}, againstLimits(), margins())
	b.line(11, even(3), memoryParts(), stalls(), workloadKills())
	b.line(6, []int{24}, closest("The chosen containers", inContainer, 20, nodeColumn()))
	b.line(6, []int{24}, nextVictims("Who dies next",
		"The process that the kernel would kill if a limit of this workload that is near, or the node, ran out now.", inContainer))
	return b.dashboard
}

func workloadStats() []panel {
	least := func(family string) string { return fmt.Sprintf("min(%s{%s})", family, inContainer) }
	return []panel{
		stat("Kill margin", "The smallest kill margin of the chosen containers: bytes until the kernel must kill in a scope that holds them.",
			"bytes", plainScale(), q(least("oom_container_kill_margin_bytes"), "bytes")),
		stat("Kill margin %", "The smallest kill margin as a share of the limit that binds.",
			"percentunit", ratioScale(), q(least("oom_container_kill_margin_ratio"), "ratio")),
		stat("Limit of", "Whose limit gets there first, for the tightest of the chosen containers: container, pod, slice, numa or node.",
			"string", plainScale(), q(fmt.Sprintf(`topk(1, oom_container_kill_margin_info{%s}
				and on (%s) bottomk(1, oom_container_kill_margin_ratio{%s}))`, inContainer, labelsOfW, inContainer), "{{level}}")),
		emptyWhen(stat("Time to its limit", "If it goes on growing as in the last two hours; nothing while it does not grow. Needs the rules of dashboards/rules.",
			"s", from(red, 3600.0, orange, 7200.0, green), q(least("container:oom_limit_headroom:seconds"), "seconds")), "not growing"),
		stat("Kills", "Processes killed in this time range in the chosen containers.",
			"short", zeroScale(), q(total(gainedByWorkloads("oom_container_kills_total", inContainer)), "kills")),
		stat("Unnoticed", "Kills in this time range after which the container went on: no restart, no OOMKilled.",
			"short", zeroScale(), q(total(gainedByWorkloads("oom_container_survived_kills_total", inContainer)), "kills")),
		emptyWhen(stat("Last kill", "When the kernel last killed in one of the chosen containers.",
			"dateTimeFromNow", plainScale(), q(fmt.Sprintf("max(oom_container_last_kill_timestamp_seconds{%s}) * 1000", inContainer), "when")), "never"),
		emptyWhen(mapped(stat("Protection", "Whether oom_score_adj is what the QoS class implies, in all chosen containers.",
			"short", plainScale(), q(fmt.Sprintf("max(oom_container_oom_score_adj_mismatch{%s})", inContainer), "mismatch")),
			[3]string{"0", "as QoS", green}, [3]string{"1", "changed", orange}), "no QoS class"),
	}
}

// againstLimits shows usage and what limits it. The pod lines are sums over the
// chosen pods.
func againstLimits() panel {
	series := func(family, legend string) query {
		return q(fmt.Sprintf("sum by (container) (%s{%s})", family, inContainer), legend+" {{container}}")
	}
	p := lines("Usage against the limits up the tree",
		"Usage has page cache in it and may stand at the limit for ever. What is unreclaimable is what kills. Dashed: limits of the container and of its pod, summed over replicas.",
		"bytes",
		series("oom_container_memory_unreclaimable_bytes", "unreclaimable"),
		series("oom_container_memory_working_set_bytes", "working set"),
		series("oom_container_memory_usage_bytes", "usage"),
		series("oom_container_memory_limit_bytes", "limit of"),
		series("oom_container_memory_high_bytes", "throttled at"),
		q(fmt.Sprintf("sum(oom_pod_memory_limit_bytes{%s})", inPod), "pod limit"),
		q(fmt.Sprintf("sum(oom_pod_memory_unreclaimable_bytes{%s})", inPod), "pod, unreclaimable"))
	p = legendBeside(p, "lastNotNull", "max")
	return limitLine(limitLine(limitLine(p, "limit of", red), "pod limit", orange), "throttled at", blue)
}

func margins() panel {
	series := func(family, legend string) query {
		return q(fmt.Sprintf("min by (container) (%s{%s})", family, inContainer), legend+" {{container}}")
	}
	return below(lines("Kill margin against limit margin",
		"The limit margin (limit minus working set) is what people compute by hand: it falls with every file that is read. The kill margin is what the kernel goes by, over all limits up the tree. The smallest of the replicas.",
		"bytes",
		series("oom_container_kill_margin_bytes", "kill margin"),
		series("oom_container_limit_margin_bytes", "limit margin")))
}

// memoryParts splits usage into four parts that add up to it.
func memoryParts() panel {
	sum := func(family string) string { return fmt.Sprintf("sum(%s{%s})", family, inContainer) }
	return stacked(lines("Memory parts",
		"Heap and stacks, shared memory and tmpfs, what else can't be freed (kernel, mlock), and what reclaim can free. Together: usage.",
		"bytes",
		q(sum("oom_container_memory_anon_bytes"), "anonymous"),
		q(sum("oom_container_memory_shmem_bytes"), "shmem, tmpfs"),
		q(fmt.Sprintf("clamp_min(%s - %s - %s, 0)", sum("oom_container_memory_unreclaimable_bytes"), sum("oom_container_memory_anon_bytes"), sum("oom_container_memory_shmem_bytes")), "other unreclaimable"),
		q(fmt.Sprintf("clamp_min(%s - %s, 0)", sum("oom_container_memory_usage_bytes"), sum("oom_container_memory_unreclaimable_bytes")), "reclaimable")))
}

func stalls() panel {
	return emptyWhen(lines("Memory stall (PSI full)", "Share of the time in which all processes of a container waited for memory (PSI full, cgroup v2). High at the limit without kills: thrashing.",
		"percentunit",
		q(fmt.Sprintf("max by (container) (rate(oom_container_pressure_stalled_seconds_total{%s}[$__rate_interval]))", inContainer), "{{container}}")), "no PSI: cgroup v1, or a kernel without it")
}

func workloadKills() panel {
	return killBars("Kills over time", "Processes killed per step, by container, and kills by the pods' own limits.",
		q(stepOfWorkloads("oom_container_kills_total", inContainer, "container"), "{{container}}"),
		q(stepOfWorkloads("oom_pod_limit_kills_total", inPod, "pod"), "by the limit of {{pod}}"))
}
