import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { appStatusOf, describeExit, exitStatus, exitStatusOfWait } from '../../src/process/exit-status.js';

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

describe('What waitpid says', () => {
  it('is an exit status or a signal, with or without a core', () => {
    assert.deepEqual(exitStatusOfWait(0), { kind: 'exited', code: 0 });
    assert.deepEqual(exitStatusOfWait(255 << 8), { kind: 'exited', code: 255 });
    assert.deepEqual(exitStatusOfWait(15), { kind: 'signaled', signal: 'SIGTERM' });
    assert.deepEqual(exitStatusOfWait(11 | 0x80), { kind: 'signaled', signal: 'SIGSEGV' });
  });

  it('is no success where a real-time signal has ended the process', () => {
    const status = exitStatusOfWait(35);
    assert.deepEqual(status, { kind: 'signaled', signal: 'SIG35' });
    assert.equal(appStatusOf(status), 163);
  });
});
