import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import { Peer } from '../helpers/peer.js';
import { begin, record, wholeRequest } from '../helpers/records.js';

const KEEP = { flags: 1 };

/** Writes until the other end has stopped reading, at most `attempts` times; returns how often. */
async function writeWhileRead(
  peer: Peer,
  octets: Buffer,
  { attempts = 1_000, answers = [] }: { attempts?: number; answers?: readonly Promise<void>[] } = {},
): Promise<number> {
  let count = 0;
  while (count < attempts && !peer.near.isPaused()) {
    // Called back when the other end has taken the octets and asks for more.
    await new Promise((resolve) => peer.far.write(octets, resolve));
    await Promise.all(answers);
    count += 1;
  }
  assert.deepEqual(peer.problems, []);
  return count;
}

describe('The flow of a connection', () => {
  const ids = Array.from({ length: 200 }, (_, index) => index + 1);
  const floods = {
    GET_VALUES: ids.map(() => record(9, 0, '\x01\x00N')),
    'records of unknown types': ids.map(() => record(99, 0)),
    'requests that it refuses': ids.map((id) => begin(id, { ...KEEP, role: 3 })),
    'requests that it aborts': ids.flatMap((id) => [begin(id, KEEP), record(2, id)]),
    'requests that have an empty answer': ids.map((id) => wholeRequest(id, KEEP)),
  };
  for (const [name, octets] of Object.entries(floods)) {
    it(`stops reading a peer that endlessly sends ${name} and reads no answer`, async () => {
      const answers: Promise<void>[] = [];
      const peer = new Peer({
        values: { N: 'value' },
        maxRequests: ids.length,
        onRequest: (request) => answers.push(request.end(0)),
      });
      peer.far.pause();
      const count = await writeWhileRead(peer, Buffer.concat(octets), { attempts: 100, answers });
      assert.ok(count < 100, 'reading has stopped');
      assert.ok(peer.near.writableLength < 200_000, `${String(peer.near.writableLength)} octets wait`);
      peer.far.resume();
      await once(peer.near, 'resume');
      assert.ok((await peer.ask()).length > 1_000, 'and goes on when the answers are read');
      await peer.leave();
    });
  }

  it('pauses its peer while a request leaves its STDIN unread, and loses nothing of it', async () => {
    const peer = new Peer({ stdinBufferBytes: 10_000 });
    const request = await peer.request(begin(1, KEEP), record(4, 1));
    const part = Buffer.alloc(1_000, 'x');
    const written = await writeWhileRead(peer, record(5, 1, part));
    assert.equal(written, 10);
    assert.equal(peer.stdin(request).readableLength, 10_000);
    peer.send(record(5, 1, 'the end'), record(5, 1));
    assert.equal(await text(peer.stdin(request)), `${'x'.repeat(10_000)}the end`);
    assert.equal(peer.near.isPaused(), false);
    assert.deepEqual(await peer.ask(), []);
    await peer.leave();
  });

  it('pauses its peer also where other requests have room', async () => {
    const peer = new Peer({ stdinBufferBytes: 100 });
    const other = [begin(2, KEEP), record(4, 2), record(5, 2, 'x')];
    await peer.ask(begin(1, KEEP), record(4, 1), ...other, begin(3, KEEP), record(4, 3));
    const paused = once(peer.near, 'pause');
    peer.send(record(5, 2, 'x'.repeat(200)));
    await paused;
    const resumed = once(peer.near, 'resume');
    peer.stdin(peer.requests[1]).resume();
    await resumed;
    await peer.leave();
  });

  it('goes on reading when the STDIN that filled the buffer was the last', async () => {
    const peer = new Peer({ stdinBufferBytes: 100 });
    const stdin = 'x'.repeat(200);
    const request = await peer.request(wholeRequest(1, { ...KEEP, stdin }));
    assert.deepEqual(await peer.ask(record(2, 1)), ['END_REQUEST 1 0000008f 00'], 'an abort is seen');
    assert.ok(request.signal.aborted);
    await peer.leave();
  });

  it('goes on reading when the request that left its STDIN unread ends', async () => {
    const peer = new Peer({ stdinBufferBytes: 100 });
    peer.send(begin(1, KEEP), record(4, 1), record(5, 1, 'x'.repeat(200)));
    await once(peer.near, 'pause');
    await peer.requests[0]?.end(0);
    assert.deepEqual(await peer.ask(), ['STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
    await peer.leave();
  });

  it('goes on reading when the reader of a full STDIN leaves it', async () => {
    const peer = new Peer({ stdinBufferBytes: 100 });
    peer.send(begin(1, KEEP), record(4, 1), record(5, 1, 'x'.repeat(200)));
    await once(peer.near, 'pause');
    const [request] = peer.requests;
    assert.ok(request);
    peer.stdin(request).destroy();
    assert.deepEqual(await peer.ask(record(5, 1, 'more'), record(5, 1)), []);
    assert.equal(request.signal.aborted, false);
    await peer.leave();
  });

  it('lets STDOUT fill up no further than a peer reads', async () => {
    const peer = new Peer();
    const request = await peer.request(wholeRequest(1, KEEP));
    peer.far.pause();
    let written = 0;
    while (written < 1_000 && request.stdout.write(Buffer.alloc(10_000))) written += 1;
    assert.ok(written < 10, `${String(written)} pieces were taken`);
    const drained = once(request.stdout, 'drain');
    peer.far.resume();
    await drained;
    await request.end(0);
    await peer.leave();
  });
});
