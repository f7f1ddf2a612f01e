import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { Timer } from '../../src/base/timer.js';
import { type Clock, mockClock } from '../helpers/clock.js';

describe('A timer', () => {
  let clock: Clock;
  let timer: Timer;
  let expired: number;
  beforeEach(() => {
    clock = mockClock();
    expired = 0;
    timer = new Timer(100, () => (expired += 1));
  });
  afterEach(() => {
    clock.restore();
  });

  it('runs only when it was started, and expires once', () => {
    clock.tick(1_000);
    assert.equal(expired, 0);
    timer.start();
    clock.tick(99);
    assert.equal(expired, 0);
    clock.tick(1_000);
    assert.equal(expired, 1);
  });

  it('goes on as it does when it is started again', () => {
    timer.start();
    clock.tick(60);
    timer.start();
    clock.tick(40);
    assert.equal(expired, 1);
    assert.equal(clock.running, 0);
  });

  it('can be started again when it has expired or was stopped', () => {
    timer.start();
    clock.tick(100);
    timer.start();
    timer.stop();
    clock.tick(100);
    assert.equal(expired, 1);
    timer.start();
    clock.tick(100);
    assert.equal(expired, 2);
  });

  it('gets all its time again when it is put off', () => {
    timer.start();
    for (let times = 0; times < 10; times++) {
      clock.tick(99);
      timer.putOff();
    }
    assert.equal(expired, 0);
    clock.tick(100);
    assert.equal(expired, 1);
  });

  it('is not brought to life by putting it off, whether it was stopped, has expired or never ran', () => {
    timer.putOff();
    timer.start();
    timer.stop();
    timer.putOff();
    assert.equal(clock.running, 0);
    timer.start();
    clock.tick(100);
    timer.putOff();
    assert.equal(clock.running, 0);
    assert.equal(expired, 1);
  });

  it('of 0 ms never expires', () => {
    new Timer(0, () => assert.fail('expired')).start();
    assert.equal(clock.running, 0);
  });
});
