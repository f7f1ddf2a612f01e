import assert from 'node:assert/strict';
import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { ConnectionSocket } from '../../src/fastcgi/connection-socket.js';

describe('A transport', () => {
  let near: Duplex;
  let far: Duplex;
  let transport: ConnectionSocket;

  beforeEach(() => {
    [near, far] = duplexPair();
    const nothing = (): void => undefined;
    const options = { idleTimeoutMs: 0, onProblem: nothing };
    transport = new ConnectionSocket(near, options, { onChunk: nothing, onLeft: nothing, onRead: nothing });
  });

  afterEach(() => {
    for (const end of [near, far]) end.destroy();
  });

  it('lets go of a socket that is read, and of none that waits to be read on', async () => {
    transport.readOn(false, false);
    assert.equal(near.isPaused(), true);
    assert.equal(transport.release(), false);
    transport.readOn(true, false);
    assert.equal(near.isPaused(), false);
    assert.equal(transport.release(), true);
    await transport.closed;
    assert.equal(near.destroyed, false);
  });

  it('lets go of no socket with bytes that the web server has not read', async () => {
    transport.send([Buffer.alloc(near.writableHighWaterMark + 1)]);
    assert.equal(transport.release(), false);
    far.resume();
    await new Promise<void>((resolve) => {
      transport.send([Buffer.of(0)], resolve);
    });
    assert.equal(transport.release(), true);
  });

  it('lets go of no socket while something of the last answer is under way', async () => {
    transport.send([Buffer.of(0)]);
    assert.equal(near.isPaused(), false);
    assert.equal(transport.release(), false);
    far.resume();
    await new Promise(setImmediate);
    assert.equal(transport.release(), true);
  });

  it('lets go of no socket with bytes that have come and were not looked at', async () => {
    transport.readOn(false, false);
    await new Promise((resolve) => far.write('x', resolve));
    transport.readOn(true, false);
    assert.equal(transport.release(), false);
    await new Promise(setImmediate);
    assert.equal(transport.release(), true);
  });

  it('says of nothing that it was taken, once it was destroyed', async () => {
    let isTaken = false;
    transport.send([Buffer.of(0)], () => (isTaken = true));
    transport.destroy();
    await transport.closed;
    await new Promise(setImmediate);
    assert.equal(isTaken, false);
  });

  it('reads on once it has ended its side, so that what comes still resets nothing', () => {
    transport.readOn(false, false);
    transport.finish();
    assert.equal(near.isPaused(), false);
  });
});
