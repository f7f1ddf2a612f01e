/**
 * `npm run soak -- --overload`: more clients at once than there is room for, on the bridge and on fcgiwrap behind one
 * nginx, with a light client beside them. Bounded in clients and in time.
 */

import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Contender, startContenders } from './contenders.js';
import { type Answer, get, lightClient } from './many-clients.js';

/** The bridge's `--queue-timeout`, and what a refusal may take besides. */
const REFUSAL_MS = 31_000;

export interface Storm {
  readonly script: string;
  readonly clients: number;
}

const storms: readonly Storm[] = [
  { script: 'trivial', clients: 1_000 },
  { script: 'trivial', clients: 3_000 },
  { script: 'slow', clients: 1_000 },
  { script: 'hgweb', clients: 1_000 },
];

export interface OverloadOptions {
  /** Only storms on scripts whose name has one of these in it; empty for all. */
  readonly kinds: readonly string[];
  /** In place of each storm's own number. */
  readonly clients: number | undefined;
}

/** Runs the storms and prints a table, and what is wrong with the bridge. Says whether all is well. */
export async function overload(
  { kinds, clients }: OverloadOptions,
  print: (line: string) => void,
): Promise<boolean> {
  const wanted = storms
    .filter(({ script }) => kinds.length === 0 || kinds.some((kind) => script.includes(kind)))
    .map((storm) => ({ ...storm, clients: clients ?? storm.clients }));
  const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-overload-'));
  chmodSync(directory, 0o755);
  const ends: (() => unknown)[] = [];
  try {
    const { url, contenders } = await startContenders(directory, ends);
    return await compare(wanted, contenders, url, print);
  } finally {
    for (const end of ends.reverse()) await end();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The same with contenders that run already, at this address; a refusal is due within `refusalMs`. */
export async function compare(
  wanted: readonly Storm[],
  contenders: readonly Contender[],
  url: URL,
  print: (line: string) => void,
  refusalMs = REFUSAL_MS,
): Promise<boolean> {
  print(row(columns.map(([name]) => name)));
  let isWell = true;
  for (const storm of wanted) {
    const results = new Map<Contender['name'], Result>();
    for (const contender of contenders) {
      const result = await weather(storm, contender, url);
      results.set(contender.name, result);
      print(lineOf(storm, contender, result));
    }
    for (const fault of faultsOf(results.get('bridge'), results.get('fcgiwrap'), refusalMs)) {
      isWell = false;
      print(`WRONG ${nameOf(storm)}: ${fault}`);
    }
  }
  return isWell;
}

interface Result {
  readonly answers: readonly Answer[];
  readonly tookMs: number;
  readonly lights: readonly Answer[];
  readonly next: Answer;
  readonly cpuMs: number;
  readonly logLines: number;
}

async function weather({ script, clients }: Storm, contender: Contender, url: URL): Promise<Result> {
  const { name } = contender;
  const [cpu, lines, since] = [contender.cpuMs(), contender.logLines(), performance.now()];
  let isOver = false;
  const light = lightClient(url, `/${name}/trivial`, () => isOver);
  const answers = await Promise.all(Array.from({ length: clients }, () => get(url, `/${name}/${script}`)));
  const tookMs = performance.now() - since;
  isOver = true;
  const lights = await light;
  const next = await get(url, `/${name}/trivial`);
  const [cpuMs, logLines] = [contender.cpuMs() - cpu, contender.logLines() - lines];
  return { answers, tookMs, lights, next, cpuMs, logLines };
}

/** What was asked of the bridge and did not come true, of as much as one run can tell. */
function faultsOf(
  bridge: Result | undefined,
  fcgiwrap: Result | undefined,
  refusalMs: number,
): readonly string[] {
  if (bridge === undefined) return [];
  const { answers } = bridge;
  const faults: string[] = [];
  const [bad, none] = [count(answers, 502), unanswered(answers)];
  if (bad > 0) faults.push(`${String(bad)} × 502`);
  if (none > 0) faults.push(`${String(none)} × no answer`);
  const lastMs = lastRefusalMs(answers);
  if (lastMs > refusalMs) faults.push(`the last 503 came after ${seconds(lastMs)} s`);
  const others = fcgiwrap?.answers ?? [];
  const [served, byOther] = [count(answers, 200), count(others, 200)];
  // It refuses what would come too late, where fcgiwrap has as long as the web server waits.
  if (served < byOther && perSecond(answers) < perSecond(others))
    faults.push(`${String(served)} × 200, and ${String(byOther)} by fcgiwrap, at a higher rate`);
  if (bridge.next.status !== 200) faults.push(`the next page: ${String(bridge.next.status)}`);
  return faults;
}

const count = (answers: readonly Answer[], status: number): number =>
  answers.filter((answer) => answer.status === status).length;
const unanswered = (answers: readonly Answer[]): number => count(answers, 0);
/** How many 200s a second there were, until the last of them. */
const perSecond = (answers: readonly Answer[]): number => {
  const times = answers.filter(({ status }) => status === 200).map(({ ms }) => ms);
  return (1_000 * times.length) / Math.max(1, ...times);
};
const lastRefusalMs = (answers: readonly Answer[]): number =>
  Math.max(0, ...answers.filter(({ status }) => status === 503).map(({ ms }) => ms));

const columns = [
  ...([
    ['storm', 13],
    ['by', 9],
    ['200', 5],
    ['503', 5],
    ['502', 5],
    ['none', 5],
    ['s', 6],
  ] as const),
  ...([
    ['last 503', 9],
    ['light', 6],
    ['worst', 7],
    ['cpu', 7],
    ['log', 4],
    ['next', 6],
  ] as const),
] as const;
const row = (cells: readonly string[]): string =>
  cells
    .map((cell, index) => cell.padEnd(columns[index]?.[1] ?? 0))
    .join(' ')
    .trimEnd();
const seconds = (ms: number): string => (ms / 1_000).toFixed(2);
const nameOf = ({ script, clients }: Storm): string => `${String(clients)} ${script}`;

function lineOf(storm: Storm, { name }: Contender, result: Result): string {
  const { answers, lights, next } = result;
  const lastMs = lastRefusalMs(answers);
  return row([
    nameOf(storm),
    name,
    ...[200, 503, 502].map((status) => String(count(answers, status))),
    String(unanswered(answers)),
    seconds(result.tookMs),
    lastMs === 0 ? '-' : seconds(lastMs),
    String(count(lights, 200)),
    seconds(Math.max(0, ...lights.map(({ ms }) => ms))),
    seconds(result.cpuMs),
    String(result.logLines),
    next.status === 200 ? seconds(next.ms) : String(next.status),
  ]);
}
