import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { ShortLived } from '../../src/base/memory.js';
import { ActiveRequest } from '../../src/daemon/requests/active-requests.js';
import type { Request } from '../../src/fastcgi/request.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;

/** More than anything else takes here, and less than what has V8 look through its whole heap. */
const LARGE_BYTES = 4_000_000;

/** Whether what `use` has done with a large thing keeps that when V8 has collected the young ones. */
async function isKept(use: (large: { bytes: ArrayBuffer }) => void): Promise<boolean> {
  collect();
  await delay(20);
  const before = process.memoryUsage().arrayBuffers;
  useLarge(use);
  for (let count = 0; count < 3; count++) {
    await delay(20);
    collect({ type: 'minor' });
  }
  await delay(20);
  return process.memoryUsage().arrayBuffers - before > LARGE_BYTES / 2;
}

/** Nothing of it is left in a variable of who waits. */
function useLarge(use: (large: { bytes: ArrayBuffer }) => void): void {
  use({ bytes: new ArrayBuffer(LARGE_BYTES) });
}

describe('What lives as long as a request', () => {
  it('is kept in the order in which it came, until it is deleted', () => {
    const all = new ShortLived<{ name: string }>();
    const [one, two, three] = ['one', 'two', 'three'].map((name) => ({ name }));
    assert.ok(one && two && three);
    for (const each of [one, two, three]) all.add(each);
    assert.equal(all.delete(two), true);
    assert.equal(all.delete(two), false);
    assert.deepEqual([all.size, [...all]], [2, [one, three]]);
    const seen = [];
    for (const each of all) {
      all.delete(each);
      seen.push(each);
    }
    assert.deepEqual([seen, all.size], [[one, three], 0]);
  });

  it('is freed with the young though its streams were asked for', async () => {
    const askFor = (large: object): void => {
      const request = { stdout: {}, stderr: {}, large } as unknown as Request;
      const { stdout, stderr } = new ActiveRequest('1', request, undefined);
      assert.notEqual(stdout, stderr);
    };
    assert.equal(await isKept(askFor), false);
  });
});
