// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// kills: the post-mortem, storms, and what the numbers miss.
func kills() dashboard {
	b := newBoard("kills", "OOM / Kills",
		"Who was killed, when and by whose limit; storms; and how much of it is not known. Node-wide numbers ignore the namespace.",
		clusterChoice(), nodeChoice(true), namespaceChoice())
	b.kills(inNamespace)
	b.line(4, even(8), killStats()...)
	b.line(9, even(2), storm(), byLevel(onNode))
	b.line(10, []int{24}, postMortem())
	b.line(9, even(3), byNamespace(), balance(), missing())
	return b.dashboard
}

func killStats() []panel {
	count := func(title, description, family, selector string, scale *thresholds) panel {
		return stat(title, description, "short", scale, q(total(gained(family, selector)), "count"))
	}
	ofWorkloads := func(title, description, family string) panel {
		return stat(title, description, "short", zeroScale(), q(total(gainedByWorkloads(family, inNamespace)), "count"))
	}
	return []panel{
		count("All kills", "Processes killed in this time range on the chosen nodes, whatever the namespace, those without an owner among them.", "oom_kills_total", onNode, zeroScale()),
		ofWorkloads("OOM decisions", "How often the killer chose in this time range: a group kill of many processes is one. Only named workloads.", "oom_container_ooms_total"),
		ofWorkloads("Unnoticed", "Kills in this time range after which the container went on: no restart, no OOMKilled.", "oom_container_survived_kills_total"),
		count("By the node", "Kills in this time range because the node, or a NUMA node, ran out.", "oom_kills_total", onNode+`,level=~"node|numa"`, zeroScale()),
		count("No owner", "Kills in this time range for which nothing named a workload.", "oom_unattributed_kills_total", onNode, zeroScale()),
		stat("Pending", "Kills that the kernel has counted and that still wait for evidence of their owner: ten seconds at most.",
			"short", zeroScale(), q(fmt.Sprintf("sum(oom_pending_kills{%s})", onNode), "kills")),
		count("Counted twice", "Kills that the kernel counted twice: the first victim of each group kill. Taken off from all other numbers.", "oom_kill_duplicates_total", onNode, plainScale()),
		count("Records lost", "Kernel log records that were overwritten before they could be read.", "oom_kmsg_records_lost_total", onNode, from(green, 1.0, orange)),
	}
}

func storm() panel {
	return killBars("Storms: kills by node", "Kills per step and node. Many nodes at once: a common cause. One node, many kills: that node or a slice of it.",
		q(stepOf("oom_kills_total", onNode, "instance"), "{{instance}}"))
}

// postMortem has one row for each workload that was killed in the time range.
func postMortem() panel {
	killed := fmt.Sprintf("last_over_time(oom_container_last_kill_timestamp_seconds{%s}[$__range]) >= ${__from:date:seconds}", inNamespace)
	row := func(expr string) query {
		return q(perRow(labelsOfW, fmt.Sprintf("(%s) and on (%s) (%s)", expr, labelsOfW, killed)), "")
	}
	columns := append([]column{{field: "Value #A", title: "Last kill", unit: "dateTimeAsIso", width: 150}}, workloadColumns()...)
	columns = append(columns, nodeColumn(),
		column{field: "Value #B", title: "Kills", width: 60},
		column{field: "Value #C", title: "Decisions", width: 80},
		column{field: "Value #D", title: "Unnoticed", width: 85, scale: zeroScale()},
		column{field: "comm", title: "Last victim", width: 105},
		column{field: "level", title: "Limit of", width: 75},
		column{field: "cause", title: "Cause", width: 85},
		column{field: "Value #E", title: "Limit", unit: "bytes", width: 75},
		column{field: "Value #F", title: "Most unreclaimable", unit: "bytes", width: 150},
		column{field: "Value #G", title: "Worst stall", unit: "percentunit", width: 85})
	labels := func(names, family string) query {
		// Only as it is now: earlier ones in the range would each add a row.
		return q(perRow(labelsOfW+", "+names, fmt.Sprintf("%s{%s} and on (%s) (%s)", family, inNamespace, labelsOfW, killed)), "")
	}
	over := func(family string) string {
		return fmt.Sprintf("last_over_time(%s{%s}[$__range])", family, inNamespace)
	}
	return emptyWhen(table("Post-mortem",
		"Workloads killed in this time range, the latest first. Kills, decisions and unnoticed kills are those of this time range; victim, whose limit it was, and cause are those of the last kill; limit is the last one; most unreclaimable is the highest value a scrape has seen. No worst stall on cgroup v1.",
		columns, "Last kill", true,
		q(perRow(labelsOfW, "("+killed+") * 1000"), ""),
		row(gainedByWorkloads("oom_container_kills_total", inNamespace)),
		row(gainedByWorkloads("oom_container_ooms_total", inNamespace)),
		row(gainedByWorkloads("oom_container_survived_kills_total", inNamespace)),
		row(over("oom_container_memory_limit_bytes")),
		row(fmt.Sprintf("max_over_time(oom_container_memory_unreclaimable_bytes{%s}[$__range])", inNamespace)),
		row(fmt.Sprintf("rate(oom_container_pressure_stalled_seconds_total{%s}[$__range])", inNamespace)),
		labels("comm, level", "oom_container_last_kill_info"),
		labels("cause", "oom_container_last_kill_cause_info")), nothingKilled)
}

// nothingKilled is why panels about kills are empty.
const nothingKilled = "nothing was killed"

func byNamespace() panel {
	return emptyWhen(ranking("Kills by namespace", "Processes killed in this time range, by namespace. Services and plain containers have none.", "short",
		q(fmt.Sprintf("sort_desc(topk(12, sum by (namespace) (%s) > 0))", gainedByWorkloads("oom_container_kills_total", inNamespace)), "{{namespace}}")), nothingKilled)
}

// balance compares what the kernel has counted with what the exporter accounts for.
func balance() panel {
	// All at 0 where the graph begins: the kernel counts since boot.
	risen := func(family string) string {
		return fmt.Sprintf("sum(%s{%s} - min_over_time(%s{%s}[$__range] @ end()))", family, onNode, family, onNode)
	}
	return lines("Balance", "Since the graph's left edge: kills that the kernel has counted, and those that are named, without an owner, pending or counted twice. The two are one line; a gap is kills that nobody knows of.",
		"short",
		q(risen("oom_node_kills_total"), "counted by the kernel"),
		q(fmt.Sprintf("%s + sum(oom_pending_kills{%s}) + %s", risen("oom_kills_total"), onNode, risen("oom_kill_duplicates_total")), "accounted for"))
}

func missing() panel {
	return bars("What may be missing", "Kills without an owner, kills of workloads whose series were dropped to bound their number, and lost kernel log records, per step and node.",
		q(stepOf("oom_unattributed_kills_total", onNode, "instance"), "no owner, {{instance}}"),
		q(stepOf("oom_evicted_kills_total", onNode, "instance"), "dropped, {{instance}}"),
		q(stepOf("oom_kmsg_records_lost_total", onNode, "instance"), "log records, {{instance}}"))
}
