import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { Requester } from '../../../src/fastcgi/requester.js';
import { ReadinessProbe } from '../../../src/runners/worker/worker-request.js';
import { record } from '../../helpers/records.js';
import { settled } from '../../helpers/sinks.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const never = new AbortController().signal;

/** UNKNOWN_TYPE, as applications answer what they are asked with. */
const sign = record(11, 0, '\xfe\0\0\0\0\0\0\0');

describe('A sign of life', { timeout: 300_000 }, () => {
  let path: string;
  let server: Server;
  let signs: ReadinessProbe;

  /** An application that does this with each connection. */
  async function application(accepted: (socket: Socket) => void): Promise<void> {
    server.on('connection', (socket) => {
      socket.on('error', () => undefined);
      accepted(socket);
    });
    server.listen(path);
    await once(server, 'listening');
  }

  const answering = (socket: Socket): void => {
    socket.once('data', () => socket.write(sign));
  };

  /** A requester and the application's end of its connection. */
  function connect(): { requester: Requester; far: ReturnType<typeof duplexPair>[1] } {
    const [near, far] = duplexPair();
    far.resume();
    return { requester: new Requester(near), far };
  }

  beforeEach(async () => {
    path = join(await temporaryDirectory(), 'sock');
    server = createServer();
    signs = new ReadinessProbe();
  });

  afterEach(() => {
    server.close();
  });

  it('is an answer to what no application knows, and closes the connection that asked', async () => {
    let closed: Promise<unknown> | undefined;
    await application((socket) => {
      closed = once(socket, 'close');
      answering(socket);
    });
    assert.equal(await signs.first({ path }, never), true);
    assert.equal(signs.isKnown, true);
    await closed;
  });

  it('is not shown by an application that closes the connection', async () => {
    await application((socket) => socket.destroy());
    assert.equal(await signs.first({ path }, never), false);
    assert.equal(signs.isKnown, false);
  });

  it('is not shown by an application that has closed its socket', async () => {
    assert.equal(await signs.first({ path }, never), false);
  });

  it('is waited for until nobody wants it any more; then the connection is closed', async () => {
    const wait = new AbortController();
    let closed: Promise<unknown> | undefined;
    await application((socket) => {
      closed = once(socket, 'close');
      socket.once('data', () => {
        wait.abort();
      });
    });
    assert.equal(await signs.first({ path }, wait.signal), false);
    await closed;
    assert.equal(await signs.first({ path }, wait.signal), false, 'nor if nobody has ever wanted it');
  });

  it('is not waited for by a request whose application was never seen to give one', async () => {
    const { requester, far } = connect();
    let asked = 0;
    far.on('data', () => asked++);
    await signs.next(requester);
    await settled();
    assert.equal(asked, 0);
    requester.close();
    far.destroy();
  });

  describe('that the application is known to give', () => {
    beforeEach(async () => {
      await application(answering);
      await signs.first({ path }, never);
    });

    it('is waited for by a request', async () => {
      const { requester, far } = connect();
      const order: string[] = [];
      const waiting = signs.next(requester).then(() => order.push('request'));
      await once(far, 'data');
      order.push('sign');
      far.write(sign);
      await waiting;
      assert.deepEqual(order, ['sign', 'request']);
      requester.close();
    });

    it('is not waited for by a request for ever: the worker may be busy', async () => {
      const { requester, far } = connect();
      await signs.next(requester);
      requester.close();
      far.destroy();
    });

    it('is missed by a request whose connection ends: it was not seen', async () => {
      const { requester, far } = connect();
      const waiting = signs.next(requester);
      far.end();
      await assert.rejects(waiting, { code: 'ERR_FASTCGI_DISCONNECTED' });
    });
  });
});
