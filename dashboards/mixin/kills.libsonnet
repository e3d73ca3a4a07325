// SPDX-License-Identifier: Apache-2.0
//
// Kills: who died, how often, and because of whose limit.
//
// All of them stand in one group: what one evaluation finds reaches Alertmanager
// in one batch, so that a node's alert can inhibit those of its containers.
local lib = import 'lib.libsonnet';

function(config)
  local record(name, text) = lib.record(config, name, text);
  local alert(name, a) = lib.alert(config, name, a);
  local workloadLabels = 'cluster, instance, namespace, pod, container';

  // The level counters of the alert's node, as a sentence.
  local levels(begin) = |||
    {{ with query (printf `instance_level:oom_kills:increase15m{cluster=%q,instance=%q} > 0` $labels.cluster $labels.instance) -}}
  ||| + begin + |||
    {{- range $i, $s := sortByLabel "level" . }}{{ if $i }},{{ end }} {{ $s | label "level" }} ({{ $s | value }}){{ end }}.
  |||;
  // A series of the alert's workload, for a query in a text.
  local ofWorkload(family, more='') =
    '(printf `%s{cluster=%%q,instance=%%q,namespace=%%q,pod=%%q,container=%%q}%s` $labels.cluster $labels.instance $labels.namespace $labels.pod $labels.container)' % [family, more];

  // withWorkload joins the workload to the series that have a pod, and gives the
  // rest their own name.
  local withWorkload(series) = {
    pods: series + '{pod!=""} * on (cluster, namespace, pod) group_left (workload) pod:oom_pod_workload:info',
    rest: 'label_replace(' + series + '{pod=""}, "workload", "$1", "container", "(.+)")',
  };
  local ofOwner = '{{ with $labels.namespace }}{{ . }}/{{ end }}{{ $labels.workload }}{{ if ne $labels.container $labels.workload }}/{{ $labels.container }}{{ end }}';

  [{
    name: 'oom-kills',
    rules: [
      // OOM decisions within an hour: a group kill of 30 processes is one.
      record('container:oom_container_ooms:increase1h', lib.gained('oom_container_ooms_total{%(w)s}', '1h', workloadLabels)),
      record('container:oom_container_kills:increase1h', lib.gained('oom_container_kills_total{%(w)s}', '1h', workloadLabels)),
      record('container:oom_container_kills:increase5m', lib.gained('oom_container_kills_total{%(w)s}', '5m', workloadLabels)),

      // Kills within a quarter of an hour by the kind of limit that ran out. All
      // levels are present at 0 from the exporter's first scrape.
      record('instance_level:oom_kills:increase15m', lib.gained('oom_kills_total{%(s)s}', '15m', 'cluster, instance', born=false)),

      // Kills within five minutes by a pod's own limit. The counter of a pod that
      // lived for seconds is born with them.
      record('pod:oom_pod_limit_kills:increase5m', lib.gained('oom_pod_limit_kills_total{%(p)s}', '5m', 'cluster, instance, namespace, pod')),

      // Containers killed within five minutes: by the time of the kill, which also
      // a series that was born with its kill has and an exporter without a state
      // file keeps; or by the counter, which also tells of a kill while Prometheus
      // was down and of one on a node whose clock is behind. last_over_time: a
      // scrape that fails must not end the alert and begin it again.
      record('container:oom_container_killed:recent', |||
        0 * last_over_time(oom_container_last_kill_timestamp_seconds{%(w)s}[5m]) + 1
          and %(onW)s
        time() - last_over_time(oom_container_last_kill_timestamp_seconds{%(w)s}[5m]) < 300
        or
        0 * container:oom_container_kills:increase5m + 1
      |||),
      // Different containers killed within five minutes.
      record('instance:oom_containers_killed:count5m', 'sum without (namespace, pod, container) (container:oom_container_killed:recent)'),

      // Whom a pod belongs to: by kube-state-metrics where it is scraped, less the
      // hash of a ReplicaSet and the time of a CronJob's Job; else by the pod's
      // name, less what Kubernetes appends to it.
      record('pod:oom_pod_workload:info', |||
        max by (cluster, namespace, pod, workload) (
          label_replace(kube_pod_owner{owner_kind="ReplicaSet"}, "workload", "$1", "owner_name", "(.+?)(?:-[bcdfghjklmnpqrstvwxz2456789]{5,10})?")
          or
          label_replace(kube_pod_owner{owner_kind="Job"}, "workload", "$1", "owner_name", "(.+?)(?:-[0-9]{8,10})?")
          or
          label_replace(kube_pod_owner{owner_kind!~"ReplicaSet|Job|<none>|"}, "workload", "$1", "owner_name", "(.+)")
        )
        or on (cluster, namespace, pod)
        group by (cluster, namespace, pod, workload) (
          label_replace(
            {__name__=~"oom_container_(?:kills_total|ooms_total|last_kill_timestamp_seconds)",pod!="",%(w)s}
            , "workload", "$1", "pod", "(.+?)(?:-[0-9]{1,4}|-[bcdfghjklmnpqrstvwxz2456789]{5,10}-[bcdfghjklmnpqrstvwxz2456789]{5}|(?:-[0-9]{8,10})?-[bcdfghjklmnpqrstvwxz2456789]{5})?")
        )
      |||),

      // Roll-ups. What is no pod (a systemd unit, a plain container) is a workload
      // of its node.
      record('namespace_workload:oom_container_ooms:increase1h', |||
        sum by (cluster, namespace, workload, container) (%(pods)s)
        or
        sum by (cluster, instance, namespace, workload, container) (%(rest)s)
      ||| % withWorkload('container:oom_container_ooms:increase1h')),
      record('namespace_workload:oom_container_kills:increase1h', |||
        sum by (cluster, namespace, workload, container) (%(pods)s)
        or
        sum by (cluster, instance, namespace, workload, container) (%(rest)s)
      ||| % withWorkload('container:oom_container_kills:increase1h')),
      record('namespace:oom_container_kills:increase1h', 'sum by (cluster, namespace) (container:oom_container_kills:increase1h)'),
      // Why they were killed.
      record('container_cause:oom_container_kill_causes:increase1h', lib.gained('oom_container_kill_causes_total{%(w)s}', '1h', workloadLabels + ', cause, grew')),
      record('namespace_workload_cause:oom_container_kill_causes:increase1h', |||
        sum by (cluster, namespace, workload, container, cause) (%(pods)s)
        or
        sum by (cluster, instance, namespace, workload, container, cause) (%(rest)s)
      ||| % withWorkload('container_cause:oom_container_kill_causes:increase1h')),
      record('namespace_cause:oom_container_kill_causes:increase1h', 'sum by (cluster, namespace, cause) (container_cause:oom_container_kill_causes:increase1h)'),
      record('instance_cause:oom_container_kill_causes:increase1h', 'sum by (cluster, instance, cause) (container_cause:oom_container_kill_causes:increase1h)'),
      record('cluster_cause:oom_container_kill_causes:increase1h', 'sum by (cluster, cause) (container_cause:oom_container_kill_causes:increase1h)'),
      record('instance_level:oom_kills:increase1h', lib.gained('oom_kills_total{%(s)s}', '1h', 'cluster, instance', born=false)),
      record('instance:oom_kills:increase1h', 'sum without (level) (instance_level:oom_kills:increase1h)'),
      record('cluster_level:oom_kills:increase1h', 'sum by (cluster, level) (instance_level:oom_kills:increase1h)'),
      record('cluster:oom_kills:increase1h', 'sum by (cluster) (instance_level:oom_kills:increase1h)'),

      // Five minutes: long enough for every scrape and rule interval in use to see
      // it, short enough that the next kill is a new alert.
      alert('OOMContainerKilled', {
        expr: '%(pods)s\nor\n%(rest)s' % withWorkload('container:oom_container_killed:recent'),
        severity: 'warning',
        scope: 'container',
        summary: 'OOM kill in ' + lib.workload,
        description: |||
          The OOM killer killed
        ||| + '{{ with query ' + ofWorkload('oom_container_last_kill_info') + ' }}{{ . | first | label "comm" }}{{ else }}a process{{ end }}\n' + |||
          in %s on %s
        ||| % [lib.workload, lib.node] + '{{ with query ' + ofWorkload('oom_container_last_kill_timestamp_seconds') + ' }}at {{ . | first | value | humanizeTimestamp }}{{ end }}.\n'
          + '{{ with query ' + ofWorkload('oom_container_last_kill_info') + ' -}}\n' + |||
            {{ with . | first | label "level" }}{{ if ne . "unknown" }}The limit that ran out: {{ . }}.{{ end }}{{ end }}
          ||| + '{{- with query ' + ofWorkload('oom_container_last_kill_limit_bytes') + ' }} It is {{ . | first | value | humanize1024 }}B.{{ end }}\n'
          + '{{- with query ' + ofWorkload('oom_container_last_kill_resident_bytes') + ' }} The process had {{ . | first | value | humanize1024 }}B resident.{{ end }}\n'
          + '{{- with query ' + ofWorkload('oom_container_last_kill_cause_info') + ' }}{{ $cause := . | first | label "cause" }}{{ $grew := . | first | label "grew" }}'
          + '{{ if ne $cause "unknown" }} Cause: {{ $cause }}{{ if ne $grew "unknown" }}, of {{ $grew }} memory{{ end }}.{{ else if ne $grew "unknown" }} What grew: {{ $grew }} memory.{{ end }}{{ end }}\n'
          + '{{- else -}}\n' + |||
            {{ with query (printf `pod:oom_pod_limit_kills:increase5m{cluster=%q,instance=%q,namespace=%q,pod=%q} > 0` $labels.cluster $labels.instance $labels.namespace $labels.pod) -}}
            The limit of its pod ran out, which killed {{ . | first | value }} process(es) in the pod.
            {{- else -}}
          ||| + levels('Limits that ran out on this node within 15 minutes:') + '{{- else -}}\nRun `oom_exporter events` on the node to see whose limit was hit.\n{{- end }}\n{{- end }}\n{{- end }}',
        dashboard: lib.toWorkload(config),
      }),

      // Three decisions within an hour: one is an accident, two may be a retry,
      // three is a workload that does not fit into its limit and dies again. By
      // owner: a Job whose pods die once each does so, too.
      alert('OOMKillLoop', {
        expr: 'namespace_workload:oom_container_ooms:increase1h >= %(killLoopCount)s',
        severity: 'critical',
        scope: 'container',
        summary: ofOwner + ' is OOM-killed again and again',
        description: |||
          %s%s%s ran out of memory {{ $value }} times within an hour.
        ||| % [ofOwner, '{{ with $labels.instance }} on {{ . }}{{ end }}', lib.cluster] + '{{ $cause := "" }}\n' + |||
          {{- with query (printf `topk(1, namespace_workload_cause:oom_container_kill_causes:increase1h{cluster=%q,instance=%q,namespace=%q,workload=%q,container=%q,cause!="unknown"} > 0)` $labels.cluster $labels.instance $labels.namespace $labels.workload $labels.container) -}}
          {{- $cause = . | first | label "cause" -}} The cause was {{ $cause }} most often.
          {{ end -}}
          {{ if eq $cause "leak" -}}
          A higher limit only buys time: find what grows without end.
          {{- else if eq $cause "sibling" -}}
          Another container below the same limit took the memory; restarting this one will not help.
          {{- else -}}
          It does not fit into its limit; restarting will not help.
          {{- end }}
        |||,
        dashboard: lib.link(config, 'workload', [['cluster', 'cluster'], ['namespace', 'namespace'], ['container', 'container']], '&var-pod=.*'),
      }),

      // One is enough: when the node itself (or a NUMA node that a workload is
      // bound to) runs out, the kernel takes whichever ranks first, whether guilty
      // or not, and system services are candidates too.
      alert('OOMNodeKill', {
        expr: 'sum without (level) (instance_level:oom_kills:increase15m{level=~"node|numa"}) > 0',
        severity: 'critical',
        scope: 'node',
        summary: 'Node %s ran out of memory and the kernel killed' % lib.node,
        description: |||
          %s ran out of memory as a whole: the kernel killed {{ $value }} process(es) within 15 minutes,
          whichever ranked first, not whichever was to blame.
          {{ with query (printf `time() - oom_container_last_kill_timestamp_seconds{cluster=%%q,instance=%%q} < 900` $labels.cluster $labels.instance) -}}
          Killed on this node:
          {{- range $i, $s := sortByLabel "container" . }}{{ if $i }},{{ end }} {{ with $s | label "namespace" }}{{ . }}/{{ end }}{{ with $s | label "pod" }}{{ . }}/{{ end }}{{ $s | label "container" }}{{ end }}.
          {{- else -}}
          The victims have no name yet: see `oom_exporter events` on the node.
          {{- end }}
        ||| % lib.node,
        dashboard: lib.toNode(config),
      }),

      // Five different containers within five minutes on one node: no longer
      // one's own limit, but a common cause (a rollout, a slice's limit, a
      // poisoned request that every replica gets). Counted by containers, not by
      // processes: one group kill of a pool of workers is no storm.
      alert('OOMKillStorm', {
        expr: 'instance:oom_containers_killed:count5m >= %(killStormContainers)s',
        severity: 'critical',
        scope: 'node',
        summary: '{{ $value }} containers OOM-killed on %s within five minutes' % lib.node,
        description: |||
          The kernel killed in {{ $value }} different containers on %s within five minutes.
        ||| % lib.node + levels('Limits that ran out within 15 minutes:') + '{{- end }}',
        dashboard: lib.toKills(config),
      }),

      // The cgroup still had processes ten seconds after the kill: no restart, no
      // OOMKilled in the pod's status, and half a service.
      alert('OOMKillUnnoticed', {
        expr: lib.gained('oom_container_survived_kills_total{%(w)s}', '15m', workloadLabels),
        severity: 'warning',
        scope: 'container',
        summary: lib.workload + ' lost a process to the OOM killer but was not restarted',
        description: |||
          The kernel killed {{ $value }} process(es) in
          %s
          on %s within 15 minutes, but its first process is still running:
          neither the runtime nor the kubelet restarts it or reports OOMKilled.
        ||| % [lib.workload, lib.node],
        dashboard: lib.toWorkload(config),
      }),
    ],
  }]
