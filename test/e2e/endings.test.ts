import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, copyFile, lstat, readdir, unlink, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import { RecordType, Role } from '../../src/fastcgi/constants.js';
import { encodeParams } from '../../src/fastcgi/params.js';
import { beginRequest, streamEnd, streamRecords } from '../../src/fastcgi/record-writer.js';
import { ask, connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { answered, failed, page, serve, serveHere } from '../helpers/served.js';
import { fifo, temporaryDirectory } from '../helpers/temporary.js';
import { isRunning, vanished } from '../helpers/processes.js';

const script = (name: string, ...options: string[]): string[] => [
  'script',
  ...options,
  fixture(`cgi/${name}`),
];
const noGrace = ['--kill-grace', '200ms'];

describe('A web server that leaves', { timeout: 300_000 }, () => {
  for (const [how, leave] of [
    ['with ABORT_REQUEST', 'abort'],
    ['by closing the connection', 'close'],
  ] as const) {
    it(`${how} ends the whole process group, a grandchild that ignores SIGTERM too`, async () => {
      const served = await serveHere(script('hangs-with-grandchild.sh'));
      const connection = connect(served.socket);
      const request = connection.send([], { keepConn: true });
      request.stdin.end();
      const pids = (await answered(request, /\n\n(\d+) (\d+)\n/)).slice(1).map(Number);
      assert.equal(pids.length, 2);
      for (const pid of pids) assert.ok(isRunning(pid));
      if (leave === 'close') connection.close();
      else request.abort();
      for (const pid of pids) await vanished(pid);
      if (leave === 'abort') await request.ended;
      connection.close();
      assert.match(await served.logged(/request aborted/), /exit="signal SIGTERM" ended_by=abort/);
    });
  }

  for (const size of [1_000, 1_000_000, 50_000_000]) {
    it(`in the middle of sending a body of ${String(size)} octets ends a script that reads nothing`, async () => {
      const served = await serveHere(script('never-reads.sh'));
      const connection = connect(served.socket);
      const request = connection.send([]);
      request.stdin.write(Buffer.alloc(size));
      const [chunk] = (await once(request.stderr, 'data')) as [Buffer];
      connection.close();
      await vanished(Number(chunk.toString()));
      await served.logged(/request aborted/);
    });
  }
});

describe('A script that gives no answer', { timeout: 300_000 }, () => {
  const timeouts: readonly (readonly [fixture: string, option: string])[] = [
    ['sleeps-before-header.sh', 'max-time'],
    ['sleeps-before-header.sh', 'idle-timeout'],
    ['sleeps-before-header.sh', 'start-timeout'],
  ];
  for (const [name, option] of timeouts) {
    it(`in time (--${option}) is a 504, and ended`, async () => {
      const served = await serveHere(script(name, `--${option}`, '300ms'));
      const { status, text, appStatus, line } = await failed(served);
      assert.deepEqual([status, appStatus], [504, 128 + 15]);
      assert.equal(text, 'The server took too long to make this page.');
      assert.ok(line.includes(`(--${option})`));
      assert.match(line, new RegExp(`exit="signal SIGTERM" ended_by=${option} stderr=thinking$`));
      await vanished(Number(/ pid=(\d+) /.exec(line)?.[1]));
    });
  }

  it('and ends without a header is a 502', async () => {
    const { status, appStatus, line } = await failed(await serveHere(script('ends-without-header.sh')));
    assert.deepEqual([status, appStatus], [502, 3]);
    assert.match(line, /without a complete header.* exit="exit status 3" stderr="no header today"$/);
  });

  for (const [signal, number] of [
    ['KILL', 9],
    ['SEGV', 11],
    ['TERM', 15],
  ] as const) {
    it(`since SIG${signal} has ended it is a 502`, async () => {
      const served = await serveHere([...script('dies-by-signal.sh'), signal]);
      const { status, appStatus, line } = await failed(served);
      assert.deepEqual([status, appStatus], [502, 128 + number]);
      assert.match(line, new RegExp(`The program was ended by signal SIG${signal} before it answered`));
      assert.match(line, new RegExp(`exit="signal SIG${signal}" stderr="about to die"$`));
    });
  }

  it('but a header without end is a 502', async () => {
    const served = await serveHere(script('huge-header.sh', '--max-header-size', '10kb'));
    const { status, line } = await failed(served);
    assert.equal(status, 502);
    assert.match(line, /more than --max-header-size allows.*ended_by=max-header-size/);
  });

  it('but a header that is not valid is a 502, whose reason only the log has', async () => {
    const served = await serveHere(script('prints-query.sh'));
    for (const [header, why] of [
      ['', /header has no field \(RFC 3875 §6\.3\)/],
      ["Can't open /srv/secret\n", /a line that is no field: "Can't open \/srv\/secret"/],
      ['Status: fine\n', /a Status that is no final status: "fine"/],
    ] as const) {
      const { stdout } = await ask(served.socket, { QUERY_STRING: `${header}\nbody` });
      const { status, id, text } = page(stdout);
      assert.deepEqual([status, text], [502, 'The server could not make this page.']);
      const line = (await served.logged(new RegExp(` id=${id} `))).replaceAll('\\"', '"');
      assert.match(line, why);
      assert.match(line, / error .* ended_by=invalid-header .*code=ERR_INVALID_HEADER/);
    }
  });

  it('has no page for HEAD, but the fields of one', async () => {
    const served = await serveHere(script('ends-without-header.sh'));
    const { stdout } = await ask(served.socket, { REQUEST_METHOD: 'HEAD' });
    assert.match(
      stdout,
      /^Status: 502 Bad Gateway\r\n(?:.+\r\n)*Content-Length: [1-9]\d*\r\n(?:.+\r\n)*\r\n$/,
    );
  });

  it('as it can’t be started any more is a 500, until it can', async () => {
    const file = join(await temporaryDirectory(), 'script.sh');
    await copyFile(fixture('cgi/writes-stderr.sh'), file);
    const served = await serveHere(['script', file]);
    await chmod(file, 0o644);
    const denied = await failed(served);
    assert.deepEqual([denied.status, denied.appStatus], [500, 126]);
    assert.match(denied.line, /could not be started: .* is not executable; try chmod/);
    assert.ok(!denied.text.includes(file), 'the page shows a path of this machine');
    await unlink(file);
    assert.match((await failed(served)).line, /could not be started: there is no such file .*code=ERR_SPAWN/);
    await writeFile(file, '#!/nowhere/interpreter\n', { mode: 0o755 });
    assert.match((await failed(served)).line, /could not be started: the interpreter .* does not exist/);
    await copyFile(fixture('cgi/writes-stderr.sh'), file);
    assert.match((await ask(served.socket)).stdout, /answer\n$/);
    const tooLarge = { HTTP_COOKIE: 'x'.repeat(200_000), QUERY_STRING: 'too=large' };
    assert.equal(page((await ask(served.socket, tooLarge)).stdout).status, 431);
  });
});

describe('An answer that --hold-until-exit has held', { timeout: 300_000 }, () => {
  const hold = ['--hold-until-exit', '64kb', '--log-level', 'debug'];

  it('is sent when the script has ended, or has closed its outputs', async () => {
    const served = await serveHere(script('writes-stderr.sh', ...hold));
    assert.match((await ask(served.socket)).stdout, /answer\n$/);
    const goOn = await fifo();
    const closed = await serveHere([...script('closes-stdout.sh', ...hold), goOn]);
    const { stdout, appStatus } = await ask(closed.socket);
    assert.match(stdout, /\n\n\d+\n$/);
    assert.equal(appStatus, 0);
    await writeFile(goOn, '\n');
  });

  it('is sent as it comes beyond that', async () => {
    const bytes = 200_000;
    const served = await serveHere(script('writes-as-much-as-asked.sh', ...hold));
    const { stdout } = await ask(served.socket, { QUERY_STRING: String(bytes) });
    assert.ok(stdout.length >= bytes);
  });

  it('is a 502 if the script dies before it is whole, or writes less than it has announced', async () => {
    for (const [name, exit] of [
      ['dies-in-body.sh', 'signal SIGKILL'],
      ['writes-less-than-announced.sh', 'exit status 0'],
    ] as const) {
      const { status, line } = await failed(await serveHere(script(name, ...hold)));
      assert.equal(status, 502);
      assert.match(line, /before its answer was whole/);
      assert.ok(line.includes(`exit="${exit}"`), line);
    }
  });

  it('answers HEAD, however long it says that it were', async () => {
    const served = await serveHere(script('writes-less-than-announced.sh', ...hold));
    const { stdout, appStatus } = await ask(served.socket, { REQUEST_METHOD: 'HEAD' });
    assert.deepEqual([stdout, appStatus], ['Content-Type: text/plain\nContent-Length: 100\n\n', 0]);
  });

  it('is a 504 if the script does not end in time', async () => {
    const { status } = await failed(
      await serveHere(script('stalls-in-body.sh', ...hold, '--max-time', '1s')),
    );
    assert.equal(status, 504);
  });
});

describe('A web server that stops reading', { timeout: 300_000 }, () => {
  it('loses its connection, and keeps no place of --max-processes', async () => {
    const limits = ['--max-processes', '1', '--idle-timeout', '3s', '--queue-timeout', '60s'];
    const served = await serveHere(script('writes-for-ever-or-once.sh', ...limits));
    const stuck = createConnection(served.socket);
    stuck.on('error', () => undefined);
    const params = encodeParams([['QUERY_STRING', 'endless']]);
    stuck.write(
      Buffer.concat([
        beginRequest(1, Role.RESPONDER, 0),
        ...streamRecords(RecordType.PARAMS, 1, params),
        streamEnd(RecordType.PARAMS, 1),
        streamEnd(RecordType.STDIN, 1),
      ]),
    );
    await served.logged(/the web server has read nothing for 3000 ms \(--idle-timeout\)/);
    assert.match((await ask(served.socket)).stdout, /answer\n$/);
    stuck.destroy();
  });
});

describe('An answer that was begun', { timeout: 300_000 }, () => {
  it('and is shorter than it announced is cut short, unless it answers HEAD', async () => {
    const served = await serveHere(script('writes-less-than-announced.sh', '--log-level', 'debug'));
    assert.equal((await ask(served.socket, { REQUEST_METHOD: 'HEAD' })).appStatus, 0);
    assert.equal((await ask(served.socket)).appStatus, 128 + 15);
    assert.match(await served.logged(/cut short/), /exit="exit status 0"/);
  });

  it('and is cut by us has an appStatus that is not 0, even if the script says that all is well', async () => {
    const served = await serveHere(script('exits-0-on-term.sh', '--max-time', '3s'));
    assert.equal((await ask(served.socket)).appStatus, 128 + 15);
    assert.match(await served.logged(/cut short/), /exit="exit status 0" ended_by=max-time/);
  });

  it('but held back until the script had to be ended is no answer: a 504', async () => {
    const served = await serveHere(script('answers-before-reading.sh', '--max-time', '1s'));
    const requester = connect(served.socket);
    try {
      const request = requester.send([['REQUEST_METHOD', 'POST']]);
      request.stdin.write('a body without an end');
      const { status } = page((await buffer(request.stdout)).toString('latin1'));
      assert.equal(status, 504);
    } finally {
      requester.close();
    }
  });

  for (const option of ['max-time', 'idle-timeout']) {
    it(`and goes on for too long (--${option}) is cut, and the log and appStatus say so`, async () => {
      const served = await serveHere(script('stalls-in-body.sh', `--${option}`, '1s'));
      const { stdout, appStatus } = await ask(served.socket);
      assert.match(stdout, /^Content-Type: text\/plain\n\n\d+\n$/, 'there is no page behind it');
      assert.equal(appStatus, 128 + 15);
      const line = await served.logged(/cut short/);
      assert.match(line, new RegExp(` error .*exit="signal SIGTERM" ended_by=${option}`));
    });
  }
});

describe('A daemon that is told to stop', { timeout: 300_000 }, () => {
  const graces = ['--stop-grace', '10m', ...noGrace];

  it('accepts no more, lets the running request end, and leaves nothing', async () => {
    const goOn = await fifo();
    const served = await serve([...script('waits-for-line.sh'), goOn], { graces });
    const connection = connect(served.socket);
    const request = connection.send([], { keepConn: true });
    request.stdin.end();
    const [, pid] = await answered(request, /\n\n(\d+) /);
    const idle = createConnection(served.socket);
    await once(idle, 'connect');
    served.process.kill('SIGTERM');
    // The end of an idle connection shows that the listening has ended.
    await once(idle.resume(), 'end');
    idle.destroy();
    await assert.rejects(lstat(served.socket), { code: 'ENOENT' });
    await assert.rejects(ask(served.socket), { code: 'ERR_FASTCGI_DISCONNECTED' });
    const rest = buffer(request.stdout);
    await writeFile(goOn, 'the end\n');
    assert.equal((await rest).toString(), 'the end\n');
    assert.deepEqual(await request.ended, { appStatus: 0, protocolStatus: 0 });
    connection.close();
    assert.equal(await served.exited(), 0);
    await vanished(Number(pid));
    assert.deepEqual(await readdir(join(served.socket, '..')), [], 'the socket’s directory is empty');
  });

  /** A daemon in the middle of a request that does not end by itself. */
  async function busy(stopGrace: string, name = 'hangs-with-grandchild.sh') {
    const served = await serve(script(name), { graces: ['--stop-grace', stopGrace, ...noGrace] });
    const connection = connect(served.socket);
    const request = connection.send([]);
    request.stdin.end();
    const pids = (await answered(request, /\n\n0*(\d+)(?: (\d+)\n)?/)).slice(1).filter(Boolean).map(Number);
    request.stdout.resume();
    return { served, pids, ended: request.ended };
  }

  it('waits no longer than --stop-grace', async () => {
    const { served, pids, ended } = await busy('300ms');
    const begun = performance.now();
    assert.equal(await served.stop(), 0);
    assert.ok(performance.now() - begun >= 299);
    await assert.rejects(ended, { code: 'ERR_FASTCGI_DISCONNECTED' });
    for (const pid of pids) await vanished(pid);
    await served.logged(/took longer than --stop-grace/);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`ends at once when it is told again with ${signal}`, async () => {
      const { served, pids } = await busy('10m');
      served.process.kill('SIGINT');
      await served.logged(/ info stopping/);
      assert.ok(isRunning(pids[0] ?? 0), 'the first signal must end no request');
      served.process.kill(signal);
      await once(served.process, 'exit');
      assert.equal(served.process.exitCode, 0);
      for (const pid of pids) await vanished(pid);
      await assert.rejects(lstat(served.socket), { code: 'ENOENT' });
    });
  }

  it('ends also a script that has answered completely and does not end', { timeout: 10_000 }, async () => {
    const { served, pids } = await busy('300ms', 'answers-and-stays.sh');
    assert.ok(isRunning(pids[0] ?? 0));
    assert.equal(await served.stop(), 0);
    for (const pid of pids) await vanished(pid);
  });
});

describe('A daemon that has as much to do as it may', { timeout: 300_000 }, () => {
  const retry = /^Status: 503 Service Unavailable\r\n(?:.*\r\n)*Retry-After: 5\r\n/;

  it('queues --max-queue requests, runs them in turn, and refuses the next with 503', async () => {
    const goOn = await fifo();
    const served = await serveHere([
      ...script('waits-for-line.sh', '--max-processes', '1', '--max-queue', '1', '--queue-timeout', '10m'),
      goOn,
    ]);
    const connection = connect(served.socket);
    const send = (requestId: number) => {
      const request = connection.send([], { requestId, keepConn: true });
      request.stdin.end();
      return request;
    };
    const first = send(1);
    await answered(first, /\n\n(\d+) /);
    const second = send(2);
    const third = send(3);
    const refusal = (await buffer(third.stdout)).toString();
    assert.match(refusal, retry);
    assert.equal((await third.ended).appStatus, 0);
    assert.match(await served.logged(new RegExp(` id=${page(refusal).id} `)), / warn .*code=ERR_MAX_QUEUE/);
    assert.equal(second.stdout.readableLength, 0, 'the second must not have begun');
    for (const request of [first, second]) {
      const rest = buffer(request.stdout);
      await writeFile(goOn, 'done\n');
      assert.match((await rest).toString(), /done\n$/);
      assert.equal((await request.ended).appStatus, 0);
    }
    connection.close();
  });

  it('refuses with 503 what has waited for --queue-timeout', async () => {
    const goOn = await fifo();
    const options = ['--max-processes', '1', '--queue-timeout', '100ms'];
    const served = await serveHere([...script('waits-for-line.sh', ...options), goOn]);
    const connection = connect(served.socket);
    const running = connection.send([]);
    running.stdin.end();
    await answered(running, /\n\n(\d+) /);
    const { stdout } = await ask(served.socket);
    assert.match(stdout, retry);
    assert.match(await served.logged(new RegExp(` id=${page(stdout).id} `)), /code=ERR_QUEUE_TIMEOUT/);
    const rest = buffer(running.stdout);
    await writeFile(goOn, 'done\n');
    assert.match((await rest).toString(), /done\n$/);
    // Its process has ended, and takes no slot any more.
    await running.ended;
    connection.close();
    assert.match((await Promise.all([ask(served.socket), writeFile(goOn, 'again\n')]))[0].stdout, /again\n$/);
  });
});
