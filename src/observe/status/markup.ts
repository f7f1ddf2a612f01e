/** Pieces of the status page, from whose text nothing can be made that is not text. */

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
