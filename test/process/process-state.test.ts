import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import { hasEnded, isEnding } from '../../src/process/process-state.js';
import { startZombie } from '../helpers/zombie.js';

describe('A process', { timeout: 60_000 }, () => {
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

  it('has as good as ended when the system has begun to close what it has open', () => {
    const rest = '1 1 0 -1 4194560 100 0 0 0 0 0 0 0 20 0 1';
    assert.equal(isEnding(`7 (a) Z 1 (b) R 1 ${rest}`), false);
    assert.equal(isEnding(`7 (a) Z 1 (b) S 1 ${rest}`), false);
    assert.equal(isEnding(`7 (sh) Z 1 ${rest}`), true);
    assert.equal(isEnding(`7 (sh) R 1 ${rest.replace('4194560', '4194564')}`), true);
  });
});
