import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { ByteBudget } from '../../src/base/bytes.js';
import { Connections } from '../../src/daemon/connections.js';
import type { Listener } from '../../src/daemon/listening/listener.js';
import type { Log } from '../../src/observe/log.js';
import { bodyOf, tcpPair } from '../helpers/peer.js';
import { record, wholeRequest } from '../helpers/records.js';

const quiet = (): void => undefined;
const log: Log = { error: quiet, warn: quiet, info: quiet, debug: quiet };
/** Of an unknown type, which is answered. */
const barrier = record(254, 0);

let now = 0;
let isHeld = false;
let connections: Connections;
const open: Socket[] = [];

function make(max: number): void {
  connections = new Connections({
    max,
    options: {
      ...{
        maxRequests: 1,
        idleTimeoutMs: 0,
        maxParamsBytes: 1_000,
        paramsBudget: new ByteBudget(1_000_000),
      },
      ...{ values: {}, hasUnread: () => false },
    },
    handler: {
      refuse: () => Buffer.of(),
      handle: (request) => {
        void request.end(0);
        return bodyOf(1_000);
      },
    },
    listeners: { hold: () => (isHeld = true), resume: () => (isHeld = false) },
    log,
  });
}
beforeEach(() => {
  mock.method(performance, 'now', () => now);
  make(1);
});
afterEach(() => {
  mock.restoreAll();
  connections.destroy();
  for (const socket of open.splice(0)) socket.destroy();
});

// Nothing is asked of it before connections are passed on.
const listener = Object.create(null) as Listener;
const connect = async (): Promise<Socket> => {
  const [near, far] = await tcpPair({ pauseOnConnect: true });
  open.push(near, far);
  connections.accept(near, listener);
  return far.on('error', quiet);
};
const isOpen = async (socket: Socket): Promise<boolean> => {
  if (socket.readableEnded) return false;
  socket.write(barrier);
  return Promise.race([once(socket, 'data').then(() => true), once(socket, 'end').then(() => false)]);
};
/** Has a request on it, to its end. */
const use = async (socket: Socket): Promise<void> => {
  socket.write(wholeRequest(1, { flags: 1 }));
  await once(socket, 'data');
  // Not the first record, but the end of the response.
  assert.ok(await isOpen(socket));
};

describe('The only connection that there may be', () => {
  it('has a second for its first request before it makes room for another', async () => {
    const first = await connect();
    assert.ok(await isOpen(first));
    await connect();
    now += 999;
    connections.makeRoom();
    assert.ok(isHeld);
    assert.ok(await isOpen(first));
    now += 1;
    connections.makeRoom();
    assert.ok(!isHeld);
    assert.equal(await isOpen(first), false);
  });

  it('makes room at once when it has had a request', async () => {
    const first = await connect();
    await use(first);
    const second = await connect();
    assert.ok(!isHeld);
    assert.ok(await isOpen(second));
    assert.equal(await isOpen(first), false);
  });

  it('makes room at once when its web server leaves', { timeout: 30_000 }, async () => {
    // Nobody looks later.
    mock.timers.enable({ apis: ['setTimeout'] });
    const first = await connect();
    const second = await connect();
    assert.ok(isHeld);
    first.end();
    assert.ok(await isOpen(second));
    mock.timers.reset();
    assert.ok(!isHeld);
  });

  it('is looked at again after a second, where nothing else happens', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const first = await connect();
    const second = await connect();
    now += 1_000;
    mock.timers.tick(1_000);
    mock.timers.reset();
    assert.ok(await isOpen(second));
    assert.equal(await isOpen(first), false);
  });
});

describe('A connection that waits for its turn', () => {
  it('may be reset meanwhile', async () => {
    await connect();
    await connect();
    assert.equal(open[2]?.emit('error', new Error('ECONNRESET')), true);
  });

  it('has its turn when no new ones are taken any more, and is cut with the others', async () => {
    const first = await connect();
    const second = await connect();
    const closed = connections.close(() => undefined);
    assert.ok(await isOpen(second));
    assert.ok(!first.readableEnded, 'it waits no longer for the other');
    const third = await connect();
    assert.ok(await isOpen(third));
    for (const socket of [first, second, third]) socket.end();
    await closed;
  });

  it('goes to another process with all that was sent on it', async () => {
    const first = await connect();
    const second = await connect();
    const received: Socket[] = [];
    const closed = connections.close(() => (socket) => {
      // As before it is sent to another process.
      (socket as unknown as { _handle: { readStop: () => void } })._handle.readStop();
      received.push(socket);
    });
    const [, , waited] = open;
    assert.ok(waited !== undefined && received.includes(waited));
    await new Promise((resolve) => second.write(wholeRequest(1), resolve));
    // Node has read by then, if it reads.
    for (let turns = 0; turns < 3; turns += 1) await setImmediate();
    assert.equal(waited.bytesRead, 0);
    first.end();
    await closed;
  });

  it('is cut where all are', async () => {
    await connect();
    const second = await connect();
    connections.destroy();
    await once(second.resume(), 'end');
  });
});

describe('Of several connections', () => {
  it('the one that has idled longest makes room, whichever came first', async () => {
    make(2);
    const [first, second] = [await connect(), await connect()];
    for (const socket of [second, first]) {
      now += 10;
      await use(socket);
    }
    const third = await connect();
    assert.ok(await isOpen(third));
    assert.ok(await isOpen(first));
    assert.equal(await isOpen(second), false);
  });

  it('those that come to what another process has now go there', async () => {
    const received: Socket[] = [];
    await connections.close(() => (socket) => received.push(socket));
    await connect();
    assert.deepEqual(received, [open[0]]);
  });
});
