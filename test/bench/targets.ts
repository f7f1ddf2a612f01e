/** What is to be reached, as data, and whether a result reaches it. */

import type { Result, Startup } from './result.js';
import type { Spread } from './statistics.js';

/** Of the same work with as many connections: how many times the peer's requests a second. */
interface RatioTarget {
  readonly kind: 'ratio';
  readonly name: string;
  readonly peer: string;
  readonly atLeast: number;
  /** Each of these works by each of these ways, with each of these numbers of connections. */
  readonly works: readonly string[];
  readonly ways: readonly string[];
  readonly concurrencies: readonly number[];
}

interface StartupTarget {
  readonly kind: 'startup';
  readonly name: string;
  readonly atMostSeconds: number;
}

export type Target = RatioTarget | StartupTarget;

const hgPages = ['hg log, 100 changesets', 'hg log, 5000 changesets'];
const gitwebPages = ['gitweb summary', 'gitweb tree', 'gitweb blob', 'gitweb commitdiff'];
/** Pages as users have them, and by the very script that the peers run. */
const pagesSpawn = ['ours', 'ours, script'];
const gitwebWarm = ['ours, warm', 'ours, script, warm'];

const ratio = (
  name: string,
  peer: string,
  atLeast: number,
  [works, ways, concurrencies]: readonly [readonly string[], readonly string[], readonly number[]],
): RatioTarget => ({ kind: 'ratio', name, peer, atLeast, works, ways, concurrencies });

/** Those of Debian 12; "at least" is for each work, way and number of connections. */
export const targets: readonly Target[] = [
  ratio('hgweb page, warm, 4 connections', 'fcgiwrap', 8, [hgPages, ['ours, warm'], [4]]),
  ratio('hgweb page, warm, 1 connection', 'hg serve', 1.2, [hgPages, ['ours, warm'], [1]]),
  ratio('hgweb page, warm, 4 connections', 'hg serve', 1.9, [hgPages, ['ours, warm'], [4]]),
  ratio('gitweb summary, warm, 4 connections', 'fcgiwrap', 3, [['gitweb summary'], gitwebWarm, [4]]),
  ratio('gitweb summary, warm, 1 connection', 'gitweb --fcgi', 0.8, [['gitweb summary'], gitwebWarm, [1]]),
  ratio('list of 500 hg repositories, warm', 'hg serve', 1, [
    ['hg list, 500 repositories'],
    ['ours, warm'],
    [1],
  ]),
  ratio('hgweb page, spawn', 'fcgiwrap', 1, [hgPages, pagesSpawn, [1, 4]]),
  ratio('gitweb page, spawn', 'fcgiwrap', 1, [gitwebPages, pagesSpawn, [1, 4]]),
  ratio('git smart info/refs, spawn', 'fcgiwrap', 0.95, [['git info/refs'], ['ours'], [4]]),
  ratio('trivial compiled CGI, spawn', 'fcgiwrap', 0.85, [['compiled CGI'], ['ours'], [4]]),
  ratio('1 GB down', 'fcgiwrap', 1.3, [['download'], ['ours'], [1]]),
  ratio('1 GB up', 'fcgiwrap', 1, [['upload'], ['ours'], [1]]),
  { kind: 'startup', name: 'command start to listening', atMostSeconds: 0.3 },
];

/** Whether this is one of what the targets compare. */
export function isInTargets(work: string, contender: string, concurrency: number): boolean {
  return targets.some(
    (target) =>
      target.kind === 'ratio' &&
      target.works.includes(work) &&
      [...target.ways, target.peer].includes(contender) &&
      target.concurrencies.includes(concurrency),
  );
}

/** One thing that a target is about, as it was measured. */
export interface Reached {
  readonly name: string;
  /** How many times as many requests a second, or seconds. */
  readonly measured: Spread;
  readonly isReached: boolean;
}

export interface RunResult {
  readonly target: Target;
  /** Those that were measured, the worst first; a target is reached when all are. */
  readonly parts: readonly [Reached, ...Reached[]];
}

/** The targets of which something was measured. */
export function judge(rows: Result['rows'], startups: readonly Startup[]): RunResult[] {
  return targets.flatMap((target) => {
    const parts = target.kind === 'ratio' ? ratiosOf(target, rows) : startupsOf(target, startups);
    const [first, ...others] = parts;
    return first === undefined ? [] : [{ target, parts: [first, ...others] as const }];
  });
}

function ratiosOf(
  { works, ways, concurrencies, peer, atLeast }: RatioTarget,
  rows: Result['rows'],
): Reached[] {
  return rows
    .filter(
      ({ work, contender, concurrency }) =>
        works.includes(work) && ways.includes(contender) && concurrencies.includes(concurrency),
    )
    .flatMap(({ work, contender, concurrency, summary }) => {
      const measured = summary.times[peer];
      if (measured === undefined) return [];
      const name = `${work}, ${String(concurrency)} at once, ${contender}`;
      return [{ name, measured, isReached: measured.median >= atLeast }];
    })
    .sort((one, other) => one.measured.median - other.measured.median);
}

function startupsOf({ atMostSeconds }: StartupTarget, startups: readonly Startup[]): Reached[] {
  return startups
    .map(({ command, seconds }) => ({
      ...{ name: `fcgi2cgi ${command}`, measured: seconds, isReached: seconds.median <= atMostSeconds },
    }))
    .sort((one, other) => other.measured.median - one.measured.median);
}
