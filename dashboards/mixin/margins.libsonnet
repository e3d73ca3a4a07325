// SPDX-License-Identifier: Apache-2.0
//
// Margins: how far it is to the next kill, who will get there, and who dies.
//
// Hysteresis: an alert begins at one value and ends at a second, safer one, for
// which it looks at its own ALERTS series. A margin that trembles around one
// threshold would otherwise page and resolve with every garbage collection.
//
// keep_firing_for: a node that is nearly full is where a scrape fails or the
// exporter starts anew. Two minutes without it must not end an alert and page
// again, nor let loose what a node's alert inhibits. It takes Prometheus 2.42.
//
// Headroom is the own limit minus what reclaim can't free. It is not the limit
// minus the working set: that one counts page cache, and a container full of
// cache sits at its limit indefinitely without a kill.
local lib = import 'lib.libsonnet';

function(config)
  local record(name, text) = lib.record(config, name, text);
  // What compares a gauge keeps firing over failed scrapes.
  local alert(name, a) = lib.alert(config, name, { keep: '3m' } + a);

  // near begins below a ratio and a number of bytes, and ends above others.
  // Where swap can still take what grows, the kill margin is large although the
  // headroom is small: then there is nothing to fear yet.
  local near(name, level, on, selector) = |||
    (
      %(level)s:oom_limit_headroom:ratio < %%(%(level)sNearRatio)s
        and %(level)s:oom_limit_headroom:bytes < %%(%(level)sNearMiB)s * 1024 ^ 2
      or
      %(level)s:oom_limit_headroom:ratio < %%(%(level)sNearEndRatio)s
        and %(level)s:oom_limit_headroom:bytes < %%(%(level)sNearEndMiB)s * 1024 ^ 2
        and %(on)s
      ALERTS{alertname="%(name)s",alertstate="firing"}
    )
    unless %(on)s
    oom_%(level)s_kill_margin_bytes{%(selector)s} > %%(%(level)sNearEndMiB)s * 1024 ^ 2
  ||| % { name: name, level: level, on: on, selector: selector };

  // steady is what has been as full hours ago and was not killed since: no news.
  local steady(level, on) = |||
    unless %(on)s
    (
      %(level)s:oom_limit_headroom:ratio > %%(steadyRatio)s
        and %(on)s
      %(level)s:oom_%(level)s_memory_unreclaimable_bytes:max15m <= 1.01 * %(level)s:oom_%(level)s_memory_unreclaimable_bytes:highest
    )
  ||| % { level: level, on: on };

  // highest is the most that a level has held from a day to six hours ago; what
  // was killed since has shown that the number means nothing.
  local highest(level, on, unless) = |||
    max_over_time(%(level)s:oom_%(level)s_memory_unreclaimable_bytes:max15m[1d:15m] offset 6h)
    unless %(on)s
    %(unless)s
  ||| % { level: level, on: on, unless: unless };

  [{
    name: 'oom-margins',
    rules: [
      record('container:oom_limit_headroom:bytes', 'oom_container_memory_limit_bytes{%(w)s} - oom_container_memory_unreclaimable_bytes{%(w)s}'),
      record('container:oom_limit_headroom:ratio', 'container:oom_limit_headroom:bytes / oom_container_memory_limit_bytes{%(w)s}'),
      record('pod:oom_limit_headroom:bytes', 'oom_pod_memory_limit_bytes{%(p)s} - oom_pod_memory_unreclaimable_bytes{%(p)s}'),
      record('pod:oom_limit_headroom:ratio', 'pod:oom_limit_headroom:bytes / oom_pod_memory_limit_bytes{%(p)s}'),
      record('slice:oom_limit_headroom:bytes', 'oom_slice_memory_limit_bytes{%(s)s} - oom_slice_memory_unreclaimable_bytes{%(s)s}'),
      record('slice:oom_limit_headroom:ratio', 'slice:oom_limit_headroom:bytes / oom_slice_memory_limit_bytes{%(s)s}'),

      // The worst margin of each level above the container.
      record('namespace:oom_container_kill_margin_ratio:min', 'min by (cluster, namespace) (oom_container_kill_margin_ratio{%(w)s})'),
      record('namespace_workload:oom_container_kill_margin_ratio:min', |||
        min by (cluster, namespace, workload) (
          oom_container_kill_margin_ratio{pod!="",%(w)s} * on (cluster, namespace, pod) group_left (workload) pod:oom_pod_workload:info
        )
      |||),
      record('instance:oom_container_kill_margin_ratio:min', 'min by (cluster, instance) (oom_container_kill_margin_ratio{%(w)s})'),
      record('cluster:oom_container_kill_margin_ratio:min', 'min by (cluster) (oom_container_kill_margin_ratio{%(w)s})'),
      record('cluster:oom_node_kill_margin_ratio:min', 'min by (cluster) (oom_node_kill_margin_ratio{%(s)s})'),

      // Troughs and peaks of a quarter of an hour: a heap that a collector empties
      // again and again has a flat line of troughs, a leak has a rising one.
      record('container:oom_container_memory_unreclaimable_bytes:min15m', 'min_over_time(oom_container_memory_unreclaimable_bytes{%(w)s}[15m])'),
      record('container:oom_container_memory_unreclaimable_bytes:max15m', 'max_over_time(oom_container_memory_unreclaimable_bytes{%(w)s}[15m])'),
      record('pod:oom_pod_memory_unreclaimable_bytes:max15m', 'max_over_time(oom_pod_memory_unreclaimable_bytes{%(p)s}[15m])'),
      record('container:oom_container_memory_unreclaimable_bytes:highest', highest('container', '%(onW)s', 'time() - oom_container_last_kill_timestamp_seconds{%(w)s} < 30 * 3600')),
      record('pod:oom_pod_memory_unreclaimable_bytes:highest', highest('pod', '%(onP)s', 'max without (container) (time() - oom_container_last_kill_timestamp_seconds{%(w)s}) < 30 * 3600')),

      record('container:oom_container_pressure_stalled_seconds:rate5m', 'rate(oom_container_pressure_stalled_seconds_total{%(w)s}[5m])'),
      record('instance:oom_node_unkillable:ratio', 'oom_node_unkillable_bytes{%(s)s} / oom_node_memory_capacity_bytes{%(s)s}'),

      // A tenth of the limit, and less than 512 MiB: a tenth of 64 GiB is plenty.
      // One minute: a burst that passes is no news.
      alert('OOMContainerNearLimit', {
        expr: near('OOMContainerNearLimit', 'container', '%(onW)s', '%(w)s') + steady('container', '%(onW)s'),
        'for': '1m',
        severity: 'warning',
        scope: 'container',
        summary: lib.workload + ' is close to its memory limit',
        description: |||
          %s
          on %s has {{ $value | humanizePercentage }} of its own limit left
          before the kernel kills one of its processes. Page cache is not counted: reclaim can't free the rest.
        ||| % [lib.workload, lib.node],
        dashboard: lib.toWorkload(config),
      }),

      // All tasks wait for memory for a tenth of the time while usage stands at
      // the limit: reclaim runs in circles. The kill margin is rightly large (the
      // cache could go), so no other alert sees it. cgroup v2 only: v1 has no
      // pressure file.
      alert('OOMContainerThrashing', {
        expr: |||
          (
            container:oom_container_pressure_stalled_seconds:rate5m > %(thrashingRatio)s
            or
            container:oom_container_pressure_stalled_seconds:rate5m > %(thrashingEndRatio)s
              and %(onW)s
            ALERTS{alertname="OOMContainerThrashing",alertstate="firing"}
          )
          and %(onW)s
          oom_container_memory_usage_bytes{%(w)s} / oom_container_memory_limit_bytes{%(w)s} > 0.95
        |||,
        'for': '5m',
        severity: 'warning',
        scope: 'container',
        summary: lib.workload + ' thrashes at its memory limit',
        description: |||
          All processes of %s
          on %s are stalled for {{ $value | humanizePercentage }} of the time, waiting for memory:
          usage is at the limit and the kernel reclaims what is needed again immediately. Nothing is killed; it is only slow.
        ||| % [lib.workload, lib.node],
        dashboard: lib.toWorkload(config),
      }),

      // oom_kill_disable of cgroup v1: at the limit tasks sleep instead.
      alert('OOMContainerHung', {
        expr: 'oom_container_under_oom{%(w)s} == 1',
        'for': '1m',
        severity: 'critical',
        scope: 'container',
        summary: lib.workload + ' hangs at its memory limit',
        description: |||
          %s
          on %s is out of memory with oom_kill_disable set:
          its tasks sleep until memory is freed, the limit is raised or the killer is switched on again.
        ||| % [lib.workload, lib.node],
        dashboard: lib.toWorkload(config),
      }),

      // The thresholds of the container, for the pod's own limit. The kubelet sets
      // one where all containers of a pod are limited. Inhibited where one of its
      // containers is near already (alertmanager.yaml).
      alert('OOMPodNearLimit', {
        expr: near('OOMPodNearLimit', 'pod', '%(onP)s', '%(p)s') + steady('pod', '%(onP)s'),
        'for': '1m',
        severity: 'warning',
        scope: 'pod',
        summary: 'Pod {{ $labels.namespace }}/{{ $labels.pod }} is close to its memory limit',
        description: |||
          All containers of {{ $labels.namespace }}/{{ $labels.pod }} on %s together
          have {{ $value | humanizePercentage }} of the pod's limit left before the kernel kills a process of one of them.
        ||| % lib.node,
        dashboard: lib.toPod(config),
      }),

      // A slice holds many: 5 % and less than 1 GiB, ends above 8 % or 1.5 GiB.
      alert('OOMSliceNearLimit', {
        expr: near('OOMSliceNearLimit', 'slice', '%(onS)s', '%(s)s'),
        'for': '1m',
        severity: 'warning',
        scope: 'slice',
        summary: '{{ $labels.cgroup }} on %s is close to its memory limit' % lib.node,
        description: |||
          The slice {{ $labels.cgroup }} on %s has {{ $value | humanizePercentage }} of its limit left.
          When it is used up the kernel kills in it, whichever of its workloads ranks first.
        ||| % lib.node,
        dashboard: lib.toNode(config),
      }),

      // 5 % of the node and less than 2 GiB, ends above 8 % or 3 GiB. The kill
      // margin already has reclaimable cache and free swap in it, so what is left
      // goes fast: one minute.
      alert('OOMNodeNearLimit', {
        expr: |||
          oom_node_kill_margin_ratio{%(s)s} < %(nodeNearRatio)s
            and %(onN)s oom_node_kill_margin_bytes{%(s)s} < %(nodeNearMiB)s * 1024 ^ 2
          or
          oom_node_kill_margin_ratio{%(s)s} < %(nodeNearEndRatio)s
            and %(onN)s oom_node_kill_margin_bytes{%(s)s} < %(nodeNearEndMiB)s * 1024 ^ 2
            and %(onN)s
          ALERTS{alertname="OOMNodeNearLimit",alertstate="firing"}
        |||,
        'for': '1m',
        severity: 'critical',
        scope: 'node',
        summary: 'Node %s is about to run out of memory' % lib.node,
        description: |||
          %s can give out {{ $value | humanizePercentage }} of its memory before the kernel has to kill.
          {{ with query (printf `oom_next_victim_badness_bytes{scope="node",cluster=%%q,instance=%%q}` $labels.cluster $labels.instance) -}}
          {{ with first . -}}
          First to die: {{ label "comm" . }} in {{ with label "namespace" . }}{{ . }}/{{ end }}{{ with label "pod" . }}{{ . }}/{{ end }}{{ label "container" . }}.
          {{- end }}
          {{- end }}
        ||| % lib.node,
        dashboard: lib.toNode(config),
      }),

      // Below the threshold by the kubelet's own arithmetic, or the kernel has to
      // kill before the kubelet sees a reason to evict. Five minutes: an eviction
      // that works is over by then. Ends at one and a half times the threshold.
      // The value is what is missing to the threshold. Without a kubelet there are
      // no such series.
      alert('OOMNodeBelowEvictionThreshold', {
        expr: |||
          oom_node_eviction_margin_bytes{%(s)s} <= 0
          or
          oom_node_kill_margin_bytes{%(s)s} - oom_node_eviction_threshold_bytes{%(s)s} <= 0
          or
          oom_node_eviction_margin_bytes{%(s)s} - 0.5 * oom_node_eviction_threshold_bytes{%(s)s} < 0
            and %(onN)s
          ALERTS{alertname="OOMNodeBelowEvictionThreshold",alertstate="firing"}
        |||,
        'for': '5m',
        severity: 'warning',
        scope: 'node',
        summary: 'Node %s stays below the eviction threshold' % lib.node,
        description: |||
          %s has been below (or within half of) the kubelet's memory eviction threshold for five minutes:
          eviction does not keep up, or the kernel gets there first.
        ||| % lib.node,
        dashboard: lib.toNode(config),
      }),

      // Guaranteed, or an oom_score_adj below 0: meant to stay. Only below a
      // quarter of the node's memory: on an idle node something has to be first.
      // A Guaranteed one is no news where nothing else of Kubernetes is on the
      // node. The pid is left out, so that a restart is the same alert.
      alert('OOMNextVictimProtected', {
        expr: |||
          max without (pid, scope, cgroup) (
            oom_next_victim_badness_bytes{scope="node",%(w)s}
              and %(onW)s
            oom_container_info{qos="guaranteed",%(w)s}
              and %(onN)s
            oom_container_info{qos=~"burstable|besteffort",%(w)s}
            or
            oom_next_victim_badness_bytes{scope="node",%(w)s}
              and on (cluster, instance, namespace, pod, container, pid, comm)
            oom_process_oom_score_adj{%(w)s} < 0
          )
          and %(onN)s
          oom_node_kill_margin_ratio{%(s)s} < %(protectedNodeRatio)s
        |||,
        'for': '10m',
        severity: 'warning',
        scope: 'node',
        summary: 'A protected workload is the next to die on %s' % lib.node,
        description: |||
          If %s runs out of memory now, the kernel kills {{ $labels.comm }} in %s,
          which is Guaranteed or has an oom_score_adj below 0. Nothing that ranks before it is left.
        ||| % [lib.node, lib.workload],
        dashboard: lib.toNode(config),
      }),

      // A quarter of an hour: the runtime writes the value after the start, and an
      // entry point may change it again.
      alert('OOMScoreAdjMismatch', {
        expr: 'oom_container_oom_score_adj_mismatch{%(w)s} == 1',
        'for': '15m',
        severity: 'info',
        scope: 'container',
        summary: 'oom_score_adj of %s is not what its QoS class implies' % lib.workload,
        description: |||
          The oldest process of %s
          on %s has an oom_score_adj that the kubelet would not have given to its QoS class:
          when the node runs out it dies earlier or later than people expect.
        ||| % [lib.workload, lib.node],
        dashboard: lib.toWorkload(config),
      }),

      // A quarter of the node in processes that the kernel never kills (-1000):
      // a leak there ends with everything else dead. Ends below a fifth.
      alert('OOMUnkillableMemoryHigh', {
        expr: |||
          instance:oom_node_unkillable:ratio > %(unkillableRatio)s
          or
          instance:oom_node_unkillable:ratio > %(unkillableEndRatio)s
            and %(onN)s
          ALERTS{alertname="OOMUnkillableMemoryHigh",alertstate="firing"}
        |||,
        'for': '15m',
        severity: 'warning',
        scope: 'node',
        summary: '{{ $value | humanizePercentage }} of %s cannot be freed by killing' % lib.node,
        description: |||
          Processes with oom_score_adj -1000 hold {{ $value | humanizePercentage }} of the memory of %s.
          The kernel never kills them, so it kills all others first and panics when none is left.
        ||| % lib.node,
        dashboard: lib.toNode(config),
      }),
    ],
  }]
