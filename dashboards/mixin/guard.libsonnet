// SPDX-License-Identifier: Apache-2.0
//
// oom_guard, where it runs: it kills in user space, which the kernel's counters
// and so all other alerts do not see.
local lib = import 'lib.libsonnet';

function(config) [{
  name: 'oom-guard',
  rules: [
    // Ends a quarter of an hour after the last kill. The counters are there at 0
    // from the guard's start, so that the first kill shows.
    lib.alert(config, 'OOMGuardKilled', {
      expr: 'sum by (cluster, instance, policy) (\n' + lib.gained('oom_guard_actions_total{outcome="killed",%(s)s}', '15m', '', born=false) + ') > 0',
      severity: 'warning',
      scope: 'node',
      summary: 'oom_guard on %s killed {{ $value }} time(s)' % lib.node,
      description: |||
        oom_guard on %s acted {{ $value }} time(s) within 15 minutes (policy {{ $labels.policy }}),
        before a memory limit made the kernel do so. The kernel's kill counters do not have these kills.
      ||| % lib.node,
      dashboard: lib.toNode(config),
    }),
  ],
}]
