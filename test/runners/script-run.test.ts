import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { describe, it } from 'node:test';

import type { ExitStatus } from '../../src/process/exit-status.js';
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
