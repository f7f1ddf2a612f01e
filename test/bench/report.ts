/** The bench's result as tables for people. */

import type { Result } from './result.js';
import type { Spread } from './statistics.js';

const digits = (value: number): string => (value >= 100 ? value.toFixed() : value.toPrecision(3));
const known = (value: Spread | null): string => (value === null ? '-' : digits(value.median));
const times = ({ median, least, most }: Spread): string =>
  `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;

export function report({ date, machine, rounds, seconds, transferBytes, rows }: Result): string {
  const table = [
    [
      'work',
      'at once',
      'contender',
      'requests/s',
      'first ms',
      'total ms',
      'CPU ms',
      'peak MiB',
      'ours is × as fast',
    ],
    ...rows.map(({ work, concurrency, contender, summary }) => [
      work,
      String(concurrency),
      contender,
      digits(summary.requestsPerSecond.median),
      known(summary.firstMs),
      digits(summary.totalMs.median),
      known(summary.cpuMsPerRequest),
      digits(summary.peakMiB.median),
      times(summary.ratio),
    ]),
  ];
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  );
  const isText = (column: number): boolean => column === 0 || column === 2;
  const lines = table.map((row) =>
    row
      .map((cell, column) =>
        isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  );
  const { cpu, cores, memoryMiB, kernel, node, load } = machine;
  return [
    '',
    ...lines,
    '',
    `${date.slice(0, 10)}; ${cpu}, ${String(cores)} cores, ${String(memoryMiB)} MiB; Linux ${kernel}, Node ${node}; load ${load.toFixed(1)} at the start`,
    `medians of ${String(rounds)} rounds of ${String(seconds)} s; transfers of ${String(transferBytes / 1_000_000)} MB; CPU and memory are those of the contender and its programs`,
  ].join('\n');
}
