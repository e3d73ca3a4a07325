// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// node: its margin over time, who dies first, kills, eviction.
func node() dashboard {
	b := newBoard("node", "OOM / Node",
		"One node: how far it is from a kill and from eviction, who dies first, and what happened.",
		clusterChoice(), nodeChoice(false))
	b.kills(onNode)
	b.alerts(onNode)
	b.line(4, even(8), nodeStats()...)
	b.line(11, even(2), nodeRoom(), byLevel(onNode))
	b.row("Who dies first")
	b.line(12, []int{24}, processes())
	b.line(8, []int{24}, nextVictims("Next victim of each limit that is near",
		"The process that the kernel would kill if this limit, or the node, ran out now. One line for the node and one for each limit that is near.", onNode))
	b.row("Limits on this node")
	b.line(10, []int{14, 10}, closest("Closest to a kill", onNode, 8), limitedSlices())
	b.row("Protection and the exporter")
	b.line(8, []int{7, 10, 7}, unkillable(), mismatches(), exporter())
	b.folded("oom_guard, where it runs", 8, guardActions(), guardReaction(), guardReclaimed())
	return b.dashboard
}

func nodeStats() []panel {
	one := func(family string) string { return fmt.Sprintf("max(%s{%s})", family, onNode) }
	return []panel{
		stat("Kill margin", "Bytes that may still be allocated before the kernel must kill for the node's sake: free memory, reclaimable cache and free swap.",
			"bytes", plainScale(), q(one("oom_node_kill_margin_bytes"), "bytes")),
		stat("Kill margin %", "The kill margin as a share of the node's memory. Below 5 % the node is near.",
			"percentunit", ratioScale(), q(one("oom_node_kill_margin_ratio"), "ratio")),
		emptyWhen(stat("To eviction", "kubelet's memory.available minus the eviction threshold; at or below 0 kubelet evicts.",
			"bytes", from(red, 1.0, green), q(one("oom_node_eviction_margin_bytes"), "bytes")), "no kubelet"),
		stat("Kills", "Processes killed on this node in this time range.",
			"short", zeroScale(), q(total(gained("oom_kills_total", onNode)), "kills")),
		emptyWhen(stat("Last kill", "When the kernel last killed a process on this node.",
			"dateTimeFromNow", plainScale(), q(one("oom_node_last_kill_timestamp_seconds")+" * 1000", "when")), "never"),
		stat("Unkillable", "Share of the memory in processes with oom_score_adj -1000, which killing can't free.",
			"percentunit", from(green, 0.2, orange, 0.25, red), q(fmt.Sprintf("max(oom_node_unkillable_bytes{%s} / oom_node_memory_capacity_bytes{%s})", onNode, onNode), "share")),
		mapped(stat("panic_on_oom", "vm.panic_on_oom: 0 kills, 1 panics when the node runs out, 2 panics also for a cgroup.",
			"short", plainScale(), q(one("oom_node_panic_on_oom"), "mode")),
			[3]string{"0", "kill", green}, [3]string{"1", "panic", red}, [3]string{"2", "always panic", red}),
		mapped(stat("Overcommit", "vm.overcommit_memory: 0 heuristic, 1 always, 2 never.",
			"short", plainScale(), q(one("oom_node_overcommit_memory"), "mode")),
			[3]string{"0", "heuristic", green}, [3]string{"1", "always", orange}, [3]string{"2", "never", green}),
	}
}

func nodeRoom() panel {
	series := func(family, legend string) query { return q(fmt.Sprintf("%s{%s}", family, onNode), legend) }
	p := lines("Node headroom", "Three answers to \"how much is left\": until the kernel kills, what the kernel calls available, and until kubelet evicts. They differ on purpose.",
		"bytes",
		series("oom_node_kill_margin_bytes", "until the kernel kills"),
		series("oom_node_memory_available_bytes", "MemAvailable"),
		series("oom_node_eviction_margin_bytes", "until kubelet evicts"),
		series("oom_node_eviction_threshold_bytes", "eviction threshold"))
	return below(limitLine(p, "eviction threshold", orange))
}

// processes lists what the kernel would rank first if the node ran out.
func processes() panel {
	row := func(family string) query {
		return q(perRow(labelsOfProcess, fmt.Sprintf("%s{%s} and on (%s) topk(10, oom_process_badness_bytes{%s})", family, onNode, labelsOfProcess, onNode)), "")
	}
	columns := append([]column{
		{field: "comm", title: "Process", width: 130},
		{field: "pid", title: "PID", width: 80},
	}, workloadColumns()...)
	columns = append(columns,
		column{field: "Value #A", title: "Badness", unit: "bytes", width: 100},
		column{field: "Value #B", title: "Adjustment", unit: "none", width: 100},
		column{field: "Value #C", title: "Resident", unit: "bytes", width: 100},
		column{field: "Value #D", title: "Swap", unit: "bytes", width: 80})
	return table("Processes by badness", "In the order in which the kernel kills if the node runs out: resident + swap + page tables, plus oom_score_adj's share of the node.",
		columns, "Badness", true,
		row("oom_process_badness_bytes"), row("oom_process_oom_score_adj"), row("oom_process_resident_bytes"), row("oom_process_swap_bytes"))
}

// nextVictims lists the predictions.
func nextVictims(title, description, selector string) panel {
	columns := []column{
		{field: "scope", title: "If this runs out", width: 120},
		{field: "cgroup", title: "Limit"},
		{field: "comm", title: "Dies", width: 130},
		{field: "Value", title: "Badness", unit: "bytes", width: 100},
		{field: "namespace", title: "Namespace", width: 95},
		{field: "pod", title: "Pod", width: 180, url: toWorkload},
		{field: "container", title: "Container", width: 100, url: toWorkload},
	}
	return emptyWhen(table(title, description, columns, "Badness", true,
		q(perRow(labelsOfW+", scope, cgroup, comm", fmt.Sprintf("oom_next_victim_badness_bytes{%s}", selector)), "")), "no limit is near")
}

func limitedSlices() panel {
	row := func(expr string) query { return q(perRow(labelsOfSlice, expr), "") }
	columns := []column{
		{field: "cgroup", title: "Slice"},
		{field: "Value #A", title: "Kill margin", unit: "bytes", width: 115},
		{field: "Value #B", title: "Margin %", unit: "percentunit", width: 95, scale: ratioScale()},
		{field: "Value #C", title: "Limit", unit: "bytes", width: 80},
		{field: "Value #D", title: "Unreclaimable", unit: "bytes", width: 110},
	}
	return emptyWhen(table("Limited slices", "Limited groups above pods and services. They nest: never add them up.", columns, "Margin %", false,
		row(fmt.Sprintf("oom_slice_kill_margin_bytes{%s}", onNode)),
		row(fmt.Sprintf("oom_slice_kill_margin_ratio{%s}", onNode)),
		row(fmt.Sprintf("oom_slice_memory_limit_bytes{%s}", onNode)),
		row(fmt.Sprintf("oom_slice_memory_unreclaimable_bytes{%s}", onNode))), "no slice has a limit")
}

func unkillable() panel {
	p := lines("Unkillable memory", "Anonymous and swapped memory of processes with oom_score_adj -1000, against the node's memory.", "bytes",
		q(fmt.Sprintf("oom_node_unkillable_bytes{%s}", onNode), "unkillable"),
		q(fmt.Sprintf("oom_node_memory_capacity_bytes{%s}", onNode), "memory of the node"))
	return limitLine(p, "memory of the node", grey)
}

func mismatches() panel {
	return emptyWhen(table("Wrong oom_score_adj", "Containers whose oldest process has another oom_score_adj than their QoS class implies.",
		append(workloadColumns(), column{field: "qos", title: "QoS", width: 85}, column{field: "Value", title: "Adjustment", unit: "none", width: 85}), "Container", false,
		q(perRow(labelsOfW+", qos", fmt.Sprintf(`(oom_container_oom_score_adj_max{%s} and on (%s) oom_container_oom_score_adj_mismatch{%s} == 1)
			* on (%s) group_left (qos) oom_container_info{%s}`, onNode, labelsOfW, onNode, labelsOfW, onNode)), "")), "all as QoS classes imply")
}

func exporter() panel {
	return legendInLine(lines("The exporter's collectors", "Time that each collector takes per scrape.", "s",
		q(fmt.Sprintf("oom_scrape_collector_duration_seconds{%s}", onNode), "{{collector}}")))
}

// noGuard is why the panels about oom_guard are empty.
const noGuard = "oom_guard does not run here"

func guardActions() panel {
	return emptyWhen(legendBeside(bars("What the guard did", "Looks at a group over its threshold, by what came of them: killed, would_kill under the policy noop, or the reason for nothing.",
		q(fmt.Sprintf("(%s) and on (outcome) (sum by (outcome) (oom_guard_actions_total{%s} @ end()) > 0)", stepOf("oom_guard_actions_total", onNode, "outcome"), onNode), "{{outcome}}")), "sum"), noGuard+", or has had nothing to do")
}

func guardReaction() panel {
	at := func(quantile string) query {
		return q(fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(oom_guard_reaction_seconds_bucket{%s}[$__rate_interval])))", quantile, onNode), "p"+quantile[2:])
	}
	return emptyWhen(lines("Guard reaction time", "From the look that found a group over its threshold to the end of the kill. It has margin / growth seconds for it.", "s",
		at("0.50"), at("0.95")), noGuard)
}

func guardReclaimed() panel {
	p := bars("Reclaimed by the guard", "Bytes by which usage fell when the guard had a group's cache reclaimed.",
		q(stepOf("oom_guard_reclaimed_bytes_total", onNode, "instance"), "{{instance}}"))
	p.FieldConfig.Defaults.Unit = "bytes"
	return emptyWhen(p, noGuard)
}
