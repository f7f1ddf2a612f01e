/** `fcgi2cgi get` against our daemon, fcgiwrap, PHP-FPM, and what is no FastCGI application. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { fixture, main } from '../helpers/bridge.js';
import { startFcgiwrap } from '../helpers/fcgiwrap.js';
import { peakMiB } from '../helpers/processes.js';
import { record } from '../helpers/records.js';
import { lacking, pathOf } from '../helpers/release.js';
import { runHere } from '../helpers/run-here.js';
import { type Asked, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

interface Got {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const get = (args: readonly string[]): Promise<Got> => runHere(['get', ...args], 'latin1');

/** The same as a command, with this for its standard input. */
async function getWith(input: Buffer, args: readonly string[]): Promise<Got> {
  const child = spawn(process.execPath, [main, 'get', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined).end(input);
  await once(child, 'close');
  return { status: child.exitCode, stdout, stderr };
}

let directory: string;
let served: Asked;
const atFixtures = ['--param', `DOCUMENT_ROOT=${fixture('cgi')}`];

before(async () => {
  directory = await temporaryDirectory();
  served = await serveHere(['dir', '--root', fixture('cgi')]);
});

/** A listener that answers the first octets of each connection with these, or with none, and then ends it. */
async function answering(octets: Buffer | undefined): Promise<{ path: string; server: Server }> {
  const path = join(await temporaryDirectory(), 'sock');
  const server = createServer((socket) => {
    socket.on('error', () => undefined).once('data', () => socket.end(octets ?? ''));
  }).listen(path);
  await once(server, 'listening');
  return { path, server };
}

describe('fcgi2cgi get', () => {
  it('prints the body, or with --include the header as well, and standard error beside it', async () => {
    const plain = await get([served.socket, '/prints-environment.sh?q=1', ...atFixtures]);
    assert.deepEqual([plain.status, plain.stderr], [0, '']);
    assert.match(plain.stdout, /^QUERY_STRING=q=1$/m);
    assert.doesNotMatch(plain.stdout, /^Content-Type/);
    const whole = await get([served.socket, '/prints-environment.sh', ...atFixtures, '--include']);
    assert.equal(whole.stdout.slice(0, 28), 'Content-Type: text/plain\r\n\r\n');
    const stderr = await get([served.socket, '/writes-stderr.sh', ...atFixtures]);
    assert.equal(stderr.status, 0);
    assert.match(stderr.stderr, /^before$/m);
  });

  it('sends a body from a file or from standard input', async () => {
    const file = join(directory, 'body');
    const octets = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
    await writeFile(file, octets);
    const args = [served.socket, '/echoes-body.sh', ...atFixtures];
    assert.equal((await get([...args, '--data', file])).stdout, octets.toString('latin1'));
    assert.equal((await getWith(octets, [...args, '--data', '-'])).stdout, octets.toString('latin1'));
  });

  it('says by its exit status what became of the request, and in a line whose turn it is', async () => {
    const cases = [
      ['/nothing', 3, 'the application answered with status 404'],
      ['/missing-interpreter.sh', 4, 'the application answered with status 500'],
      ['/ends-without-header.sh', 4, 'the application answered with status 502'],
      ['/dies-in-body.sh', 7, 'the answer was cut short: it lacks 985 bytes of its Content-Length'],
      ['/exits-3-after-body.sh', 7, 'the application ended with appStatus 3: its answer may be cut short'],
    ] as const;
    for (const [path, status, line] of cases) {
      const got = await get([served.socket, path, ...atFixtures]);
      assert.equal(got.status, status, path);
      assert.equal(got.stderr.trimEnd().split('\n').at(-1), `fcgi2cgi: ${line}`);
    }
  });

  it('tells an application that hangs from one that is not there, may not be reached, or is none', async () => {
    const hangs = await get([served.socket, '/sleeps-before-header.sh', ...atFixtures, '--timeout', '200ms']);
    assert.equal(hangs.status, 8);
    assert.match(hangs.stderr, /nothing came for --timeout/);
    await writeFile(join(directory, 'file'), '');
    const cases = [
      [join(directory, 'missing'), /there is no such socket: is the application running/],
      [join(directory, 'file'), /the file there is no socket/],
      ['127.0.0.1:1', /nothing listens there: is the application running/],
    ] as const;
    for (const [address, line] of cases) {
      const { status, stderr } = await get([address, '/']);
      assert.equal(status, 6, address);
      assert.match(stderr, line);
    }
  });

  it('tells an answer without FastCGI, without a header, and none at all', async () => {
    const begun = [record(6, 1, 'Status: 200\n\nhalf')];
    const cases = [
      [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 5, /does not speak FastCGI 1.0/],
      [
        Buffer.concat([record(6, 1, 'no header'), record(6, 1), record(3, 1, Buffer.alloc(8))]),
        5,
        /no complete header/,
      ],
      [Buffer.concat(begun), 7, /cut short after 17 bytes: the connection was closed/],
      [undefined, 7, /closed before any answer: did the application crash/],
    ] as const;
    for (const [octets, expected, line] of cases) {
      const { path, server } = await answering(octets);
      const { status, stderr } = await get([path, '/']);
      server.close();
      assert.equal(status, expected, stderr);
      assert.match(stderr, line);
    }
  });

  it('is wrong usage without an address, or with a body that can be read but once', async () => {
    for (const [args, line] of [
      [['nowhere', '/'], /^fcgi2cgi: ADDRESS nowhere: this is no address/],
      [['fd:3', '/'], /^fcgi2cgi: ADDRESS fd:3: a descriptor of this process leads to no application/],
      [['/sock'], /^fcgi2cgi: PATH is missing; expected fcgi2cgi get ADDRESS PATH;/],
      [
        ['/sock', '/', '--data', '-', '--repeat', '2'],
        /^fcgi2cgi: --data -: standard input can be read but once/,
      ],
      [['/sock', '/', '--repeat', '0'], /^fcgi2cgi: --repeat 0: expected a whole number/],
    ] as const) {
      const { status, stderr } = await get(args);
      assert.equal(status, 2);
      assert.match(stderr, line);
    }
    const missing = await get(['/sock', '/', '--data', join(directory, 'missing')]);
    assert.equal(missing.status, 1);
  });

  it('repeats a request on one connection with --keep, and on one each without', async () => {
    const connections: Buffer[] = [];
    const path = join(await temporaryDirectory(), 'sock');
    const answer = Buffer.concat([
      record(6, 1, 'Status: 200\n\nyes'),
      record(6, 1),
      record(3, 1, Buffer.alloc(8)),
    ]);
    const server = createServer((socket) => {
      const index = connections.push(Buffer.alloc(0)) - 1;
      socket
        .on('error', () => undefined)
        .on('data', (octets) => {
          connections[index] = Buffer.concat([connections[index] ?? octets, octets]);
          // The end of STDIN is the end of the request.
          if (octets.includes(record(5, 1))) socket.write(answer);
        });
    }).listen(path);
    await once(server, 'listening');
    const kept = await get([path, '/', '--repeat', '3', '--keep']);
    assert.equal(connections.length, 1);
    assert.equal(connections[0]?.[10], 1, 'FCGI_KEEP_CONN');
    assert.deepEqual([kept.status, kept.stdout], [0, 'yes']);
    assert.match(kept.stderr, /^ +min +median +max {2}ms\n(?:.*\n){3}3 requests: 3 × status 200\n$/);
    await get([path, '/', '--repeat', '3']);
    assert.equal(connections.length, 4);
    assert.equal(connections[1]?.[10], 0, 'no FCGI_KEEP_CONN');
    server.close();
  });

  it('goes on on another connection where the application closed one that it was asked to keep', async () => {
    const answer = Buffer.concat([
      record(6, 1, 'Status: 200\n\nyes'),
      record(6, 1),
      record(3, 1, Buffer.alloc(8)),
    ]);
    const { path, server } = await answering(answer);
    const { status, stderr } = await get([path, '/', '--repeat', '3', '--keep']);
    server.close();
    assert.equal(status, 0, stderr);
    assert.match(stderr, /closed the connection 2 times, though asked to keep it/);
    assert.match(stderr, /3 requests: 3 × status 200/);
  });

  const zeros = (count: number): string[] => {
    return ['get', served.socket, `/writes-as-much-as-asked.sh?${String(count)}`, ...atFixtures];
  };

  it('passes on an answer of any size without keeping it', async () => {
    const total = 300_000_000;
    const child = spawn(process.execPath, [main, ...zeros(total)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let read = 0;
    let peak = 0;
    for await (const octets of child.stdout) {
      read += (octets as Buffer).length;
      if (read > total * 0.9 && peak === 0) peak = peakMiB(child.pid ?? 0);
    }
    if (child.exitCode === null) await once(child, 'exit');
    assert.deepEqual([child.exitCode, read], [0, total]);
    assert.ok(peak > 0 && peak < 250, `${String(peak)} MiB`);
  });

  it('ends quietly when whoever reads its output leaves', async () => {
    const child = spawn(process.execPath, [main, ...zeros(300_000_000)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    await once(child.stdout, 'readable');
    child.stdout.destroy();
    await once(child, 'close');
    assert.deepEqual([child.exitCode, stderr], [0, '']);
  });
});

describe('fcgi2cgi get asks applications of others:', () => {
  it('fcgiwrap', { skip: lacking('fcgiwrap') }, async () => {
    const socket = await startFcgiwrap(process.env);
    const args = [socket, '/prints-environment.sh', ...atFixtures, '--repeat', '3', '--keep'];
    const got = await get(args);
    assert.equal(got.status, 0, got.stderr);
    assert.match(got.stdout, /^GATEWAY_INTERFACE=CGI\/1.1$/m);
  });

  const php = readdirSync('/usr/sbin').find((name) => name.startsWith('php-fpm')) ?? 'php-fpm';
  it('PHP-FPM', { skip: lacking(php, 'php-fpm') }, async () => {
    assert.ok(pathOf(php), 'it is not installed');
    const place = await temporaryDirectory();
    await chmod(place, 0o755);
    await mkdir(join(place, 'www'));
    await writeFile(
      join(place, 'www/index.php'),
      '<?php header("X-Method: $_SERVER[REQUEST_METHOD]"); echo $_SERVER["PATH_INFO"] ?? "", file_get_contents("php://input");',
    );
    const user = process.getuid?.() === 0 ? 'user = root\ngroup = root\n' : '';
    await writeFile(
      join(place, 'fpm.conf'),
      `[global]\nerror_log = ${place}/log\ndaemonize = no\n[www]\n${user}listen = ${place}/sock\npm = static\npm.max_children = 1\n`,
    );
    const fpm = spawn(`/usr/sbin/${php}`, ['-R', '-y', `${place}/fpm.conf`], { stdio: 'ignore' });
    try {
      const at = ['--param', `DOCUMENT_ROOT=${place}/www`];
      let got = await get([`${place}/sock`, '/index.php', ...at]);
      while (got.status === 6) got = await get([`${place}/sock`, '/index.php', ...at]);
      assert.deepEqual([got.status, got.stdout], [0, ''], got.stderr);
      const info = ['/index.php/info', ...at, '--param', 'SCRIPT_NAME=/index.php', '--include'];
      const whole = await get([`${place}/sock`, ...info]);
      assert.match(whole.stdout, /^X-Method: GET\r\n(?:.*\r\n)*\r\n\/info$/);
      await writeFile(join(place, 'body'), 'a=b');
      const post = await get([`${place}/sock`, '/index.php', ...at, '--data', join(place, 'body')]);
      assert.equal(post.stdout, 'a=b');
      const kept = await get([`${place}/sock`, '/index.php', ...at, '--keep', '--repeat', '5']);
      assert.doesNotMatch(kept.stderr, /closed the connection/);
      assert.match(kept.stderr, /5 requests: 5 × status 200/);
      const missing = await get([`${place}/sock`, '/missing.php', ...at]);
      assert.equal(missing.status, 3);
      assert.match(
        missing.stderr,
        /Primary script unknown\nfcgi2cgi: the application answered with status 404\n$/,
      );
    } finally {
      fpm.kill('SIGTERM');
      await once(fpm, 'exit');
    }
  });
});
