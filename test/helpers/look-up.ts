/** Look-ups taken in both ways, which must find the same. */

import assert from 'node:assert/strict';

import type { LookUp } from '../../src/sites/look-up.js';
import { later, stepsBelow, Turns } from '../../src/sites/steps.js';

/** Names below which, or at which, nothing can be reached; `file` is a file, `dangling` and `circle` are links that are so. */
export const unreachable = [
  'none',
  'file/below',
  'dangling',
  'circle',
  'a\0b',
  'x'.repeat(300),
  'x/'.repeat(5000),
];

/** What a look-up below `root` comes to, by other threads and at once. */
export async function lookUp<T>(root: string, make: () => LookUp<T>): Promise<T> {
  const takeAtOnce = await stepsBelow([root], undefined, new Turns(() => 0));
  function* way(): LookUp<unknown> {
    return yield { now: () => 'now', later: () => Promise.resolve('later') };
  }
  const why = 'temporary directories should be on a file system of this machine’s own';
  assert.equal(await takeAtOnce(way()), 'now', why);
  const found = await later(make());
  assert.deepEqual(await takeAtOnce(make()), found);
  return found;
}
