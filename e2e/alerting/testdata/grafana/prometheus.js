// SPDX-License-Identifier: Apache-2.0
// What Grafana's Prometheus data source does, which is no package: variables, queries, and data frames of the answers.
import {FieldType, rangeUtil, toDataFrame} from '@grafana/data';

export const range = {from: 0, to: 0}; // in milliseconds, set by the page.
export const variables = {}; // name: {value, label}

const scrapeInterval = 5000; // as the data source would be configured.

async function ask(path, params) {
  const answer = await (await fetch(`/api/v1/${path}?${new URLSearchParams(params)}`)).json();
  if (answer.status !== 'success') {
    throw new Error(`${answer.error}: ${params.query}`);
  }
  return answer.data;
}

// queryParam is ${name:queryparam}.
const queryParam = name => `var-${name}=${encodeURIComponent(variables[name].value)}`;

// interpolate puts variables into a text; more are those of the place where it stands.
export function interpolate(text, more = {}) {
  return text.replace(/\$\{(\w+)(?::([\w:]+))?\}|\$(\w+)/g, (whole, braced, format, bare) => {
    const name = braced || bare;
    if (name in more) {
      return more[name];
    }
    switch (name) {
      case '__from': return format === 'date:seconds' ? Math.floor(range.from / 1000) : range.from;
      case '__to': return range.to;
      case '__url_time_range': return `from=${range.from}&to=${range.to}`;
    }
    if (!variables[name]) {
      return whole;
    }
    return format === 'queryparam' ? queryParam(name) : variables[name].value;
  });
}

// options are what a variable of the kind "query" has to choose from.
async function options(variable) {
  const text = interpolate(variable.query.query);
  const byLabel = text.match(/^label_values\((.*), (\w+)\)$/s);
  if (byLabel) {
    const found = await ask(`label/${byLabel[2]}/values`, {'match[]': byLabel[1], start: range.from / 1000, end: range.to / 1000});
    return found.sort();
  }
  const query = text.match(/^query_result\((.*)\)$/s)[1];
  const [, pattern] = variable.regex.match(/^\/(.*)\/$/);
  return (await ask('query', {query, time: range.to / 1000})).result
    .map(s => `{${Object.entries(s.metric).map(([k, v]) => `${k}="${v}"`)}}`)
    .map(s => s.match(pattern)).filter(m => m).map(m => m[1]);
}

// choose gives each variable the value that the address names, All, or the first.
export async function choose(list, given) {
  for (const v of list) {
    if (v.type === 'datasource') {
      variables[v.name] = {label: v.label, value: 'prometheus', shown: 'Prometheus'};
      continue;
    }
    const value = given.get('var-' + v.name);
    if (value !== null) {
      variables[v.name] = {label: v.label, value, shown: value};
    } else if (v.includeAll) {
      variables[v.name] = {label: v.label, value: v.allValue, shown: 'All'};
    } else {
      const [first] = await options(v);
      variables[v.name] = {label: v.label, value: first, shown: first};
    }
  }
}

// stepOf returns a panel's interval as Grafana computes it, in milliseconds.
function stepOf(panel, width) {
  const least = Math.max(scrapeInterval, panel.interval ? rangeUtil.intervalToMs(panel.interval) : 0);
  return rangeUtil.calculateInterval({from: range.from, to: range.to, raw: {}}, Math.floor(width), `${least}ms`).intervalMs;
}

const number = text => ({NaN: NaN, '+Inf': Infinity, '-Inf': -Infinity})[text] ?? Number(text);

const legend = (target, labels) => target.legendFormat ? target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '') : JSON.stringify(labels);

// seriesFrame is a series over time, or one value of it.
function seriesFrame(target, series, step) {
  const samples = series.values ?? [series.value];
  return toDataFrame({
    refId: target.refId,
    fields: [
      {name: 'Time', type: FieldType.time, values: samples.map(s => s[0] * 1000), config: {interval: step}},
      {name: 'Value', type: FieldType.number, values: samples.map(s => number(s[1])), labels: series.metric, config: {displayNameFromDS: legend(target, series.metric)}},
    ],
  });
}

// tableFrame has a column for each label and one for the value, which is named for its query if there are several.
function tableFrame(target, result, several) {
  const labels = [...new Set(result.flatMap(s => Object.keys(s.metric)))].sort();
  return toDataFrame({
    refId: target.refId, meta: {preferredVisualisationType: 'table'},
    fields: [
      {name: 'Time', type: FieldType.time, values: result.map(s => s.value[0] * 1000)},
      ...labels.map(name => ({name, type: FieldType.string, config: {filterable: true}, values: result.map(s => s.metric[name] ?? '')})),
      {name: several ? `Value #${target.refId}` : 'Value', type: FieldType.number, values: result.map(s => number(s.value[1]))},
    ],
  });
}

// query asks all of a panel's queries.
export async function query(panel, width) {
  const step = stepOf(panel, width), seconds = step / 1000, frames = [];
  const more = {
    __interval: `${seconds}s`, __range: `${Math.round((range.to - range.from) / 1000)}s`,
    __rate_interval: `${Math.max(step + scrapeInterval, 4 * scrapeInterval) / 1000}s`,
  };
  const several = panel.targets.filter(t => t.format === 'table').length > 1;
  for (const target of panel.targets) {
    const expr = interpolate(target.expr, more);
    if (target.instant) {
      const {result} = await ask('query', {query: expr, time: range.to / 1000});
      frames.push(...target.format === 'table' ? [tableFrame(target, result, several)] : result.map(s => seriesFrame(target, s, step)));
      continue;
    }
    const aligned = ms => Math.floor(ms / step) * seconds;
    const {result} = await ask('query_range', {query: expr, start: aligned(range.from), end: aligned(range.to), step: seconds});
    frames.push(...result.map(s => seriesFrame(target, s, step)));
  }
  return frames;
}

// marks are the times of a dashboard's annotations, each with its colour.
export async function marks(board) {
  const all = [];
  for (const a of board.annotations.list.filter(a => a.expr)) {
    const step = rangeUtil.intervalToMs(a.step) / 1000;
    const {result} = await ask('query_range', {query: interpolate(a.expr), start: range.from / 1000, end: range.to / 1000, step});
    const times = result.flatMap(s => a.useValueForTime ? s.values.map(v => Number(v[1])) : [s.values[0][0] * 1000]);
    all.push(...[...new Set(times)].filter(t => t >= range.from && t <= range.to).map(time => ({time, color: a.iconColor})));
  }
  return all;
}
