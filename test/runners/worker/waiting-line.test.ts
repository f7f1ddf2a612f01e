import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { WaitingLine } from '../../../src/runners/worker/roster.js';

const never = new AbortController().signal;

describe('Those who wait for a worker', () => {
  it('get one in the order in which they came', async () => {
    const line = new WaitingLine<string>();
    const first = line.join(never);
    const second = line.join(never);
    line.give('one');
    assert.equal(line.isEmpty, false);
    line.give('two');
    assert.equal(line.isEmpty, true);
    assert.deepEqual(await Promise.all([first, second]), ['one', 'two']);
  });

  it('leave when nobody wants their answer any more, and are passed over', async () => {
    const line = new WaitingLine<string>();
    const abort = new AbortController();
    const first = line.join(abort.signal);
    const second = line.join(never);
    abort.abort(new Error('left'));
    await assert.rejects(first, /left/);
    line.give('one');
    assert.equal(await second, 'one');
  });

  it('are all sent away when there will be none', async () => {
    const line = new WaitingLine<string>();
    const waiting = [line.join(never), line.join(never)];
    line.dissolve(new Error('closed'));
    for (const each of waiting) await assert.rejects(each, /closed/);
    assert.equal(line.isEmpty, true);
  });
});
