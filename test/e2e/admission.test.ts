import assert from 'node:assert/strict';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import type { NameValues } from '../../src/base/bytes.js';
import { ProtocolStatus, Role } from '../../src/fastcgi/constants.js';
import { decodeParams, encodeParams } from '../../src/fastcgi/params.js';
import type { Requester, SentRequest } from '../../src/fastcgi/requester.js';
import { connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { received, record } from '../helpers/records.js';
import { answered, page, serveHere } from '../helpers/served.js';
import { fifo, temporaryDirectory } from '../helpers/temporary.js';

const retry = /^Status: 503 Service Unavailable\r\n(?:.*\r\n)*Retry-After: 5\r\n/;

function send(connection: Requester, requestId: number, params: NameValues = []): SentRequest {
  const request = connection.send(params, { requestId, keepConn: true });
  request.stdin.end();
  return request;
}

/** Resolves when all that was sent on the connection before has been taken. */
async function taken(connection: Requester): Promise<void> {
  const request = connection.send([], { requestId: 0xffff, role: Role.AUTHORIZER, keepConn: true });
  request.stdin.end();
  assert.equal((await request.ended).protocolStatus, ProtocolStatus.UNKNOWN_ROLE);
}

/** What the daemon answers to GET_VALUES. */
async function valuesOf(socket: string): Promise<Record<string, string>> {
  const connection = createConnection(socket);
  const names = ['FCGI_MAX_CONNS', 'FCGI_MAX_REQS', 'FCGI_MPXS_CONNS'];
  connection.write(record(9, 0, encodeParams(names.map((name) => [name, '']))));
  const [octets] = (await once(connection, 'data')) as [Buffer];
  connection.destroy();
  return Object.fromEntries(decodeParams(received(octets)[0]?.content ?? Buffer.of()));
}

/** Whether a connection is answered, rather than closed. */
function isAccepted(socket: string): Promise<boolean> {
  const connection = createConnection(socket);
  connection.write(record(254, 0));
  return new Promise((resolve) => {
    connection.once('data', () => {
      connection.destroy();
      resolve(true);
    });
    // Closed unread, it is reset.
    connection.once('error', () => undefined);
    connection.once('close', () => {
      resolve(false);
    });
  });
}

describe('The place that becomes free', { timeout: 300_000 }, () => {
  for (const source of ['address', 'connection'])
    it(`goes to each ${source} in turn, however many requests one of them has`, async () => {
      const goOn = await fifo();
      const served = await serveHere([
        'script',
        '--max-processes',
        '1',
        fixture('cgi/waits-for-line.sh'),
        goOn,
      ]);
      const busy = connect(served.socket);
      const modest = source === 'address' ? busy : connect(served.socket);
      const from = (address: string): NameValues => (source === 'address' ? [['REMOTE_ADDR', address]] : []);
      const order: string[] = [];
      const requests = new Map<string, SentRequest>();
      const begin = (name: string, connection: Requester, requestId: number): SentRequest => {
        const request = send(
          connection,
          requestId,
          from(name.startsWith('busy') ? '2001:db8::1' : '192.0.2.1'),
        );
        requests.set(name, request);
        void request.ended.then(() => order.push(name));
        return request;
      };
      await answered(begin('busy 1', busy, 1), /\n\n(\d+) /);
      for (const id of [2, 3, 4]) begin(`busy ${String(id)}`, busy, id);
      await taken(busy);
      for (const id of [1, 2]) begin(`modest ${String(id)}`, modest, 10 + id);
      await taken(modest);
      for (const request of requests.values()) request.stdout.resume();
      // Held open: the next script begins as soon as one has ended, and must not find a writer that is about to close it.
      const lines = await open(goOn, 'r+');
      for (const count of requests.keys()) {
        const ended = Promise.race(
          [...requests].filter(([name]) => !order.includes(name)).map(([, r]) => r.ended),
        );
        await lines.write(`${count}\n`);
        await ended;
      }
      await lines.close();
      assert.deepEqual(order, ['busy 1', 'busy 2', 'modest 1', 'busy 3', 'modest 2', 'busy 4']);
      busy.close();
      modest.close();
    });
});

describe('What GET_VALUES is told', { timeout: 300_000 }, () => {
  it('is what one connection may carry: the next request is a 503 that the log explains', async () => {
    const goOn = await fifo();
    const limits = ['--max-requests-per-connection', '3', '--max-connections', '7'];
    const served = await serveHere(['script', ...limits, fixture('cgi/waits-for-line.sh'), goOn]);
    const values = await valuesOf(served.socket);
    assert.deepEqual(values, { FCGI_MAX_CONNS: '7', FCGI_MAX_REQS: '3', FCGI_MPXS_CONNS: '1' });
    const connection = connect(served.socket);
    const running = [1, 2, 3].map((id) => send(connection, id));
    await taken(connection);
    const refused = send(connection, 4);
    const stdout = (await buffer(refused.stdout)).toString();
    assert.match(stdout, retry);
    assert.equal((await refused.ended).protocolStatus, ProtocolStatus.REQUEST_COMPLETE);
    const { id, text } = page(stdout);
    assert.match(text, /Too many requests .* try again/);
    assert.match(
      await served.logged(new RegExp(` id=${id} `)),
      / warn .*\(--max-requests-per-connection\).*code=ERR_MAX_REQUESTS/,
    );
    for (const request of running) {
      request.stdout.resume();
      request.abort();
      await request.ended;
    }
    connection.close();
  });

  it('is no more than may run and wait', async () => {
    const limits = ['--max-processes', '2', '--max-queue', '4'];
    const served = await serveHere(['script', ...limits, fixture('cgi/echoes-body.sh')]);
    assert.equal((await valuesOf(served.socket))['FCGI_MAX_REQS'], '6');
  });

  it('is what all listeners together accept: of connections that idle, the oldest is closed for a new one', async () => {
    const other = join(await temporaryDirectory(), 'other');
    const limits = ['--max-connections', '3', '--listen', other];
    const served = await serveHere(['script', ...limits, fixture('cgi/echoes-body.sh')]);
    assert.equal((await valuesOf(other))['FCGI_MAX_CONNS'], '3');
    const open: Socket[] = [];
    for (const path of [served.socket, other, served.socket]) {
      const socket = createConnection(path);
      open.push(socket);
      socket.write(record(254, 0));
      await once(socket, 'data');
    }
    const [oldest] = open;
    assert.ok(oldest);
    const [accepted] = await Promise.all([isAccepted(other), once(oldest.resume(), 'end')]);
    assert.ok(accepted);
    assert.deepEqual(
      open.map((socket) => socket.readableEnded),
      [true, false, false],
    );
    for (const socket of open) socket.destroy();
  });

  it('is what may be busy: who connects then waits until one of them is free', async () => {
    const goOn = await fifo();
    const served = await serveHere([
      'script',
      ...['--max-connections', '2'],
      fixture('cgi/waits-for-line.sh'),
      goOn,
    ]);
    const busy = [connect(served.socket), connect(served.socket)];
    const running = busy.map((connection) => send(connection, 1));
    for (const connection of busy) await taken(connection);
    const later = Array.from({ length: 5 }, () => connect(served.socket));
    const waiting = later.map((connection) => send(connection, 1));
    await served.logged(/ warn connection waits: --max-connections \(2\) reached, and none is idle/);
    for (const request of running) request.abort();
    const lines = await open(goOn, 'r+');
    // A script that is being ended may take a line as well.
    await lines.write('a\n'.repeat(running.length + waiting.length));
    for (const { stdout } of waiting) assert.match((await buffer(stdout)).toString(), /^Content-Type/);
    await lines.close();
    for (const connection of [...busy, ...later]) connection.close();
  });
});
