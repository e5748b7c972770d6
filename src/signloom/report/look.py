"""The page's style sheet and script, as text: a report is one file and asks nothing of anywhere else."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfbf8; --card: #ffffff; --ink: #20242b; --soft: #5a6270; --rule: #e4e1d8; --rail: #eceae2;
  --hit: #1c6377; --hit-ink: #ffffff; --miss: #b85024; --miss-soft: #fbf0e8; --link: #175a6d;
  --serif: Charter, "Bitstream Charter", "Sitka Text", Cambria, "Noto Serif", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "Noto Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --card: #1b1f23; --ink: #e6e4de; --soft: #a1a8b0; --rule: #2c3238; --rail: #262b30;
    --hit: #6cb6cb; --hit-ink: #10222a; --miss: #e58c5a; --miss-soft: #2b211a; --link: #83c6da;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 var(--sans); }
main, header.top, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.5rem; }
a { color: var(--link); text-underline-offset: .2em; text-decoration-thickness: 1px; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; border-radius: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; z-index: 2; }
h1, h2, h3 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(1.8rem, 1.3rem + 2.2vw, 2.6rem); margin: .3rem 0 0; letter-spacing: -.01em; }
h2 { font-size: 1.6rem; margin: 0 0 .4rem; }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: 0 0 1rem; max-width: 40rem; }
header.top { padding-top: 3.5rem; }
.kicker { color: var(--soft); font-size: .9rem; margin: 0; overflow-wrap: anywhere; }
section { padding: 3rem 0 0; margin: 3rem 0 0; border-top: 1px solid var(--rule); }
section.first { border-top: 0; margin-top: 0; padding-top: 2rem; }
.scope { color: var(--soft); font-size: .88rem; margin: 0 0 1.4rem; overflow-wrap: anywhere; }

.headline { display: grid; grid-template-columns: minmax(0, 19rem) minmax(0, 1fr); gap: 1.5rem 3.5rem;
  align-items: start; }
.big { font: 600 clamp(3.4rem, 2.2rem + 5vw, 5.2rem)/1 var(--serif); letter-spacing: -.02em; margin: 0;
  font-variant-numeric: lining-nums; }
.big small { font-size: .5em; font-weight: 500; margin-left: .05em; }
.big-what { color: var(--soft); font-size: .9rem; line-height: 1.45; margin: .5rem 0 0; overflow-wrap: anywhere; }
.plain { font: 1.28rem/1.5 var(--serif); margin: .3rem 0 1rem; }
.plain + .plain { font-size: 1.05rem; color: var(--soft); margin-top: 0; }
.scale { position: relative; height: 2.6rem; margin: .9rem 0 0; }
.scale span { position: absolute; }
.scale-rail { left: 0; right: 0; top: .7rem; height: 2px; background: var(--rule); }
.scale-band { top: .4rem; height: calc(.6rem + 2px); background: var(--hit); opacity: .3;
  border-radius: 3px; min-width: 2px; }
.scale-value { top: .3rem; width: 4px; height: calc(.8rem + 2px); margin-left: -2px; border-radius: 2px;
  background: var(--hit); }
.scale-chance { top: .3rem; width: 2px; height: .85rem; margin-left: -1px; background: var(--soft); }
.scale-end { top: 1.35rem; font-size: .75rem; color: var(--soft); }
.scale-end.right { right: 0; }
.key { font-size: .8rem; color: var(--soft); margin: .25rem 0 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); margin: 2.2rem 0 0;
  background: var(--card); border: 1px solid var(--rule); border-radius: 6px; overflow: hidden; }
.facts div { box-shadow: 1px 1px 0 var(--rule); padding: .8rem 1rem; }
.facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.facts dd small { display: block; color: var(--soft); font-size: .78rem; }
.warnings { list-style: none; margin: 1.8rem 0 0; padding: 0; display: grid; gap: .5rem; }
.warnings li { background: var(--miss-soft); border-left: 3px solid var(--miss); padding: .65rem 1rem;
  border-radius: 0 4px 4px 0; font-size: .93rem; }
nav { margin: 2.2rem 0 0; font-size: .9rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; margin: 0; padding: 0; }

table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; width: 100%; }
caption { text-align: left; color: var(--soft); font-size: .85rem; padding: 0 0 .5rem; }
th, td { text-align: left; padding: .42rem 1rem .42rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: middle; }
thead th { color: var(--soft); font-weight: 500; font-size: .82rem; vertical-align: bottom;
  border-bottom-color: var(--soft); }
tbody th { font-weight: 500; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; white-space: nowrap; }
td:last-child, th:last-child { padding-right: .25rem; }
td:has(> .bar) { min-width: 9rem; width: 45%; }
td.n + td:not(.n), th.n + th:not(.n) { padding-left: 1.4rem; }
td small, th small { color: var(--soft); font-weight: 400; }
.scroll { overflow-x: auto; max-width: 100%; }
.narrow { max-width: 40rem; }
th button { all: unset; cursor: pointer; color: inherit; font: inherit; }
th button:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; }
th button::after { content: "↕"; opacity: .45; margin-left: .3em; font-size: .85em; }
th[aria-sort=ascending] button::after { content: "↑"; opacity: 1; }
th[aria-sort=descending] button::after { content: "↓"; opacity: 1; }
details { margin: 1.2rem 0 0; }
summary { cursor: pointer; color: var(--link); font-size: .93rem; padding: .25rem 0; width: fit-content; }
details > :nth-child(2) { margin-top: .8rem; }
.mono { font-family: var(--mono); font-size: .85em; overflow-wrap: anywhere; }
.quiet { color: var(--soft); font-size: .88rem; }
.after { margin-top: 1rem; }

.bar { display: block; width: 100%; height: 16px; }
.bar-rail { fill: var(--rail); }
.bar-fill { fill: var(--hit); opacity: .82; }
.bar-fill.worst { fill: var(--miss); }
.bar-whisker, .bar-chance { fill: none; stroke: var(--ink); stroke-width: 1.4; vector-effect: non-scaling-stroke; }
.bar-chance { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 2 2; }
.tag { display: inline-block; font-size: .76rem; color: var(--soft); border: 1px solid var(--rule); border-radius: 99px;
  padding: 0 .5rem; margin-left: .4rem; white-space: nowrap; }

td.heat { background: color-mix(in srgb, var(--miss) calc(var(--v) * 62%), transparent);
  padding-right: .8rem; }
.heatmap { display: block; max-width: 100%; height: auto; font-family: var(--sans); }
.heatmap .grid, .reliability .grid { fill: none; stroke: var(--rule); stroke-width: 1; }
.hit { fill: var(--hit); } .miss { fill: var(--miss); }
.heatmap text { fill: var(--ink); }
.heatmap .row-name { text-anchor: end; dominant-baseline: central; }
.heatmap .cell-n { text-anchor: middle; dominant-baseline: central; pointer-events: none;
  font-variant-numeric: tabular-nums; }
.heatmap .cell-n.on-dark { fill: var(--hit-ink); }
.heatmap .cursor { fill: none; stroke: var(--ink); stroke-width: 2; pointer-events: none; }
.beside { display: flex; flex-wrap: wrap; gap: 1rem 3.5rem; align-items: flex-start; }
.beside > .matrix { flex: 0 1 auto; max-width: 100%; min-width: 0; }
.beside > .matrix .readout { width: 0; min-width: 100%; }
.beside > .list { flex: 1 1 20rem; max-width: 40rem; min-width: 0; }
.beside h3 { margin-top: .6rem; }
.readout { min-height: 3.2em; margin: .8rem 0 0; font-size: .93rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; font-size: .85rem; color: var(--soft);
  margin: 0 0 1rem; padding: 0; list-style: none; }
.swatch { display: inline-block; width: 2.4rem; height: .75rem; border-radius: 2px; margin-right: .5rem;
  vertical-align: -.05rem; }
.swatch.own { background: linear-gradient(90deg, color-mix(in srgb, var(--hit) 8%, transparent), var(--hit)); }
.swatch.off { background: linear-gradient(90deg, color-mix(in srgb, var(--miss) 22%, transparent), var(--miss)); }

.pair { margin: 2.4rem 0 0; }
.pair-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem 1rem; margin: 0 0 .8rem; }
.pair-head h3 { margin: 0; font-size: 1.2rem; }
.pair-head p { margin: 0; }
.arrow { color: var(--miss); font-family: var(--sans); font-weight: 400; }
.clips { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 1.2rem; }
figure { margin: 0; }
.clips figure { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; overflow: hidden;
  display: flex; flex-direction: column; }
.clips figure.missed { border-color: var(--miss); }
.clips video, .no-clip { display: block; width: 100%; aspect-ratio: 16 / 10; background: #0e1013; object-fit: contain; }
.screen { position: relative; }
.screen .play { position: absolute; left: .6rem; bottom: .6rem; width: 2.6rem; height: 2.6rem; padding: 0 0 0 .15rem;
  border: 0; border-radius: 50%; background: rgb(16 20 24 / .62); color: #fff; font-size: 1rem; line-height: 1;
  cursor: pointer; }
.screen .play:hover, .screen .play:focus-visible { background: rgb(16 20 24 / .88); }
.screen .play[hidden] { display: none; }
.no-clip { background: var(--rail); color: var(--soft); display: flex; align-items: center; justify-content: center;
  text-align: center; padding: 1rem; font-size: .88rem; }
figcaption { padding: .7rem .9rem .85rem; font-size: .88rem; line-height: 1.45; overflow-wrap: anywhere; }
figcaption strong { font-weight: 600; }
figcaption .quiet { display: block; font-size: .8rem; margin-top: .2rem; }
.together { font: inherit; font-size: .85rem; color: var(--link); background: none; border: 1px solid var(--rule);
  border-radius: 99px; padding: .15rem .8rem; cursor: pointer; }
.together:hover { border-color: var(--link); }
.controls { display: flex; gap: 1.4rem; align-items: center; font-size: .9rem; margin: 1rem 0 0; }
.two { display: grid; grid-template-columns: minmax(0, 26rem) minmax(0, 1fr); gap: 1rem 3rem; align-items: start; }
.reliability { display: block; width: 100%; max-width: 26rem; font-family: var(--sans); }
.reliability text { fill: var(--soft); }
.reliability .ideal { stroke: var(--soft); stroke-dasharray: 4 4; fill: none; }
.reliability .line { stroke: var(--hit); stroke-width: 1.6; fill: none; }
.reliability .dot { fill: var(--hit); stroke: var(--paper); stroke-width: 1.5; }
.reliability .count { fill: var(--soft); opacity: .35; }
.signals { display: block; width: 100%; padding: .5rem .6rem 0; font-family: var(--sans); background: var(--card); }
.signals text { fill: var(--soft); }
.signals path { fill: none; stroke-width: 1.2; stroke: var(--ink); }
.signals .axis0 { stroke: var(--hit); }
.signals .axis1 { stroke: var(--miss); }
.signals .grid { stroke: var(--rule); }
.settings th { width: 40%; font-weight: 400; color: var(--soft); }
footer { padding-top: 2rem; padding-bottom: 4rem; margin-top: 4rem; color: var(--soft); font-size: .88rem; }
footer p { border-top: 1px solid var(--rule); padding-top: 1.5rem; max-width: none; }

@media (max-width: 44rem) {
  main, header.top, footer { padding-left: 1.1rem; padding-right: 1.1rem; }
  header.top { padding-top: 2rem; }
  section { padding-top: 2.2rem; margin-top: 2.2rem; }
  .headline, .two { grid-template-columns: minmax(0, 1fr); }
  .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .clips { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .7rem; }
  .clips figure.missed { grid-column: 1 / -1; }
  th, td { padding-right: .6rem; }
  td:has(> .bar) { min-width: 5.5rem; width: 40%; }
  .extra { display: none; }
  td.n + td:not(.n), th.n + th:not(.n) { padding-left: .6rem; }
  .settings th { width: 45%; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #ccc; --rail: #eee;
    --hit: #1c6377; --hit-ink: #fff; --miss: #b85024; --miss-soft: #fff; --link: #000; }
  body { font-size: 10pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  nav, .together, .play, .controls, .readout, .skip, th button::after { display: none; }
  section { padding-top: 1.2rem; margin-top: 1.2rem; }
  .pair, figure, tr, .headline, .facts { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  main, header.top, footer { max-width: none; padding-left: 0; padding-right: 0; }
}
"""

SCRIPT = """
'use strict';
const $$ = (query, from = document) => Array.from(from.querySelectorAll(query));

// Tables: a heading becomes a button that sorts by its column. Empty values stay last.
for (const table of $$('table.sortable')) {
  $$('thead th', table).forEach((heading, column) => {
    if (heading.dataset.still !== undefined) return;
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener('click', () => {
      const numeric = heading.classList.contains('n');
      const before = heading.getAttribute('aria-sort');
      const up = before ? before === 'descending' : !numeric;
      $$('thead th', table).forEach(other => other.removeAttribute('aria-sort'));
      heading.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const value = row => {
        const cell = row.cells[column];
        return cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent.trim();
      };
      const collate = new Intl.Collator(undefined, { numeric: true }).compare;
      const body = table.tBodies[0];
      const rows = Array.from(body.rows).map(row => [value(row), row]);
      rows.sort(([a], [b]) => {
        if (a === '' || b === '') return (a === '') - (b === '');
        const order = numeric ? a - b : collate(a, b);
        return up ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}

// The confusion matrix: name the cell under the pointer or the arrow keys.
const map = document.getElementById('heatmap');
if (map) {
  const { labels, totals, cells } = JSON.parse(document.getElementById('heatmap-data').textContent);
  const counts = new Map(cells.map(([r, c, n]) => [r * labels.length + c, n]));
  const readout = document.getElementById('heatmap-readout');
  const cursor = document.getElementById('heatmap-cursor');
  const [left, top, side] = ['left', 'top', 'side'].map(name => Number(map.dataset[name]));
  let at = [0, 0];
  const isolate = text => { const part = document.createElement('bdi'); part.textContent = text; return part; };
  const show = (row, column) => {
    if (row < 0 || column < 0 || row >= labels.length || column >= labels.length) return;
    at = [row, column];
    cursor.setAttribute('x', left + column * side);
    cursor.setAttribute('y', top + row * side);
    cursor.setAttribute('visibility', 'visible');
    const n = counts.get(row * labels.length + column) || 0, of = totals[row];
    const share = of ? ' (' + (100 * n / of).toFixed(n && n < of ? 1 : 0) + '%)' : '';
    readout.replaceChildren('Signed ', isolate(labels[row]), row === column ? ', recognised: ' : ', taken for ');
    if (row !== column) readout.append(isolate(labels[column]), ': ');
    readout.append(n.toLocaleString('en') + ' of ' + of.toLocaleString('en') + (of === 1 ? ' clip' : ' clips') + share);
  };
  map.addEventListener('pointermove', event => {
    const box = map.getBoundingClientRect();
    const grow = map.viewBox.baseVal.width / box.width;
    show(Math.floor(((event.clientY - box.top) * grow - top) / side),
         Math.floor(((event.clientX - box.left) * grow - left) / side));
  });
  map.addEventListener('focus', () => show(at[0], at[1]));
  map.addEventListener('keydown', event => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    show(at[0] + step[0], at[1] + step[1]);
  });
}

// Clips: a still from the middle of the sign and one button, so that nothing covers the hands; the browser's controls
// come with the first play. Three clips play together, or all at half speed.
for (const video of $$('.clips video')) {
  let untouched = true;
  const screen = document.createElement('div');
  screen.className = 'screen';
  video.replaceWith(screen);
  const play = document.createElement('button');
  play.type = 'button';
  play.className = 'play';
  play.textContent = '▶';
  play.setAttribute('aria-label', 'Play: ' + video.getAttribute('aria-label'));
  play.addEventListener('click', () => { video.play(); video.focus(); });
  screen.append(video, play);
  video.controls = false;
  video.addEventListener('click', () => { if (!video.controls) video.play(); });
  const middle = () => { if (untouched && isFinite(video.duration)) video.currentTime = video.duration / 2; };
  if (video.readyState >= 1) middle(); else video.addEventListener('loadedmetadata', middle, { once: true });
  video.addEventListener('play', () => { 
    play.hidden = true;
    video.controls = true;
    if (untouched) { untouched = false; video.currentTime = 0; }
  });
  // Some browsers play no video from a data: address; the same bytes as a blob do.
  video.addEventListener('error', () => {
    const [head, body] = video.src.split(',');
    if (!head.startsWith('data:')) return;
    const bytes = Uint8Array.from(atob(body), c => c.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: 'video/mp4' }));
  }, { once: true });
}
for (const pair of $$('.pair')) {
  const videos = $$('video', pair);
  if (videos.length < 2) continue;
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'together';
  button.textContent = 'Play together';
  pair.querySelector('.pair-head').append(button);
  button.addEventListener('click', () => {
    const playing = videos.some(video => !video.paused);
    for (const video of videos) {
      if (playing) { video.pause(); } else { video.currentTime = 0; video.play(); }
    }
  });
  const name = () => { button.textContent = videos.some(video => !video.paused) ? 'Pause' : 'Play together'; };
  for (const video of videos) { video.addEventListener('play', name); video.addEventListener('pause', name); }
}
const slow = document.getElementById('slow');
if (slow) {
  slow.closest('.controls').hidden = false;
  slow.addEventListener('change', () => {
    for (const video of $$('.clips video')) { video.defaultPlaybackRate = video.playbackRate = slow.checked ? 0.5 : 1; }
  });
}
"""
