import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import { Peer, tcpPair } from '../helpers/peer.js';
import { until } from '../helpers/processes.js';
import { begin, record, wholeRequest } from '../helpers/records.js';

const KEEP = { flags: 1 };

/** Whether the connection was passed on, by now. */
function detach(peer: Peer): { isDone: boolean } {
  const detached = { isDone: false };
  peer.connection.detach(() => (detached.isDone = true));
  return detached;
}

describe('A connection that is passed on', () => {
  it('is let go at once where it is idle, open and without a listener of ours', async () => {
    const peer = new Peer({ pair: await tcpPair() });
    const detached = detach(peer);
    await peer.connection.closed;
    assert.equal(detached.isDone, true);
    assert.equal(peer.near.listenerCount('data'), 0);
    // What comes from now on is for whoever has it.
    const next = new Peer({ pair: [peer.near, peer.far] });
    const request = await next.request(wholeRequest(1));
    await request.end(0);
    assert.deepEqual(await next.rest(), ['STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
  });

  it('answers what runs on it, and further requests, before', async () => {
    const peer = new Peer();
    const first = await peer.request(wholeRequest(1, KEEP));
    const detached = detach(peer);
    const second = await peer.request(wholeRequest(2, KEEP));
    await first.end(0);
    assert.equal(detached.isDone, false);
    await second.end(0);
    await peer.connection.closed;
    assert.equal(detached.isDone, true);
    assert.equal(peer.near.destroyed, false);
  });

  it('ends with the answer where the web server has not asked for more', async () => {
    const peer = new Peer();
    const request = await peer.request(wholeRequest(1));
    const detached = detach(peer);
    await request.end(0);
    assert.deepEqual(await peer.rest(), ['STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
    assert.equal(detached.isDone, false);
  });

  it('is not let go in the middle of a record, nor with more of a chunk to look at', async () => {
    const peer = new Peer();
    const beginning = begin(1, KEEP);
    peer.send(beginning.subarray(0, 3));
    await once(peer.near, 'data');
    const detached = detach(peer);
    assert.equal(detached.isDone, false);
    // The first request ends while the second one lies in the same chunk.
    peer.send(beginning.subarray(3), record(2, 1), wholeRequest(2, KEEP));
    await peer.ask();
    assert.equal(detached.isDone, false);
    await peer.requests[0]?.end(0);
    await peer.connection.closed;
    assert.equal(detached.isDone, true);
  });

  it('is not let go by a request that is refused while another one lies in the same chunk', async () => {
    const peer = new Peer();
    const refused = begin(1, { ...KEEP, role: 3 });
    peer.send(refused.subarray(0, 3));
    await once(peer.near, 'data');
    const detached = detach(peer);
    peer.send(refused.subarray(3), wholeRequest(2, KEEP));
    await peer.ask();
    assert.equal(detached.isDone, false);
    await peer.requests[0]?.end(0);
    await peer.connection.closed;
    assert.equal(detached.isDone, true);
  });

  it('is let go only when all of an answer was taken from us', async () => {
    const [near, far] = await tcpPair();
    const peer = new Peer({ pair: [near, far] });
    const request = await peer.request(wholeRequest(1, KEEP));
    far.pause();
    const detached = detach(peer);
    request.stdout.write(Buffer.alloc(16_000_000, 'a'));
    const ended = request.end(0);
    await until(() => near.writableLength > 0);
    assert.equal(detached.isDone, false);
    far.resume();
    await ended;
    await peer.connection.closed;
    assert.equal(detached.isDone, true);
    assert.equal(near.writableLength, 0);
    near.destroy();
    far.destroy();
  });

  it('closes after all where it is told to before that', async () => {
    const peer = new Peer();
    const request = await peer.request(wholeRequest(1, KEEP));
    const detached = detach(peer);
    peer.connection.close();
    await request.end(0);
    await peer.rest();
    assert.equal(detached.isDone, false);
  });
});
