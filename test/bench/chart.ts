/** A chart of a result: a panel for each work, with a bar for each contender. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { succeed } from '../helpers/command.js';
import type { Result } from './result.js';
import type { Spread } from './statistics.js';

/** Those that stand for their kind are shown, if they were measured, with this many connections, or one. */
const HEADLINES = [
  'hg log, 100 changesets',
  'gitweb summary',
  'git info/refs',
  'compiled CGI',
  'download',
  'upload',
];
const CONCURRENCY = 4;

/** All in pixels. */
const [WIDTH, LEFT, RIGHT, BAR, TOP, TITLE, GAP] = [900, 150, 30, 22, 34, 26, 14];
const COLUMNS = 2;
const [OURS, THEIRS, TEXT, FAINT] = ['#1f6feb', '#a5aebb', '#24292f', '#6e7781'];

interface Panel {
  readonly title: string;
  readonly bars: readonly { readonly name: string; readonly value: Spread }[];
}

const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, '')}"`;
const shown = (value: number): string => (value >= 100 ? value.toFixed() : value.toPrecision(2));

/** Has gnuplot draw it as SVG. */
export async function drawChart(result: Result, file: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-chart-'));
  try {
    const script = join(directory, 'script');
    writeFileSync(script, scriptFor(result, file));
    await succeed('gnuplot', [script]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function panelsOf({ rows, transferBytes }: Result): Panel[] {
  const measured = [...new Set(rows.map(({ work }) => work))];
  const headlines = HEADLINES.filter((work) => measured.includes(work));
  return (headlines.length > 0 ? headlines : measured).map((work) => {
    const ofWork = rows.filter((row) => row.work === work);
    const tried = ofWork.map(({ concurrency }) => concurrency);
    const concurrency = tried.includes(CONCURRENCY) ? CONCURRENCY : Math.max(...tried);
    const isTransfer = work === 'download' || work === 'upload';
    const unit = isTransfer ? 'MB/s' : 'requests/s';
    const scale = isTransfer ? transferBytes / 1_000_000 : 1;
    return {
      title: `${work}, ${String(concurrency)} at once (${unit})`,
      bars: ofWork
        .filter((row) => row.concurrency === concurrency)
        .map(
          ({
            contender,
            summary: {
              requestsPerSecond: { median, least, most },
            },
          }) => ({
            name: contender,
            value: { median: scale * median, least: scale * least, most: scale * most },
          }),
        ),
    };
  });
}

function scriptFor(result: Result, file: string): string {
  const panels = panelsOf(result);
  const lines = Array.from({ length: Math.ceil(panels.length / COLUMNS) }, (_, line) =>
    panels.slice(line * COLUMNS, (line + 1) * COLUMNS),
  );
  const heights = lines.map((line) => TITLE + BAR * Math.max(...line.map(({ bars }) => bars.length)) + GAP);
  const height = TOP + heights.reduce((sum, each) => sum + each, 0);
  const { date, machine, rounds } = result;
  const title = `fcgi2cgi and its peers, ${date.slice(0, 10)}; ${machine.cpu}, ${String(machine.cores)} cores; medians of ${String(rounds)} rounds, least to most`;
  const plots = lines.flatMap((line, index) => {
    const top = TOP + heights.slice(0, index).reduce((sum, each) => sum + each, 0) + TITLE;
    return line.map((panel, column) => plotOf(panel, { top, column, height }));
  });
  return `set terminal svg noenhanced size ${String(WIDTH)},${String(height)} background rgb "white" font "sans-serif,12"
set output ${quoted(file)}
set multiplot
set label 1 ${quoted(title)} at screen ${String(10 / WIDTH)},${String(1 - 18 / height)} textcolor rgb ${quoted(TEXT)}
set border 0
unset key
unset xtics
${plots.join('\n')}
unset multiplot
`;
}

function plotOf(
  { title, bars }: Panel,
  { top, column, height }: { top: number; column: number; height: number },
): string {
  const width = WIDTH / COLUMNS;
  const left = column * width + LEFT;
  const data = bars.map(({ name, value: { median, least, most } }, index) => {
    const colour = Number.parseInt((name.startsWith('ours') ? OURS : THEIRS).slice(1), 16);
    return [index, median, least, most, colour, quoted(shown(median))].join(' ');
  });
  const names = bars.map(({ name }, index) => `${quoted(name.replace('ours', 'fcgi2cgi'))} ${String(index)}`);
  // Room for the figure at the longest bar's end.
  const most = 1.2 * Math.max(...bars.map(({ value }) => value.most));
  return `$data << EOD
${data.join('\n')}
EOD
set lmargin at screen ${String(left / WIDTH)}
set rmargin at screen ${String(((column + 1) * width - RIGHT) / WIDTH)}
set tmargin at screen ${String(1 - top / height)}
set bmargin at screen ${String(1 - (top + BAR * bars.length) / height)}
set xrange [0:${String(most)}]
set yrange [${String(bars.length - 0.5)}:-0.5]
set ytics scale 0 textcolor rgb ${quoted(TEXT)} (${names.join(', ')})
set label 2 ${quoted(title)} at screen ${String((column * width + 10) / WIDTH)},${String(1 - (top - 10) / height)} textcolor rgb ${quoted(TEXT)} font "sans-serif,13"
plot $data using 2:1:(0):2:($1-0.36):($1+0.36):5 with boxxyerror fillstyle solid noborder linecolor rgb variable, \\
  $data using 2:1:3:4 with xerrorbars pointtype -1 linewidth 1 linecolor rgb ${quoted(FAINT)}, \\
  $data using 4:1:6 with labels left offset 0.6,0 textcolor rgb ${quoted(TEXT)}
unset label 1`;
}
