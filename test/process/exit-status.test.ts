import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { appStatusOf, describeExit, exitStatus } from '../../src/process/exit-status.js';

describe('How a process ended', () => {
  it('is its exit status where it ended by itself', () => {
    const status = exitStatus(3, null);
    assert.deepEqual(status, { kind: 'exited', code: 3 });
    assert.equal(appStatusOf(status), 3);
    assert.equal(describeExit(status), 'exit status 3');
    assert.equal(appStatusOf(exitStatus(0, null)), 0);
    assert.equal(appStatusOf(exitStatus(255, null)), 255);
  });

  it('is the signal where one ended it, as 128 and its number in an appStatus', () => {
    const status = exitStatus(null, 'SIGKILL');
    assert.deepEqual(status, { kind: 'signaled', signal: 'SIGKILL' });
    assert.equal(appStatusOf(status), 137);
    assert.equal(describeExit(status), 'signal SIGKILL');
    assert.equal(appStatusOf(exitStatus(null, 'SIGTERM')), 143);
    assert.equal(appStatusOf(exitStatus(null, 'SIGPIPE')), 141);
  });
});
