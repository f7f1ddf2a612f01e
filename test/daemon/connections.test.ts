import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';

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

describe('The only connection that there may be', () => {
  let now = 0;
  let isHeld = false;
  let connections: Connections;
  const open: Socket[] = [];

  beforeEach(() => {
    mock.method(performance, 'now', () => now);
    connections = new Connections({
      max: 1,
      options: {
        ...{
          maxRequests: 1,
          idleTimeoutMs: 0,
          maxParamsBytes: 1_000,
          paramsBudget: new ByteBudget(1_000_000),
        },
        ...{ values: {}, refuse: () => Buffer.of(), onProblem: quiet },
        onRequest: (request) => {
          void request.end(0);
          return bodyOf(1_000);
        },
        hasUnread: () => false,
      },
      listeners: { hold: () => (isHeld = true), resume: () => (isHeld = false) },
      log,
    });
  });
  afterEach(() => {
    mock.restoreAll();
    connections.destroy();
    for (const socket of open.splice(0)) socket.destroy();
  });

  // Nothing is asked of it before connections are passed on.
  const listener = Object.create(null) as Listener;
  const connect = async (): Promise<Socket> => {
    const [near, far] = await tcpPair();
    open.push(near, far);
    connections.accept(near, listener);
    return far.on('error', quiet);
  };
  const isOpen = async (socket: Socket): Promise<boolean> => {
    socket.write(barrier);
    return Promise.race([once(socket, 'data').then(() => true), once(socket, 'end').then(() => false)]);
  };

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
    first.write(wholeRequest(1, { flags: 1 }));
    await once(first, 'data');
    // Not the first record, but the end of the response.
    assert.ok(await isOpen(first));
    const second = await connect();
    assert.ok(!isHeld);
    assert.ok(await isOpen(second));
    assert.ok(first.readableEnded || !(await isOpen(first)));
  });
});
