import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { describe, it } from 'node:test';

import type { SentRequest } from '../../src/fastcgi/requester.js';
import { ask, connect } from '../helpers/ask.js';
import { fixture, runBridge } from '../helpers/bridge.js';
import { parseInvocation } from '../helpers/invocation.js';
import { serve, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const TEN_MB = 10 * 1024 * 1024;

/** The whole answer of a request that has been sent. */
async function whole(request: SentRequest): Promise<{ body: Buffer; stderr: string; appStatus: number }> {
  const [stdout, stderr, end] = await Promise.all([
    buffer(request.stdout),
    text(request.stderr),
    request.ended,
  ]);
  return { body: stdout.subarray(stdout.indexOf('\n\n') + 2), stderr, appStatus: end.appStatus };
}

describe('fcgi2cgi script', { timeout: 300_000 }, () => {
  it('runs the script with its arguments, in its directory, with the params as environment', async () => {
    const file = fixture('cgi/prints-invocation.pl');
    const env = { ...process.env, PATH: '/usr/bin:/bin', KEPT: 'a b', SECRET: 'of the daemon' };
    const options = ['--env', 'CHOSEN=by the administrator', '--env', 'PERL5LIB=/lib', '--pass-env', 'KEPT'];
    const served = await serve(['script', ...options, file, 'first', '', '--', '-n', '--last'], { env });
    const params = {
      GIT_PROJECT_ROOT: '/srv/git',
      PATH_INFO: '/lat\xefn-1/\xfc',
      EMPTY: '',
      'A.B': 'x',
      CHOSEN: 'by the web server',
      PERL5LIB: '/evil',
      HTTP_PROXY: 'http://evil',
      LD_PRELOAD: '/evil.so',
    };
    const { stdout, stderr, appStatus } = await ask(served.socket, params);
    assert.deepEqual({ stderr, appStatus }, { stderr: '', appStatus: 0 });
    assert.deepEqual(parseInvocation(stdout), {
      directory: dirname(file),
      args: ['first', '', '-n', '--last'],
      variables: {
        PATH: '/usr/bin:/bin',
        KEPT: 'a b',
        GATEWAY_INTERFACE: 'CGI/1.1',
        REQUEST_METHOD: 'GET',
        GIT_PROJECT_ROOT: '/srv/git',
        PATH_INFO: '/lat\xefn-1/\xfc',
        EMPTY: '',
        'A.B': 'x',
        CHOSEN: 'by the administrator',
        PERL5LIB: '/lib',
      },
    });
  });

  it('gives the script no descriptor of its own', async () => {
    const served = await serve(['script', fixture('cgi/prints-descriptors.sh')]);
    // A second connection that is open meanwhile must not be seen either.
    const idle = connect(served.socket);
    const { stdout } = await ask(served.socket);
    idle.close();
    const descriptors = (stdout.split('\n\n')[1] ?? '').trim().split('\n').map(Number);
    // Those above 15 may come from whoever started the tests, and pass through Node.
    assert.deepEqual(
      descriptors.filter((descriptor) => descriptor <= 15),
      [0, 1, 2, 3],
      '3 is the one of ls itself',
    );
    assert.ok(descriptors.length <= 6, `the script has ${String(descriptors)}`);
  });

  it('brings an answer of 10 MB to the web server octet by octet', async () => {
    const octets = randomBytes(TEN_MB);
    const file = join(await temporaryDirectory(), 'octets');
    await writeFile(file, octets);
    const served = await serveHere(['script', fixture('cgi/prints-file.sh'), file]);
    const { stdout, appStatus } = await ask(served.socket);
    const header = 'Content-Type: application/octet-stream\n\n';
    assert.equal(appStatus, 0);
    assert.ok(stdout.startsWith(header));
    assert.ok(Buffer.from(stdout.slice(header.length), 'latin1').equals(octets), 'the octets differ');
  });

  it('brings a body of 10 MB to the script octet by octet', async () => {
    const octets = randomBytes(TEN_MB);
    const served = await serveHere(['script', fixture('cgi/echoes-body.sh')]);
    const { stdout } = await ask(served.socket, { CONTENT_LENGTH: String(TEN_MB) }, octets);
    const body = Buffer.from(stdout.slice(stdout.indexOf('\n\n') + 2), 'latin1');
    assert.ok(body.equals(octets), 'the octets differ');
  });

  it('delivers a script that answers before it reads, and one that never reads 10 MB', async () => {
    const octets = Buffer.alloc(TEN_MB);
    const early = await serveHere(['script', fixture('cgi/answers-before-reading.sh')]);
    const first = await ask(early.socket, {}, octets);
    assert.match(first.stdout, new RegExp(`\\n\\nfirst +${String(TEN_MB)}\\n$`));

    const refusing = await serveHere(['script', fixture('cgi/answers-without-reading.sh')]);
    const connection = connect(refusing.socket);
    // The rest of one request's body must not be in the way of the next.
    for (const requestId of [1, 2, 3]) {
      const request = connection.send([], { requestId, keepConn: true });
      request.stdin.end(octets);
      const { body, appStatus } = await whole(request);
      assert.deepEqual([body.toString(), appStatus], ['not you\n', 0]);
    }
    connection.close();
  });

  it('answers several requests on one connection, one after the other and at once', async () => {
    const served = await serveHere(['script', fixture('cgi/echoes-body.sh')]);
    const connection = connect(served.socket);
    for (let round = 0; round < 3; round++) {
      const request = connection.send([], { requestId: 1, keepConn: true });
      request.stdin.end(Buffer.from(`round ${String(round)}`));
      assert.equal((await whole(request)).body.toString(), `round ${String(round)}`);
    }
    const requests = [1, 2, 3, 4].map((requestId) => {
      const request = connection.send([], { requestId, keepConn: true });
      const body = Buffer.alloc(300_000, String(requestId));
      request.stdin.end(body);
      return { request, body };
    });
    await Promise.all(
      requests.map(async ({ request, body }) => {
        assert.ok((await whole(request)).body.equals(body), `the answer to ${String(request.requestId)}`);
      }),
    );
    connection.close();
  });

  it('sends standard error as STDERR, and the exit status as appStatus', async () => {
    const noisy = await serveHere(['script', fixture('cgi/writes-stderr.sh')]);
    const { stdout, stderr, appStatus, protocolStatus } = await ask(noisy.socket);
    assert.equal(stdout, 'Content-Type: text/plain\n\nanswer\n');
    assert.equal(stderr, 'before\nbetween\nafter\n');
    assert.deepEqual([appStatus, protocolStatus], [0, 0]);

    const failing = await serveHere(['script', fixture('cgi/exits-3-after-body.sh')]);
    const failed = await ask(failing.socket);
    assert.equal(failed.stdout, 'Content-Type: text/plain\n\nall of it\n');
    assert.equal(failed.appStatus, 3);

    const dying = await serveHere(['script', fixture('cgi/dies-in-body.sh')]);
    const died = await ask(dying.socket);
    assert.ok(died.stdout.endsWith('only the beginn'), 'an answer that was begun gets no page behind it');
    assert.equal(died.appStatus, 128 + 9);
    assert.match(await dying.logged(/cut short/), / error .*exit="signal SIGKILL"/);
  });

  it('makes of an interim response and a status line what a web server can take', async () => {
    const interim = await serveHere(['script', fixture('cgi/1xx-first.sh')]);
    assert.ok((await ask(interim.socket)).stdout.startsWith('Status: 201 Created\r\n'));
    const nph = await serveHere(['script', fixture('cgi/nph.sh')]);
    assert.ok((await ask(nph.socket)).stdout.startsWith('Status: 404 Nothing Here\r\n'));
  });

  it('does not start for a script that is missing or not executable, and says so', async () => {
    const directory = await temporaryDirectory();
    const plain = join(directory, 'plain.sh');
    await writeFile(plain, '#!/bin/sh\n', { mode: 0o644 });
    for (const [file, why] of [
      [join(directory, 'absent.sh'), /there is no such file/],
      [plain, /is not executable; try chmod \+x/],
      [directory, /this is no file/],
    ] as const) {
      const { status, stderr } = await runBridge(['script', '--listen', join(directory, 'sock'), file]);
      assert.equal(status, 1);
      assert.match(stderr, why);
      assert.ok(stderr.startsWith(`fcgi2cgi: script ${file}: `));
      assert.equal(stderr.trimEnd().split('\n').length, 1);
    }
  });
});
