// SPDX-License-Identifier: Apache-2.0
//
// What the rules are made of.
local join(matchers) = std.join(',', [m for m in matchers if m != '']);

{
  // expr fills thresholds (%(name)s), selectors (%(w)s: of workloads, %(p)s: of
  // pods, %(s)s: of the rest) and the labels of a join (%(onW)s and so on) into a
  // query, and removes what an empty selector leaves behind.
  expr(config, text):: self.clean(text % (config + {
    // Without honor_labels the workload's labels are called exported_*, and the
    // others are the exporter's own: OOMScrapeWithoutHonorLabels says so, and
    // nothing else may speak of them.
    w: join(['exported_container=""', config.namespaceSelector, config.selector]),
    p: join(['exported_pod=""', config.namespaceSelector, config.selector]),
    s: config.selector,
    onW: 'on (cluster, instance, namespace, pod, container)',
    onP: 'on (cluster, instance, namespace, pod)',
    onS: 'on (cluster, instance, cgroup)',
    onN: 'on (cluster, instance)',
  })),

  clean(text):: std.stripChars(std.strReplace(std.strReplace(std.strReplace(std.strReplace(text, '{,', '{'), ',,', ','), ',}', '}'), '{}', ''), '\n'),

  // line makes one line of a block.
  line(text):: std.strReplace(std.stripChars(text, '\n'), '\n', ' '),

  record(config, name, text):: { record: name, expr: $.expr(config, text) },

  // alert takes what its page needs; config.alerts may overrule the rest.
  alert(config, name, a)::
    local tuned = std.get(config.alerts, name, {});
    local keep = std.get(tuned, 'keep_firing_for', std.get(a, 'keep', ''));
    local wait = std.get(tuned, 'for', std.get(a, 'for', ''));
    if !std.get(tuned, 'enabled', true) then [] else [{
      alert: name,
      expr: $.expr(config, a.expr),
      [if wait != '' then 'for']: wait,
      [if keep != '' then 'keep_firing_for']: keep,
      labels: {
        severity: std.get(tuned, 'severity', a.severity),
        oom_scope: a.scope,
      },
      annotations: {
        summary: a.summary,
        description: $.clean($.line(a.description)),
        runbook_url: config.runbookURL + std.asciiLower(name) + '.md',
        dashboard: config.grafanaURL + a.dashboard,
        [if config.pageURL != '' && $.page(a.dashboard) != '' then 'page']: config.pageURL + $.page(a.dashboard),
      },
    }],

  // Names in texts. The cluster is only told where there are several.
  workload: '{{ with $labels.namespace }}{{ . }}/{{ end }}{{ with $labels.pod }}{{ . }}/{{ end }}{{ $labels.container }}',
  cluster: '{{ with $labels.cluster }} in cluster {{ . }}{{ end }}',
  node: '{{ $labels.instance }}' + self.cluster,

  // Links open the dashboard on what the alert is about, an hour before it until
  // a quarter of an hour after: `query "time()"` is the time of the evaluation.
  link(config, board, variables, more='')::
    local at(seconds) = '{{ query "time() %s" | first | value | printf "%%.0f" }}000' % seconds;
    '/d/oom-exporter-%s?var-datasource=%s' % [board, config.datasource]
    + std.join('', ['&var-%s={{ $labels.%s | urlquery }}' % v for v in variables])
    + more
    + '&from=%s&to=%s' % [at('- 3600'), at('+ 900')],
  toWorkload(config):: $.link(config, 'workload', [['cluster', 'cluster'], ['node', 'instance'], ['namespace', 'namespace'], ['pod', 'pod'], ['container', 'container']]),
  toPod(config):: $.link(config, 'workload', [['cluster', 'cluster'], ['node', 'instance'], ['namespace', 'namespace'], ['pod', 'pod']]),
  toNode(config):: $.link(config, 'node', [['cluster', 'cluster'], ['node', 'instance']]),
  toKills(config):: $.link(config, 'kills', [['cluster', 'cluster'], ['node', 'instance']]),
  toOverview(config):: $.link(config, 'overview', [['cluster', 'cluster']]),

  // page is the exporter's own page for what a dashboard's link is about. An alert
  // about more than one node has none.
  page(dashboard)::
    local about(board) = std.startsWith(dashboard, '/d/oom-exporter-' + board);
    if std.length(std.findSubstr('$labels.instance', dashboard)) == 0 then ''
    else if about('node') then '/'
    else if about('kills') then '/kills'
    else if std.length(std.findSubstr('var-container', dashboard)) == 0 then '/workloads?q={{ $labels.pod | urlquery }}'
    else '/workloads?' + std.join('&', ['%s={{ $labels.%s | urlquery }}' % [l, l] for l in ['namespace', 'pod', 'container']]),

  // gained is by how much a counter rose within a window, told from samples of up
  // to two hours before it. Unlike increase() it gives whole numbers, sees a rise
  // while Prometheus was down, and takes a counter that dips and comes back (an
  // exporter that misread, two of them that take turns) for no rise. In turn:
  // 1. what is above all that was seen before the window;
  // 2. an exporter that began again at 0: what was counted since;
  // 3. a series that was born within the hour and later than its exporter was
  //    first scraped: all of it;
  // 4. a young one that never fell: its rise.
  gained(counter, window, labels, born=true)::
    local before = 'max_over_time(%s[2h] offset %s)' % [counter, window];
    |||
      (%(c)s - %(before)s > 0)
      or
      (%(c)s - min_over_time(%(c)s[%(w)s]) > 0 and %(c)s < %(before)s and min_over_time(%(c)s[2h]) == 0)
      or
    ||| % { c: counter, before: before, w: window } + (if !born then '' else |||
      (
        %(c)s > 0
          unless %(before)s
          and on (%(labels)s)
        (
          count_over_time(%(c)s[1h])
            < on (cluster, instance) group_left ()
          max by (cluster, instance) (count_over_time(oom_kills_total{%%(s)s}[1h]))
        )
      )
      or
    ||| % { c: counter, before: before, w: window, labels: labels }) + |||
      (%(c)s - min_over_time(%(c)s[%(w)s]) > 0 unless %(before)s unless resets(%(c)s[%(w)s]) > 0)
    ||| % { c: counter, before: before, w: window },
}
