/** What the daemon holds of a large request or answer. `MEGABYTES=1000` has the full size; fewer show the same. */

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, it } from 'node:test';

import { ask, connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { peakMiB } from '../helpers/processes.js';
import { serve, type Served } from '../helpers/served.js';
import { digestOf, large } from '../helpers/streams.js';

const BYTES = Number(process.env['MEGABYTES'] ?? 200) * 1_000_000;
const MOST_MIB = 32;

/**
 * A daemon that has answered before: what it needs for that is no matter of size. Its young generation is small: in
 * one of the usual 16 MiB some 30 MiB of pieces that nobody holds any more wait for a collection, and this is about
 * what is held.
 */
async function warmedUp(name: string, ...args: string[]): Promise<{ served: Served; grown: () => number }> {
  const env = { ...process.env, NODE_OPTIONS: '--max-semi-space-size=1' };
  const served = await serve(['script', fixture(`cgi/${name}`), ...args], { env });
  for (let requests = 0; requests < 20; requests++) await ask(served.socket);
  const pid = served.process.pid ?? 0;
  const before = peakMiB(pid);
  return { served, grown: () => peakMiB(pid) - before };
}

describe(`The daemon’s memory grows by less than ${String(MOST_MIB)} MiB`, { timeout: 600_000 }, () => {
  it('with a large answer to a slow reader', async (test) => {
    const { served, grown } = await warmedUp('writes-as-much-as-asked.sh');
    const connection = connect(served.socket);
    const sent = connection.send([['QUERY_STRING', String(BYTES)]]);
    sent.stdin.end();
    let due = 0;
    const { bytes } = await digestOf(sent.stdout, async (read) => {
      if (read < due) return;
      due += 1_000_000;
      await delay(2);
    });
    assert.ok(bytes > BYTES);
    test.diagnostic(`${String(BYTES)} octets down: ${grown().toFixed(1)} MiB`);
    assert.ok(grown() < MOST_MIB);
    connection.close();
  });

  for (const [name, args, what] of [
    ['reads-slowly.py', ['0.002'], 'a slow script'],
    ['echoes-body.sh', [], 'a script that answers as it reads, kept on disk'],
  ] as const) {
    it(`with a large body for ${what}`, async (test) => {
      const { served, grown } = await warmedUp(name, ...args);
      const connection = connect(served.socket);
      const sent = connection.send([]);
      const body: Readable = large(BYTES).stream;
      const [{ bytes }] = await Promise.all([digestOf(sent.stdout), pipeline(body, sent.stdin)]);
      assert.ok(bytes > 0);
      test.diagnostic(`${String(BYTES)} octets up: ${grown().toFixed(1)} MiB`);
      assert.ok(grown() < MOST_MIB);
      connection.close();
    });
  }
});
