// SPDX-License-Identifier: Apache-2.0
// One dashboard, drawn by Grafana's own components: /?board=NAME&from=MS&to=MS&theme=light&var-NAME=VALUE. What is in its panels, and what went
// wrong, goes to /report.
import {createTheme, dateTime, setTimeZoneResolver, ThemeContext} from '@grafana/data';
import {initPluginTranslations} from '@grafana/i18n';
import {GlobalStyles} from '@grafana/ui';
import {createRoot} from 'react-dom/client';
import {Panel, unknownOptions} from './panels.jsx';
import {choose, interpolate, marks, range, variables} from './prometheus.js';

const cell = 30, gap = 8, margin = 16, top = 56; // Grafana's grid, and the bar above it.
const timeZone = 'utc';

const report = {errors: [], panels: []};
window.addEventListener('error', e => report.errors.push(e.message));
window.addEventListener('unhandledrejection', e => report.errors.push(String(e.reason?.stack ?? e.reason)));
for (const level of ['error', 'warn']) {
  const said = console[level];
  console[level] = (...all) => {
    report.errors.push(`${level}: ${all.map(String).join(' ')}`);
    said(...all);
  };
}

// unfold puts the panels of closed rows below them.
const unfold = panels => panels.flatMap(p => [p, ...p.panels ?? []]);

function Header({board}) {
  const time = ms => new Date(ms).toISOString().slice(11, 19);
  return <header style={{padding: `12px ${margin}px`, display: 'flex', gap: 16, alignItems: 'center'}}>
    <b style={{fontSize: 18}}>{board.title}</b>
    {Object.entries(variables).map(([name, v]) => <span key={name}>{v.label}: <b>{v.shown}</b></span>)}
    <span style={{marginLeft: 'auto'}}>{time(range.from)} to {time(range.to)} UTC</span>
  </header>;
}

function Board({board, panels, width, theme, noteOf, ...page}) {
  const column = (width - 2 * margin + gap) / 24;
  const place = ({x, y, w, h}) => ({position: 'absolute', left: margin + x * column, top: top + y * (cell + gap), width: Math.floor(w * column - gap), height: h * (cell + gap) - gap});
  return <ThemeContext.Provider value={theme}>
    <GlobalStyles/>
    <Header board={board}/>
    {panels.map(p => {
      const style = place(p.gridPos);
      return <div key={p.id} id={'panel-' + p.id} style={style}>
        {p.type === 'row' ? <div style={{fontSize: 16, fontWeight: 500}}>{interpolate(p.title)}</div>
          : <Panel panel={p} width={style.width} height={style.height} theme={theme} note={noteOf(p)} {...page}/>}
      </div>;
    })}
  </ThemeContext.Provider>;
}

// clipped are the texts in a cell of which something is hidden.
function clipped(cell) {
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), all = [];
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(text);
    const {left, right} = range.getBoundingClientRect();
    for (let box = text.parentElement; ; box = box.parentElement) {
      const outer = box.getBoundingClientRect();
      if (getComputedStyle(box).overflowX !== 'visible' && (left < outer.left - 1 || right > outer.right + 1)) {
        all.push(text.data);
        break;
      }
      if (box === cell) {
        break;
      }
    }
  }
  return all;
}

// cut says what of a panel does not fit into it.
function cut(box) {
  const all = [];
  const scroller = [...box.querySelectorAll('*')].find(e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowY) && e.scrollHeight > e.clientHeight + 1);
  if (scroller) {
    all.push(`${scroller.scrollHeight - scroller.clientHeight} px of its height`);
  }
  const wide = [...box.querySelectorAll('*')].find(e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1);
  if (wide) {
    all.push(`${wide.scrollWidth - wide.clientWidth} px of its width`);
  }
  for (const e of box.querySelectorAll('h2, [class*=LegendLabel]')) {
    if (e.scrollWidth > e.clientWidth + 1) {
      all.push(`the text ${e.textContent}`);
    }
  }
  // Headings, and numbers; names and paths may be longer than any column.
  for (const e of box.querySelectorAll('[role=columnheader], [role=gridcell]')) {
    const {justifyContent, textAlign} = getComputedStyle(e);
    if (e.role === 'columnheader' || [justifyContent, textAlign].some(v => ['flex-end', 'right', 'end'].includes(v))) {
      all.push(...clipped(e).map(text => `the cell ${text}`));
    }
  }
  return all;
}

async function main() {
  const asked = new URLSearchParams(location.search);
  range.from = Number(asked.get('from'));
  range.to = Number(asked.get('to'));
  setTimeZoneResolver(() => timeZone);
  await initPluginTranslations('grafana');
  const board = await (await fetch(`/dashboards/${asked.get('board')}.json`)).json();
  await choose(board.templating.list, asked);
  const [from, to] = [dateTime(range.from), dateTime(range.to)];
  const theme = createTheme({colors: {mode: asked.get('theme')}});
  Object.assign(document.body.style, {margin: 0, background: theme.colors.background.canvas, color: theme.colors.text.primary, fontFamily: theme.typography.fontFamily, fontSize: '14px'});
  const panels = unfold(board.panels), drawn = panels.filter(p => p.type !== 'row');
  report.errors.push(...drawn.flatMap(p => unknownOptions(p).map(o => `${p.title}: the page does not know the option ${o}`)));
  const known = await marks(board);
  await document.fonts.load('500 14px Inter');
  report.panels = drawn.map(({id, title, type}) => ({id, title, type}));
  await new Promise(resolve => {
    const waiting = new Set(drawn.map(p => p.id));
    const noteOf = ({id}) => seen => {
      Object.assign(report.panels.find(p => p.id === id), seen);
      waiting.delete(id);
      if (waiting.size === 0) {
        resolve();
      }
    };
    createRoot(document.getElementById('root')).render(<Board board={board} panels={panels} width={document.documentElement.clientWidth} theme={theme}
      timeZone={timeZone} timeRange={{from, to, raw: {from, to}}} marks={known} noteOf={noteOf}/>);
  });
  // Until the icons have come and all is laid out.
  await new Promise(resolve => setTimeout(resolve, 1500));
  for (const p of report.panels) {
    p.cut = cut(document.getElementById('panel-' + p.id));
  }
}

await main().catch(e => report.errors.push(String(e.stack)));
await fetch('/report', {method: 'POST', body: JSON.stringify(report)});
