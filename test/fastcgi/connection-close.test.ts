import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Duplex, finished as whenFinished } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, it, mock } from 'node:test';
import { setImmediate as reading } from 'node:timers/promises';
import { promisify } from 'node:util';

import { mockClock } from '../helpers/clock.js';
import { aborted, Peer, tcpPair } from '../helpers/peer.js';
import { begin, lines, record, wholeRequest } from '../helpers/records.js';

const KEEP = { flags: 1 };
const finished = promisify(whenFinished);

/** Timers that fire when they are told to, and the delays that they were asked for. */
function mockTimers(): { readonly delays: number[]; fire: () => void; restore: () => void } {
  const delays: number[] = [];
  let callback: (() => void) | undefined;
  const set = mock.method(globalThis, 'setTimeout', (called: () => void, delay: number) => {
    delays.push(delay);
    callback = called;
    return { refresh: () => delays.push(delay) };
  });
  const clear = mock.method(globalThis, 'clearTimeout', () => (callback = undefined));
  return {
    delays,
    fire: () => callback?.(),
    restore: () => {
      set.mock.restore();
      clear.mock.restore();
    },
  };
}

describe('The end of a connection', () => {
  it('can be answered in full to a peer that is still sending the body and reads late', async () => {
    const [near, far] = await tcpPair();
    const peer = new Peer({ pair: [near, far] });
    peer.far.pause();
    peer.send(begin(1), record(4, 1));
    // Cut into odd pieces, so that the answer ends in the middle of a record.
    const body = Buffer.concat(Array.from({ length: 300 }, () => record(5, 1, Buffer.alloc(30_001))));
    for (let offset = 0; offset < body.length; offset += 10_007)
      far.write(body.subarray(offset, offset + 10_007));
    while (peer.requests.length === 0) await once(near, 'data');
    const [request] = peer.requests;
    assert.ok(request);
    request.stdout.write(Buffer.alloc(100_000, 'a'));
    const ended = request.end(0);
    if (far.writableLength > 0) await once(far, 'drain');
    const rest = peer.rest();
    far.resume();
    const answer = await rest;
    await ended;
    assert.equal(answer.at(-1), 'END_REQUEST 1 00000000 00');
    assert.equal(answer.join('').replaceAll(/[^a]/g, '').length, 100_000);
    assert.deepEqual(peer.problems, []);
  });

  it('does not mind where the octets are cut that arrive after the last answer', async () => {
    const peer = new Peer();
    const request = await peer.request(begin(1), record(4, 1));
    await request.end(0);
    const late = Buffer.concat([record(5, 1, 'abc'), record(5, 1, 'defghi'), record(5, 1)]);
    for (const [start, end] of [
      [0, 13],
      [13, 23],
      [23, late.length],
    ] as const) {
      await new Promise((resolve) => peer.far.write(late.subarray(start, end), resolve));
    }
    assert.deepEqual(peer.problems, []);
    assert.equal(peer.near.destroyed, false);
    assert.equal((await peer.rest()).at(-1), 'END_REQUEST 1 00000000 00');
  });

  it('comes at once for a connection that idles, but not where something has been sent on it', async () => {
    let hasUnread = true;
    const peer = new Peer({ hasUnread: () => hasUnread });
    assert.equal(peer.connection.retire(), false);
    const before = performance.now();
    const request = await peer.request(begin(1, KEEP), record(4, 1));
    assert.equal(peer.connection.idleSince, undefined);
    hasUnread = false;
    assert.equal(peer.connection.retire(), false);
    await request.end(0);
    assert.ok(Number(peer.connection.idleSince) > before, 'since its last answer');
    assert.equal(peer.connection.retire(), true);
    assert.equal(peer.connection.idleSince, undefined);
    assert.equal((await peer.rest()).at(-1), 'END_REQUEST 1 00000000 00');
  });

  for (const [what, sent, hasUnread, isClosed] of [
    ['is all of it after a response to a request that has come whole', wholeRequest(1), false, true],
    ['waits for the web server’s where that has sent something more', wholeRequest(1), true, false],
    [
      'waits for the web server’s where a body has not ended',
      Buffer.concat([begin(1), record(4, 1)]),
      false,
      false,
    ],
  ] as const) {
    it(what, async () => {
      const [near, far] = await tcpPair();
      const peer = new Peer({ pair: [near, far], hasUnread: () => hasUnread });
      const request = await peer.request(sent);
      request.stdout.write(Buffer.alloc(10_000, 'a'));
      await request.end(0);
      await new Promise((resolve) => {
        process.nextTick(resolve);
      });
      assert.equal(near.destroyed, isClosed);
      const response = await peer.rest();
      assert.equal(response.join('').replaceAll(/[^a]/g, '').length, 10_000);
      assert.equal(response.at(-1), 'END_REQUEST 1 00000000 00');
      await peer.connection.closed;
    });
  }

  for (const [what, before, last] of [
    ['one that was refused', [begin(2, { ...KEEP, role: 2 })], wholeRequest(1)],
    ['one that was answered first', [begin(2, KEEP), record(4, 2)], wholeRequest(1)],
  ] as const) {
    it(`waits for the web server’s where more may come of ${what}, after a whole one too`, async () => {
      const [near, far] = await tcpPair();
      const peer = new Peer({ pair: [near, far], hasUnread: () => false });
      await peer.ask(...before);
      for (const request of peer.requests) await request.end(0);
      await (await peer.request(last)).end(0);
      await new Promise((resolve) => {
        process.nextTick(resolve);
      });
      assert.equal(near.destroyed, false);
      peer.send(record(5, 2, 'late'), record(5, 2));
      assert.equal((await peer.rest()).at(-1), 'END_REQUEST 1 00000000 00');
    });
  }

  it('idles from its last refusal on, and is not closed before what follows of that', async () => {
    const [near, far] = await tcpPair();
    const peer = new Peer({ pair: [near, far], hasUnread: () => false });
    await (await peer.request(wholeRequest(1, KEEP))).end(0);
    const before = performance.now();
    await peer.ask(begin(1, { ...KEEP, role: 2 }));
    assert.ok(Number(peer.connection.idleSince) >= before);
    assert.equal(peer.connection.retire(), true);
    await new Promise((resolve) => {
      process.nextTick(resolve);
    });
    assert.equal(near.destroyed, false);
    peer.send(record(4, 1), record(5, 1));
    await peer.rest();
  });

  it('takes a request that comes meanwhile, where nobody can say whether something has been sent', async () => {
    const peer = new Peer();
    assert.equal(peer.connection.retire(), true);
    assert.equal(peer.connection.idleSince, undefined);
    const request = await peer.request(begin(1, KEEP), record(4, 1));
    await request.end(0);
    assert.equal((await peer.rest()).at(-1), 'END_REQUEST 1 00000000 00');
  });

  it('handles nothing that comes after the end, not even in the same chunk', async () => {
    const peer = new Peer();
    peer.send(begin(1, { role: 3 }), wholeRequest(2), begin(3, { role: 3 }));
    assert.deepEqual(await peer.rest(), ['END_REQUEST 1 00000000 03']);
    assert.equal(peer.requests.length, 0);
  });

  it('loses the last answer to nothing that comes after it in the same chunk', async () => {
    const peer = new Peer();
    peer.send(begin(1, { role: 3 }), record(5, 1, 'late', { version: 2 }), Buffer.alloc(100, 0xff));
    assert.deepEqual(await peer.rest(), ['END_REQUEST 1 00000000 03']);
    assert.deepEqual(peer.problems, []);
  });

  it('aborts its requests at once when the peer ends its side, though octets wait to be read', async () => {
    const timers = mockTimers();
    try {
      const peer = new Peer();
      const request = await peer.request(wholeRequest(1, KEEP));
      peer.far.pause();
      request.stdout.write(Buffer.alloc(100_000));
      peer.far.end();
      await aborted(request.signal);
      assert.deepEqual(timers.delays, [5_000], 'nobody may be left to read them');
      timers.fire();
      await peer.connection.closed;
    } finally {
      timers.restore();
    }
  });

  it('waits a while for a peer that does not end its side after the answer, longer if it sends', async () => {
    const timers = mockTimers();
    try {
      const peer = new Peer();
      const request = await peer.request(wholeRequest(1));
      await request.end(0);
      await finished(peer.near, { readable: false });
      assert.deepEqual(timers.delays, [5_000]);
      await new Promise((resolve) => peer.far.write(record(5, 1), resolve));
      assert.deepEqual(timers.delays, [5_000, 5_000]);
      assert.equal(peer.near.destroyed, false);
      timers.fire();
      await peer.connection.closed;
    } finally {
      timers.restore();
    }
  });

  it('gives a peer all its time to read the answer before it lingers', async () => {
    const timers = mockTimers();
    try {
      const peer = new Peer();
      const request = await peer.request(wholeRequest(1));
      peer.far.pause();
      // All but four octets of what the peer can take unread: the end of STDOUT does not fit any more.
      request.stdout.write(Buffer.alloc(peer.far.readableHighWaterMark - 8 - 4));
      await request.end(0);
      assert.ok(peer.near.writableLength > 0);
      assert.deepEqual(timers.delays, [], 'its time does not run yet');
      peer.far.resume();
      assert.equal((await peer.rest()).at(-1), 'END_REQUEST 1 00000000 00');
    } finally {
      timers.restore();
    }
  });

  for (const before of [0, 1]) {
    it(`answers the request after ${String(before)} if that comes when it is to close, and then closes`, async () => {
      const peer = new Peer();
      for (let count = 0; count < before; count++) {
        const request = await peer.request(wholeRequest(1, KEEP));
        await request.end(0);
      }
      peer.connection.close();
      const request = await peer.request(wholeRequest(1, KEEP));
      await request.end(0);
      assert.deepEqual(await peer.rest(), ['STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
      peer.connection.close();
      peer.connection.destroy();
    });

    it(`does not wait for the request after ${String(before)} for more than a second`, async () => {
      const timers = mockTimers();
      try {
        const peer = new Peer();
        if (before > 0) await (await peer.request(wholeRequest(1, KEEP))).end(0);
        peer.connection.close();
        assert.deepEqual(timers.delays, [1_000]);
        timers.fire();
        assert.equal((await peer.rest()).length, 2 * before);
      } finally {
        timers.restore();
      }
    });
  }

  it('answers a request that comes at the end of that second, and lies in the socket unread', async () => {
    const timers = mockTimers();
    try {
      const peer = new Peer({ pair: await tcpPair() });
      peer.connection.close();
      peer.send(wholeRequest(1, KEEP));
      timers.fire();
      while (peer.requests.length === 0) await reading();
      await peer.requests[0]?.end(0);
      assert.deepEqual(await peer.rest(), ['STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
    } finally {
      timers.restore();
    }
  });

  it('goes on, when it is to close, where part of the next request has come as the last one ends', async () => {
    const peer = new Peer();
    const first = await peer.request(wholeRequest(1, KEEP));
    const next = wholeRequest(2, KEEP);
    const read = once(peer.near, 'data');
    peer.send(next.subarray(0, 5));
    await read;
    peer.connection.close();
    await first.end(0);
    peer.send(next.subarray(5));
    while (peer.requests.length < 2) await once(peer.near, 'data');
    await peer.requests[1]?.end(0);
    const answers = [
      'STDOUT 1 end',
      'END_REQUEST 1 00000000 00',
      'STDOUT 2 end',
      'END_REQUEST 2 00000000 00',
    ];
    assert.deepEqual(await peer.rest(), answers);
  });

  it('drains: it answers what runs, refuses what is new after a second and then closes', async () => {
    const clock = mockClock();
    const peer = new Peer();
    const request = await peer.request(begin(1, KEEP), record(4, 1));
    peer.connection.close();
    const late = await peer.request(wholeRequest(3, KEEP));
    await late.end(0);
    assert.deepEqual(await peer.ask(), ['STDOUT 3 end', 'END_REQUEST 3 00000000 00']);
    clock.tick(1_000);
    clock.restore();
    for (let turn = 0; turn < 3; turn++) await reading();
    const refusal = ['STDOUT 2 draining', 'STDOUT 2 end', 'END_REQUEST 2 00000000 00'];
    assert.deepEqual(await peer.ask(wholeRequest(2, KEEP)), refusal);
    peer.send(record(5, 1, 'body'), record(5, 1));
    request.stdout.write(await text(peer.stdin(request)));
    await request.end(0);
    assert.deepEqual(await peer.rest(), ['STDOUT 1 body', 'STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
    assert.equal(request.signal.aborted, false);
    assert.equal(peer.requests.length, 2);
  });

  it('aborts every request when it is destroyed', async () => {
    const peer = new Peer();
    await peer.ask(wholeRequest(1, KEEP), wholeRequest(2, KEEP));
    peer.connection.destroy();
    await peer.connection.closed;
    assert.deepEqual(
      peer.requests.map(({ signal }) => (signal.reason as { code?: string }).code),
      ['ERR_FASTCGI_DISCONNECTED', 'ERR_FASTCGI_DISCONNECTED'],
    );
    await Promise.all(peer.requests.map((request) => request.end(0)));
    assert.deepEqual(lines(peer.octets), []);
  });

  it('ends a request that still writes when its peer is gone', async () => {
    const pair = await tcpPair();
    const peer = new Peer({ pair });
    const request = await peer.request(wholeRequest(1, KEEP));
    peer.far.pause();
    request.stdout.write(Buffer.alloc(50_000_000));
    const ended = request.end(0);
    pair[1].resetAndDestroy();
    await ended;
    assert.ok(request.signal.aborted);
    await peer.connection.closed;
  });

  it('leaves no timer behind', async () => {
    const timersNow = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timersNow();
    const peers: Duplex[] = [];
    for (const end of ['leave', 'destroy', 'reset'] as const) {
      const pair = await tcpPair();
      const peer = new Peer({ pair });
      const request = await peer.request(wholeRequest(1));
      const sent = buffer(peer.stdin(request));
      await request.end(0);
      await sent.catch(() => undefined);
      if (end === 'leave') await peer.rest();
      else if (end === 'destroy') peer.connection.destroy();
      else pair[1].resetAndDestroy();
      await peer.connection.closed;
      peers.push(peer.far.destroy());
    }
    assert.equal(timersNow(), before);
    assert.ok(peers.every(({ destroyed }) => destroyed));
  });
});
