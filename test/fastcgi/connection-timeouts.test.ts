import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { ByteBudget } from '../../src/base/bytes.js';
import { REQUEST_BYTES } from '../../src/fastcgi/params.js';
import type { Request } from '../../src/fastcgi/request.js';
import { type Clock, mockClock } from '../helpers/clock.js';
import { Peer } from '../helpers/peer.js';
import { begin, record, wholeRequest } from '../helpers/records.js';

const KEEP = { flags: 1 };
const IDLE = 1_000;

describe('A connection that may be idle for so long', () => {
  let clock: Clock;
  beforeEach(() => {
    clock = mockClock();
  });
  afterEach(() => {
    clock.restore();
  });

  const peerOf = (): Peer => new Peer({ idleTimeoutMs: IDLE });

  it('is kept for ever between records, before the first request and after the last', async () => {
    const peer = peerOf();
    assert.equal(clock.running, 0);
    const request = await peer.request(wholeRequest(1, KEEP));
    clock.tick(100 * IDLE);
    await request.end(0);
    assert.deepEqual(await peer.ask(), ['STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
    clock.tick(100 * IDLE);
    assert.equal(clock.running, 0);
    assert.deepEqual(peer.problems, []);
    await peer.leave();
  });

  for (const [where, octets] of [
    ['a header', begin(1).subarray(0, 7)],
    ['a control record', begin(1).subarray(0, 15)],
    ['a management record', record(9, 0, '\x01\x00N').subarray(0, 9)],
    ['padding', record(9, 0, '\x01\x00N', { paddingBytes: 5 }).subarray(0, 12)],
    ['STDIN', Buffer.concat([begin(1), record(4, 1), record(5, 1, 'body').subarray(0, 10)])],
  ] as const) {
    it(`is closed when its peer stops within ${where}, and not while octets come`, async () => {
      const peer = peerOf();
      for (const octet of octets) {
        clock.tick(IDLE - 1);
        await new Promise((resolve) => peer.far.write(Buffer.of(octet), resolve));
      }
      assert.deepEqual(peer.problems, []);
      clock.tick(IDLE - 1);
      assert.equal(peer.near.destroyed, false);
      clock.tick(1);
      await peer.connection.closed;
      assert.deepEqual(
        peer.problems.map(({ code }) => code),
        ['ERR_FASTCGI_TIMEOUT'],
      );
      assert.match(String(peer.problems[0]), /--idle-timeout/);
    });
  }

  it('is not closed for the rest of a record that it does not read itself', async () => {
    const peer = new Peer({ idleTimeoutMs: IDLE, stdinBufferBytes: 100 });
    const paused = once(peer.near, 'pause');
    peer.send(begin(1, KEEP), record(4, 1), record(5, 1, 'x'.repeat(200)).subarray(0, 150));
    await paused;
    clock.tick(100 * IDLE);
    assert.equal(peer.problems.length, 0);
    const resumed = once(peer.near, 'resume');
    peer.stdin(peer.requests[0]).resume();
    await resumed;
    clock.tick(IDLE);
    await peer.connection.closed;
    assert.equal(peer.problems[0]?.code, 'ERR_FASTCGI_TIMEOUT');
  });

  it('gives a request up whose params do not end, however they trickle, and no other one', async () => {
    const paramsBudget = new ByteBudget(100_000);
    const peer = new Peer({ idleTimeoutMs: IDLE, paramsBudget });
    const other = await peer.request(wholeRequest(2, KEEP));
    await peer.ask(begin(1, KEEP));
    for (let octets = 0; octets < 10; octets++) {
      clock.tick(IDLE / 10);
      await peer.ask(record(4, 1, 'x'));
    }
    const late: Request = peer.requests[1] ?? assert.fail('the request is handed on');
    assert.equal(late.problem?.code, 'ERR_PARAMS_TIMEOUT');
    assert.match(late.problem.message, /--idle-timeout/);
    assert.deepEqual(late.params, []);
    // Of what has come in vain, nothing counts any more.
    assert.equal(paramsBudget.takenBytes, 2 * REQUEST_BYTES);
    assert.deepEqual(await peer.ask(record(4, 1, 'x'), record(4, 1), record(5, 1, 'x'), record(5, 1)), []);
    assert.equal(peer.requests.length, 2, 'and only once');
    await late.end(0);
    await other.end(0);
    const answers = await peer.ask(record(4, 1, 'even later'));
    assert.deepEqual(answers.filter((line) => line.startsWith('END_REQUEST')).length, 2);
    assert.deepEqual(peer.problems, []);
    await peer.leave();
  });

  it('has no clock running once its peer has left, though it was about to close', async () => {
    const peer = peerOf();
    peer.connection.close();
    await peer.leave();
    assert.equal(clock.running, 0);
  });

  it('has no clock running for a request that was aborted before its params ended', async () => {
    const peer = peerOf();
    assert.deepEqual(await peer.ask(begin(1, KEEP), record(2, 1)), ['END_REQUEST 1 0000008f 00']);
    assert.equal(clock.running, 0);
    assert.equal(peer.requests.length, 0);
    await peer.leave();
  });
});
