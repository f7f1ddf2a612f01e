import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, copyFile, open, rename, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, it } from 'node:test';

import { Role } from '../../src/fastcgi/constants.js';
import { resultWords } from '../../src/base/results.js';
import { ask, connect } from '../helpers/ask.js';
import { fixture, runBridge } from '../helpers/bridge.js';
import { until } from '../helpers/processes.js';
import { begin, record } from '../helpers/records.js';
import { type Asked, answered, page, serve, type Served, serveHere } from '../helpers/served.js';
import { fifo, temporaryDirectory } from '../helpers/temporary.js';

const names = [
  ...['time', 'id', 'client', 'method', 'uri', 'status', 'in_bytes', 'out_bytes'],
  ...['queue_ms', 'first_ms', 'total_ms', 'pid', 'exit', 'end', 'site'],
] as const;
type Line = Readonly<Record<(typeof names)[number], string>>;

interface Logged<T extends Asked = Asked> {
  readonly served: T;
  readonly file: string;
  /** The lines, once there are so many. */
  readonly lines: (count: number) => Promise<Line[]>;
}

const octets = (file: string): string => readFileSync(file, 'utf8');

async function logTo<T extends Asked>(
  args: readonly string[],
  start: (args: readonly string[]) => Promise<T>,
): Promise<Logged<T>> {
  const file = join(await temporaryDirectory(), 'access');
  const [command = '', ...rest] = args;
  const served = await start([command, '--access-log', file, ...rest]);
  return {
    served,
    file,
    lines: async (count) => {
      await until(() => octets(file).split('\n').length > count);
      const lines = octets(file).trimEnd().split('\n');
      assert.equal(lines.length, count, octets(file));
      return lines.map((line) => {
        const fields = line.split(' ');
        assert.equal(fields.length, names.length, line);
        return Object.fromEntries(names.map((name, index) => [name, fields[index]])) as Line;
      });
    },
  };
}

const serveLogged = (args: readonly string[]): Promise<Logged> => logTo(args, serveHere);
const serveLoggedCommand = (args: readonly string[]): Promise<Logged<Served>> => logTo(args, serve);

const script = (name: string, ...options: string[]): string[] => [
  'script',
  ...options,
  fixture(`cgi/${name}`),
];
const shell = (command: string, ...options: string[]): string[] => [
  'script',
  ...options,
  '/bin/sh',
  '--',
  '-c',
  command,
];

const params = { REQUEST_METHOD: 'POST', REQUEST_URI: '/the/uri?x', REMOTE_ADDR: '192.0.2.7' };

/** The one line of one request, by what `expected` names. */
async function oneLine(args: readonly string[], expected: Partial<Line>, body = ''): Promise<Line> {
  const logged = await serveLogged(args);
  const { stdout } = await ask(logged.served.socket, params, body);
  const [line] = await logged.lines(1);
  assert.ok(line);
  const out_bytes = String(Buffer.byteLength(stdout, 'latin1'));
  const asked = { client: '"192.0.2.7"', method: '"POST"', uri: '"/the/uri?x"', out_bytes };
  for (const [name, value] of Object.entries({ ...asked, ...expected })) {
    assert.equal(line[name as keyof Line], value, `${name} of ${JSON.stringify(line)}`);
  }
  return line;
}

describe('The line of a request', { timeout: 300_000 }, () => {
  it('that was answered says how large, how long and by whom', async () => {
    const line = await oneLine(
      script('echoes-body.sh'),
      { status: '200', in_bytes: '1000', exit: '0', end: 'completed' },
      'x'.repeat(1000),
    );
    assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.match(line.id, /^[0-9a-f]{8}-1$/);
    assert.match(line.pid, /^\d+$/);
    for (const name of ['queue_ms', 'first_ms', 'total_ms'] as const) assert.match(line[name], /^\d+\.\d$/);
    assert.ok(Number(line.first_ms) > 0 && Number(line.first_ms) <= Number(line.total_ms));
  });

  it('whose script fails after its answer has the exit status', async () => {
    await oneLine(script('exits-3-after-body.sh'), { status: '200', exit: '3', end: 'completed' });
  });

  it('has SCRIPT_NAME where there is no REQUEST_URI, and - for what is not known', async () => {
    const { served, lines } = await serveLogged(script('writes-stderr.sh'));
    await ask(served.socket, { SCRIPT_NAME: '/s', REQUEST_METHOD: '' });
    const [line] = await lines(1);
    assert.deepEqual([line?.client, line?.method, line?.uri], ['-', '-', '"/s"']);
  });

  it('that was refused by the site', async () => {
    const root = await temporaryDirectory();
    const line = await oneLine(['dir', '--root', root], {
      status: '404',
      pid: '-',
      exit: '-',
      queue_ms: '-',
      end: 'refused',
    });
    assert.ok(Number(line.first_ms) <= Number(line.total_ms));
  });

  it('that was refused for its params', async () => {
    await oneLine(script('writes-stderr.sh', '--max-params-size', '10b'), {
      ...{ client: '-', method: '-', uri: '-' },
      status: '431',
      end: 'refused',
    });
  });

  for (const option of ['start-timeout', 'idle-timeout', 'max-time'] as const) {
    it(`that did not begin to answer within --${option}`, async () => {
      const args = script('sleeps-before-header.sh', `--${option}`, '300ms');
      const line = await oneLine(args, { status: '504', exit: 'SIGTERM', end: option });
      assert.ok(Number(line.first_ms) >= 299, line.first_ms);
    });
  }

  it('whose answer was cut by a limit has the status that was sent', async () => {
    const args = script('stalls-in-body.sh', '--max-time', '3s');
    await oneLine(args, { status: '200', exit: 'SIGTERM', end: 'max-time' });
  });

  it('whose header was too large', async () => {
    const args = script('huge-header.sh', '--max-header-size', '10kb');
    await oneLine(args, { status: '502', end: 'max-header-size' });
  });

  it('whose header was not valid', async () => {
    await oneLine(script('header-without-field.sh'), { status: '502', end: 'invalid-header' });
  });

  it('whose script could not be started', async () => {
    const file = join(await temporaryDirectory(), 'script.sh');
    await copyFile(fixture('cgi/writes-stderr.sh'), file);
    const { served, lines } = await serveLogged(['script', file]);
    await chmod(file, 0o644);
    await ask(served.socket);
    const [line] = await lines(1);
    assert.deepEqual([line?.status, line?.pid, line?.exit, line?.end], ['500', '-', '-', 'start-error']);
    assert.match(line?.queue_ms ?? '', /^\d/);
  });

  it('whose script gave no header', async () => {
    await oneLine(script('ends-without-header.sh'), { status: '502', exit: '3', end: 'no-header' });
  });

  it('whose script was ended by a signal before it had answered', async () => {
    await oneLine([...script('dies-by-signal.sh'), 'KILL'], {
      status: '502',
      exit: 'SIGKILL',
      end: 'no-header',
    });
  });

  it('whose script died in the middle of its answer does not look like a complete one', async () => {
    await oneLine(script('dies-in-body.sh'), { status: '200', exit: 'SIGKILL', end: 'cut-short' });
  });

  it('names the request as its page does, and the log', async () => {
    const { served, lines } = await serveLogged(script('ends-without-header.sh'));
    const { id } = page((await ask(served.socket)).stdout);
    assert.equal((await lines(1))[0]?.id, id);
    await served.logged(new RegExp(` id=${id} `));
  });
});

describe('The line of a request that was given up', { timeout: 300_000 }, () => {
  for (const how of ['abort', 'close'] as const) {
    it(`while it was answered (${how})`, async () => {
      const { served, lines } = await serveLogged(script('hangs-with-grandchild.sh'));
      const connection = connect(served.socket);
      const request = connection.send([], { keepConn: true });
      request.stdin.end();
      const [, pid] = await answered(request, /\n\n(\d+) /);
      if (how === 'abort') request.abort();
      else connection.close();
      const [line] = await lines(1);
      const { status, exit, end } = line ?? {};
      assert.deepEqual([status, line?.pid, exit, end], ['200', pid, 'SIGTERM', 'aborted']);
      connection.close();
    });
  }

  it('before it was answered has no status', async () => {
    const { served, lines } = await serveLogged(script('never-reads.sh'));
    const connection = connect(served.socket);
    const request = connection.send([]);
    request.stdin.write('123');
    await once(request.stderr, 'data');
    connection.close();
    const [line] = await lines(1);
    assert.deepEqual(
      [line?.status, line?.in_bytes, line?.out_bytes, line?.first_ms, line?.end],
      ['-', '3', '0', '-', 'aborted'],
    );
  });

  it('when the web server had all of the answer is that of a completed one', async () => {
    const goOn = await fifo();
    const command = `printf 'Content-Length: 5\\n\\nwhole'; read -r line < ${goOn}`;
    const { served, lines } = await serveLogged(shell(command));
    const begun = performance.now();
    const connection = connect(served.socket);
    const request = connection.send([]);
    request.stdin.end();
    await answered(request, /whole/);
    connection.close();
    const leftMs = performance.now() - begun;
    await delay(1_000);
    await writeFile(goOn, 'go on\n');
    const [line] = await lines(1);
    assert.deepEqual([line?.status, line?.exit, line?.end], ['200', '0', 'completed']);
    assert.ok(Number(line?.total_ms) < leftMs + 1_000, 'the request had ended when the web server left');
  });

  it('since the daemon had to stop is there before it ends', async () => {
    const { served, lines } = await serveLoggedCommand(script('stalls-in-body.sh'));
    const connection = connect(served.socket);
    const request = connection.send([]);
    request.stdin.end();
    await answered(request, /\n\n\d+\n/);
    request.stdout.resume();
    assert.equal(await served.stop(), 0);
    assert.equal((await lines(1))[0]?.end, 'aborted');
  });
});

describe('The lines of requests that have to wait', { timeout: 300_000 }, () => {
  it('say how long, and what became of it', async () => {
    const goOn = await fifo();
    const options = ['--max-processes', '1', '--max-queue', '2', '--queue-timeout', '3s'];
    const { served, lines } = await serveLogged([...script('waits-for-line.sh', ...options), goOn]);
    const connection = connect(served.socket);
    const send = (requestId: number) => {
      const request = connection.send([['REQUEST_URI', `/${String(requestId)}`]], {
        requestId,
        keepConn: true,
      });
      request.stdin.end();
      request.stderr.resume();
      return request;
    };
    const running = send(1);
    await answered(running, /\n\n(\d+) /);
    const given = send(2);
    const late = send(3);
    const refused = send(4);
    refused.stdout.resume();
    await refused.ended;
    given.abort();
    await given.ended;
    late.stdout.resume();
    await late.ended;
    running.stdout.resume();
    await writeFile(goOn, 'done\n');
    await running.ended;
    connection.close();
    const found = new Map((await lines(4)).map((line) => [line.uri, line]));
    const of = (uri: string): (string | undefined)[] => {
      const { status, pid, exit, end } = found.get(`"${uri}"`) ?? {};
      return [status, pid === '-' ? pid : 'pid', exit, end];
    };
    assert.deepEqual(of('/1'), ['200', 'pid', '0', 'completed']);
    assert.deepEqual(of('/2'), ['-', '-', '-', 'aborted']);
    assert.deepEqual(of('/3'), ['503', '-', '-', 'not-admitted']);
    assert.deepEqual(of('/4'), ['503', '-', '-', 'not-admitted']);
    const waited = (uri: string): number => Number(found.get(`"${uri}"`)?.queue_ms);
    assert.ok(waited('/3') >= 999 && waited('/4') < 999 && waited('/2') < 999);
    assert.ok(Number(found.get('"/1"')?.total_ms) >= 999);
  });

  it('are written also for one that its connection refuses before its params are read', async () => {
    const goOn = await fifo();
    const limit = ['--max-requests-per-connection', '1'];
    const logged = await serveLogged(['script', ...limit, fixture('cgi/waits-for-line.sh'), goOn]);
    const connection = connect(logged.served.socket);
    const running = connection.send([['REQUEST_URI', '/1']], { keepConn: true });
    const refused = connection.send([['REQUEST_URI', '/2']], { requestId: 2, keepConn: true });
    refused.stdin.end();
    const stdout = (await buffer(refused.stdout)).toString();
    const [line] = await logged.lines(1);
    assert.ok(line);
    const { status, id } = page(stdout);
    assert.equal(status, 503);
    const { client, method, uri, in_bytes, out_bytes, pid, end } = line;
    const unread = { client: '-', method: '-', uri: '-', in_bytes: '0', pid: '-' };
    assert.deepEqual({ client, method, uri, in_bytes, pid }, unread);
    assert.deepEqual([line.id, line.status, end], [id, '503', 'not-admitted']);
    assert.equal(out_bytes, String(Buffer.byteLength(stdout)));
    running.stdout.resume();
    running.abort();
    await running.ended;
    connection.close();
  });

  it('are as many as requests began, each once, also with 50 at a time of which some are given up', async () => {
    const gate = await fifo();
    // Opening it to read, a program waits for somebody who has it open to write.
    const hangs = 'case $REQUEST_URI in */hangs) exec sleep 1000; esac';
    const command = `cat > /dev/null; : < '${gate}'; printf 'Content-Type: text/plain\\n\\nyes'; ${hangs}`;
    const options = ['--max-processes', '4', '--max-queue', '30', '--queue-timeout', '1m'];
    const { served, file } = await serveLoggedCommand(shell(command, ...options));
    const all = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const number = index + 1;
        const uri = `/${String(number)}${number % 3 === 0 ? '/hangs' : ''}`;
        const connection = connect(served.socket);
        const request = connection.send([['REQUEST_URI', uri]], { keepConn: true });
        for (const stream of [request.stdout, request.stderr]) stream.on('error', () => undefined);
        request.stderr.resume();
        if (number % 5 !== 0) request.stdin.end('body');
        // What comes before the refusal of this one has been taken by then.
        await connection.send([], { requestId: 2, role: Role.AUTHORIZER, keepConn: true }).ended;
        return { number, uri, connection, request, ended: request.ended.catch(() => undefined) };
      }),
    );
    const giveUp = ({ number, connection, request }: (typeof all)[number]): void => {
      if (number % 4 === 0) request.abort();
      else connection.close();
    };
    const incomplete = createConnection(served.socket);
    incomplete.write(Buffer.concat([begin(1), record(4, 1, '\x01\x01AB'), begin(2), record(2, 2)]));

    // More than the 16 for whom there was no place: some wait for theirs, or run and have not answered.
    const early = all.filter(({ number }) => number % 2 === 0);
    early.forEach(giveUp);
    await Promise.all(early.map(({ ended }) => ended));
    const late = all.filter(({ number }) => number % 2 !== 0);
    for (const one of late) {
      const { number, request } = one;
      request.stdout.on('data', () => {
        if (number % 3 === 0) giveUp(one);
      });
      if (number % 5 === 0) request.stdin.end();
    }
    const writer = await open(gate, 'r+');
    await Promise.all(late.map(({ request }) => finished(request.stdout).catch(() => undefined)));
    await writer.close();
    for (const { connection } of all) connection.close();
    incomplete.destroy();
    assert.equal(await served.stop(), 0);
    const lines = octets(file)
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' '));
    assert.deepEqual(
      lines.map(([, , , , uri = '']) => JSON.parse(uri) as string).sort(),
      all.map(({ uri }) => uri).sort(),
    );
    assert.equal(new Set(lines.map(([, id]) => id)).size, 50);
    const ends = new Set(lines.map((fields) => fields[13]));
    for (const end of ['completed', 'aborted', 'not-admitted']) assert.ok(ends.has(end), [...ends].join());
    for (const end of ends) assert.ok((resultWords as readonly unknown[]).includes(end), end);
  });
});

describe('The access log', { timeout: 300_000 }, () => {
  const forged = '2026-11-22T10:00:00.000Z x-1 "1.2.3.4" "GET" "/" 200 0 0 0.0 0.0 0.0 1 0 completed -';
  const evil = ['\n', '\r', '\u2028', '\x85', '"', '\\"', '\\', '\t', '\x1b[2K', '\u202e', '" 200 0 '].map(
    (text) => Buffer.from(`/${text}${forged}${text}`).toString('latin1'),
  );
  evil.push(`\xff\xfe\n${forged}\n`, '\x85\n');

  for (const format of ['text', 'json'] as const) {
    it(`as ${format} has one line a request, whatever URI, address and method are`, async () => {
      const { served, file } = await serveLoggedCommand(script('writes-stderr.sh', '--log-format', format));
      for (const REQUEST_URI of evil) {
        await ask(served.socket, { REQUEST_URI, REMOTE_ADDR: REQUEST_URI, REQUEST_METHOD: REQUEST_URI });
      }
      await served.stop();
      const lines = octets(file).split('\n').slice(0, -1);
      assert.equal(lines.length, evil.length);
      for (const [index, line] of lines.entries()) {
        assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        const sent = Buffer.from(evil[index] ?? '', 'latin1').toString('utf8');
        if (format === 'json') {
          const { client, method, uri, status, end } = JSON.parse(line) as Record<string, unknown>;
          assert.deepEqual([client, method, uri, status, end], [sent, sent, sent, 200, 'completed']);
        } else {
          const fields = line.split(' ');
          assert.equal(fields.length, names.length);
          assert.deepEqual(
            fields.slice(2, 5).map((field) => JSON.parse(field) as unknown),
            [sent, sent, sent],
          );
          assert.deepEqual([fields[5], fields[13]], ['200', 'completed']);
        }
      }
    });
  }

  it('as JSON says the same of a request that has failed', async () => {
    const { served, file } = await serveLogged([
      ...script('dies-by-signal.sh', '--log-format', 'json'),
      'SEGV',
    ]);
    const { stdout } = await ask(served.socket, params, 'four');
    await until(() => octets(file).endsWith('\n'));
    const { time, id, queue_ms, first_ms, total_ms, pid, in_bytes, ...rest } = JSON.parse(
      octets(file),
    ) as Record<string, unknown>;
    assert.deepEqual(
      [typeof time, typeof id, typeof pid, typeof in_bytes],
      ['string', 'string', 'number', 'number'],
    );
    for (const ms of [queue_ms, first_ms, total_ms]) assert.equal(typeof ms, 'number');
    assert.deepEqual(rest, {
      client: '192.0.2.7',
      method: 'POST',
      uri: '/the/uri?x',
      status: 502,
      out_bytes: stdout.length,
      exit_status: null,
      signal: 'SIGSEGV',
      end: 'no-header',
      site: null,
    });
  });

  for (const signal of ['SIGHUP', 'SIGUSR1'] as const) {
    it(`is opened anew at ${signal}, and no line is lost`, async () => {
      const { served, file, lines } = await serveLoggedCommand(script('writes-stderr.sh'));
      await ask(served.socket, { REQUEST_URI: '/before' });
      await lines(1);
      await rename(file, `${file}.1`);
      await ask(served.socket, { REQUEST_URI: '/between' });
      await until(() => octets(`${file}.1`).includes('/between'));
      served.process.kill(signal);
      await served.logged(/log opened again/);
      await ask(served.socket, { REQUEST_URI: '/after' });
      assert.equal((await lines(1))[0]?.uri, '"/after"');
      assert.match(octets(`${file}.1`), /^[^\n]*"\/before"[^\n]*\n[^\n]*"\/between"[^\n]*\n$/);
    });
  }

  it('that can’t be opened keeps the daemon from starting', async () => {
    const file = join(await temporaryDirectory(), 'missing', 'access');
    const socket = join(await temporaryDirectory(), 'sock');
    const options = ['--listen', socket, '--access-log', file];
    const { status, stderr } = await runBridge(['script', fixture('cgi/writes-stderr.sh'), ...options]);
    assert.equal(status, 1);
    assert.match(stderr, /^fcgi2cgi: --access-log \/\S+\/missing\/access can't be opened: ENOENT/);
  });
});
