// SPDX-License-Identifier: Apache-2.0

package dashboards_test

// incident is what goes wrong on one node of one cluster, while the node of the
// same name in the other cluster has the same series and is well.
type incident struct {
	alert     string
	board     string      // where the alert's link leads,
	variables []string    // and what it chooses there.
	series    [][3]string // a series with $on and $of filled in, its values where it is sick, and where it is well.
	labels    [][2]string // of the alert, but for the cluster and the instance.
	everyNode bool        // the alert has no instance.
}

// Variables of links, and the labels of what alerts are about.
var (
	toCluster   = []string{"cluster"}
	toNode      = []string{"cluster", "node"}
	toPod       = []string{"cluster", "node", "namespace", "pod"}
	toContainer = []string{"cluster", "node", "namespace", "pod", "container"}
	ofPod       = [][2]string{{"namespace", "shop"}, {"pod", "db-0"}}
	ofContainer = [][2]string{{"namespace", "shop"}, {"pod", "db-0"}, {"container", "app"}}
)

const (
	onNode = `cluster="$cluster",instance="$instance"`
	podOn  = onNode + `,namespace="shop",pod="db-0"`
	appOn  = podOn + `,container="app"`
)

// gauge is a series that is sick and well throughout.
func gauge(series, sick, well string) [3]string {
	return [3]string{series, sick + "x50", well + "x50"}
}

// rises is a counter that rises once, or not.
func rises(series string) [3]string { return [3]string{series, "0x39 1x10", "0x50"} }

// fleetIncidents has every alert but those about kills, whose nodes the fleet
// has anyhow.
func fleetIncidents() []incident {
	protected := `oom_container_info{` + onNode + `,namespace="shop",pod="web-0",container="app",qos="burstable"}`
	return []incident{
		{
			alert: "OOMExporterBlind", board: "node", variables: toNode, labels: [][2]string{{"source", "kmsg"}},
			series: [][3]string{gauge(`oom_event_source_up{`+onNode+`,source="kmsg"}`, "0", "1")},
		},
		{alert: "OOMKillsUnattributed", board: "kills", variables: toNode, series: [][3]string{rises(`oom_unattributed_kills_total{` + onNode + `}`)}},
		{alert: "OOMKernelLogLost", board: "kills", variables: toNode, series: [][3]string{rises(`oom_kmsg_records_lost_total{` + onNode + `}`)}},
		{
			alert: "OOMExporterLeavesOut", board: "node", variables: toNode,
			series: [][3]string{{`oom_exporter_skipped_total{` + onNode + `,kind="group_over_limit"}`, "0+1x50", "7x50"}},
		},
		{alert: "OOMNodeClockSkew", board: "node", variables: toNode, series: [][3]string{{`oom_node_time_seconds{` + onNode + `}`, "120+30x50", "1+30x50"}}},
		{
			alert: "OOMExporterDown", board: "overview", variables: toCluster, everyNode: true, labels: [][2]string{{"job", "edge/oom-exporter"}},
			series: [][3]string{gauge(`up{`+onNode+`,job="edge/oom-exporter"}`, "0", "1")},
		},
		{
			alert: "OOMExporterRolloutStuck", board: "overview", variables: toCluster, everyNode: true, labels: [][2]string{{"namespace", "mon"}, {"daemonset", "oom-exporter"}},
			series: [][3]string{
				gauge(`kube_daemonset_status_number_unavailable{cluster="$cluster",namespace="mon",daemonset="oom-exporter"}`, "2", "2"),
				{`kube_daemonset_status_updated_number_scheduled{cluster="$cluster",namespace="mon",daemonset="oom-exporter"}`, "3x50", "1+1x50"},
			},
		},
		{
			alert: "OOMScrapeWithoutHonorLabels", board: "overview", variables: toCluster, everyNode: true, labels: [][2]string{{"job", "plain"}},
			series: [][3]string{gauge(`oom_container_kills_total{`+onNode+`,job="plain",namespace="mon",pod="x",container="exporter",exported_container="app"}`, "0", "_")},
		},

		{
			alert: "OOMContainerWillReachLimit", board: "workload", variables: toContainer, labels: ofContainer,
			series: [][3]string{gauge(`oom_container_leak_seconds_to_limit{`+appOn+`}`, "3600", "90000")},
		},
		{
			alert: "OOMContainerGrowing", board: "workload", variables: toContainer, labels: ofContainer,
			series: [][3]string{gauge(`container:oom_limit_headroom:seconds6h{`+appOn+`}`, "36000", "360000")},
		},
		{
			alert: "OOMGuardKilled", board: "node", variables: toNode, labels: [][2]string{{"policy", "process"}},
			series: [][3]string{rises(`oom_guard_actions_total{` + onNode + `,policy="process",outcome="killed"}`)},
		},
		{
			alert: "OOMKillUnnoticed", board: "workload", variables: toContainer, labels: ofContainer,
			series: [][3]string{rises(`oom_container_survived_kills_total{` + appOn + `}`)},
		},

		{
			alert: "OOMContainerNearLimit", board: "workload", variables: toContainer, labels: ofContainer,
			series: [][3]string{gauge(`oom_container_memory_limit_bytes{`+appOn+`}`, "1000", "1000"), gauge(`oom_container_memory_unreclaimable_bytes{`+appOn+`}`, "950", "500")},
		},
		{
			alert: "OOMContainerThrashing", board: "workload", variables: toContainer, labels: ofContainer,
			series: [][3]string{
				{`oom_container_pressure_stalled_seconds_total{` + appOn + `}`, "0+15x50", "0x50"},
				gauge(`oom_container_memory_usage_bytes{`+appOn+`}`, "99", "99"), gauge(`oom_container_memory_limit_bytes{`+appOn+`}`, "100", "100"),
			},
		},
		{alert: "OOMContainerHung", board: "workload", variables: toContainer, labels: ofContainer, series: [][3]string{gauge(`oom_container_under_oom{`+appOn+`}`, "1", "0")}},
		{
			alert: "OOMPodNearLimit", board: "workload", variables: toPod, labels: ofPod,
			series: [][3]string{gauge(`oom_pod_memory_limit_bytes{`+podOn+`}`, "1000", "1000"), gauge(`oom_pod_memory_unreclaimable_bytes{`+podOn+`}`, "950", "500")},
		},
		{
			alert: "OOMSliceNearLimit", board: "node", variables: toNode, labels: [][2]string{{"cgroup", "/kubepods"}},
			series: [][3]string{gauge(`oom_slice_memory_limit_bytes{`+onNode+`,cgroup="/kubepods"}`, "1000", "1000"), gauge(`oom_slice_memory_unreclaimable_bytes{`+onNode+`,cgroup="/kubepods"}`, "980", "500")},
		},
		{
			alert: "OOMNodeNearLimit", board: "node", variables: toNode,
			series: [][3]string{gauge(`oom_node_kill_margin_ratio{`+onNode+`}`, "0.02", "0.02"), gauge(`oom_node_kill_margin_bytes{`+onNode+`}`, "1000", "9e9")},
		},
		{
			alert: "OOMNodeBelowEvictionThreshold", board: "node", variables: toNode,
			series: [][3]string{gauge(`oom_node_eviction_margin_bytes{`+onNode+`}`, "-1", "1000"), gauge(`oom_node_eviction_threshold_bytes{`+onNode+`}`, "100", "100")},
		},
		{
			alert: "OOMNextVictimProtected", board: "node", variables: toNode, labels: append([][2]string{{"comm", "postgres"}}, ofContainer...),
			series: [][3]string{
				gauge(`oom_next_victim_badness_bytes{`+appOn+`,scope="node",pid="7",comm="postgres"}`, "9", "9"),
				gauge(`oom_container_info{`+appOn+`,qos="guaranteed"}`, "1", "1"), gauge(protected, "1", "1"),
				gauge(`oom_node_kill_margin_ratio{`+onNode+`}`, "0.2", "0.9"),
			},
		},
		{
			alert: "OOMScoreAdjMismatch", board: "workload", variables: toContainer, labels: ofContainer,
			series: [][3]string{gauge(`oom_container_oom_score_adj_mismatch{`+appOn+`}`, "1", "0")},
		},
		{
			alert: "OOMUnkillableMemoryHigh", board: "node", variables: toNode,
			series: [][3]string{gauge(`oom_node_unkillable_bytes{`+onNode+`}`, "30", "10"), gauge(`oom_node_memory_capacity_bytes{`+onNode+`}`, "100", "100")},
		},
	}
}
