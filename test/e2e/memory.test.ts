/** What the daemon holds of a large request or answer: the full size with `scripts/test --full`; less shows the same. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, it } from 'node:test';

import { ask, connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { peakMiB } from '../helpers/processes.js';
import { serve, type Served } from '../helpers/served.js';
import { digestOf, large } from '../helpers/streams.js';
import { fifo } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';

const BYTES = isFull ? 1_000_000_000 : 64_000_000;
const MOST_MIB = 32;

/** A daemon that has answered before: what it needs for that is no matter of size. */
async function warmedUp(
  args: readonly string[],
  params: Readonly<Record<string, string>> = {},
): Promise<{ served: Served; grown: () => number }> {
  const served = await serve(args);
  for (let requests = 0; requests < 8; requests++) await ask(served.socket, params);
  const pid = served.process.pid ?? 0;
  const before = peakMiB(pid);
  return { served, grown: () => peakMiB(pid) - before };
}

describe(`The daemon’s memory grows by less than ${String(MOST_MIB)} MiB`, { timeout: 600_000 }, () => {
  it('with a large answer to a slow reader', async (test) => {
    const { served, grown } = await warmedUp(['script', fixture('cgi/writes-as-much-as-asked.sh')]);
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
      const { served, grown } = await warmedUp(['script', fixture(`cgi/${name}`), ...args]);
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

describe('The daemon’s memory for 100 transfers at once', { timeout: 600_000 }, () => {
  it('is within what the manual says of each, and of the daemon', async (test) => {
    // As in LIMITS of fcgi2cgi(8).
    const [stdinBufferKiB, holdKiB, besidesKiB] = [16, 64, 768];
    const limits = [
      '--stdin-buffer',
      `${String(stdinBufferKiB)}kb`,
      '--hold-during-upload',
      `${String(holdKiB)}kb`,
    ];
    const command = ['dir', '--root', fixture('cgi'), '--max-processes', '100', ...limits];
    const down = fixture('cgi/writes-as-much-as-asked.sh');
    const up = fixture('cgi/reads-when-told.sh');
    const { served, grown } = await warmedUp(command, { SCRIPT_FILENAME: down });
    const bytes = isFull ? 6_000_000 : 2_000_000;
    const path = await fifo();
    const goOn = await open(path, 'r+');
    const transfers = Array.from({ length: 100 }, (_, index) => {
      const connection = connect(served.socket);
      const params = index % 2 === 0 ? [up, path] : [down, String(bytes)];
      const sent = connection.send([
        ['SCRIPT_FILENAME', params[0] ?? ''],
        ['QUERY_STRING', params[1] ?? ''],
      ]);
      const body = index % 2 === 0 ? large(bytes).stream : Readable.from([]);
      // A script that was told to read has its whole body on disk; an answer that nobody reads is stuck.
      const stuck = Promise.all([
        pipeline(body, sent.stdin),
        once(index % 2 === 0 ? sent.stderr : sent.stdout, 'readable'),
      ]);
      return { connection, sent, stuck };
    });
    await Promise.all(transfers.map(({ stuck }) => stuck));
    await goOn.write('\n'.repeat(50));
    const answers = await Promise.all(transfers.map(({ sent }) => buffer(sent.stdout)));
    for (const [index, answer] of answers.entries()) {
      if (index % 2 === 0) assert.match(answer.toString(), new RegExp(`\n *${String(bytes)}\n$`));
      else assert.ok(answer.length > bytes);
    }
    for (const { connection } of transfers) connection.close();
    await goOn.close();
    const most = (100 * (stdinBufferKiB + holdKiB + besidesKiB)) / 1024 + MOST_MIB;
    test.diagnostic(
      `${String(bytes)} bytes in each of 100 transfers: ${grown().toFixed(1)} MiB, at most ${most.toFixed(1)}`,
    );
    assert.ok(grown() < most);
  });
});
