// SPDX-License-Identifier: Apache-2.0
//
// When a container that grows will reach its limit.
//
// A forecast never looks much further ahead than back: two hours of steady growth
// are believed for two hours, six for a day. What grows must also be higher than
// it has been (a heap with long teeth comes back every time), unless it was killed
// there. So a start-up, a warm-up and a cache that fills and stops are told from a
// leak. A cache that fills for longer than that is not; docs/evidence/forecasts.md
// says how often each is right. The exporter's flight recorder, which has a sample
// each second, sees a leak sooner and says so only where it is sure.
local lib = import 'lib.libsonnet';

function(config)
  local record(name, text) = lib.record(config, name, text);
  local unreclaimable = 'container:oom_container_memory_unreclaimable_bytes';
  // Two rises of a trough, one behind the other: the smaller one is what is
  // believed. Where the later one is smaller, growth is taken to go on slowing
  // down by as much: the rest of it has to reach the limit.
  local rises(trough, span, twice) = [
    record('container:oom_unreclaimable_rise:last' + span, '%(t)s - %(t)s offset %(s)s' % { t: trough, s: span }),
    record('container:oom_unreclaimable_rise:before' + span, '%(t)s offset %(s)s - %(t)s offset %(twice)s' % { t: trough, s: span, twice: twice }),
  ];
  local seconds(span, length) = |||
    %(length)d * container:oom_limit_headroom:bytes / (
      (container:oom_unreclaimable_rise:last%(s)s <= container:oom_unreclaimable_rise:before%(s)s)
      or
      container:oom_unreclaimable_rise:before%(s)s
    ) > 0
      and
    container:oom_limit_headroom:bytes * (container:oom_unreclaimable_rise:before%(s)s - container:oom_unreclaimable_rise:last%(s)s)
      < container:oom_unreclaimable_rise:last%(s)s ^ 2
  ||| % { s: span, length: length };

  [{
    name: 'oom-forecast',
    rules: [
      record(unreclaimable + ':min1h', 'min_over_time(%s:min15m[1h])' % unreclaimable),
      rises(unreclaimable + ':min15m', '1h', '2h'),
      rises(unreclaimable + ':min1h', '3h', '6h'),
      // A restart is a fall, and where nothing grows there is no series. A trough
      // is a quarter of an hour late: what has not moved since has stopped.
      record('container:oom_limit_headroom:seconds', seconds('1h', 3600) + |||
        and
          8 * (%(u)s:max15m - %(u)s:min15m) > container:oom_unreclaimable_rise:last1h
      ||| % { u: unreclaimable }),
      // The forecast of six hours, as long as the last hour and a half agrees.
      record('container:oom_limit_headroom:seconds6h', seconds('3h', 3 * 3600) + |||
        and
          4 * (%(u)s:min15m - %(u)s:min15m offset 90m) > container:oom_unreclaimable_rise:before3h
          unless
        %(u)s:min1h <= %(u)s:highest
      ||| % { u: unreclaimable }),

      lib.alert(config, 'OOMContainerWillReachLimit', {
        expr: |||
          ceil(
            (
              container:oom_limit_headroom:seconds < %%(willReachSoonHours)s * 3600
                unless
              (
                %(u)s:min15m <= max_over_time(%(u)s:max15m[6h:15m] offset 2h)
                  unless %%(onW)s
                time() - oom_container_last_kill_timestamp_seconds{%%(w)s} < 8 * 3600
              )
              or
              container:oom_limit_headroom:seconds6h < %%(willReachHours)s * 3600
              or
              max by (cluster, instance, namespace, pod, container) (
                last_over_time(oom_container_leak_seconds_to_limit{%%(w)s}[5m])
              ) < %%(willReachHours)s * 3600
            ) / 3600
          )
        ||| % { u: unreclaimable },
        'for': '15m',
        keep: '15m',
        severity: 'warning',
        scope: 'container',
        summary: lib.workload + ' will reach its memory limit within about {{ $value }} h',
        description: |||
          The memory of %s
          on %s that reclaim can't free grows steadily.
          At the rate of the last hours it reaches its own limit within about {{ $value }} h.
        ||| % [lib.workload, lib.node],
        dashboard: lib.toWorkload(config),
      }),

      // Three quarters of an hour: two steps are not growth.
      lib.alert(config, 'OOMContainerGrowing', {
        expr: 'ceil(container:oom_limit_headroom:seconds6h / 3600) <= %(growingHours)s',
        'for': '45m',
        keep: '15m',
        severity: 'info',
        scope: 'container',
        summary: lib.workload + ' will reach its memory limit within about {{ $value }} h if it goes on growing',
        description: |||
          The memory of %s
          on %s that reclaim can't free has grown for six hours.
          At that rate it reaches its own limit within about {{ $value }} h.
        ||| % [lib.workload, lib.node],
        dashboard: lib.toWorkload(config),
      }),
    ],
  }]
