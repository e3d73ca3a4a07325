// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// overview: who is near, who died, which nodes.
func overview() dashboard {
	b := newBoard("overview", "OOM / Overview",
		"Who is close to an OOM kill, who was killed, and on which nodes. Node-wide numbers ignore the namespace.",
		clusterChoice(), nodeChoice(true), namespaceChoice())
	b.kills(inNamespace)
	b.line(4, even(6), overviewStats()...)
	b.line(10, []int{14, 10}, closest("Closest to a kill", inNamespace, 8, nodeColumn()), firing())
	b.line(9, []int{15, 9}, lastKills(), byLevel(onNode))
	b.line(6, []int{24}, nodes())
	b.line(8, []int{15, 9}, growing(inNamespace), causes(inNamespace))
	return b.dashboard
}

func overviewStats() []panel {
	return []panel{
		stat("Kills, all namespaces", "Processes killed in this time range on the chosen nodes, whatever the namespace, those without an owner among them.",
			"short", zeroScale(), q(total(gained("oom_kills_total", onNode)), "kills")),
		stat("Workloads killed", "Different containers and services that lost a process in this time range.",
			"short", zeroScale(), q(fmt.Sprintf(`count(last_over_time(oom_container_last_kill_timestamp_seconds{%s}[$__range])
				>= ${__from:date:seconds}) or vector(0)`, inNamespace), "workloads")),
		stat("Near their own limit", "Containers with less than 10 % of their own limit left, counting only memory that reclaim can't free.",
			"short", from(green, 1.0, orange), q(fmt.Sprintf(`count(oom_container_memory_limit_bytes{%s} - oom_container_memory_unreclaimable_bytes{%s}
				< 0.1 * oom_container_memory_limit_bytes{%s}) or vector(0)`, inNamespace, inNamespace, inNamespace), "containers")),
		stat("Tightest node", "The smallest kill margin of a node, as a share of its memory: what can still be given out before the kernel kills.",
			"percentunit", ratioScale(), q(fmt.Sprintf("min(oom_node_kill_margin_ratio{%s})", onNode), "ratio")),
		stat("Alerts firing", "OOM alerts that fire now, exporters' own included. Needs the rules of dashboards/rules.",
			"short", zeroScale(), q(`count(ALERTS{alertname=~"OOM.*",alertstate="firing",cluster=~"$cluster|",instance=~"$node|"}) or vector(0)`, "alerts")),
		stat("Kills without an owner", "Kills of this time range for which nothing named a workload: how much the other numbers miss.",
			"short", zeroScale(), q(total(gained("oom_unattributed_kills_total", onNode)), "kills")),
	}
}

// closest lists at most rows containers, those with the smallest kill margin. It goes by the
// ratio: a few MiB are much to a sidecar and nothing to a heap of gigabytes.
func closest(title, selector string, rows int, more ...column) panel {
	// Each query has the level in it, so that all join into one row.
	with := func(family string) query {
		return q(perRow(labelsOfW+", level", fmt.Sprintf(`%s{%s} * on (%s) group_left (level) oom_container_kill_margin_info{%s}
			and on (%s) bottomk(%d, oom_container_kill_margin_ratio{%s})`, family, selector, labelsOfW, selector, labelsOfW, rows, selector)), "")
	}
	columns := append(append(workloadColumns(), more...),
		column{field: "level", title: "Limit of", width: 75},
		column{field: "Value #A", title: "Kill margin", unit: "bytes", width: 95},
		column{field: "Value #B", title: "Margin %", unit: "percentunit", width: 95, scale: ratioScale()},
		column{field: "Value #C", title: "Unreclaimable", unit: "bytes", width: 110})
	return table(title,
		fmt.Sprintf("How many bytes each container may still allocate before the kernel must kill in a scope that holds it, and whose limit gets there first. The %d with the smallest share of it left.", rows),
		columns, "Margin %", false,
		with("oom_container_kill_margin_bytes"), with("oom_container_kill_margin_ratio"), with("oom_container_memory_unreclaimable_bytes"))
}

// growing lists what a forecast says will reach its limit.
func growing(selector string) panel {
	with := func(series string) query {
		return q(perRow(labelsOfW, fmt.Sprintf(`%s and on (%s) bottomk(6, container:oom_limit_headroom:seconds6h{%s} or container:oom_limit_headroom:seconds{%s})`,
			series, labelsOfW, selector, selector)), "")
	}
	columns := append(workloadColumns(), nodeColumn(),
		column{field: "Value #A", title: "Limit in", unit: "s", width: 100, scale: from(red, 7200.0, orange, 21600.0, grey)},
		column{field: "Value #B", title: "Growth/h", unit: "bytes", width: 100},
		column{field: "Value #C", title: "Unreclaimable", unit: "bytes", width: 110},
		column{field: "Value #D", title: "Limit", unit: "bytes", width: 100})
	return emptyWhen(table("Growing towards their limit",
		"Containers that reach their own limit if they go on growing as in the last six hours, or two where there are no more: the six that get there first. Needs the rules of dashboards/rules.",
		columns, "Limit in", false,
		with(fmt.Sprintf("(container:oom_limit_headroom:seconds6h{%s} or container:oom_limit_headroom:seconds{%s})", selector, selector)),
		with(fmt.Sprintf("container:oom_unreclaimable_rise:last1h{%s}", selector)),
		with(fmt.Sprintf("oom_container_memory_unreclaimable_bytes{%s}", selector)),
		with(fmt.Sprintf("oom_container_memory_limit_bytes{%s}", selector))), "nothing grows")
}

// causes shows why workloads were killed.
func causes(selector string) panel {
	return emptyWhen(killBars("Kills by cause", "Kills per step by why they came about: leak, burst, startup, a lowered limit and others; docs/why.md says how that is told.",
		q(stepOfWorkloads("oom_container_kill_causes_total", selector, "cause"), "{{cause}}")), nothingKilled)
}

// firing lists the alerts.
func firing() panel {
	columns := []column{
		{field: "alertname", title: "Alert", width: 190},
		{field: "severity", title: "Severity", width: 85},
		{field: "instance", title: "Node", width: 75, url: toNode},
		{field: "namespace", title: "Namespace", hidden: true},
		{field: "pod", title: "Pod", url: toWorkload},
		{field: "container", title: "Container", width: 75, url: toWorkload},
	}
	return emptyWhen(table("Alerts", "OOM alerts that fire now. Each has a runbook in docs/runbooks. Needs the rules of dashboards/rules.",
		columns, "Severity", false,
		q(`max by (alertname, severity, cluster, instance, namespace, pod, container)
			(ALERTS{alertname=~"OOM.*",alertstate="firing",cluster=~"$cluster|",instance=~"$node|"})`, "")), "no alert fires")
}

// lastKills lists who was killed in the time range, the latest first.
func lastKills() panel {
	recent := fmt.Sprintf("last_over_time(oom_container_last_kill_timestamp_seconds{%s}[$__range]) >= ${__from:date:seconds}", inNamespace)
	columns := append([]column{{field: "Value #A", title: "When", unit: "dateTimeFromNow", width: 145}}, workloadColumns()...)
	columns = append(columns, nodeColumn(), column{field: "Value #B", title: "Kills", width: 80})
	return emptyWhen(table("Killed in this time range", "The last kill of each workload, by the kernel's own time, and how many of its processes were killed in this time range.",
		columns, "When", true,
		q(perRow(labelsOfW, "("+recent+") * 1000"), ""),
		q(perRow(labelsOfW, fmt.Sprintf("%s and on (%s) (%s)", gainedByWorkloads("oom_container_kills_total", inNamespace), labelsOfW, recent)), "")), nothingKilled)
}

func byLevel(selector string) panel {
	return killBars("Kills by whose limit ran out",
		"Kills per step by the kind of limit: the container's own, its pod's, a slice's, the node, a NUMA node, or unknown.",
		q(stepOf("oom_kills_total", selector, "level"), "{{level}}"))
}

// nodes has one row a node.
func nodes() panel {
	row := func(expr string) query { return q(perRow(labelsOfNode, expr), "") }
	columns := []column{
		nodeColumn(),
		{field: "Value #A", title: "Kill margin", unit: "bytes", width: 130},
		{field: "Value #B", title: "Kill margin %", unit: "percentunit", width: 120, scale: ratioScale()},
		{field: "Value #C", title: "To eviction", unit: "bytes", width: 120, scale: from(red, 1.0, green)},
		{field: "Value #D", title: "Unkillable", unit: "percentunit", width: 100, scale: from(green, 0.2, orange, 0.25, red)},
		{field: "Value #E", title: "Kills", width: 80, scale: zeroScale()},
		{field: "comm", title: "Dies first", width: 130},
		{field: "namespace", title: "Namespace", width: 130},
		{field: "pod", title: "Pod", url: toWorkload},
		{field: "container", title: "Container", width: 150, url: toWorkload},
	}
	return table("Nodes", "How far each node is from a kill and from eviction, what killing can't free, kills in this time range, and which process dies first.",
		columns, "Kill margin %", false,
		row(fmt.Sprintf("oom_node_kill_margin_bytes{%s}", onNode)),
		row(fmt.Sprintf("oom_node_kill_margin_ratio{%s}", onNode)),
		row(fmt.Sprintf("oom_node_eviction_margin_bytes{%s}", onNode)),
		row(fmt.Sprintf("oom_node_unkillable_bytes{%s} / oom_node_memory_capacity_bytes{%s}", onNode, onNode)),
		row(fmt.Sprintf("sum by (%s) (%s)", labelsOfNode, gained("oom_kills_total", onNode))),
		q(perRow(labelsOfW+", comm", fmt.Sprintf(`oom_next_victim_badness_bytes{%s,scope="node"}`, onNode)), ""))
}
