import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, beforeEach, describe, it } from 'node:test';

import type { ExitStatus } from '../../src/process/exit-status.js';
import { OwnedProcess } from '../../src/process/owned-process.js';
import { ProcessRunner } from '../../src/runners/process-runner.js';
import type { RunLimits, RunResult } from '../../src/runners/runner.js';
import { type Clock, mockClock } from '../helpers/clock.js';
import { until } from '../helpers/processes.js';
import { limits, requestBody } from '../helpers/run-fixture.js';
import { Collector, settled } from '../helpers/sinks.js';
import { startZombie } from '../helpers/zombie.js';

const killed: ExitStatus = { kind: 'signaled', signal: 'SIGKILL' };

interface Late {
  readonly outcome: Promise<RunResult>;
  isAnswered: () => boolean;
  tellExit: (status: ExitStatus) => void;
}

/** Runs what has closed its outputs in the middle of its answer, and whose end is told when the test says so. */
function runLate(
  pid: number,
  answer = 'Content-Type: text/plain\n\nonly the beginn',
  own: Partial<RunLimits> = {},
): Late {
  let tellExit: (status: ExitStatus) => void = () => undefined;
  const exited = new Promise<ExitStatus>((resolve) => {
    tellExit = resolve;
  });
  const stdout = Readable.from([Buffer.from(answer)]);
  const started = new OwnedProcess({
    ...{ pid, exited, stdout },
    stdin: new PassThrough().resume(),
    stderr: Readable.from([]),
  });
  let answered = false;
  const runner = new ProcessRunner({ ...limits, maxTimeMs: 0, ...own }, () => Promise.resolve(started));
  const streams = {
    stdin: requestBody(Readable.from([])),
    stdout: new Collector(),
    stderr: new Collector(),
    onAnswered: () => {
      answered = true;
    },
  };
  const invocation = { file: '/script', args: [], directory: '/', variables: new Map<string, string>() };
  const outcome = runner.run(invocation, streams, new AbortController().signal);
  return { outcome, isAnswered: () => answered, tellExit };
}

describe('A script that has closed both outputs', { timeout: 300_000 }, () => {
  let clock: Clock;
  beforeEach(() => {
    clock = mockClock();
  });
  afterEach(() => {
    clock.restore();
  });

  it('has answered if it lives on', async () => {
    const { outcome, isAnswered, tellExit } = runLate(process.pid);
    await until(() => clock.running === 1);
    clock.tick(100);
    assert.equal(isAnswered(), true);
    tellExit({ kind: 'exited', code: 0 });
    await outcome;
  });

  it('has not answered by a part of what it has announced, held or not', async () => {
    const part = 'Content-Length: 50\n\na part';
    for (const [holdUntilExitBytes, held, sent] of [
      [1_000, true, 0],
      [0, false, part.length],
    ] as const) {
      const { outcome, isAnswered, tellExit } = runLate(process.pid, part, { holdUntilExitBytes });
      await until(() => clock.running === 1);
      clock.tick(100);
      assert.equal(isAnswered(), false);
      tellExit({ kind: 'exited', code: 0 });
      const { isShort, isWithheld, stdoutBytes } = await outcome;
      assert.deepEqual([isShort, isWithheld, stdoutBytes], [true, held, sent]);
    }
  });

  it('is waited for if it has ended and nobody has told so yet, since a signal may have ended it', async () => {
    const zombie = await startZombie();
    try {
      const { outcome, isAnswered, tellExit } = runLate(zombie.pid);
      await until(() => clock.running === 1);
      clock.tick(100);
      await settled();
      assert.equal(isAnswered(), false);
      tellExit(killed);
      assert.deepEqual((await outcome).exit, killed);
    } finally {
      await zombie.reaped();
    }
  });
});
