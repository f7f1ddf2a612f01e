/** The bench's result as tables for people. */

import type { Growth, Memory, Result, Startup } from './result.js';
import type { Spread } from './statistics.js';
import { alignTable } from './table.js';
import type { RunResult, Target } from './targets.js';

const digits = (value: number): string => (value >= 100 ? value.toFixed() : value.toPrecision(3));
const known = (value: Spread | null): string => (value === null ? '-' : digits(value.median));

export const between = ({ median, least, most }: Spread): string =>
  `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;
/** What a target asks for. */
export const bound = (target: Target): string =>
  target.kind === 'ratio' ? `≥ ${target.atLeast.toFixed(2)} ×` : `≤ ${target.atMostSeconds.toFixed(1)} s`;
export const machineOf = ({ date, machine }: Result): string => {
  const { cpu, cores, memoryMiB, kernel, node, load } = machine;
  const size = `${String(cores)} cores, ${String(memoryMiB)} MiB`;
  return `${date.slice(0, 10)}; ${cpu}, ${size}; Linux ${kernel}, Node ${node}; load ${load.toFixed(1)} at the start`;
};

export function report(result: Result): string {
  const { rounds, seconds, transferBytes, rows, startups, memory, growth, targets } = result;
  return [
    section(rows, rowsOf),
    section(rows, ratiosOf),
    section(startups, startupsOf),
    section(memory, memoryOf),
    section(growth, growthOf),
    section(targets, targetsOf),
    ['', machineOf(result)],
    [
      `medians of ${String(rounds)} rounds of ${String(seconds)} s, after as long to warm up (least–most); transfers of ${String(transferBytes / 1_000_000)} MB; CPU and memory are those of the contender and its programs`,
    ],
  ]
    .flat()
    .join('\n');
}

function section<T>(list: readonly T[], table: (list: readonly T[]) => string[]): string[] {
  return list.length > 0 ? ['', ...table(list)] : [];
}

function rowsOf(rows: Result['rows']): string[] {
  const head = ['work', 'at once', 'contender', 'requests/s', 'first ms', 'total ms', 'CPU ms', 'peak MiB'];
  const lines = rows.map(({ work, concurrency, contender, summary }) => [
    work,
    String(concurrency),
    contender,
    digits(summary.requestsPerSecond.median),
    known(summary.firstMs),
    digits(summary.totalMs.median),
    known(summary.cpuMsPerRequest),
    digits(summary.peakMiB.median),
  ]);
  return alignTable([head, ...lines], [0, 2]);
}

/** Each of our ways against each other contender. */
function ratiosOf(rows: Result['rows']): string[] {
  const isOurs = (name: string): boolean => name.startsWith('ours');
  const lines = rows
    .filter(({ contender }) => isOurs(contender))
    .flatMap(({ work, concurrency, contender, summary }) =>
      Object.entries(summary.times)
        .filter(([peer]) => !isOurs(peer))
        .map(([peer, times]) => [work, String(concurrency), contender, peer, between(times)]),
    );
  return alignTable([['work', 'at once', '', 'against', '× its requests/s'], ...lines], [0, 2, 3]);
}

function startupsOf(startups: readonly Startup[]): string[] {
  const lines = startups.map(({ command, seconds }) => [`fcgi2cgi ${command}`, between(seconds)]);
  return alignTable([['command', 'start to listening, s'], ...lines], [0]);
}

function memoryOf(memory: readonly Memory[]): string[] {
  const head = [
    'work',
    'at once',
    'contender',
    'in all MiB',
    'which',
    'most',
    'RSS MiB',
    'PSS MiB',
    'USS MiB',
  ];
  const lines = memory.flatMap(({ work, concurrency, contender, peakMiB, roles }) =>
    roles.map(({ role, most, rssMiB, pssMiB, ussMiB }, index) => [
      ...(index === 0 ? [work, String(concurrency), contender, digits(peakMiB)] : ['', '', '', '']),
      role,
      String(most),
      ...[rssMiB, pssMiB, ussMiB].map(digits),
    ]),
  );
  return alignTable([head, ...lines], [0, 2, 4]);
}

function growthOf(growth: readonly Growth[]): string[] {
  const lines = growth.flatMap(({ work, contender, marks }) =>
    marks.map(({ requests, msPerRequest, pssMiB }, index) => [
      ...(index === 0 ? [work, contender] : ['', '']),
      ...[String(requests), digits(msPerRequest), digits(pssMiB)],
    ]),
  );
  return alignTable([['work', 'contender', 'requests', 'ms each', 'MiB (PSS)'], ...lines], [0, 1]);
}

/** Every part of each: which one is worst, is seen first. */
function targetsOf(targets: readonly RunResult[]): string[] {
  const lines = targets.flatMap(({ target, parts }) =>
    parts.map(({ name, measured, isReached }, index) => [
      ...(index === 0
        ? [target.name, target.kind === 'ratio' ? target.peer : '', bound(target)]
        : ['', '', '']),
      between(measured),
      isReached ? 'reached' : 'NOT REACHED',
      name,
    ]),
  );
  return alignTable([['target', 'against', '', 'measured', '', 'of'], ...lines], [0, 1, 4, 5]);
}
