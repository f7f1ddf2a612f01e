/** Pieces of the status page, from whose text nothing can be made that is not text. */

import { createHash } from 'node:crypto';

import { area, line } from 'd3-shape';
import escapeHtml from 'escape-html';

import { visible } from '../escape.js';
import { PERIODS } from './history.js';
import { duration } from './quantities.js';
import type { Activity } from './status.js';

export function meter(value: number, max: number, more = ''): string {
  return `<meter value="${String(Math.min(value, max))}" max="${String(max || 1)}"${more}></meter>`;
}

/** One whose colour says that little is left, and that nothing is. */
export function gauge(value: number, max: number): string {
  return meter(value, max, ` low="${String(0.75 * max)}" high="${String(0.99 * max)}" optimum="0"`);
}

/** Cells are HTML. A head that begins with `#` is of numbers, one with `~` of long text. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const classes = heads.map((head) =>
    head.startsWith('#') ? ' class="n"' : head.startsWith('~') ? ' class="w"' : '',
  );
  const row = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells.map((cell, at) => `<${tag}${classes[at] ?? ''}>${cell}</${tag}>`).join('')}</tr>`;
  const head = row(
    'th',
    heads.map((each) => each.replace(/^[#~]/, '')),
  );
  return `<div class="scroll" tabindex="0"><table><thead>${head}</thead><tbody>
${rows.map((cells) => row('td', cells)).join('\n')}
</tbody></table></div>`;
}

export function text(value: string): string {
  return escapeHtml(visible(value));
}

export function code(value: string): string {
  return `<code>${text(value)}</code>`;
}

export function known(value: number | undefined): string {
  return value === undefined ? '' : String(value);
}

const GRAPH_HEIGHT = 40;

type Kind = 'calm' | 'queue' | 'bad';
type Series = readonly [label: string, kind: Kind, values: readonly number[]];

/**
 * Small graphs as SVG that needs no script: requests, load and errors of the last minutes, each with the most of a period.
 * Nothing in them comes from the network.
 */
export function siteGraphs({ periodMs, requests, running, waiting, errors }: Activity): string {
  const within = ` in ${duration(periodMs)}`;
  const graphs = [
    graph([['requests', 'calm', requests]], within),
    graph(
      [
        ['running', 'calm', running],
        ['waiting', 'queue', waiting],
      ],
      ' at once',
    ),
    graph([['errors', 'bad', errors]], within),
  ];
  return `<div class="graphs">${graphs.join('\n')}</div>`;
}

function graph(series: readonly Series[], unit: string): string {
  const most = Math.max(1, ...series.flatMap(([, , values]) => values));
  const legend = series.map(([label, kind, values]) => {
    const peak = `at most ${String(Math.max(0, ...values))}${unit}`;
    return `<span class="${kind} key">${label}</span> <span class="quiet">${peak}</span>`;
  });
  return `<figure><figcaption>${legend.join(', ')}</figcaption>
<svg viewBox="0 0 ${String(PERIODS - 1)} ${String(GRAPH_HEIGHT)}" preserveAspectRatio="none" aria-hidden="true">${series
    .map(([, kind, values]) => paths(kind, values, most))
    .join('')}</svg></figure>`;
}

/** The present is at the right end, whenever the site was started. */
function paths(kind: Kind, values: readonly number[], most: number): string {
  const x = (_: number, at: number): number => PERIODS - values.length + at;
  const y = (value: number): number => GRAPH_HEIGHT - (0.95 * GRAPH_HEIGHT * value) / most;
  const filled = area<number>().x(x).y0(GRAPH_HEIGHT).y1(y).digits(1)(values) ?? '';
  const edge = line<number>().x(x).y(y).digits(1)(values) ?? '';
  return `<path class="${kind} area" d="${filled}"/><path class="${kind} line" d="${edge}"/>`;
}

export const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --quiet: #666; --alarm: #b00; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a0a0a0; --alarm: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 75rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.1rem 0 .2rem; }
p { margin: .2rem 0; }
table { border-collapse: collapse; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1.2rem .15rem 0; white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); }
tbody tr:nth-child(odd) { background: var(--soft); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.w { overflow-wrap: anywhere; white-space: normal; min-width: 10rem; }
.long { max-height: 4.5em; overflow-y: auto; }
ul { padding: 0; list-style: none; }
li { padding: .3rem 0; overflow-wrap: anywhere; border-top: 1px solid var(--soft); }
li div { font-size: .85rem; }
.result { font-weight: 600; }
code { font: 0.9em ui-monospace, monospace; }
.quiet { color: var(--quiet); }
.scroll { overflow-x: auto; }
.sites th { white-space: normal; vertical-align: bottom; }
.graphs { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .4rem 1.5rem; }
figure { margin: .5rem 0 0; }
figcaption { font-size: .85rem; }
svg { display: block; width: 100%; height: 3.2rem; border-bottom: 1px solid var(--line); background: var(--soft); }
path { vector-effect: non-scaling-stroke; stroke-width: 1.5; }
.area { fill: var(--own); stroke: none; opacity: .45; }
.line { fill: none; stroke: var(--own); }
.calm { --own: #36c; } .queue { --own: #d80; } .bad { --own: #d22; }
.key { color: var(--own); }
@media (prefers-color-scheme: dark) { .calm { --own: #7aa7ff; } .queue { --own: #fb4; } .bad { --own: #ff7b72; } }
.draining, .alarm { color: var(--alarm); font-weight: 600; }
meter { width: 8rem; vertical-align: -.1em; }
@media (max-width: 40rem) { body { margin: 1rem auto; } th, td { padding-right: .7rem; } meter { width: 4rem; }
  .sites th { font-size: .85rem; } .sites th, .sites td { padding-right: .5rem; } .sites td:first-child { min-width: 5rem; white-space: normal; overflow-wrap: anywhere; }
  .sites td .quiet { display: block; } }
`;

/** Nothing is loaded or run, wherever from; the page's own style alone holds. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
