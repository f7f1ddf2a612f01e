/** Puts a result where readers find it: a chart and three figures into README.md, the rest into scripts/bench-results. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { format } from 'oxfmt';

import { drawChart } from './chart.js';
import { between, bound, machineOf } from './report.js';
import type { Result } from './result.js';

const [BEGIN, END] = ['<!-- bench: what `./scripts/bench publish` has written -->', '<!-- bench: end -->'];
const RESULTS = 'scripts/bench-results';

/** What README.md shows: pages with `--runner warm`, beside what people use now. */
const shown = [
  ['A page of hgweb, against fcgiwrap', 'hgweb page, warm, 4 connections', 'fcgiwrap'],
  ['A page of hgweb, against hg serve', 'hgweb page, warm, 4 connections', 'hg serve'],
  ['A page of gitweb, against fcgiwrap', 'gitweb summary, warm, 4 connections', 'fcgiwrap'],
] as const;

export const repository = fileURLToPath(new URL('../../..', import.meta.url));

/** Rewrites README.md and `scripts/bench-results` of the tree in `directory`. @throws Error without markers or targets */
export async function publish(result: Result, directory: string): Promise<void> {
  const readme = join(directory, 'README.md');
  const text = readFileSync(readme, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${readme} lacks the lines ${BEGIN} and ${END}`);
  if (result.targets.length === 0) throw new Error('nothing was measured that targets are about');
  mkdirSync(join(directory, RESULTS), { recursive: true });
  writeFileSync(join(directory, RESULTS, 'result.json'), `${JSON.stringify(result)}\n`);
  await drawChart(result, join(directory, RESULTS, 'chart.svg'));
  await write(readme, `${text.slice(0, begin)}${BEGIN}\n\n${shortOf(result)}\n\n${text.slice(end)}`);
  await write(join(directory, RESULTS, 'README.md'), wholeOf(result));
}

async function write(file: string, text: string): Promise<void> {
  writeFileSync(file, (await format(file, text)).code);
}

function shortOf({ targets }: Result): string {
  const figures = shown.flatMap(([words, name, peer]) => {
    const found = targets.find(
      ({ target }) => target.name === name && 'peer' in target && target.peer === peer,
    );
    return found === undefined ? [] : [`${words}: **${found.parts[0].measured.median.toFixed(1)} ×**.`];
  });
  const sentences = ['Requests a second at 4 connections, with `--runner warm`.', ...figures].join(' ');
  return [
    `![Requests a second of fcgi2cgi and its peers](${RESULTS}/chart.svg)`,
    ...(figures.length > 0 ? ['', sentences] : []),
  ].join('\n');
}

function wholeOf(result: Result): string {
  const rows = result.targets.map(({ target, parts }) => {
    const [worst] = parts;
    const against = target.kind === 'ratio' ? target.peer : '';
    const reached = parts.every(({ isReached }) => isReached) ? 'yes' : 'no';
    return [target.name, against, bound(target), between(worst.measured), worst.name, reached];
  });
  const head = ['what', 'against', 'at least, at most', 'measured (least–most)', 'which is', 'reached'];
  return [
    '# Results of `./scripts/bench`',
    '',
    'fcgi2cgi and its peers serve the same repositories behind the same nginx, in turns. A ratio compares requests a second: 2 means twice as many as the peer. `no` in the last column means that fcgi2cgi has not reached what it is to reach. `result.json` has every figure; `./scripts/bench publish RESULT.json` writes this file.',
    '',
    '![Requests a second of fcgi2cgi and its peers](chart.svg)',
    '',
    ...table(head, rows),
    '',
    `Of several pages and ways, the worst is shown; ratios are of requests a second. ${machineOf(result)}; medians of ${String(result.rounds)} rounds of ${String(result.seconds)} s, after as long to warm up.`,
    ...growthOf(result),
  ].join('\n');
}

/** What becomes of time and memory from the first to the last request, where that was measured. */
function growthOf({ growth }: Result): readonly string[] {
  const [first] = growth;
  if (first === undefined) return [];
  const to = first.marks.map(({ requests }) => `to the ${String(requests)}th`);
  const head = [
    'work',
    'of',
    ...to.map((mark) => `ms a request ${mark}`),
    ...to.map((mark) => `MiB, ${mark}`),
  ];
  const rows = growth.map(({ work, contender, marks }) => [
    work,
    contender,
    ...marks.map(({ msPerRequest }) => msPerRequest.toPrecision(3)),
    ...marks.map(({ pssMiB }) => pssMiB.toFixed(1)),
  ]);
  return [
    '',
    'Time and memory (PSS, of all processes that stay) as requests go by:',
    '',
    ...table(head, rows),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}
