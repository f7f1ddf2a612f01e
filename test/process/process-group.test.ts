import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { describe, it, mock } from 'node:test';

import { exists, groupRuns, hasEnded, isEnding, trySignal } from '../../src/process/process-group.js';
import { startZombie } from '../helpers/zombie.js';

/** Prints the id of a child that leads a group of its own and has ended, and does not wait for it. */
const zombieGroup = `import os, sys
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print(child, flush=True)
sys.stdin.read()`;

describe('A process group', () => {
  it('runs as long as one of its processes does', async () => {
    const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    const group = child.pid ?? 0;
    assert.equal(await groupRuns(group), true);
    assert.equal(trySignal(-group, 'SIGKILL'), true);
    await once(child, 'exit');
    assert.equal(await groupRuns(group), false);
    assert.equal(trySignal(-group, 'SIGTERM'), false);
  });

  it('does not run when nobody has waited for the ended processes that are left of it', async () => {
    const parent = spawn('/usr/bin/python3', ['-c', zombieGroup], { stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      const [printed] = (await once(parent.stdout, 'data')) as [Buffer];
      const group = Number(printed.toString());
      assert.equal(trySignal(-group, 0), true);
      assert.equal(await groupRuns(group), false);
    } finally {
      parent.stdin.end();
      await once(parent, 'exit');
    }
  });
});

describe('/proc', () => {
  const failing = (code: string) => (): never => {
    throw Object.assign(new Error(code), { code });
  };

  /** With the functions of `node:fs` that read /proc taken over. */
  async function reading<T>(
    functions: { readFileSync?: () => string; readdir?: () => Promise<string[]> },
    asked: () => Promise<T>,
  ): Promise<T> {
    const { readFileSync = fs.readFileSync, readdir = fs.promises.readdir } = functions;
    const read = mock.method(fs, 'readFileSync', readFileSync as never);
    const list = mock.method(fs.promises, 'readdir', readdir as never);
    syncBuiltinESMExports();
    try {
      return await asked();
    } finally {
      read.mock.restore();
      list.mock.restore();
      syncBuiltinESMExports();
    }
  }

  it('says of no group that it is gone where it can’t be read', async () => {
    const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    const asked = (): Promise<boolean> => groupRuns(child.pid ?? 0);
    assert.equal(await reading({ readFileSync: failing('EMFILE') }, asked), true);
    assert.equal(await reading({ readdir: failing('EMFILE') }, asked), true);
    assert.equal(await reading({ readFileSync: failing('ENOENT') }, asked), false);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  it('is read once for all groups that are asked for, and other work goes on meanwhile', async () => {
    const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    let turns = 0;
    let lists = 0;
    const seenAt: number[] = [];
    let next = setImmediate(function count() {
      turns += 1;
      next = setImmediate(count);
    });
    const readdir = (): Promise<string[]> => {
      lists += 1;
      return Promise.resolve(['self', ...Array.from({ length: 3_000 }, (_, index) => String(index))]);
    };
    const readFileSync = (): string => {
      seenAt.push(turns);
      return `1 (sh) S 1 ${String(child.pid)} ${'0 '.repeat(Math.max(0, 3_000 - seenAt.length))}`;
    };
    const groups = Array.from({ length: 30 }, () => child.pid ?? 0);
    const running = await reading({ readdir, readFileSync }, () => Promise.all(groups.map(groupRuns)));
    clearImmediate(next);
    assert.deepEqual([lists, new Set(running)], [1, new Set([true])]);
    assert.ok((seenAt.at(-1) ?? 0) > (seenAt[0] ?? 0));
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
});

describe('A process', { timeout: 300_000 }, () => {
  it('has not ended as long as it runs', async () => {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    const pid = child.pid ?? 0;
    assert.equal(hasEnded(pid), false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(hasEnded(pid), true);
  });

  it('has ended also where nobody has waited for it', async () => {
    const zombie = await startZombie();
    try {
      assert.equal(hasEnded(zombie.pid), true);
    } finally {
      await zombie.reaped();
    }
  });

  it('is there also where it is another user’s, whom nobody may signal', (t) => {
    const kill = t.mock.method(process, 'kill', () => {
      throw Object.assign(new Error('kill'), { code: 'EPERM' });
    });
    assert.deepEqual([exists(4711), trySignal(-4711, 'SIGTERM')], [true, false]);
    kill.mock.mockImplementation(() => {
      throw Object.assign(new Error('kill'), { code: 'ESRCH' });
    });
    assert.deepEqual([exists(4711), trySignal(-4711, 'SIGTERM')], [false, false]);
  });

  it('has as good as ended when the system has begun to close what it has open', () => {
    const rest = '1 1 0 -1 4194560 100 0 0 0 0 0 0 0 20 0 1';
    assert.equal(isEnding(`7 (a) Z 1 (b) R 1 ${rest}`), false);
    assert.equal(isEnding(`7 (a) Z 1 (b) S 1 ${rest}`), false);
    assert.equal(isEnding(`7 (sh) Z 1 ${rest}`), true);
    assert.equal(isEnding(`7 (sh) R 1 ${rest.replace('4194560', '4194564')}`), true);
  });
});
