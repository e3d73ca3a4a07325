// SPDX-License-Identifier: Apache-2.0
// Grafana's panels: the plugins are no package, what they are made of is.
import {
  applyFieldOverrides, cacheFieldDisplayNames, displayNameOverrideProcessor, dataLinksOverrideProcessor, EventBusSrv, FieldConfigOptionsRegistry,
  getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues, identityOverrideProcessor, LoadingState, numberOverrideProcessor,
  standardTransformers, standardTransformersRegistry, stringOverrideProcessor, thresholdsOverrideProcessor, transformDataFrame,
  unitOverrideProcessor, valueMappingsOverrideProcessor, VizOrientation,
} from '@grafana/data';
import {BarGauge, BigValue, PanelChrome, PanelContextProvider, TimeSeries, VizRepeater} from '@grafana/ui';
import {TableNG} from '@grafana/ui/unstable';
import {Component, useEffect, useState} from 'react';
import {lastValueFrom} from 'rxjs';
import {interpolate, query} from './prometheus.js';

// Some are there under two names.
standardTransformersRegistry.setInit(() => [...new Set(Object.values(standardTransformers))]
  .map(t => ({id: t.id, name: t.name, transformation: async () => t, editor: () => null})));

// The options of fields that the dashboards use. Grafana's registry is made of editors, which nobody needs here; one that is missing would be
// left out without a word, so the page reports it.
const processors = {
  unit: unitOverrideProcessor, min: numberOverrideProcessor, max: numberOverrideProcessor, decimals: numberOverrideProcessor,
  displayName: displayNameOverrideProcessor, noValue: stringOverrideProcessor, links: dataLinksOverrideProcessor, color: identityOverrideProcessor,
  thresholds: thresholdsOverrideProcessor, mappings: valueMappingsOverrideProcessor,
};
const custom = [
  'width', 'hidden', 'hideFrom', 'align', 'cellOptions', 'filterable', 'inspect', 'drawStyle', 'lineStyle', 'lineWidth', 'fillOpacity', 'showPoints', 'spanNulls',
  'lineInterpolation', 'axisPlacement', 'scaleDistribution', 'stacking', 'thresholdsStyle',
];
const registry = new FieldConfigOptionsRegistry();
for (const [path, process] of Object.entries(processors)) {
  registry.register({id: path, path, name: path, process, shouldApply: () => true});
}
for (const path of custom) {
  registry.register({id: 'custom.' + path, path, name: path, isCustom: true, process: identityOverrideProcessor, shouldApply: () => true});
}

// unknownOptions lists the options of a panel's fields that this page does not know.
export function unknownOptions(panel) {
  const {defaults, overrides} = panel.fieldConfig;
  const used = [...Object.keys(defaults).filter(k => k !== 'custom'), ...Object.keys(defaults.custom ?? {}).map(k => 'custom.' + k),
    ...overrides.flatMap(o => o.properties.map(p => p.id))];
  return [...new Set(used)].filter(id => !registry.getIfExists(id));
}

// replaceVariables also knows the fields of the row that a link is in.
function replaceVariables(text, scoped) {
  const row = scoped?.__dataContext?.value;
  return interpolate(String(text).replace(/\$\{__data\.fields\.([^}]+)\}/g, (whole, name) => {
    const field = row?.frame.fields.find(f => getFieldDisplayName(f, row.frame) === name);
    if (!field) {
      throw new Error(`a link needs the field ${name}`);
    }
    return encodeURIComponent(field.values[row.rowIndex] ?? '');
  }));
}

async function load(panel, width, theme, timeZone) {
  const frames = await query(panel, width);
  const shown = panel.transformations?.length ? await lastValueFrom(transformDataFrame(panel.transformations, frames, {interpolate})) : frames;
  const fields = applyFieldOverrides({data: shown, fieldConfig: panel.fieldConfig, fieldConfigRegistry: registry, replaceVariables, theme, timeZone});
  cacheFieldDisplayNames(fields);
  return fields;
}

const isEmpty = frames => frames.every(f => f.length === 0);

// NoData is what Grafana's PanelDataErrorView shows.
const NoData = ({panel}) => <div style={{height: '100%', display: 'flex', alignItems: 'center', justifyContent: 'center', textAlign: 'center'}}>
  {panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;

// annotate draws the marks as Grafana does: a dashed line with a triangle below.
function annotate(config, marks, theme) {
  config.addHook('draw', u => {
    const {ctx, bbox} = u, bottom = bbox.top + bbox.height;
    ctx.save();
    for (const {time, color} of marks) {
      const x = u.valToPos(time, 'x', true);
      ctx.strokeStyle = ctx.fillStyle = theme.visualization.getColorByName(color);
      ctx.lineWidth = 2;
      ctx.setLineDash([5, 5]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bottom);
      ctx.stroke();
      ctx.beginPath();
      ctx.moveTo(x - 5, bottom + 7);
      ctx.lineTo(x + 5, bottom + 7);
      ctx.lineTo(x, bottom);
      ctx.fill();
    }
    ctx.restore();
  });
}

// Annotated adds the marks to a graph that is made.
function Annotated({config, marks, theme}) {
  useState(() => annotate(config, marks, theme));
  return null;
}

function Graph({panel, frames, width, height, theme, timeRange, timeZone, marks}) {
  return <PanelContextProvider value={{eventsScope: 'page', eventBus: new EventBusSrv(), sync: () => 0}}>
    <TimeSeries frames={frames} structureRev={1} timeRange={timeRange} timeZone={timeZone} width={width} height={height} legend={panel.options.legend} options={panel.options}>
      {config => <Annotated config={config} marks={marks} theme={theme}/>}
    </TimeSeries>
  </PanelContextProvider>;
}

const fieldValues = ({panel, frames, theme, timeZone}) => getFieldDisplayValues({
  fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions, replaceVariables, theme, data: frames, timeZone,
});

function Stat(props) {
  const {panel: {options}, frames, width, height, theme} = props;
  return <VizRepeater getValues={() => fieldValues(props)} source={frames} width={width} height={height} renderCounter={1} autoGrid itemSpacing={3}
    orientation={width > height ? VizOrientation.Vertical : VizOrientation.Horizontal}
    renderValue={({value, width, height, count}) => <BigValue value={value.display} count={count} width={width} height={height} theme={theme}
      colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode} textMode={options.textMode} wideLayout={options.wideLayout}/>}/>;
}

function Bars(props) {
  const {panel: {options}, frames, width, height, theme} = props;
  return <VizRepeater getValues={() => fieldValues(props)} getAlignmentFactors={getDisplayValueAlignmentFactors} source={frames} width={width} height={height}
    renderCounter={1} autoGrid orientation={options.orientation} minVizWidth={options.minVizWidth} minVizHeight={options.minVizHeight} maxVizHeight={options.maxVizHeight}
    renderValue={({value, alignmentFactors, width, height}) => <BarGauge value={value.display} field={value.field} width={width} height={height} theme={theme}
      alignmentFactors={alignmentFactors} display={value.view?.getFieldDisplayProcessor(value.colIndex)} orientation={options.orientation} itemSpacing={8}
      displayMode={options.displayMode} showUnfilled={options.showUnfilled} valueDisplayMode={options.valueMode}/>}/>;
}

function Table({panel, frames, width, height, timeRange}) {
  const {options, fieldConfig} = panel;
  return <TableNG data={frames[0]} structureRev={1} width={width} height={height} noHeader={!options.showHeader} cellHeight={options.cellHeight} sortBy={options.sortBy}
    fieldConfig={fieldConfig} timeRange={timeRange} resizable enableVirtualization={false} getActions={() => []} replaceVariables={replaceVariables}/>;
}

const kinds = {timeseries: Graph, stat: Stat, bargauge: Bars, table: Table};

// Guarded notes what a component throws.
class Guarded extends Component {
  state = {};
  static getDerivedStateFromError(error) {
    return {error};
  }
  componentDidCatch(error) {
    this.props.failed(error);
  }
  render() {
    return this.state.error ? String(this.state.error) : this.props.children;
  }
}

// Panel loads its data and draws it; note gets what is to be seen in it.
export function Panel({panel, width, height, note, ...page}) {
  const [frames, setFrames] = useState(null);
  const [error, setError] = useState(null);
  const failed = e => {
    setError(String(e));
    note({error: `${e}\n${e.stack}`});
  };
  useEffect(() => {
    load(panel, width, page.theme, page.timeZone).then(data => {
      setFrames(data);
      note({empty: isEmpty(data), ...shown(panel, data, page)});
    }).catch(failed);
  }, []);
  const Kind = kinds[panel.type];
  // Numbers and bars say themselves that there are none.
  const none = frames && isEmpty(frames) && ['table', 'timeseries'].includes(panel.type);
  return <PanelChrome title={interpolate(panel.title)} description={panel.description} width={width} height={height} statusMessage={error ?? undefined}
    loadingState={frames || error ? LoadingState.Done : LoadingState.Loading} padding={panel.type === 'table' ? 'none' : 'md'}>
    {(width, height) => frames && <Guarded failed={failed}>
      {none ? <NoData panel={panel}/> : <Kind panel={panel} frames={frames} width={width} height={height} {...page}/>}
    </Guarded>}
  </PanelChrome>;
}

// shown says what is in a panel, for the test.
function shown(panel, frames, page) {
  const hidden = f => f.config.custom?.hideFrom?.viz;
  switch (panel.type) {
    case 'table':
      return {columns: frames.flatMap(f => f.fields.filter(f => !hidden(f)).map(field => getFieldDisplayName(field, f, frames))), rows: frames[0]?.length ?? 0, unsorted: unsorted(panel, frames), links: links(frames)};
    case 'timeseries':
      return {series: frames.map(f => ({name: getFieldDisplayName(f.fields[1], f, frames), color: seriesColor(f.fields[1], page.theme)}))};
    default:
      return {series: fieldValues({panel, frames, ...page}).map(({display: d}) => ({name: d.title ?? '', text: `${d.prefix ?? ''}${d.text}${d.suffix ?? ''}`, value: d.numeric, color: d.color}))};
  }
}

// unsorted counts the rows that lack what the table is sorted by: what did not join.
function unsorted(panel, frames) {
  const by = panel.options.sortBy[0].displayName;
  return frames.flatMap(f => f.fields.filter(field => getFieldDisplayName(field, f, frames) === by).flatMap(field => field.values.filter(v => (v ?? '') === ''))).length;
}

// seriesColor is what a series is drawn in.
function seriesColor(field, theme) {
  return theme.visualization.getColorByName(field.display(1).color);
}

// links are those of a table's first row.
function links(frames) {
  return frames.filter(f => f.length > 0).flatMap(f => f.fields.filter(f => f.config.links?.length).flatMap(f => f.getLinks({valueRowIndex: 0}).map(l => l.href)));
}
