import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { fromText } from '../../src/base/bytes.js';
import { BridgeError } from '../../src/base/errors.js';
import { printed, runFixture, runShell } from '../helpers/run-fixture.js';
import { settled } from '../helpers/sinks.js';
import { fifo } from '../helpers/temporary.js';
import { isRunning, vanished } from '../helpers/processes.js';

const signaled = (signal: string): unknown => ({ kind: 'signaled', signal });

describe('A limit of time', { timeout: 300_000 }, () => {
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
    const script = `count=$(wc -c); printf 'A: b\\n\\n%s' $count`;
    const { stdout, outcome } = runShell(script, { stdin, limits: { idleTimeoutMs: 1_500 } });
    const { endedBy } = await outcome;
    clearInterval(trickle);
    assert.deepEqual([endedBy, stdout.text], [undefined, 'A: b\n\n5']);
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

describe('A header that is too large', { timeout: 300_000 }, () => {
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

describe('A header that is not valid', { timeout: 300_000 }, () => {
  it('ends the script, and the outcome says why', async () => {
    const { stdout, outcome } = runShell(`echo oops; echo; exec sleep 1000`);
    const { status, endedBy, exit, headerError } = await outcome;
    assert.deepEqual([status, endedBy, exit], [undefined, 'invalid-header', signaled('SIGTERM')]);
    assert.match(headerError?.message ?? '', /a line that is no field: "oops"/);
    assert.equal(stdout.text, '');
  });
});

describe('An answer to HEAD', { timeout: 300_000 }, () => {
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

describe('An answer that is held until it is whole', { timeout: 300_000 }, () => {
  it('is none where a signal has ended the script, though no length was announced', async () => {
    const limits = { holdUntilExitBytes: 1_000 };
    const { stdout, outcome } = runShell(`printf 'A: b\\n\\na part'; kill -9 $$`, { limits });
    const { status, exit, isWithheld } = await outcome;
    assert.deepEqual([status, exit, isWithheld], [undefined, signaled('SIGKILL'), true]);
    assert.equal(stdout.text, '');
  });

  it('is sent where it has the length that was announced, whatever became of its script', async () => {
    const limits = { holdUntilExitBytes: 1_000, idleTimeoutMs: 300 };
    for (const [end, ended] of [
      ['kill -9 $$', undefined],
      ['sleep 1000 &', 'idle-timeout'],
    ] as const) {
      const { stdout, outcome } = runShell(`printf 'Content-Length: 3\\n\\nall'; ${end}`, { limits });
      const { status, endedBy, isWithheld } = await outcome;
      stdout.end();
      assert.deepEqual([status, endedBy, isWithheld], [200, ended, false]);
      assert.equal(stdout.text, 'Content-Length: 3\n\nall');
    }
  });
});

describe('An aborted run', { timeout: 300_000 }, () => {
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

  it('starts nothing where it was aborted before it began', async () => {
    const { endedBy, pid } = await runFixture('never-reads.sh', { signal: AbortSignal.abort() }).outcome;
    assert.deepEqual([endedBy, pid], ['abort', undefined]);
  });

  it('lets a script finish that has answered completely', async () => {
    const goOn = await fifo();
    const abort = new AbortController();
    const script = `printf 'Content-Length: 3\\n\\nall'; read -r _ < "$1"; echo finished >&2`;
    const { stdout, stderr, outcome } = runShell(script, { args: [fromText(goOn)], signal: abort.signal });
    await printed(stdout, /all/);
    abort.abort();
    await writeFile(goOn, '\n');
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

  it('ends a script that has answered completely, when the request is cancelled by hand', async () => {
    const abort = new AbortController();
    const script = `printf 'Content-Length: 3\\n\\nall'; exec sleep 1000`;
    const { stdout, streams, outcome } = runShell(script, { signal: abort.signal });
    await printed(stdout, /all/);
    abort.abort(new BridgeError('ERR_FASTCGI_DISCONNECTED', 'left'));
    streams.cancel?.();
    const { endedBy, exit } = await outcome;
    assert.deepEqual([endedBy, exit], ['cancelled', signaled('SIGTERM')]);
    assert.equal(streams.cancel, undefined);
  });

  it('lets a script finish whose body is lost after it has answered completely', async () => {
    const goOn = await fifo();
    const stdin = new PassThrough();
    const script = `printf 'Content-Length: 3\\n\\nall'; read -r _ < "$1"; echo finished >&2`;
    // The answer is held until the body has come, or can't for now.
    const { stdout, stderr, outcome } = runShell(script, {
      args: [fromText(goOn)],
      stdin,
      body: { bufferBytes: 1, maxSpoolBytes: 10 },
    });
    for (let pieces = 0; pieces < 10; pieces++) stdin.write(Buffer.alloc(100_000));
    await printed(stdout, /all/);
    stdin.on('error', () => undefined);
    stdin.destroy(new BridgeError('ERR_MAX_SPOOL_SIZE', 'too much'));
    await settled();
    await writeFile(goOn, '\n');
    const { endedBy, exit, bodyError } = await outcome;
    assert.equal((bodyError as BridgeError).code, 'ERR_MAX_SPOOL_SIZE');
    assert.deepEqual([endedBy, exit, stderr.text], [undefined, { kind: 'exited', code: 0 }, 'finished\n']);
  });

  it('has SIGTERM arrive, and time to clean up, before SIGKILL', async () => {
    const abort = new AbortController();
    const script = `trap 'echo heard >&2' TERM; printf 'A: b\\n\\nready'; while :; do sleep 0.02; done`;
    const limits = { killGraceMs: 1_000 };
    const { stdout, stderr, outcome } = runShell(script, { signal: abort.signal, limits });
    await printed(stdout, /ready/);
    abort.abort();
    assert.deepEqual((await outcome).exit, signaled('SIGKILL'));
    assert.match(stderr.text, /heard/);
  });

  it('is over only when all that it has started is gone', async () => {
    const goOn = await fifo();
    const abort = new AbortController();
    const cleaner = `trap '' TERM; (read -r _ < "$1") >/dev/null 2>&1 & trap - TERM`;
    const script = `${cleaner}; printf "A: b\\n\\n$$\\n"; exec sleep 1000`;
    const limits = { killGraceMs: 60_000 };
    const { stdout, outcome } = runShell(script, { args: [fromText(goOn)], signal: abort.signal, limits });
    const pid = Number(await printed(stdout, /\n\n(\d+)\n/));
    abort.abort();
    await vanished(pid);
    const over = outcome.then(() => 'over');
    // Whatever would have it be over now has had the time to do so.
    const stillRuns = delay(100).then(() => 'still runs');
    assert.equal(await Promise.race([over, stillRuns]), 'still runs');
    await writeFile(goOn, '\n');
    assert.equal(await over, 'over');
  });

  it('says nothing of an abort that comes when all is over', async () => {
    const abort = new AbortController();
    const { outcome } = runFixture('exits-3-after-body.sh', { signal: abort.signal });
    const { endedBy } = await outcome;
    abort.abort();
    assert.equal(endedBy, undefined);
  });
});
