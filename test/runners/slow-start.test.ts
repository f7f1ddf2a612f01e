import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { before, describe, it } from 'node:test';

import type { OwnedProcess } from '../../src/process/owned-process.js';
import { ProcessRunner } from '../../src/runners/process-runner.js';
import type { RunResult } from '../../src/runners/runner.js';
import { childrenOf, descriptorsOf, isRunning, until } from '../helpers/processes.js';
import { limits, requestBody } from '../helpers/run-fixture.js';
import { Collector, settled } from '../helpers/sinks.js';
import { startProcess } from '../helpers/spawn-method.js';

const variables = new Map([['PATH', '/usr/bin:/bin']]);
const invocation = { file: '/bin/sleep', args: ['1000'], directory: '/', variables };

interface Starting {
  readonly runner: ProcessRunner;
  readonly outcome: Promise<RunResult>;
  readonly body: PassThrough;
  /** Lets the start, which has had the system make the process, come to its end. */
  started: () => Promise<OwnedProcess>;
}

/** A run whose process is there, though nobody has been told of it yet. */
async function begin(signal: AbortSignal): Promise<Starting> {
  const process = await startProcess(invocation);
  let tell: () => void = () => undefined;
  const told = new Promise<OwnedProcess>((resolve) => {
    tell = () => {
      resolve(process);
    };
  });
  const runner = new ProcessRunner(limits, () => told);
  const body = new PassThrough();
  const streams = { stdin: requestBody(body), stdout: new Collector(), stderr: new Collector() };
  const outcome = runner.run(invocation, streams, signal);
  return {
    ...{ runner, outcome, body },
    started: async () => {
      await settled();
      assert.ok(isRunning(process.pid));
      tell();
      return process;
    },
  };
}

describe('A run that is ended while its process is being started', { timeout: 300_000 }, () => {
  const ways = {
    'by its request’s abort': (_runner: ProcessRunner, abort: AbortController): void => {
      abort.abort();
    },
    'with all runs': (runner: ProcessRunner): void => {
      void runner.destroy();
    },
  };
  // What all starts have in common is there from the first one on.
  before(async () => {
    const first = await startProcess(invocation);
    await first.terminate(0);
    for (const stream of [first.stdout, first.stderr]) stream.resume();
  });

  for (const [how, end] of Object.entries(ways)) {
    it(`${how} ends the process as soon as it is there, and leaves nothing`, async () => {
      const descriptors = descriptorsOf(process.pid);
      const abort = new AbortController();
      const { runner, outcome, body, started } = await begin(abort.signal);
      body.write('some of the body');
      end(runner, abort);
      const { pid } = await started();
      const { endedBy, exit, status } = await outcome;
      const terminated = { kind: 'signaled', signal: 'SIGTERM' };
      assert.deepEqual([endedBy, exit, status], ['abort', terminated, undefined]);
      assert.ok(!isRunning(pid));
      body.destroy();
      assert.deepEqual(childrenOf(process.pid), []);
      await until(() => descriptorsOf(process.pid) === descriptors);
    });
  }
});
