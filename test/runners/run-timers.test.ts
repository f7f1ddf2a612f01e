import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { RunTimers } from '../../src/runners/run-timers.js';

const limits = {
  startTimeoutMs: 600_000,
  idleTimeoutMs: 600_000,
  maxTimeMs: 600_000,
  killGraceMs: 0,
  maxHeaderBytes: 0,
  stderrTailBytes: 0,
  holdBytes: 0,
  holdAnswerBytes: 0,
};

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('The clocks of a run', () => {
  it('are gone once they are cleared, although octets still come and the body ends', () => {
    const before = timers();
    const clocks = new RunTimers(limits, () => undefined);
    clocks.bodyTaken();
    assert.equal(timers(), before + 3);
    clocks.clear();
    clocks.progress();
    clocks.bodyTaken();
    assert.equal(timers(), before);
  });
});
