// SPDX-License-Identifier: Apache-2.0
//
// A monitoring mixin as kubernetes-mixin is one: overlay _config, then render
//
//   jsonnet -S -e 'std.manifestYamlDoc((import "mixin.libsonnet").prometheusAlerts)'
//
// Recording rules stand with the alerts that need them, in one group, so they are
// all in prometheusAlerts. dashboards/rules has them with the defaults.
local filesOf(config) = {
  kills: (import 'kills.libsonnet')(config),
  margins: (import 'margins.libsonnet')(config),
  forecast: (import 'forecast.libsonnet')(config),
  exporter: (import 'exporter.libsonnet')(config),
  guard: (import 'guard.libsonnet')(config),
};

local rulesOf(group) = std.flattenArrays([if std.isArray(r) then r else [r] for r in group.rules]);

(import 'config.libsonnet') + {
  local files = filesOf($._config),
  local untouched = filesOf($._config { alerts: {} }),
  local known = std.set([r.alert for f in std.objectValues(untouched) for g in f for r in rulesOf(g) if std.objectHas(r, 'alert')]),
  local unknown = std.setDiff(std.set(std.objectFields($._config.alerts)), known),
  assert unknown == [] : '_config.alerts names no alert of this mixin: ' + std.join(', ', unknown),

  // By file of dashboards/rules.
  ruleFiles:: { [name]: { groups: [g { rules: rulesOf(g) } for g in files[name]] } for name in std.objectFields(files) },

  prometheusAlerts+:: { groups+: std.flattenArrays([$.ruleFiles[name].groups for name in std.objectFields($.ruleFiles)]) },

  grafanaDashboards+:: {
    'oom-exporter-kills.json': import '../oom-exporter-kills.json',
    'oom-exporter-node.json': import '../oom-exporter-node.json',
    'oom-exporter-overview.json': import '../oom-exporter-overview.json',
    'oom-exporter-workload.json': import '../oom-exporter-workload.json',
  },
}
