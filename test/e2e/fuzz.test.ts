import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { play } from '../fuzz/play.js';
import { type Stream, makeStream } from '../fuzz/stream.js';
import { runToEnd } from '../helpers/command.js';
import { begin, record, wholeRequest } from '../helpers/records.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';

const fuzz = fileURLToPath(new URL('../fuzz/fuzz.js', import.meta.url));

describe('The fuzz command', { timeout: 300_000 }, () => {
  const streams = isFull ? 2_000 : 500;
  it(`finds that ${String(streams)} mutated streams do no harm`, async () => {
    const { status, stdout, stderr } = await runToEnd(process.execPath, [
      fuzz,
      ...['--streams', String(streams), '--seed', '20061106'],
    ]);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    assert.match(
      stdout,
      new RegExp(`^seed 20061106: ${String(streams)} streams in [\\d.]+ s, \\d+ a second\n`),
    );
  });

  it('explains itself', async () => {
    const { status, stdout } = await runToEnd(process.execPath, [fuzz, '--seconds', 'ten']);
    assert.equal(status, 2);
    assert.match(stdout, /^usage: npm run fuzz -- /);
  });

  it('makes the same streams of the same seed', () => {
    for (let number = 0; number < 50; number++) {
      assert.deepEqual(makeStream(1, number, '/r'), makeStream(1, number, '/r'));
    }
    assert.notDeepEqual(makeStream(1, 1, '/r'), makeStream(2, 1, '/r'));
  });

  const stdoutEnd = record(6, 1);
  const end = record(3, 1, Buffer.alloc(8));
  const whole = wholeRequest(1);
  const kept = wholeRequest(1, { flags: 1 });
  const wrong: readonly (readonly [what: string, sent: Buffer, answer: readonly Buffer[], error: RegExp])[] =
    [
      ['no answer', kept, [], /an answer did not come/],
      ['a second END_REQUEST', whole, [stdoutEnd, end, stdoutEnd, end], /ended 2 times, expected 1 to 1/],
      ['END_REQUEST without the end of STDOUT', whole, [end], /before the end of its STDOUT/],
      ['STDOUT after its end', whole, [stdoutEnd, record(6, 1, 'more'), end], /goes on after its end/],
      ['octets that are no record', whole, [Buffer.from('HTTP/1.1 400')], /no record: 48545450/],
      ['a record of the web server’s', whole, [begin(1)], /type 1, which no application sends/],
      ['that a broken stream costs nothing', record(5, 0), [], /the end of the connection did not come/],
      ['a connection that is kept where it should not', whole, [stdoutEnd, end], /the end of the conn/],
    ];
  for (const [what, sent, answer, error] of wrong) {
    it(`notices ${what}`, async () => {
      const path = join(await temporaryDirectory(), 'sock');
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => {
          socket.write(Buffer.concat(answer));
          if (answer.length > 2) socket.end();
        });
      });
      await once(server.listen(path), 'listening');
      const stream: Stream = { number: 0, turns: [sent], cut: undefined, leave: 'wait', stalls: false };
      try {
        await assert.rejects(play(stream, { socket: path, maxRequests: 8, patienceMs: 200 }), error);
      } finally {
        server.close();
      }
    });
  }
});
