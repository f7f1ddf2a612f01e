import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Duplex, duplexPair } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import { ReadingSocket } from '../../src/fastcgi/connection-socket.js';
import { Requester } from '../../src/fastcgi/requester.js';
import { hex, record } from '../helpers/records.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** A requester and the application's end of its connection, which keeps what it receives. */
function connect(): { requester: Requester; near: Duplex; far: Duplex; received: () => Buffer } {
  const [near, far] = duplexPair();
  const chunks: Buffer[] = [];
  far.on('data', (chunk: Buffer) => chunks.push(chunk));
  far.on('error', () => undefined);
  return { requester: new Requester(near), near, far, received: () => Buffer.concat(chunks) };
}

/** Writes octets and resolves when the other end asks for more. */
function write(stream: Duplex, ...octets: Buffer[]): Promise<unknown> {
  return new Promise((resolve) => stream.write(Buffer.concat(octets), resolve));
}

const end = (requestId: number, body = '\x00\x00\x00\x00\x00\x00\x00\x00'): Buffer =>
  record(3, requestId, body);
const DISCONNECTED = { name: 'BridgeError', code: 'ERR_FASTCGI_DISCONNECTED' };

describe('A requester', () => {
  it('sends a request octet for octet', async () => {
    const { requester, far, received } = connect();
    const request = requester.send([['A', 'B']]);
    request.stdin.write('body');
    request.stdin.end();
    await once(request.stdin, 'finish');
    assert.deepEqual(
      received(),
      hex(`01 01 0001 0008 00 00  0001 00 0000000000
           01 04 0001 0004 00 00  01 01 41 42
           01 04 0001 0000 00 00
           01 05 0001 0004 00 00  626f6479
           01 05 0001 0000 00 00`),
    );
    requester.close();
    far.destroy();
  });

  it('sends a request without a body in one piece, the end of STDIN included', async () => {
    const [near, far] = duplexPair();
    const request = new Requester(near).send([], { bodyBytes: 0 });
    request.stdin.end();
    const [piece] = (await once(far, 'data')) as [Buffer];
    const expected =
      '01 01 0001 0008 00 00  0001 00 0000000000  01 04 0001 0000 00 00  01 05 0001 0000 00 00';
    assert.deepEqual(piece, hex(expected));
    if (!request.stdin.writableFinished) await once(request.stdin, 'finish');
    near.destroy();
  });

  it('sends the end of STDIN with the last of a body whose length is known, and nothing beyond', async () => {
    const { requester, far, received } = connect();
    const request = requester.send([], { bodyBytes: 4 });
    request.stdin.write('bo');
    request.stdin.write('dy and more');
    // No end that is sent later is waited for.
    while (received().length < 24 + 8 + 2 + 8 + 2 + 8) await once(far, 'data');
    const stdin = hex('01 05 0001 0002 00 00  626f  01 05 0001 0002 00 00  6479  01 05 0001 0000 00 00');
    assert.deepEqual(received().subarray(24), stdin);
    request.stdin.end('even more');
    await once(request.stdin, 'finish');
    assert.deepEqual(received().subarray(24), stdin);
    requester.close();
  });

  it('sends its id, its role, KEEP_CONN and ABORT_REQUEST', async () => {
    const { requester, far, received } = connect();
    requester.send([], { requestId: 258, role: 2, keepConn: true }).abort();
    while (received().length < 32) await once(far, 'data');
    assert.deepEqual(
      received(),
      hex('01 01 0102 0008 00 00  0002 01 0000000000  01 04 0102 0000 00 00  01 02 0102 0000 00 00'),
    );
    requester.close();
  });

  it('cuts params that are larger than a record', async () => {
    const { requester, far, received } = connect();
    requester.send([['A', 'x'.repeat(70_000)]]);
    while (received().length < 16 + 8 + 65_528 + 8 + 4_478 + 8) await once(far, 'data');
    assert.deepEqual(received().subarray(16, 24), hex('01 04 0001 fff8 00 00'));
    assert.deepEqual(received().subarray(24 + 65_528, 32 + 65_528), hex('01 04 0001 117e 00 00'));
    requester.close();
  });

  it('gives STDOUT, STDERR and how the request ended', async () => {
    const { requester, far } = connect();
    const request = requester.send([]);
    far.write(
      hex(`01 06 0001 0002 06 00  6869 000000000000
           01 07 0001 0001 00 00  21
           01 06 0001 0000 00 00
           01 07 0001 0000 00 00
           01 03 0001 0008 00 00  ff000102 03 000000`),
    );
    assert.deepEqual(await request.ended, { appStatus: 0xff00_0102, protocolStatus: 3 });
    assert.equal(await text(request.stdout), 'hi');
    assert.equal(await text(request.stderr), '!');
    requester.close();
  });

  it('tells multiplexed answers apart and ignores ids that it did not send', async () => {
    const { requester, far } = connect();
    const [one, two] = [requester.send([], { requestId: 1 }), requester.send([], { requestId: 2 })];
    far.write(
      Buffer.concat([
        record(6, 2, 'two'),
        record(6, 3, 'three'),
        record(6, 1, 'one'),
        record(10, 0, 'x'),
        end(3),
        end(2),
        record(6, 2, 'late'),
        end(1),
      ]),
    );
    assert.deepEqual(await Promise.all([text(one.stdout), text(two.stdout)]), ['one', 'two']);
    await Promise.all([one.ended, two.ended]);
    requester.close();
  });

  it('reads no faster than its answers are read, and resumes', async () => {
    const { requester, near, far } = connect();
    const request = requester.send([]);
    let warned = false;
    const onWarning = (): void => void (warned = true);
    process.once('warning', onWarning);
    const small = Buffer.concat(Array.from({ length: 5_000 }, () => record(6, 1, 'x'.repeat(10))));
    let written = 0;
    while (!near.isPaused() && written < 100) {
      await write(far, small);
      written += 1;
    }
    assert.ok(written < 10);
    far.write(end(1));
    assert.equal((await buffer(request.stdout)).length, written * 50_000);
    await request.ended;
    await new Promise(setImmediate);
    process.off('warning', onWarning);
    assert.equal(warned, false, 'no listener is left for each piece');
    requester.close();
  });

  it('goes on with the next request when an answer that nobody reads has ended or was left', async () => {
    const { requester, far } = connect();
    requester.send([], { requestId: 1, keepConn: true });
    const left = requester.send([], { requestId: 2, keepConn: true });
    const next = requester.send([], { requestId: 3 });
    left.stdout.destroy();
    await write(far, record(6, 1, Buffer.alloc(60_000)), end(1), record(6, 2, Buffer.alloc(60_000)));
    await write(far, record(6, 2, Buffer.alloc(60_000)), end(2));
    far.write(end(3));
    await Promise.all([left.ended, next.ended]);
    requester.close();
  });

  for (const [name, type] of [
    ['stdout', 6],
    ['stderr', 7],
  ] as const) {
    it(`waits for the reader of a full ${name}, and goes on when that one leaves it`, async () => {
      const { requester, near, far } = connect();
      const left = requester.send([], { requestId: 1 });
      const next = requester.send([], { requestId: 2 });
      // More than the streams hold, 16 KiB each with Node 20, 64 with 22.
      for (let count = 0; count < 4; count++) far.write(record(type, 1, Buffer.alloc(60_000)));
      await once(near, 'pause');
      left[name].destroy();
      far.write(end(2));
      await next.ended;
      requester.close();
    });
  }

  for (const how of ['destroys', 'ends'] as const) {
    it(`rejects with ERR_FASTCGI_DISCONNECTED when the connection ${how} before the answer does`, async () => {
      const { requester, near, far } = connect();
      const request = requester.send([]);
      const stdout = buffer(request.stdout);
      far.write(record(6, 1, 'part'));
      if (how === 'ends') far.end();
      else near.destroy();
      await assert.rejects(request.ended, DISCONNECTED);
      await assert.rejects(stdout);
      request.stdin.write('nobody reads it');
      await new Promise((resolve) => request.stdin.once('close', resolve));
      requester.close();
    });
  }

  it('rejects at once on a connection that is closed', async () => {
    const { requester, near } = connect();
    requester.close();
    await once(near, 'close');
    const request = requester.send([]);
    await assert.rejects(request.ended, DISCONNECTED);
    assert.ok(request.stdout.destroyed);
  });

  it('reads what an application has answered that leaves without reading the body', async () => {
    const path = join(await temporaryDirectory(), 'sock');
    const server = createServer();
    server.listen(path);
    const socket = new ReadingSocket().connect(path);
    const [far] = (await once(server, 'connection')) as [Socket];
    const requester = new Requester(socket);
    const request = requester.send([]);
    const stdout = text(request.stdout);
    await once(far, 'data');
    far.write(Buffer.concat([record(6, 1, 'not so much'), end(1)]));
    far.destroy();
    // Before the event loop comes to read.
    for (let count = 0; count < 3; count++) request.stdin.write(Buffer.alloc(100_000));
    assert.deepEqual(await request.ended, { appStatus: 0, protocolStatus: 0 });
    assert.equal(await stdout, 'not so much');
    requester.close();
    server.close();
  });

  it('says why the connection failed', async () => {
    const requester = new Requester(createConnection('/nonexistent/socket'));
    const request = requester.send([]);
    await assert.rejects(request.ended, { ...DISCONNECTED, message: /ENOENT \/nonexistent\/socket/ });
  });

  const wrong = {
    'END_REQUEST of another length': end(1, '\x00\x00'),
    BEGIN_REQUEST: record(1, 1, '\x00\x01\x00\x00\x00\x00\x00\x00'),
    'STDIN, which only a web server sends': record(5, 1, 'x'),
    'PARAMS, which only a web server sends': record(4, 1, 'x'),
    'an unknown type': record(200, 1, 'x'),
    'another version': record(6, 1, 'x', { version: 2 }),
  };
  for (const [name, octets] of Object.entries(wrong)) {
    it(`closes the connection on an application that sends ${name}`, async () => {
      const { requester, near, far } = connect();
      const [one, two] = [requester.send([], { requestId: 1 }), requester.send([], { requestId: 2 })];
      far.write(Buffer.concat([octets, end(1), end(2)]));
      const code = name === 'another version' ? 'ERR_FASTCGI_VERSION' : 'ERR_FASTCGI_SEQUENCE';
      await assert.rejects(one.ended, { name: 'BridgeError', code });
      await assert.rejects(two.ended, { name: 'BridgeError', code });
      assert.ok(near.destroyed);
    });
  }

  it('counts what has come of an answer, read or not', async () => {
    const { requester, far } = connect();
    const request = requester.send([]);
    assert.equal(request.answerBytes(), 0);
    await write(far, record(6, 1, 'four'), record(7, 1, 'and six'.slice(1)), record(6, 1));
    assert.equal(request.answerBytes(), 10);
    requester.close();
  });

  it('learns by a management record of an unknown type that the application lives', async () => {
    const { requester, far, received } = connect();
    const signs = [requester.probe(), requester.probe()];
    while (received().length < 16) await once(far, 'data');
    assert.deepEqual(received(), hex('01 fe 0000 0000 00 00  01 fe 0000 0000 00 00'));
    const unknownType = record(11, 0, '\xfe\0\0\0\0\0\0\0');
    await write(far, unknownType, unknownType);
    await Promise.all(signs);
    const request = requester.send([]);
    await write(far, record(6, 1, 'after it'), end(1));
    assert.equal(await text(request.stdout), 'after it');
    requester.close();
  });

  it('learns that it does not, when the connection ends or has ended', async () => {
    const { requester, near } = connect();
    const sign = requester.probe();
    near.destroy();
    await assert.rejects(sign, DISCONNECTED);
    await assert.rejects(requester.probe(), DISCONNECTED);
  });
});
