import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { firstBackoff } from '../../../src/runners/worker/supervisor.js';
import {
  type Actual,
  policy,
  type Step,
  type WorkerEvent,
} from '../../../src/runners/worker/restart-policy.js';

/** A cell in words: the next state, what becomes of the failures in a row, and when another process is started. */
function cell(actual: Actual, event: WorkerEvent): string {
  const step: Step = policy[actual][event];
  return [step.actual, step.failuresInARow, step.restart].filter((word) => word !== undefined).join(', ');
}

const expected: Record<Actual, Record<WorkerEvent, string>> = {
  absent: {
    due: 'unproven',
    lasts: 'absent',
    answered: 'absent, forgotten',
    'exited-zero': 'absent',
    'exited-otherwise': 'absent',
    'not-started': 'absent, one-more, after-backoff',
    dismissed: 'absent',
  },
  unproven: {
    due: 'unproven',
    lasts: 'unproven, forgotten',
    answered: 'proven, forgotten',
    'exited-zero': 'absent, one-more, after-backoff',
    'exited-otherwise': 'absent, one-more, after-backoff',
    'not-started': 'absent, one-more, after-backoff',
    dismissed: 'ending',
  },
  proven: {
    due: 'proven',
    lasts: 'proven',
    answered: 'proven, forgotten',
    'exited-zero': 'absent, forgotten, at-once',
    'exited-otherwise': 'absent, one-more, after-backoff',
    'not-started': 'absent, one-more, after-backoff',
    dismissed: 'ending',
  },
  ending: {
    due: 'ending',
    lasts: 'ending',
    answered: 'ending, forgotten',
    'exited-zero': 'absent, at-once',
    'exited-otherwise': 'absent, at-once',
    'not-started': 'absent, after-backoff',
    dismissed: 'ending',
  },
};

describe('The restart policy', () => {
  for (const [actual, events] of Object.entries(expected)) {
    for (const [event, words] of Object.entries(events)) {
      it(`makes of a worker that is ${actual} and ${event}: ${words}`, () => {
        assert.equal(cell(actual as Actual, event as WorkerEvent), words);
      });
    }
  }

  it('has no cell besides', () => {
    assert.deepEqual(Object.keys(policy), Object.keys(expected));
    for (const events of Object.values(policy)) {
      assert.deepEqual(Object.keys(events), Object.keys(expected.absent));
    }
  });
});

describe('The backoff', () => {
  it('doubles from 100 ms to ten seconds, and changes no step that somebody has', () => {
    const delays: number[] = [];
    for (let step = firstBackoff; delays.length < 9; step = step.next()) delays.push(step.delayMs);
    assert.deepEqual(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    assert.equal(firstBackoff.delayMs, 100);
    assert.equal(firstBackoff.next().delayMs, 200);
    assert.ok(Object.isFrozen(firstBackoff));
  });
});
