import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { describe, it } from 'node:test';

import type { ExitStatus } from '../../src/process/exit-status.js';
import type { RequestBody } from '../../src/runners/request-body.js';
import type { RunLimits, RunResult } from '../../src/runners/runner.js';
import { ScriptRun } from '../../src/runners/script-run.js';
import { mockClock } from '../helpers/clock.js';
import { limits, requestBody } from '../helpers/run-fixture.js';
import { Collector, settled } from '../helpers/sinks.js';

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('The clocks of a run', () => {
  it('are gone once its script has exited, although octets still come and the body ends', async () => {
    const before = timers();
    let exit = (): void => undefined;
    const exited = new Promise<{ kind: 'exited'; code: number }>((resolve) => {
      exit = () => {
        resolve({ kind: 'exited', code: 0 });
      };
    });
    const stdin = new PassThrough();
    const body = new PassThrough();
    const run = new ScriptRun(
      {
        ...{ pid: process.pid, stdin, stdout: Readable.from([]), stderr: Readable.from([]) },
        ...{ exited, hasEnded: true, terminate: () => Promise.resolve() },
      },
      { file: '/script', args: [], directory: '/', variables: new Map() },
      { stdin: requestBody(body), stdout: new Collector(), stderr: new Collector() },
      { ...limits, startTimeoutMs: 600_000, idleTimeoutMs: 600_000, maxTimeMs: 600_000 },
    );
    const result = run.result(new AbortController().signal);
    await settled();
    assert.ok(timers() > before);
    exit();
    await result;
    body.end('late');
    await settled();
    assert.equal(timers(), before);
  });

  it('go on while octets of a body come that its script has not read, as it waits for us to take its answer', async () => {
    const clock = mockClock();
    try {
      const ended: string[] = [];
      let exit = (): void => undefined;
      const exited = new Promise<ExitStatus>((resolve) => {
        exit = () => {
          resolve({ kind: 'signaled', signal: 'SIGTERM' });
        };
      });
      const [stdout, stderr, source] = [new PassThrough(), new PassThrough(), new PassThrough()];
      const body = requestBody(source);
      const run = new ScriptRun(
        {
          ...{ pid: process.pid, stdin: new Writable({ write: () => undefined }), stdout, stderr },
          ...{ exited, hasEnded: true },
          terminate: () => {
            ended.push('ended');
            for (const stream of [stdout, stderr]) stream.destroy();
            exit();
            return Promise.resolve();
          },
        },
        { file: '/script', args: [], directory: '/', variables: new Map() },
        { stdin: body, stdout: new Collector(), stderr: new Collector() },
        { ...limits, startTimeoutMs: 0, idleTimeoutMs: 1_000, maxTimeMs: 0 },
      );
      const result = run.result(new AbortController().signal);
      stdout.write(`Content-Type: text/plain\n\n${'x'.repeat(2 * limits.holdDuringUploadBytes)}`);
      await settled();
      for (let piece = 0; piece < 6; piece += 1) {
        clock.tick(600);
        const arrived = once(body, 'arrival');
        source.write(Buffer.alloc(65_536));
        await arrived;
        assert.deepEqual(ended, []);
      }
      clock.tick(1_000);
      assert.deepEqual(ended, ['ended']);
      assert.equal((await result).endedBy, 'idle-timeout');
    } finally {
      clock.restore();
    }
  });
});

describe('A run', () => {
  interface Begun {
    readonly run: ScriptRun;
    readonly result: Promise<RunResult>;
    readonly stdout: PassThrough;
    readonly stderr: PassThrough;
    readonly body: RequestBody;
    readonly isTerminated: () => boolean;
    readonly exit: () => Promise<RunResult>;
  }

  function begin({
    own = {},
    isAnswered,
    signal = new AbortController().signal,
    hasBody = false,
    hasEnded = true,
    method = 'GET',
    canBeEnded = true,
  }: {
    own?: Partial<RunLimits>;
    isAnswered?: boolean;
    signal?: AbortSignal;
    hasBody?: boolean;
    hasEnded?: boolean;
    method?: string;
    canBeEnded?: boolean;
  } = {}): Begun {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const body = requestBody(hasBody ? new PassThrough() : Readable.from([]));
    let isTerminated = false;
    let exited: (exit: ExitStatus) => void = () => undefined;
    const run = new ScriptRun(
      {
        ...{ pid: process.pid, stdin, stdout, stderr, hasEnded },
        exited: new Promise((resolve) => (exited = resolve)),
        ...(isAnswered !== undefined && { isAnswered }),
        terminate: () => {
          isTerminated = true;
          for (const stream of [stdin, stdout, stderr]) stream.destroy();
          if (canBeEnded) exited({ kind: 'signaled', signal: 'SIGTERM' });
          return Promise.resolve();
        },
      },
      { file: '/script', args: [], directory: '/', variables: new Map([['REQUEST_METHOD', method]]) },
      { stdin: body, stdout: new Collector(), stderr: new Collector() },
      { ...limits, ...own },
    );
    const result = run.result(signal);
    const exit = (): Promise<RunResult> => {
      for (const stream of [stdout, stderr]) stream.end();
      exited({ kind: 'exited', code: 0 });
      return result;
    };
    return { run, result, stdout, stderr, body, isTerminated: () => isTerminated, exit };
  }
  const complete = 'Content-Length: 2\n\nok';

  it('is ended where nobody wants it from the beginning', async () => {
    const { result, isTerminated } = begin({ signal: AbortSignal.abort(new Error('left')) });
    assert.deepEqual([(await result).endedBy, isTerminated()], ['abort', true]);
  });

  it('goes on where the web server leaves with a whole response, unless somebody cancels it', async () => {
    const { run, result, isTerminated } = begin();
    run.aborted();
    assert.equal(isTerminated(), true, 'before it');
    await result;
    const other = begin();
    other.stdout.write(complete);
    await settled();
    other.run.aborted();
    assert.equal(other.isTerminated(), false);
    other.run.end('cancelled');
    assert.equal(other.isTerminated(), true);
    assert.equal((await other.result).endedBy, 'cancelled');
  });

  it('is ended where the web server leaves and nothing was sent of a whole response', async () => {
    const { run, result, stdout, isTerminated } = begin({ own: { holdUntilExitBytes: 1_000 } });
    stdout.write(complete);
    await settled();
    run.aborted();
    assert.equal(isTerminated(), true);
    assert.equal((await result).endedBy, 'abort');
  });

  it('is ended by --idle-timeout where its script goes on for ever after a whole response', async () => {
    const clock = mockClock();
    try {
      const { run, result, stdout, isTerminated } = begin({ own: { idleTimeoutMs: 1_000 } });
      stdout.write('Content-Length: 4\n\nok');
      await settled();
      clock.tick(600);
      stdout.write('ok');
      await settled();
      run.aborted();
      clock.tick(600);
      assert.equal(isTerminated(), false, 'a second after the last byte');
      stdout.write('and more');
      await settled();
      clock.tick(400);
      assert.equal(isTerminated(), true);
      const { endedBy, isWhole } = await result;
      assert.deepEqual([endedBy, isWhole], ['idle-timeout', true]);
    } finally {
      clock.restore();
    }
  });

  it('is ended by --idle-timeout where its script writes to standard error only', async () => {
    const clock = mockClock();
    try {
      const { result, stderr, isTerminated } = begin({ own: { idleTimeoutMs: 1_000 } });
      await settled();
      clock.tick(600);
      stderr.write('still waiting\n');
      await settled();
      clock.tick(400);
      assert.equal(isTerminated(), true);
      assert.equal((await result).endedBy, 'idle-timeout');
    } finally {
      clock.restore();
    }
  });

  it('goes on where the web server leaves with the header that HEAD wants, until --idle-timeout', async () => {
    const clock = mockClock();
    try {
      const { run, result, stdout, isTerminated } = begin({ own: { idleTimeoutMs: 1_000 }, method: 'HEAD' });
      stdout.write('Status: 200 OK\n\n');
      await settled();
      run.aborted();
      clock.tick(600);
      assert.equal(isTerminated(), false);
      stdout.write('a body without end');
      await settled();
      clock.tick(400);
      const { endedBy, isWhole } = await result;
      assert.deepEqual([endedBy, isWhole], ['idle-timeout', true]);
    } finally {
      clock.restore();
    }
  });

  it('is ended by --max-time alone where its script lives on with both outputs closed', async () => {
    const clock = mockClock();
    try {
      const own = { idleTimeoutMs: 1_000, maxTimeMs: 10_000 };
      const { result, stdout, stderr, isTerminated } = begin({ own, hasEnded: false });
      stdout.end('Status: 200 OK\n\nall');
      stderr.end();
      await settled();
      for (const ms of [100, 5_000]) clock.tick(ms);
      assert.equal(isTerminated(), false);
      clock.tick(5_000);
      assert.equal((await result).endedBy, 'max-time');
    } finally {
      clock.restore();
    }
  });

  it('goes on where its body is lost after a whole response, and is ended before', async () => {
    const { stdout, body, isTerminated, exit } = begin({ hasBody: true });
    stdout.write(complete);
    await settled();
    body.destroy(new Error('the disk is full'));
    await settled();
    assert.equal(isTerminated(), false);
    await exit();
    const other = begin({ hasBody: true });
    other.body.destroy(new Error('the disk is full'));
    assert.equal((await other.result).endedBy, 'spool-error');
  });

  it('is over, too, where its script can’t be ended, and tells when that ends', async () => {
    const { run, result, exit } = begin({ canBeEnded: false });
    run.end('idle-timeout');
    const { status, endedBy, exit: exited, runsOnUntil } = await result;
    assert.deepEqual([status, endedBy, exited], [undefined, 'idle-timeout', undefined]);
    await exit();
    assert.deepEqual(await runsOnUntil, { kind: 'exited', code: 0 });
  });

  it('tells what it was ended for first', async () => {
    const { run, result } = begin();
    run.end('idle-timeout');
    run.end('abort');
    assert.equal((await result).endedBy, 'idle-timeout');
  });

  it('has a status where the web server has seen a part of its response, and none where not', async () => {
    const { run, result, stdout } = begin();
    stdout.write('Status: 200 OK\n\npart');
    await settled();
    run.end('max-time');
    assert.equal((await result).status, 200);
    const other = begin({ own: { holdUntilExitBytes: 1_000 } });
    other.stdout.write('Status: 200 OK\n\npart');
    await settled();
    other.run.end('max-time');
    assert.equal((await other.result).status, undefined);
  });

  it('has its response held and thrown away where its application has not said that it is whole', async () => {
    for (const isAnswered of [true, false]) {
      const { stdout, exit } = begin({ own: { holdUntilExitBytes: 1_000 }, isAnswered });
      stdout.write('Status: 200 OK\n\nall or part');
      await settled();
      assert.equal((await exit()).isWithheld, !isAnswered);
    }
  });
});
