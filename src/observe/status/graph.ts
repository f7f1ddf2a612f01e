/** Small graphs of what a site did in the last minutes, as SVG that needs no script: d3 makes the lines. */

import { area, line } from 'd3-shape';

import { PERIODS } from './history.js';
import { duration } from './quantities.js';
import type { Activity } from './status.js';

const HEIGHT = 40;

type Kind = 'calm' | 'queue' | 'bad';
type Series = readonly [label: string, kind: Kind, values: readonly number[]];

/** Requests, load and errors, each with the most of a period; nothing in them comes from the network. */
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
<svg viewBox="0 0 ${String(PERIODS - 1)} ${String(HEIGHT)}" preserveAspectRatio="none" aria-hidden="true">${series
    .map(([, kind, values]) => paths(kind, values, most))
    .join('')}</svg></figure>`;
}

/** The present is at the right end, whenever the site was started. */
function paths(kind: Kind, values: readonly number[], most: number): string {
  const x = (_: number, at: number): number => PERIODS - values.length + at;
  const y = (value: number): number => HEIGHT - (0.95 * HEIGHT * value) / most;
  const filled = area<number>().x(x).y0(HEIGHT).y1(y).digits(1)(values) ?? '';
  const edge = line<number>().x(x).y(y).digits(1)(values) ?? '';
  return `<path class="${kind} area" d="${filled}"/><path class="${kind} line" d="${edge}"/>`;
}
