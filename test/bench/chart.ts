/** A chart of a result: for each work how many times as many requests a second each peer answers as the first one. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { succeed } from '../helpers/command.js';
import type { Result } from './result.js';

const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, '')}"`;

/** Has gnuplot draw it as SVG. */
export async function drawChart(result: Result, file: string): Promise<void> {
  const { rows, machine, date, rounds } = result;
  const [, ...contenders] = new Set(rows.map(({ contender }) => contender));
  const groups = [...new Set(rows.map(({ work, concurrency }) => `${work}, ${String(concurrency)} at once`))];
  const data = groups.map((group) => {
    const bars = contenders.map((name) => {
      const row = rows.find(
        ({ work, concurrency, contender }) =>
          contender === name && group === `${work}, ${String(concurrency)} at once`,
      );
      return row === undefined ? '?' : String(Math.log2(1 / row.summary.ratio.median));
    });
    return [quoted(group), ...bars].join(' ');
  });
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-chart-'));
  try {
    const dataFile = join(directory, 'data');
    writeFileSync(dataFile, `${data.join('\n')}\n`);
    const title = `Requests a second, fcgi2cgi being 1 (${date.slice(0, 10)}; ${machine.cpu}, ${String(machine.cores)} cores; medians of ${String(rounds)} rounds)`;
    const plots = contenders.map(
      (name, index) => `${quoted(dataFile)} using ${String(index + 2)}:xtic(1) title ${quoted(name)}`,
    );
    // Twice as many and half as many are as far from 1.
    const tics = [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6].map(
      (power) => `${quoted(power < 0 ? `1/${String(2 ** -power)}` : String(2 ** power))} ${String(power)}`,
    );
    const script = `set terminal svg noenhanced size ${String(200 + 90 * groups.length)},480 background rgb "white" font "sans-serif,12"
set output ${quoted(file)}
set title ${quoted(title)}
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set datafile missing "?"
set ytics (${tics.join(', ')})
set xzeroaxis linetype -1
set grid ytics
set key outside right top
set xtics rotate by -35
plot ${plots.join(', ')}
`;
    const scriptFile = join(directory, 'script');
    writeFileSync(scriptFile, script);
    await succeed('gnuplot', [scriptFile]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
