import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { History, PERIOD_MS, PERIODS } from '../../../src/observe/status/history.js';

let now: number;
let history: History;
beforeEach(() => {
  now = 5_000;
  history = new History(() => now);
});

describe('The history of a site', () => {
  it('is of one period at first, in which nothing has happened', () => {
    assert.deepEqual(history.activity, {
      ...{ requestsPerSecond: 0, maxRunning: 0, maxWaiting: 0, periodMs: PERIOD_MS },
      ...{ requests: [0], errors: [0], running: [0], waiting: [0] },
    });
  });

  it('counts in the period in which a request has ended', () => {
    history.ended(false);
    now += PERIOD_MS;
    history.ended(true);
    history.ended(false);
    now += 2 * PERIOD_MS;
    history.ended(true);
    const { requests, errors } = history.activity;
    assert.deepEqual(
      [requests, errors],
      [
        [1, 2, 0, 1],
        [0, 1, 0, 1],
      ],
    );
  });

  it('has the most that ran and waited at once in each period, and what still does in those after it', () => {
    history.load(1, 0);
    history.load(4, 9);
    history.load(2, 0);
    now += 2 * PERIOD_MS;
    assert.deepEqual(history.activity.running, [4, 2, 2]);
    history.load(0, 0);
    now += PERIOD_MS;
    const { running, waiting, maxRunning, maxWaiting } = history.activity;
    assert.deepEqual(
      [running, waiting],
      [
        [4, 2, 2, 0],
        [9, 0, 0, 0],
      ],
    );
    assert.deepEqual([maxRunning, maxWaiting], [4, 9]);
  });

  it('has the rate of the present period and the one before', () => {
    now += 100;
    history.ended(false);
    history.ended(false);
    assert.equal(history.activity.requestsPerSecond, 2, 'not 20, a tenth of a second after the start');
    now += 3_900;
    assert.equal(history.activity.requestsPerSecond, 0.5);
    now += PERIOD_MS;
    assert.equal(history.activity.requestsPerSecond, 2 / 14);
    now += PERIOD_MS;
    assert.equal(history.activity.requestsPerSecond, 0);
  });

  it('forgets what is older than its ring is long, however long nothing happens, but not the most', () => {
    history.ended(true);
    history.load(7, 0);
    history.load(1, 0);
    now += (PERIODS - 1) * PERIOD_MS;
    const full = history.activity;
    assert.deepEqual(
      [full.requests.length, full.requests[0], full.errors[0], full.running[0]],
      [PERIODS, 1, 1, 7],
    );
    now += PERIOD_MS;
    const later = history.activity;
    assert.deepEqual([later.requests.length, later.requests[0], later.running[0]], [PERIODS, 0, 1]);
    now += 1_000_000 * PERIOD_MS;
    history.ended(false);
    const { requests, running, maxRunning } = history.activity;
    assert.deepEqual([requests.length, requests.at(-1), requests.at(-2), running[0]], [PERIODS, 1, 0, 1]);
    assert.equal(maxRunning, 7);
  });
});
