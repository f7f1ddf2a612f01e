/** What of all that can be measured is to be: by default everything, else what is named. */

import type { Contender } from './contender.js';
import { growingParts } from './growth.js';
import type { Cell } from './measure.js';
import type { Part } from './stage.js';
import { isInTargets } from './targets.js';
import { type Work, works } from './works.js';

/** What can be named besides works. */
export const topics = ['targets', 'startup', 'memory', 'growth'] as const;
type Topic = (typeof topics)[number];

/** The works whose memory is looked at where none are named. */
const MEMORY = ['compiled CGI', 'hg log, 100 changesets', 'git info/refs', 'gitweb summary'];

export interface Selection {
  readonly cells: readonly Cell[];
  readonly hasStartups: boolean;
  readonly memory: readonly Part[];
  readonly growth: readonly Part[];
}

export class NothingNamed extends Error {}

/** Those that have one of these in their names; all where none is given. @throws NothingNamed */
export function named<T extends { readonly name: string }>(
  table: readonly T[],
  parts: readonly string[],
): T[] {
  for (const part of parts) {
    if (!table.some(({ name }) => name.includes(part)))
      throw new NothingNamed(`nothing is named like ${part}`);
  }
  return table.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
}

/** `concurrencies` are in place of each work's own. @throws NothingNamed */
export function select(
  names: readonly string[],
  contenders: readonly Contender[],
  concurrencies: readonly number[] | undefined,
): Selection {
  const isTopic = (name: string): name is Topic => topics.some((topic) => topic === name);
  const asked = new Set<string>(names.filter(isTopic));
  const others = names.filter((name) => !isTopic(name));
  const wants = (topic: Topic): boolean => names.length === 0 || asked.has(topic);
  const isServed = ({ work, contender }: Part): boolean => contender.serves(work.site);
  const cellsOf = (work: Work, tried: readonly number[]): Cell[] =>
    tried.flatMap((concurrency) =>
      contenders.map((contender) => ({ work, concurrency, contender })).filter(isServed),
    );
  const usual = others.length > 0 ? works : works.filter(({ isLong }) => isLong !== true);
  const chosen = names.length > 0 && others.length === 0 ? [] : named(usual, others);
  const plain = chosen.flatMap((work) =>
    cellsOf(work, work.isSingle === true ? work.concurrencies : (concurrencies ?? work.concurrencies)),
  );
  const forTargets = works
    .flatMap((work) => cellsOf(work, [1, 4]))
    .filter(
      ({ work, contender, concurrency }) =>
        asked.has('targets') && isInTargets(work.name, contender.name, concurrency),
    );
  const isOnce = ({ work, contender, concurrency }: Cell): boolean =>
    !plain.some(
      (each) => each.work === work && each.contender === contender && each.concurrency === concurrency,
    );
  return {
    cells: [...plain, ...forTargets.filter(isOnce)],
    hasStartups: wants('startup') || asked.has('targets'),
    memory: wants('memory')
      ? (others.length > 0 ? chosen : named(works, MEMORY))
          .flatMap((work) => contenders.map((contender) => ({ work, contender })))
          .filter(isServed)
      : [],
    growth: wants('growth') ? growingParts(others.length > 0 ? chosen : works, contenders) : [],
  };
}
