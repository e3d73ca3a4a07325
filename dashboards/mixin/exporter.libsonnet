// SPDX-License-Identifier: Apache-2.0
//
// The exporter itself: what it can't see it can't tell, so it says that.
local lib = import 'lib.libsonnet';

function(config)
  local alert(name, a) = lib.alert(config, name, { scope: 'exporter' } + a);
  local up = 'up{job=~"%(exporterJob)s",%(s)s}';

  [{
    name: 'oom-exporter',
    rules: [
      // A source that was required (or worked before) delivers nothing, or a
      // collector fails. A source that is off or may not be opened under "auto"
      // has no series: a choice, not a fault. BPF is left out: without it the other
      // sources go on. Five minutes: readers are restarted.
      alert('OOMExporterBlind', {
        expr: '(oom_event_source_up{%(s)s} unless oom_event_source_up{source="bpf"}) == 0 or oom_scrape_collector_success{%(s)s} == 0',
        'for': '5m',
        severity: 'warning',
        summary: 'oom_exporter on %s is partly blind' % lib.node,
        description: |||
          {{ with $labels.source }}The event source {{ . }}{{ end }}{{ with $labels.collector }}The collector {{ . }}{{ end }}
          of oom_exporter on %s has failed for five minutes.
          Kills are still counted by the kernel's counters, but may lack names, or margins are missing.
        ||| % lib.node,
        dashboard: lib.toNode(config),
      }),

      // A kill without a name is one that nobody will look for. Pending kills wait
      // ten seconds for evidence; five minutes means that the ledger is stuck.
      alert('OOMKillsUnattributed', {
        expr: lib.gained('oom_unattributed_kills_total{%(s)s}', '15m', 'cluster, instance', born=false) + |||
          or
          min_over_time(oom_pending_kills{%(s)s}[5m]) > 0
            and %(onN)s oom_pending_kills{%(s)s} offset 5m > 0
        |||,
        severity: 'info',
        summary: '{{ $value }} OOM kill(s) on %s have no owner' % lib.node,
        description: |||
          The kernel counted {{ $value }} kill(s) on %s for which nothing named a workload,
          or which have been waiting for evidence for more than five minutes.
          The total is right; the containers' own numbers are too low by as many.
        ||| % lib.node,
        dashboard: lib.toKills(config),
      }),

      // Overwritten before they could be read: counts stay right, reports may be
      // missing. Ends a quarter of an hour after the last loss.
      alert('OOMKernelLogLost', {
        expr: lib.gained('oom_kmsg_records_lost_total{%(s)s}', '15m', 'cluster, instance', born=false),
        severity: 'info',
        summary: 'Kernel log records were lost on ' + lib.node,
        description: |||
          {{ $value }} kernel log record(s) on %s were overwritten within 15 minutes before they could be read.
          Kills are still counted; their reports (trigger, sizes, owner of the limit) may be incomplete.
        ||| % lib.node,
        dashboard: lib.toKills(config),
      }),

      // Somebody has made more cgroups, processes, workloads or limits than a scrape
      // may show. Ends ten minutes after the last scrape that left something out.
      alert('OOMExporterLeavesOut', {
        expr: |||
          sum without (kind) (
            increase(oom_exporter_skipped_total{kind=~".*_over_limit|group_too_deep|workload_folded",%(s)s}[10m])
          ) > 0
        |||,
        severity: 'warning',
        summary: 'oom_exporter on %s leaves cgroups or series out' % lib.node,
        description: |||
          There are more cgroups, processes, workloads or limits on %s than the bounds of oom_exporter allow
          (--limits.*). Each tenant keeps a fair share; what is over it is not shown. The exporter's log names the cgroup below which most is left out.
        ||| % lib.node,
        dashboard: lib.toNode(config),
      }),

      // Targets that are known and can't be scraped: one alert for a bad rollout,
      // however many nodes it hits. A pod that is replaced leaves no target behind,
      // so a rollout that works does not fire.
      alert('OOMExporterDown', {
        expr: 'count by (cluster, job) (%s == 0)' % up,
        'for': '10m',
        severity: 'warning',
        summary: '{{ $value }} oom_exporter(s) cannot be scraped' + lib.cluster,
        description: |||
          {{ $value }} target(s) of the job {{ $labels.job }} have not answered for ten minutes, so that nothing watches OOM kills there:
          {{- range $i, $s := query (printf `up{cluster=%q,job=%q} == 0` $labels.cluster $labels.job) | sortByLabel "instance" }}{{ if lt $i 5 }}{{ if $i }},{{ end }} {{ $s | label "instance" }}{{ else if eq $i 5 }} and others{{ end }}{{ end }}.
        |||,
        dashboard: lib.toOverview(config),
      }),

      // A node that Kubernetes has and no exporter is scraped on: not scheduled
      // there, or not found by Prometheus. Needs kube-state-metrics; the target's
      // labels instance or node must be the node's name, as the chart's monitors
      // set them. Where an exporter can't run, narrow _config.nodeSelector.
      alert('OOMNodeWithoutExporter', {
        expr: |||
          (
            label_replace(max by (cluster, node) (kube_node_info{%%(nodeSelector)s}), "instance", "$1", "node", "(.*)")
              unless on (cluster, instance) %(up)s
              unless on (cluster, node) %(up)s
          )
          and on (cluster) count by (cluster) (%(up)s) > 0
        ||| % { up: up },
        'for': '15m',
        severity: 'warning',
        summary: 'Node %s has no oom_exporter' % lib.node,
        description: |||
          Kubernetes has the node %s, and Prometheus has not scraped an oom_exporter there for 15 minutes: nothing watches this node's OOM kills.
        ||| % lib.node,
        dashboard: lib.toOverview(config),
      }),

      // Pods of the DaemonSet that do not come up: an image that cannot be pulled, a
      // flag that is wrong, a policy that refuses them. One alert, however many
      // nodes. A rollout that goes on replaces a pod every few minutes and always
      // has one that is not available; what it has updated changes meanwhile. Needs
      // kube-state-metrics.
      alert('OOMExporterRolloutStuck', {
        expr: |||
          max by (cluster, namespace, daemonset) (kube_daemonset_status_number_unavailable{daemonset=~"%(exporterJob)s"}) > 0
            unless on (cluster, namespace, daemonset)
          changes(kube_daemonset_status_updated_number_scheduled{daemonset=~"%(exporterJob)s"}[10m]) > 0
        |||,
        'for': '15m',
        severity: 'warning',
        summary: '{{ $value }} pod(s) of oom_exporter do not come up' + lib.cluster,
        description: |||
          {{ $value }} pod(s) of the DaemonSet {{ $labels.namespace }}/{{ $labels.daemonset }}%s have not been available for 15 minutes,
          and no rollout makes progress: nothing watches OOM kills on their nodes.
        ||| % lib.cluster,
        dashboard: lib.toOverview(config),
      }),

      // No exporter at all, or none any more in a cluster: uninstalled, a lost
      // scrape config, or a relabelling that drops it. Every other alert is silent.
      alert('OOMExporterAbsent', {
        expr: |||
          absent(oom_exporter_build_info{%(s)s})
          or
          count by (cluster) (max_over_time(oom_exporter_build_info{%(s)s}[6h] offset 15m)) unless on (cluster) oom_exporter_build_info{%(s)s}
        |||,
        'for': '15m',
        severity: 'critical',
        summary: 'No oom_exporter is scraped any more' + lib.cluster,
        description: |||
          Prometheus has had no series of any oom_exporter%s for 15 minutes. All OOM alerts are silent while this lasts.
        ||| % lib.cluster,
        dashboard: lib.toOverview(config),
      }),

      // Without honor_labels Prometheus gives the exporter's own pod the name of
      // the victim. No other alert speaks of such series.
      alert('OOMScrapeWithoutHonorLabels', {
        expr: 'count by (cluster, job) (oom_container_kills_total{exported_container!="",%(s)s}) > 0',
        'for': '5m',
        severity: 'warning',
        summary: 'oom_exporter is scraped without honor_labels' + lib.cluster,
        description: |||
          The job {{ $labels.job }} renames the labels of {{ $value }} workloads to exported_namespace, exported_pod and exported_container,
          so that the exporter's own pod stands in their place and no alert about containers can fire.
          Set honor_labels: true in its scrape config (honorLabels: true in a PodMonitor or ServiceMonitor).
        |||,
        dashboard: lib.toOverview(config),
      }),

      // The time of a kill is the node's. The counters notice kills all the same.
      alert('OOMNodeClockSkew', {
        expr: |||
          oom_node_time_seconds{%(s)s} - timestamp(oom_node_time_seconds{%(s)s}) > %(clockSkewSeconds)s
          or
          oom_node_time_seconds{%(s)s} - timestamp(oom_node_time_seconds{%(s)s}) < -%(clockSkewSeconds)s
        |||,
        'for': '10m',
        severity: 'info',
        summary: 'The clock of %s is off by {{ $value | humanizeDuration }}' % lib.node,
        description: |||
          The clock of %s differs from Prometheus' by {{ $value | humanizeDuration }} (negative: behind).
          Times of kills are wrong by as much; alerts go by the counters, too, and are not affected.
        ||| % lib.node,
        dashboard: lib.toNode(config),
      }),
    ],
  }]
