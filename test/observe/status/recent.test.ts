import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { MAX_FAILED, MAX_SLOW, RecentRequests } from '../../../src/observe/status/history.js';
import { answered } from '../../helpers/access.js';

const access = { ...answered, client: '192.0.2.1', uri: '/', queueMs: 1, firstMs: 2, totalMs: 3 };
const MINUTE_MS = 60_000;

let now: number;
let recent: RecentRequests;
beforeEach(() => {
  now = Date.parse('2026-11-22T10:00:30Z');
  recent = new RecentRequests(() => now);
});
const slow = (): readonly number[] => recent.slowest.map(({ totalMs }) => totalMs);

describe('Recent requests', () => {
  it('are those that have failed, the last one first, with the reason, and no more than may be', () => {
    recent.add('hg', access, undefined);
    for (let id = 0; id < 1_000; id += 1)
      recent.add(
        'hg',
        { ...access, id: `x-${String(id)}`, end: 'no-header', status: 502 },
        `why ${String(id)}`,
      );
    const { failed } = recent;
    assert.equal(failed.length, MAX_FAILED);
    assert.deepEqual(failed[0], {
      ...{
        id: 'x-999',
        site: 'hg',
        endedAt: '2026-11-22T10:00:30.000Z',
        client: '192.0.2.1',
        method: 'GET',
        uri: '/',
      },
      ...{ status: 502, end: 'no-header', reason: 'why 999', queueMs: 1, firstMs: 2, totalMs: 3, times: 1 },
    });
    assert.equal(failed.at(-1)?.reason, `why ${String(1_000 - MAX_FAILED)}`);
  });

  it('have one entry for all of a site for which there was no room, so that others are seen', () => {
    recent.add('hg', { ...access, id: 'seen', end: 'no-header' }, 'why');
    for (let id = 0; id < 100; id += 1)
      for (const site of ['hg', 'git'])
        recent.add(site, { ...access, id: String(id), end: 'not-admitted', status: 503 }, 'queue full');
    assert.deepEqual(
      recent.failed.map(({ id, site, times }) => [id, site, times]),
      [
        ['99', 'git', 100],
        ['99', 'hg', 100],
        ['seen', 'hg', 1],
      ],
    );
  });

  it('are the slowest of the last quarter of an hour, whichever came later', () => {
    for (let totalMs = 0; totalMs < 500; totalMs += 1) recent.add('hg', { ...access, totalMs }, undefined);
    const fast = Array.from({ length: MAX_SLOW }, (_, at) => 499 - at);
    assert.deepEqual(slow(), fast);
    now += MINUTE_MS;
    recent.add('hg', { ...access, totalMs: 5_000 }, undefined);
    recent.add('hg', { ...access, totalMs: 1 }, undefined);
    assert.deepEqual(slow(), [5_000, ...fast.slice(0, -1)]);
    now += 14 * MINUTE_MS;
    assert.deepEqual(slow(), [5_000, 1], 'what is older is forgotten, and what it hid is known');
    now += MINUTE_MS;
    assert.deepEqual(slow(), []);
  });

  it('keep no long text, whoever sends it', () => {
    const text = 'é'.repeat(60_000);
    recent.add('hg', { ...access, client: text, method: text, uri: text }, text);
    const [failed] = recent.failed;
    for (const kept of [failed?.client, failed?.method, failed?.uri, failed?.reason])
      assert.equal(kept, `${'é'.repeat(300)}…`);
  });
});
