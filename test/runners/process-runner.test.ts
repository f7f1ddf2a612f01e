import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { PassThrough, Readable } from 'node:stream';
import { describe, it } from 'node:test';

import { fromText } from '../../src/base/bytes.js';
import { parseInvocation } from '../helpers/invocation.js';
import { printed, runFixture, runShell } from '../helpers/run-fixture.js';
import { settled, SlowReader } from '../helpers/sinks.js';
import { fifo } from '../helpers/temporary.js';
import { vanished } from '../helpers/processes.js';

describe('A run', { timeout: 300_000 }, () => {
  it('has the invocation’s arguments, directory and environment, and no variable besides', async () => {
    for (const odd of ['plain', 'lat\xefn']) {
      const variables = new Map([
        ['PATH', '/usr/bin:/bin'],
        ['ODD', odd],
      ]);
      const invocation = { variables, directory: '/usr' };
      const { stdout, outcome } = runFixture('prints-invocation.pl', { args: ['-a', odd], invocation });
      const { status, exit, endedBy, startError } = await outcome;
      assert.deepEqual(
        { status, exit, endedBy, startError },
        {
          status: 200,
          exit: { kind: 'exited', code: 0 },
          endedBy: undefined,
          startError: undefined,
        },
      );
      const seen = { directory: '/usr', args: ['-a', odd], variables: Object.fromEntries(variables) };
      assert.deepEqual(parseInvocation(stdout.text), seen);
    }
  });

  it('carries the body in, the answer and standard error out, and counts', async () => {
    const body = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 31) % 256));
    const { stdout, outcome } = runFixture('echoes-body.sh', { stdin: Readable.from([body]) });
    const { stdoutBytes } = await outcome;
    const header = 'Content-Type: application/octet-stream\n\n';
    assert.deepEqual(stdout.octets, Buffer.concat([Buffer.from(header), body]));
    assert.equal(stdoutBytes, header.length + body.length);

    const complaining = runFixture('writes-stderr.sh');
    assert.equal((await complaining.outcome).stderrTail, 'before\nbetween\nafter\n');
    assert.equal(complaining.stderr.text, 'before\nbetween\nafter\n');
    assert.equal(complaining.stdout.text, 'Content-Type: text/plain\n\nanswer\n');
  });

  it('has the site’s input in place of the body, which is thrown away', async () => {
    const stdin = Readable.from([Buffer.alloc(200_000), Buffer.alloc(200_000)]);
    const input = Buffer.from('from the site \xff', 'latin1');
    const { stdout, outcome } = runFixture('echoes-body.sh', { stdin, invocation: { input } });
    await outcome;
    assert.ok(stdout.text.endsWith('\n\nfrom the site \xff'));
    assert.ok(stdin.readableEnded);
  });

  it('tells how the process ended, with what it said last', async () => {
    const after = await runFixture('exits-3-after-body.sh').outcome;
    assert.deepEqual([after.status, after.exit], [200, { kind: 'exited', code: 3 }]);

    const before = await runFixture('ends-without-header.sh').outcome;
    assert.deepEqual([before.status, before.exit], [undefined, { kind: 'exited', code: 3 }]);
    assert.equal(before.stderrTail, 'no header today\n');
    assert.equal(before.stdoutBytes, 0);

    const killed = await runFixture('dies-by-signal.sh', { args: ['SEGV'] }).outcome;
    assert.deepEqual([killed.status, killed.exit], [undefined, { kind: 'signaled', signal: 'SIGSEGV' }]);
    assert.equal(killed.endedBy, undefined);

    const inBody = runFixture('dies-in-body.sh');
    assert.deepEqual((await inBody.outcome).exit, { kind: 'signaled', signal: 'SIGKILL' });
    assert.ok(inBody.stdout.text.endsWith('only the beginn'), 'what there was is sent on');
  });

  it('keeps only the end of standard error', async () => {
    const noisy = `printf 'A: b\\n\\n'; yes complaint | head -c 1000000 >&2; printf 'the end' >&2`;
    const { stderr, outcome } = runShell(noisy, { limits: { stderrTailBytes: 100 } });
    const { stderrTail } = await outcome;
    assert.equal(stderrTail.length, 100);
    assert.ok(stderrTail.endsWith('complaint\nthe end'));
    assert.equal(stderr.octets.length, 1_000_007, 'the web server gets all of it');
  });

  it('observes the header: interim responses, status lines', async () => {
    const interim = runFixture('1xx-first.sh');
    assert.equal((await interim.outcome).status, 201);
    assert.ok(interim.stdout.text.startsWith('Status: 201 Created\r\n'));
    const nph = runFixture('nph.sh');
    assert.equal((await nph.outcome).status, 404);
    assert.ok(nph.stdout.text.startsWith('Status: 404 Nothing Here\r\nContent-Type'));
  });

  it('that can’t be started has a reason, and its body is thrown away', async () => {
    for (const part of [{ file: '/nonexistent' }, { directory: '/nonexistent' }, { args: ['a\0b'] }]) {
      const stdin = Readable.from([Buffer.alloc(200_000), Buffer.alloc(200_000)]);
      const outcome = await runFixture('nph.sh', { stdin, invocation: part }).outcome;
      assert.equal(outcome.startError?.code, 'ERR_SPAWN');
      assert.deepEqual([outcome.pid, outcome.exit, outcome.status], [undefined, undefined, undefined]);
      if (!stdin.readableEnded) await once(stdin, 'end');
    }
  });

  it('leaves alone what a script has put into the background and that has let go of its answer', async () => {
    const { stdout, outcome } = runShell(
      `printf 'A: b\\n\\n'; sleep 1000 </dev/null >/dev/null 2>&1 & echo $!`,
    );
    await outcome;
    const background = Number(/\n\n(\d+)\n$/.exec(stdout.text)?.[1]);
    process.kill(background, 'SIGKILL');
    await vanished(background);
  });
});

describe('The answer of a script', { timeout: 300_000 }, () => {
  it('that answers before it reads is held back until the body has arrived', async () => {
    const stdin = new PassThrough();
    const { stdout, outcome } = runFixture('answers-before-reading.sh', { stdin });
    stdin.write('12345');
    await settled();
    assert.equal(stdout.text, '');
    stdin.end('67890');
    await outcome;
    assert.equal(stdout.text.replace(/ +/g, ' '), 'Content-Type: text/plain\n\nfirst 10\n');
  });

  it('that does not read at all is sent, though more of the body is to come', async () => {
    const stdin = new PassThrough();
    const { stdout, outcome } = runFixture('answers-without-reading.sh', { stdin });
    stdin.write('the body has no end');
    const { status, exit } = await outcome;
    assert.deepEqual([status, exit], [403, { kind: 'exited', code: 0 }]);
    assert.ok(stdout.text.endsWith('not you\n'));
    stdin.destroy();
  });

  it('that does not read a large body is sent, and the rest of the body read', async () => {
    const stdin = Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(100_000)));
    const { stdout, outcome } = runFixture('answers-without-reading.sh', { stdin });
    const { status, exit } = await outcome;
    assert.deepEqual([status, exit], [403, { kind: 'exited', code: 0 }]);
    assert.ok(stdout.text.endsWith('not you\n'));
    if (!stdin.readableEnded) await once(stdin, 'end');
  });

  it('that has closed its standard input is sent while it still runs', async () => {
    const goOn = await fifo();
    const stdin = new PassThrough();
    const { stdout, outcome } = runFixture('closes-stdin.sh', { stdin, args: [fromText(goOn)] });
    const answered = printed(stdout, /stdin closed/);
    // That it is closed shows only when something is written to it.
    const trickle = setInterval(() => stdin.write('more of the body'), 10);
    await answered;
    clearInterval(trickle);
    await writeFile(goOn, '\n');
    assert.deepEqual((await outcome).exit, { kind: 'exited', code: 0 });
    stdin.destroy();
  });

  it('that has closed it though much of the body waits is sent while it still runs', async () => {
    const goOn = await fifo();
    const stdin = new PassThrough();
    stdin.write(Buffer.alloc(1_000_000));
    const closes = `exec <&-; printf 'A: b\\n\\nclosed'; read -r _ < "$1"`;
    const { stdout, outcome } = runShell(closes, { stdin, args: [fromText(goOn)] });
    await printed(stdout, /closed$/);
    await writeFile(goOn, '\n');
    assert.deepEqual((await outcome).exit, { kind: 'exited', code: 0 });
    stdin.destroy();
  });

  it('of 50 MB waits for a web server that reads slowly, and is kept nowhere meanwhile', async () => {
    const stdout = new SlowReader();
    const bytes = 50 * 1024 * 1024;
    const { outcome } = runShell(`printf 'A: b\\n\\n'; head -c ${String(bytes)} /dev/zero`, { stdout });
    assert.equal((await outcome).stdoutBytes, bytes + 6);
    await new Promise((resolve) => stdout.end(resolve));
    assert.equal(stdout.takenBytes, bytes + 6);
    assert.ok(stdout.mostWaiting <= 300_000, `${String(stdout.mostWaiting)} octets waited`);
  });
});
