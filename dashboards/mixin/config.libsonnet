// SPDX-License-Identifier: Apache-2.0
//
// What a site may tune. Overlay it:
//
//   (import 'oom-exporter-mixin/mixin.libsonnet') + {
//     _config+:: { namespaceSelector: 'namespace!~"sandbox-.*"', willReachHours: 4 },
//   }
//
// The chart has the same keys below prometheusRule.config and prometheusRule.alerts.
{
  _config+:: {
    // Matchers for every series of the exporter, such as 'job="oom-exporter"'.
    selector: '',
    // Matchers for the workloads that rules look at, such as 'namespace!~"sandbox-.*"'.
    namespaceSelector: '',
    // Matchers for kube_node_info: nodes that should have an exporter.
    nodeSelector: 'os_image!~".*Windows.*"',
    // Anchored regular expression on the job of the exporters, and on the name of their DaemonSet.
    exporterJob: '(.*[-_/])?oom[-_]exporter',
    // Put before a runbook's file name.
    runbookURL: 'https://github.com/oom-exporter/oom_exporter/blob/main/docs/runbooks/',
    // Put before the dashboards' links, such as https://grafana.example.com.
    grafanaURL: '',
    // Put before the links to the exporter's own pages; empty: there are none. It may
    // have labels of the alert, such as 'http://{{ $labels.instance }}:10137'.
    pageURL: '',
    // Name of the Prometheus data source in Grafana.
    datasource: 'default',

    // A margin alert begins below the first pair (both) and ends above the second.
    containerNearRatio: '0.10',
    containerNearMiB: 512,
    containerNearEndRatio: '0.15',
    containerNearEndMiB: 768,
    podNearRatio: '0.10',
    podNearMiB: 512,
    podNearEndRatio: '0.15',
    podNearEndMiB: 768,
    sliceNearRatio: '0.05',
    sliceNearMiB: 1024,
    sliceNearEndRatio: '0.08',
    sliceNearEndMiB: 1536,
    nodeNearRatio: '0.05',
    nodeNearMiB: 2048,
    nodeNearEndRatio: '0.08',
    nodeNearEndMiB: 3072,
    // A container or pod that was as full as this hours ago and was not killed is
    // steady, and no news, as long as this share of its limit is left.
    steadyRatio: '0.03',

    // Forecasts, in hours to the limit.
    willReachSoonHours: 2,
    willReachHours: 6,
    growingHours: 24,

    // OOM decisions of one workload within an hour.
    killLoopCount: 3,
    // Different containers killed on one node within five minutes.
    killStormContainers: 5,
    // Share of the time in which all tasks wait for memory; it ends below the second.
    thrashingRatio: '0.10',
    thrashingEndRatio: '0.05',
    // Share of a node's memory in processes that are never killed; ends below the second.
    unkillableRatio: '0.25',
    unkillableEndRatio: '0.20',
    // Kill margin of a node below which it matters who would die.
    protectedNodeRatio: '0.25',
    // Difference between a node's clock and Prometheus'.
    clockSkewSeconds: 60,

    // By alert: severity, for, keep_firing_for, or enabled: false. What is not set
    // here is as the rule files have it.
    alerts: {},
  },
}
