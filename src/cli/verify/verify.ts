/** Finds out whether a request is answered alike both ways. */

import { Readable } from 'node:stream';

import type { NameValues } from '../../bytes.js';
import { lacksLength, withLength } from '../../daemon/counted-body.js';
import { resolveRequest, type Site } from '../../sites/site.js';
import type { Data } from '../data.js';
import type { Answered } from './answered.js';
import type { BothWays, Run } from './both-ways.js';
import { type Difference, differences, variations } from './comparison.js';

/** New processes that a request is run in: two at first, and further ones before a difference is believed. */
const FIRST_SPAWNS = 2;
const MAX_SPAWNS = 5;
/** How often a request is run once more since its fork server was replaced by one that has learned. */
const MAX_LESSONS = 4;

/** What became of a request. */
export type Verdict =
  | {
      readonly kind: 'same' | 'differs';
      /** By a new process. */
      readonly status: number;
      readonly bytes: number;
      /** How often it was run by a process of a fork server. */
      readonly warmRuns: number;
      /** What is not the same in new processes either. */
      readonly varies: readonly string[];
      readonly differences: readonly Difference[];
    }
  /** No process can be forked for it, though it is a Python or Perl script; or it is another program. */
  | { readonly kind: 'not-warm' | 'never-warm'; readonly reason: string }
  /** The site has the answer itself, or refuses it. */
  | { readonly kind: 'no-program'; readonly status: number };

/** Answers the request both ways, warm `repeat` times at least. */
export async function verify(
  site: Site,
  ways: BothWays,
  { params, data, repeat }: { params: NameValues; data: Data | undefined; repeat: number },
): Promise<Verdict> {
  const resolution = await resolveRequest(site, params);
  if (resolution.kind === 'refuse') return { kind: 'no-program', status: resolution.refusal.status };
  if (resolution.kind === 'answer') return { kind: 'no-program', status: resolution.answer.status };
  const { invocation } = resolution;
  const run: Run = {
    params,
    invocation: lacksLength(invocation) ? withLength(invocation, data?.length ?? 0) : invocation,
    openBody: () => data?.open() ?? Readable.from([]),
  };
  const prepared = await ways.prepare(run);
  if (prepared.kind !== 'warm') {
    return { kind: prepared.kind === 'unfit' ? 'not-warm' : 'never-warm', reason: prepared.reason };
  }
  const spawned: Answered[] = [];
  while (spawned.length < FIRST_SPAWNS) spawned.push(await ways.spawn(run));
  let server = prepared.pid;
  let found: readonly Difference[] = [];
  let [warmRuns, lessons, isEnough] = [0, 0, false];
  while (!isEnough) {
    const warm = await ways.fork(run);
    if (typeof warm === 'string') return { kind: 'not-warm', reason: warm };
    warmRuns++;
    found = differences(spawned, warm);
    while (found.length > 0 && spawned.length < MAX_SPAWNS) {
      spawned.push(await ways.spawn(run));
      found = differences(spawned, warm);
    }
    const now = await ways.prepare(run);
    // What it has loaded may be loaded ahead from now on, and be otherwise there.
    const hasLearned = now.kind === 'warm' && now.pid !== server && lessons++ < MAX_LESSONS;
    if (now.kind === 'warm') server = now.pid;
    isEnough = found.length > 0 || (warmRuns >= repeat && !hasLearned);
  }
  return {
    kind: found.length === 0 ? 'same' : 'differs',
    status: spawned[0]?.status ?? 0,
    bytes: spawned[0]?.body.bytes ?? 0,
    warmRuns,
    varies: variations(spawned),
    differences: found,
  };
}
