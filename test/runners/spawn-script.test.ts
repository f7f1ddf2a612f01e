import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';

import { setLimits, startLimited } from '../../src/process/limits.js';
import type { OwnedProcess } from '../../src/process/owned-process.js';
import { chooseStart } from '../../src/process/start-process.js';
import { spawnScript } from '../../src/runners/start-queue.js';

const invocation = { file: '/x', args: [], directory: '/', variables: new Map<string, string>() };

/** Starts that come to something when they are told to. */
class Starts {
  readonly begun: ((process: OwnedProcess) => void)[] = [];
  readonly terminated: OwnedProcess[] = [];

  readonly start = (): Promise<OwnedProcess> => new Promise((resolve) => this.begun.push(resolve));

  process(): OwnedProcess {
    const terminate = (): Promise<void> => {
      this.terminated.push(started);
      return Promise.resolve();
    };
    const started = { terminate } as unknown as OwnedProcess;
    return started;
  }
}

const turn = (): Promise<void> => new Promise(setImmediate);
const never = new AbortController().signal;

describe('A program that does not start', () => {
  it('is given up in time, and ended should it start after all', async () => {
    const starts = new Starts();
    const started = spawnScript(starts.start, 20)(invocation, never);
    await assert.rejects(started, {
      code: 'ERR_LOOK_UP_TIMEOUT',
      message: 'no file system has let the program start within 20 ms (--look-up-timeout)',
    });
    const late = starts.process();
    starts.begun[0]?.(late);
    await turn();
    assert.deepEqual(starts.terminated, [late]);
  });

  it('holds two threads of its runner, and none of another one’s', async () => {
    const [starts, others] = [new Starts(), new Starts()];
    const start = spawnScript(starts.start, 20);
    const asked = [1, 2, 3].map(() => start(invocation, never));
    for (const each of asked) await assert.rejects(each, { code: 'ERR_LOOK_UP_TIMEOUT' });
    assert.equal(starts.begun.length, 2);
    const end = starts.process();
    for (const begun of starts.begun) begun(end);
    await turn();
    const other = spawnScript(others.start, 1_000)(invocation, never);
    const process = others.process();
    others.begun[0]?.(process);
    assert.equal(await other, process);
  });

  it('is waited for a moment when its request leaves, and then ended should it start', async (t) => {
    const starts = new Starts();
    const start = spawnScript(starts.start, 0);
    const leaving = new AbortController();
    const quick = start(invocation, leaving.signal);
    leaving.abort(new Error('left'));
    await turn();
    const process = starts.process();
    starts.begun[0]?.(process);
    assert.equal(await quick, process, 'whoever has asked ends it');
    mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => {
      mock.timers.reset();
    });
    const left = new AbortController();
    const stuck = start(invocation, left.signal);
    const isLeft = assert.rejects(stuck, { message: 'left' });
    left.abort(new Error('left'));
    await turn();
    mock.timers.tick(1_000);
    await isLeft;
    starts.begun[1]?.(process);
    await turn();
    assert.deepEqual(starts.terminated, [process]);
  });

  it('waits for no thread to look at its interpreter while it has one to start', async () => {
    const limits = await setLimits({ memoryBytes: undefined, cpuSeconds: 600, niceness: undefined }, () =>
      Promise.resolve('/usr/bin/prlimit'),
    );
    const start = spawnScript(startLimited(chooseStart('auto').start, limits), 0);
    const asked = Array.from({ length: 8 }, () => start({ ...invocation, file: '/bin/true' }, never));
    const exits = (await Promise.all(asked)).map(async ({ stdout, stderr, exited }) => {
      stdout.resume();
      stderr.resume();
      return exited;
    });
    assert.deepEqual(await Promise.all(exits), Array(8).fill({ kind: 'exited', code: 0 }));
  });
});
