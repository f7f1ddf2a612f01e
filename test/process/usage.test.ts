import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { usageOf } from '../../src/process/process-group.js';
import { until } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';

describe('What the processes of a request use', () => {
  it('is that of the process and of its descendants', { skip: process.platform !== 'linux' }, async () => {
    const child = spawn(
      'sh',
      ['-c', 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; (sleep 60; :) ; :'],
      {
        detached: true,
        stdio: 'ignore',
      },
    );
    const pid = child.pid ?? assert.fail();
    try {
      await until(() => Promise.resolve(usageOf(pid).some(({ command }) => command === 'sleep')));
      const used = usageOf(pid);
      const [first] = used;
      assert.ok(first);
      assert.equal(first.pid, pid);
      assert.deepEqual(
        used.map(({ command }) => command),
        ['sh', 'sh', 'sleep'],
      );
      assert.ok(first.cpuMs >= 10 && first.cpuMs < 60_000, String(first.cpuMs));
      for (const { residentBytes } of used) assert.ok(residentBytes > 100_000 && residentBytes < 100_000_000);
    } finally {
      process.kill(-pid, 'SIGKILL');
    }
  });

  it('is read past a name that looks like the end of a name, and of some processes only', async () => {
    const proc = await temporaryDirectory();
    for (let pid = 1; pid < 40; pid += 1) {
      const directory = join(proc, String(pid));
      await mkdir(join(directory, 'task', String(pid)), { recursive: true });
      await writeFile(
        join(directory, 'stat'),
        `${String(pid)} (a) R 9 (b) S 1 1 1 0 -1 0 0 0 0 0 1 20 300 4000 20 0 1 0 5 6 7\n`,
      );
      await writeFile(join(directory, 'status'), 'Name:\tx\nVmRSS:\t      12 kB\n');
      // The last one says that it has started the first.
      await writeFile(join(directory, 'task', String(pid), 'children'), `${String((pid % 39) + 1)} 77 `);
    }
    const used = usageOf(30, proc);
    assert.deepEqual(used[0], { pid: 30, command: 'a) R 9 (b', cpuMs: 43_210, residentBytes: 12_288 });
    assert.equal(used.length, 16);
    assert.equal(new Set(used.map(({ pid }) => pid)).size, 16);
  });

  it('is not known where there is no such process, or no /proc', () => {
    assert.deepEqual(usageOf(2 ** 30), []);
    assert.deepEqual(usageOf(process.pid, '/nonexistent'), []);
  });
});
