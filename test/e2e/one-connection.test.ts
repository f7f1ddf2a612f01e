/** Requests of one connection, as a web server has them that multiplexes, of which one is slow or stuck. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, it } from 'node:test';

import type { Requester, SentRequest } from '../../src/fastcgi/requester.js';
import { connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { succeed } from '../helpers/command.js';
import { isRunning, spooledBy, until, vanished } from '../helpers/processes.js';
import { begin, lines, record, wholeRequest } from '../helpers/records.js';
import { page, serve, type Served } from '../helpers/served.js';
import { large } from '../helpers/streams.js';
import { fifo, temporaryDirectory } from '../helpers/temporary.js';

const MB = 1_000_000;

let served: Served;
let connection: Requester;

let accessLog: string;

async function start(...options: string[]): Promise<void> {
  accessLog = join(await temporaryDirectory(), 'access');
  served = await serve(['dir', '--root', fixture('cgi'), '--access-log', accessLog, ...options]);
  connection = connect(served.socket);
}

/** A request for a fixture, on the connection that all have in common. */
function send(requestId: number, name: string, query = ''): SentRequest {
  const params = [
    ['SCRIPT_FILENAME', fixture(`cgi/${name}`)],
    ['QUERY_STRING', query],
  ] as const;
  return connection.send(params, { requestId, keepConn: true });
}

async function line(stream: Readable): Promise<string> {
  return String(((await once(stream, 'data')) as [Buffer])[0]);
}

/** Sends a body as fast as it is taken; resolves when all of it was. */
function upload(request: SentRequest, bytes: number): Promise<void> {
  return pipeline(large(bytes).stream, request.stdin);
}

async function answersAnother(requestId: number): Promise<void> {
  const request = send(requestId, 'echoes-body.sh');
  request.stdin.end('another');
  assert.match(await text(request.stdout), /\n\nanother$/);
}

/** Resolves when the access log has a line that ends like this. */
function accessLogged(end: string): Promise<void> {
  return until(() => readFileSync(accessLog, 'utf8').includes(`${end}\n`));
}

async function leavesNothing(): Promise<void> {
  connection.close();
  await until(() => spooledBy(served.process.pid).length === 0);
}

describe('A request that never reads its body of 10 MB', { timeout: 300_000 }, () => {
  afterEach(leavesNothing);

  it('lets another one of its connection be answered, and can be aborted', async () => {
    await start();
    const stuck = send(1, 'never-reads.sh');
    const pid = Number(await line(stuck.stderr));
    const sent = upload(stuck, 10 * MB);
    await answersAnother(2);
    await sent;
    await answersAnother(3);
    assert.ok(isRunning(pid));
    stuck.abort();
    assert.equal((await stuck.ended).appStatus, 143);
    await vanished(pid);
    await served.logged(/request aborted: .*ABORT_REQUEST/);
  });

  for (const how of ['ABORT_REQUEST', 'its connection’s end'] as const) {
    it(`is seen to be given up by ${how} behind the body, also if it is alone`, async () => {
      await start();
      const stuck = send(1, 'never-reads.sh');
      const pid = Number(await line(stuck.stderr));
      await upload(stuck, 10 * MB);
      if (how === 'ABORT_REQUEST') {
        stuck.abort();
        await stuck.ended;
      } else {
        connection.close();
      }
      await vanished(pid);
      await served.logged(/request aborted/);
    });
  }

  it('is seen to be given up while it waits for a process', async () => {
    await start('--max-processes', '1');
    const first = connect(served.socket);
    const running = first.send([['SCRIPT_FILENAME', fixture('cgi/never-reads.sh')]]);
    await line(running.stderr);
    const waiting = send(1, 'never-reads.sh');
    await upload(waiting, 10 * MB);
    connection.close();
    await accessLogged(' - - aborted -');
    first.close();
  });
});

describe('A request that reads its body late', { timeout: 300_000 }, () => {
  afterEach(leavesNothing);

  it('gets all of it, in its order', async () => {
    await start();
    const goOn = await fifo();
    const late = send(1, 'reads-when-told.sh', goOn);
    await upload(late, 10 * MB);
    await answersAnother(2);
    await writeFile(goOn, 'now\n');
    assert.match(await text(late.stdout), new RegExp(`\n\n *${String(10 * MB)}\n$`));
  });

  it('alone on its connection, waits for the script at --max-spool-size, and gets all of it', async () => {
    await start('--max-spool-size', '1mb');
    const goOn = await fifo();
    const late = send(1, 'reads-when-told.sh', goOn);
    const sent = upload(late, 10 * MB);
    await served.logged(/ warn its connection waits .*--max-spool-size.* code=ERR_MAX_SPOOL_SIZE/);
    await writeFile(goOn, 'now\n');
    await sent;
    assert.match(await text(late.stdout), new RegExp(`\n\n *${String(10 * MB)}\n$`));
    await answersAnother(2);
  });

  it('alone on its connection, waits for the script where the disk is full, and gets all of it', async () => {
    await start();
    // As on a full disk: no file of the daemon's may become larger.
    await succeed('prlimit', ['--fsize=100000', '--pid', String(served.process.pid)]);
    const goOn = await fifo();
    const late = send(1, 'reads-when-told.sh', goOn);
    const sent = upload(late, 10 * MB);
    await served.logged(/ warn its connection waits .*EFBIG.* code=ERR_SPOOL/);
    await writeFile(goOn, 'now\n');
    await sent;
    assert.match(await text(late.stdout), new RegExp(`\n\n *${String(10 * MB)}\n$`));
  });
});

describe('A request of which more must be kept than may be, beside another', { timeout: 300_000 }, () => {
  afterEach(leavesNothing);

  for (const [what, options, status, code, end] of [
    ['beyond --max-spool-size', ['--max-spool-size', '1mb'], 413, 'ERR_MAX_SPOOL_SIZE', 'max-spool-size'],
    ['on a full disk', [], 507, 'ERR_SPOOL', 'spool-error'],
  ] as const) {
    it(`is a ${String(status)} ${what}, and the other one goes on`, async () => {
      await start(...options);
      if (code === 'ERR_SPOOL')
        await succeed('prlimit', ['--fsize=100000', '--pid', String(served.process.pid)]);
      const goOn = await fifo();
      const other = send(1, 'never-reads.sh');
      await line(other.stderr);
      const slow = send(3, 'reads-when-told.sh', goOn);
      const pid = Number(await line(slow.stderr));
      const sent = upload(slow, 10 * MB);
      const { status: answer, id } = page(await text(slow.stdout));
      assert.equal(answer, status);
      await vanished(pid);
      await sent;
      await answersAnother(4);
      assert.match(await served.logged(new RegExp(` id=${id} `)), new RegExp(` code=${code}\\b.*`));
      await accessLogged(` ${String(pid)} SIGTERM ${end} -`);
    });
  }
});

describe('A web server that stops in the middle', { timeout: 300_000 }, () => {
  /** A connection that is given octets, and what came back by now. */
  async function given(...octets: Buffer[]): Promise<{ socket: Socket; answer: () => Buffer }> {
    const socket = createConnection({ path: served.socket });
    let answer = Buffer.of();
    socket.on('data', (chunk: Buffer) => (answer = Buffer.concat([answer, chunk])));
    socket.write(Buffer.concat(octets));
    await once(socket, 'connect');
    return { socket, answer: () => answer };
  }

  it('of its params has that request, and no other, answered with 408 at --idle-timeout', async () => {
    await start('--idle-timeout', '500ms');
    const { socket, answer } = await given(begin(1, { flags: 1 }), record(4, 1, '\x01\x01A'));
    await served.logged(
      / info request refused: .*params within 500 ms.*--idle-timeout.* code=ERR_PARAMS_TIMEOUT/,
    );
    await until(
      () => answer().includes('Status: 408 ') && lines(answer()).at(-1)?.startsWith('END_') === true,
    );
    // It may come to its senses, and the connection lives.
    const params = `\x0f\x00SCRIPT_FILENAME`;
    socket.write(Buffer.concat([record(4, 1, 'B'), record(4, 1), wholeRequest(2, { flags: 1, params })]));
    await until(() => answer().includes('Status: 404 '));
    socket.destroy();
    connection.close();
  });

  it('of a record loses its connection at --idle-timeout', async () => {
    await start('--idle-timeout', '500ms');
    for (const part of [record(9, 0, '\x01\x00N').subarray(0, 10), begin(1).subarray(0, 3)]) {
      const { socket } = await given(part);
      await once(socket, 'close');
    }
    await served.logged(
      / warn connection closed: .*part of a record.*--idle-timeout.* code=ERR_FASTCGI_TIMEOUT/,
    );
    connection.close();
  });
});
