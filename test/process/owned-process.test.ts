import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';

import type { ExitStatus } from '../../src/process/exit-status.js';
import { loadLibC } from '../../src/posix/libc.js';
import { OwnedProcess, programsLeft } from '../../src/process/owned-process.js';
import { trySignal } from '../../src/process/process-group.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const streams = (): Record<'stdin' | 'stdout' | 'stderr', PassThrough> => ({
  stdin: new PassThrough(),
  stdout: new PassThrough(),
  stderr: new PassThrough(),
});

describe('An owned process', { timeout: 300_000 }, () => {
  it('signals nobody once its group is gone, whose number may be somebody else’s by then', async (t) => {
    const somebody = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    const loaded = loadLibC();
    assert.equal(loaded.kind, 'loaded');
    const gone = t.mock.method(loaded.libc, 'kill', () => -1);
    const exited = Promise.resolve({ kind: 'exited', code: 0 } as const);
    const owned = new OwnedProcess({ pid: somebody.pid ?? 0, ...streams(), exited });
    await owned.exited;
    assert.equal(gone.mock.callCount(), 1);
    gone.mock.restore();
    await owned.terminate(0);
    somebody.kill('SIGINT');
    assert.deepEqual(await once(somebody, 'exit'), [null, 'SIGINT']);
  });

  it('signals nobody where its number is that of a process that was started since', async () => {
    const somebody = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    const exited = Promise.resolve({ kind: 'exited', code: 0 } as const);
    const owned = new OwnedProcess({ pid: somebody.pid ?? 0, ...streams(), exited });
    await owned.exited;
    await owned.terminate(0);
    somebody.kill('SIGINT');
    assert.deepEqual(await once(somebody, 'exit'), [null, 'SIGINT']);
  });

  it('signals nobody once what was left of its group has been seen to be gone', async (t) => {
    let look: () => void = () => assert.fail('nobody looks');
    t.mock.method(globalThis, 'setInterval', (called: () => void) => {
      look = called;
      return { unref: () => undefined };
    });
    const leader = spawn('sh', ['-c', 'exec >&- 2>&-; sleep 1000 &'], { detached: true, stdio: 'ignore' });
    const group = -(leader.pid ?? 0);
    const exited = once(leader, 'exit').then(() => ({ kind: 'exited', code: 0 }) as const);
    const owned = new OwnedProcess({ pid: -group, ...streams(), exited });
    await owned.exited;
    look();
    const loaded = loadLibC();
    assert.equal(loaded.kind, 'loaded');
    const gone = t.mock.method(loaded.libc, 'kill', () => -1);
    look();
    gone.mock.restore();
    const signals = t.mock.method(process, 'kill');
    await owned.terminate(0);
    assert.equal(signals.mock.callCount(), 0);
    trySignal(group, 'SIGKILL');
  });

  it('has ended when it was reaped, and leaves neither streams nor timers', async () => {
    for (const graceMs of [0, 60_000]) {
      const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
      let reap: (exit: ExitStatus) => void = () => undefined;
      const exited = new Promise<ExitStatus>((resolve) => (reap = resolve));
      const owned = new OwnedProcess({ pid: child.pid ?? 0, ...streams(), exited });
      const timers = (): number =>
        process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
      const before = timers();
      let isOver = false;
      const over = owned.terminate(graceMs).then(() => (isOver = true));
      await once(child, 'exit');
      await new Promise(setImmediate);
      assert.equal(isOver, false);
      reap({ kind: 'signaled', signal: 'SIGTERM' });
      await over;
      assert.deepEqual(
        [owned.stdin, owned.stdout, owned.stderr].map(({ destroyed }) => destroyed),
        [true, true, true],
      );
      assert.equal(timers(), before);
    }
  });

  it('that has become another user’s is given up, and counted until it ends', async (t) => {
    const denied = Object.assign(new Error('not permitted'), { code: 'EPERM' });
    const loaded = loadLibC();
    assert.equal(loaded.kind, 'loaded');
    t.mock.method(loaded.libc, 'kill', () => -1);
    t.mock.method(process, 'kill', () => {
      throw denied;
    });
    let end: (exit: ExitStatus) => void = () => undefined;
    const exited = new Promise<ExitStatus>((resolve) => (end = resolve));
    const owned = new OwnedProcess({ pid: 4_711, ...streams(), exited });
    await owned.terminate(0);
    assert.deepEqual([owned.stdout.destroyed, programsLeft()], [true, 1]);
    end({ kind: 'exited', code: 0 });
    await owned.exited;
    await new Promise(setImmediate);
    assert.equal(programsLeft(), 0);
  });

  it('that SIGKILL does not end in time is given up, too', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const loaded = loadLibC();
    assert.equal(loaded.kind, 'loaded');
    t.mock.method(loaded.libc, 'kill', () => 0);
    const sent = t.mock.method(process, 'kill', () => true);
    let end: (exit: ExitStatus) => void = () => undefined;
    const exited = new Promise<ExitStatus>((resolve) => (end = resolve));
    const owned = new OwnedProcess({ pid: 4_711, ...streams(), exited });
    let isGivenUp = false;
    void owned.terminate(0).then(() => (isGivenUp = true));
    for (const ms of [1, 14_000, 1_000]) {
      assert.ok(!isGivenUp);
      await new Promise(setImmediate);
      t.mock.timers.tick(ms);
      await new Promise(setImmediate);
    }
    assert.deepEqual([isGivenUp, programsLeft()], [true, 1]);
    assert.deepEqual(
      sent.mock.calls.map((call) => call.arguments),
      [
        [-4_711, 'SIGTERM'],
        [-4_711, 'SIGKILL'],
      ],
    );
    end({ kind: 'exited', code: 0 });
    await owned.exited;
    await new Promise(setImmediate);
    assert.equal(programsLeft(), 0);
  });

  it('that is ended by the end of its input has SIGTERM reach what is left of it', async () => {
    const heard = join(await temporaryDirectory(), 'heard');
    const script = `(trap 'echo > ${heard}; exit' TERM; echo ready; while :; do sleep 0.02; done) & wait`;
    const child = spawn('sh', ['-c', script], { detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    const exited = once(child, 'exit').then(() => ({ kind: 'signaled', signal: 'SIGKILL' }) as const);
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    while (!text.includes('ready')) await once(child.stdout, 'data');
    await new OwnedProcess({
      pid: child.pid ?? 0,
      ...{ stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, exited },
    }).terminate(3_000, 'end-of-input');
    assert.ok(existsSync(heard));
  });
});
