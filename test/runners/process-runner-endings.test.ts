import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';

import { fromText } from '../../src/bytes.js';
import { printed, runFixture, runShell } from '../helpers/run-fixture.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isRunning, vanished } from '../helpers/processes.js';

const signaled = (signal: string): unknown => ({ kind: 'signaled', signal });

describe('A limit of time', { timeout: 60_000 }, () => {
  it('ends a script that does not begin to answer (start-timeout)', async () => {
    const limits = { startTimeoutMs: 200, maxTimeMs: 20_000 };
    const { outcome } = runFixture('sleeps-before-header.sh', { limits });
    const { status, endedBy, exit, stderrTail } = await outcome;
    assert.deepEqual([status, endedBy, exit], [undefined, 'start-timeout', signaled('SIGTERM')]);
    assert.equal(stderrTail, 'thinking\n');
  });

  it('is not start-timeout once the header is complete', async () => {
    const limits = { startTimeoutMs: 2_000, maxTimeMs: 3_000 };
    const { endedBy, status } = await runFixture('stalls-in-body.sh', { limits }).outcome;
    assert.deepEqual([status, endedBy], [200, 'max-time']);
  });

  it('ends a script that makes no progress (idle-timeout)', async () => {
    const limits = { idleTimeoutMs: 200, maxTimeMs: 20_000 };
    const { outcome } = runFixture('stalls-in-body.sh', { limits });
    const { status, endedBy, exit } = await outcome;
    assert.deepEqual([status, endedBy, exit], [200, 'idle-timeout', signaled('SIGTERM')]);
  });

  it('does not end a script that writes now and then (idle-timeout)', async () => {
    const script = `printf 'A: b\\n\\n'; for i in 1 2 3 4 5 6; do sleep 0.4; echo $i; done`;
    const { endedBy, exit } = await runShell(script, { limits: { idleTimeoutMs: 1_500 } }).outcome;
    assert.deepEqual([endedBy, exit], [undefined, { kind: 'exited', code: 0 }]);
  });

  it('does not end a script whose body arrives now and then (idle-timeout)', async () => {
    const stdin = new PassThrough();
    let pieces = 0;
    const trickle = setInterval(() => {
      if (++pieces < 6) stdin.write('x');
      else stdin.end();
    }, 400);
    const script = `wc -c >/dev/null; printf 'A: b\\n\\n'`;
    const { endedBy, stdinBytes } = await runShell(script, { stdin, limits: { idleTimeoutMs: 1_500 } })
      .outcome;
    clearInterval(trickle);
    assert.deepEqual([endedBy, stdinBytes], [undefined, 5]);
  });

  it('ends a script that goes on for too long, whatever it does (max-time)', async () => {
    const { outcome } = runShell(`printf 'A: b\\n\\n'; exec yes`, { limits: { maxTimeMs: 200 } });
    const { status, endedBy, exit } = await outcome;
    assert.deepEqual([status, endedBy, exit], [200, 'max-time', signaled('SIGTERM')]);
  });

  it('ends what an ended script has left with its answer open', async () => {
    const { stdout, outcome } = runFixture('leaves-grandchild.sh', { limits: { idleTimeoutMs: 200 } });
    const { endedBy, exit } = await outcome;
    assert.deepEqual([endedBy, exit], ['idle-timeout', { kind: 'exited', code: 0 }]);
    await vanished(Number(/\n\n(\d+)\n/.exec(stdout.text)?.[1]));
  });

  it('kills a script that ignores SIGTERM when the grace is over', async () => {
    const limits = { idleTimeoutMs: 100, killGraceMs: 100 };
    const { exit, endedBy } = await runFixture('ignores-term.sh', { limits }).outcome;
    assert.deepEqual([endedBy, exit], ['idle-timeout', signaled('SIGKILL')]);
  });

  it('that is 0 is none', async () => {
    const limits = { startTimeoutMs: 0, idleTimeoutMs: 0, maxTimeMs: 0 };
    const { endedBy } = await runShell(`sleep 0.3; printf 'A: b\\n\\n'`, { limits }).outcome;
    assert.equal(endedBy, undefined);
  });
});

describe('A header that is too large', { timeout: 60_000 }, () => {
  it('ends the script, and nothing of it is sent', async () => {
    const { stdout, outcome } = runFixture('huge-header.sh', { limits: { maxHeaderBytes: 10_000 } });
    const { status, endedBy, stdoutBytes } = await outcome;
    assert.deepEqual([status, endedBy, stdoutBytes], [undefined, 'max-header-size', 0]);
    assert.equal(stdout.text, '');
  });

  it('ends a script that does not even notice', async () => {
    const script = `yes | head -c 20000; trap '' TERM PIPE; echo $$ >&2; exec sleep 1000`;
    const { stderr, outcome } = runShell(script, { limits: { maxHeaderBytes: 10_000 } });
    const { endedBy, exit } = await outcome;
    assert.equal(endedBy, 'max-header-size');
    assert.equal((exit as { kind: string }).kind, 'signaled');
    if (stderr.text !== '') await vanished(Number(stderr.text));
  });
});

describe('A header that is not valid', { timeout: 60_000 }, () => {
  it('ends the script, and the outcome says why', async () => {
    const { stdout, outcome } = runShell(`echo oops; echo; exec sleep 1000`);
    const { status, endedBy, exit, headerError } = await outcome;
    assert.deepEqual([status, endedBy, exit], [undefined, 'invalid-header', signaled('SIGTERM')]);
    assert.match(headerError?.message ?? '', /a line that is no field: "oops"/);
    assert.equal(stdout.text, '');
  });
});

describe('An answer to HEAD', { timeout: 60_000 }, () => {
  it('has no body, and lasts as long as the script', async () => {
    const variables = new Map([
      ['PATH', '/usr/bin:/bin'],
      ['REQUEST_METHOD', 'HEAD'],
    ]);
    const script = `printf 'A: b\n\nbody'; yes | head -c 1000000; exit 3`;
    const { stdout, outcome } = runShell(script, { invocation: { variables } });
    assert.deepEqual((await outcome).exit, { kind: 'exited', code: 3 });
    assert.equal(stdout.text, 'A: b\n\n');
  });
});

describe('An aborted run', { timeout: 60_000 }, () => {
  it('ends the whole process group, a grandchild that ignores SIGTERM too', async () => {
    const abort = new AbortController();
    const { stdout, outcome } = runFixture('hangs-with-grandchild.sh', { signal: abort.signal });
    const pids = (await printed(stdout, /\n\n(\d+ \d+)\n/)).split(' ').map(Number);
    for (const pid of pids) assert.ok(isRunning(pid));
    abort.abort();
    const { endedBy, exit } = await outcome;
    assert.deepEqual([endedBy, exit], ['abort', signaled('SIGTERM')]);
    for (const pid of pids) await vanished(pid);
  });

  it('ends a script that neither reads nor answers', async () => {
    const abort = new AbortController();
    const stdin = new PassThrough();
    const { stderr, outcome } = runFixture('never-reads.sh', { stdin, signal: abort.signal });
    stdin.write(Buffer.alloc(1_000_000));
    const pid = Number(await printed(stderr, /(\d+)\n/));
    stdin.destroy();
    abort.abort();
    assert.deepEqual((await outcome).endedBy, 'abort');
    await vanished(pid);
  });

  it('ends also where it was aborted before it began', async () => {
    const { endedBy, exit } = await runFixture('never-reads.sh', { signal: AbortSignal.abort() }).outcome;
    assert.deepEqual([endedBy, exit], ['abort', signaled('SIGTERM')]);
  });

  it('lets a script finish that has answered completely', async () => {
    const fifo = join(await temporaryDirectory(), 'go-on');
    execFileSync('mkfifo', [fifo]);
    const abort = new AbortController();
    const script = `printf 'Content-Length: 3\\n\\nall'; read -r _ < "$1"; echo finished >&2`;
    const { stdout, stderr, outcome } = runShell(script, { args: [fromText(fifo)], signal: abort.signal });
    await printed(stdout, /all/);
    abort.abort();
    await writeFile(fifo, '\n');
    const { endedBy, exit } = await outcome;
    assert.deepEqual([endedBy, exit, stderr.text], [undefined, { kind: 'exited', code: 0 }, 'finished\n']);
  });

  it('ends a script that has answered completely and does not finish, when all runs are destroyed', async () => {
    const abort = new AbortController();
    const script = `printf 'Content-Length: 3\\n\\nall'; exec sleep 1000`;
    const { stdout, runner, outcome } = runShell(script, { signal: abort.signal });
    await printed(stdout, /all/);
    abort.abort();
    await runner.destroy();
    const { endedBy, exit } = await outcome;
    assert.deepEqual([endedBy, exit], ['abort', signaled('SIGTERM')]);
  });

  it('says nothing of an abort that comes when all is over', async () => {
    const abort = new AbortController();
    const { outcome } = runFixture('exits-3-after-body.sh', { signal: abort.signal });
    const { endedBy } = await outcome;
    abort.abort();
    assert.equal(endedBy, undefined);
  });
});
