import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { Admission } from '../../src/daemon/admission.js';
import { BridgeError } from '../../src/errors.js';

const never = new AbortController().signal;
const admission = (options: Partial<ConstructorParameters<typeof Admission>[0]> = {}): Admission =>
  new Admission({ maxProcesses: 1, maxQueue: 10, queueTimeoutMs: 0, ...options });

/** The code that a promise is rejected with. */
async function codeOf(entering: Promise<unknown>): Promise<string> {
  return entering.then(
    () => 'admitted',
    (error: unknown) => (error instanceof BridgeError ? error.code : String(error)),
  );
}

describe('Admission', () => {
  it('lets in as many as there are places, at once', async () => {
    const gate = admission({ maxProcesses: 3 });
    await Promise.all([gate.enter(never), gate.enter(never), gate.enter(never)]);
    assert.equal(gate.running, 3);
    assert.equal(gate.waiting, 0);
  });

  it('hands a place to the one that has waited longest', async () => {
    const gate = admission();
    const order: string[] = [];
    const enter = async (name: string): Promise<void> => {
      const release = await gate.enter(never);
      order.push(name);
      assert.equal(gate.running, 1);
      release();
    };
    const first = await gate.enter(never);
    const waiting = Promise.all(['a', 'b', 'c'].map(enter));
    assert.equal(gate.waiting, 3);
    first();
    await waiting;
    assert.deepEqual(order, ['a', 'b', 'c']);
    assert.equal(gate.running, 0);
  });

  it('lets nobody overtake who comes when a place is handed on', async () => {
    const gate = admission();
    const order: string[] = [];
    const first = await gate.enter(never);
    const waiting = gate.enter(never).then(() => order.push('waited'));
    first();
    void gate.enter(never).then(() => order.push('overtook'));
    await waiting;
    assert.deepEqual(order, ['waited']);
    assert.equal(gate.running, 1);
    assert.equal(gate.waiting, 1);
  });

  it('refuses at once when the queue is full, and says by which limits', async () => {
    const gate = admission({ maxProcesses: 2, maxQueue: 1 });
    await gate.enter(never);
    await gate.enter(never);
    void gate.enter(never);
    await assert.rejects(gate.enter(never), {
      code: 'ERR_MAX_QUEUE',
      message: '2 processes run (--max-processes) and 1 requests wait (--max-queue)',
    });
    assert.equal(gate.waiting, 1);
  });

  it('has no queue when it may hold none', async () => {
    const gate = admission({ maxQueue: 0 });
    const release = await gate.enter(never);
    assert.equal(await codeOf(gate.enter(never)), 'ERR_MAX_QUEUE');
    release();
    assert.equal(await codeOf(gate.enter(never)), 'admitted');
  });

  it('gives up after the queue’s time, which leaves the queue to others', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const gate = admission({ queueTimeoutMs: 500 });
    const release = await gate.enter(never);
    const late = codeOf(gate.enter(never));
    t.mock.timers.tick(499);
    const later = gate.enter(never);
    assert.equal(gate.waiting, 2);
    t.mock.timers.tick(1);
    assert.equal(await late, 'ERR_QUEUE_TIMEOUT');
    assert.equal(gate.waiting, 1);
    release();
    await later;
    t.mock.timers.tick(1000);
    assert.equal(gate.running, 1);
  });

  it('lets wait for as long as it takes where the time is 0', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const gate = admission({ queueTimeoutMs: 0 });
    const release = await gate.enter(never);
    const waiting = gate.enter(never);
    t.mock.timers.tick(0x7fff_ffff);
    assert.equal(gate.waiting, 1);
    release();
    await waiting;
  });

  it('forgets who has gone away while waiting, with the reason', async () => {
    const gate = admission();
    const release = await gate.enter(never);
    const gone = new AbortController();
    const waiting = gate.enter(gone.signal);
    const next = gate.enter(never);
    const reason = new Error('the web server has left');
    gone.abort(reason);
    await assert.rejects(waiting, reason);
    assert.equal(gate.waiting, 1);
    release();
    await next;
    assert.equal(gate.running, 1);
  });

  it('takes no place for who has gone away before', async () => {
    const gate = admission();
    await assert.rejects(gate.enter(AbortSignal.abort(new Error('gone'))), /gone/);
    assert.equal(gate.running, 0);
  });

  it('takes a place back once, however often it is given back', async () => {
    const gate = admission({ maxProcesses: 2 });
    const release = await gate.enter(never);
    await gate.enter(never);
    release();
    release();
    assert.equal(gate.running, 1);
    await gate.enter(never);
    void gate.enter(never);
    release();
    assert.equal(gate.waiting, 1);
  });

  it('leaves nothing on the signal of who was let in after waiting', async () => {
    const gate = admission();
    const release = await gate.enter(never);
    const { signal } = new AbortController();
    const waiting = gate.enter(signal);
    release();
    await waiting;
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('never exceeds its limits and never forgets anybody, whatever happens in whatever order', async () => {
    const steps = fc.array(fc.tuple(fc.constantFrom('enter', 'enter', 'release', 'abort'), fc.nat()), {
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.integer({ min: 1, max: 3 }),
        fc.nat(3),
        async (steps, maxProcesses, maxQueue) => {
          const gate = admission({ maxProcesses, maxQueue });
          const inside: (() => void)[] = [];
          const aborts: AbortController[] = [];
          const all: Promise<unknown>[] = [];
          for (const [step, pick] of steps) {
            if (step === 'enter') {
              const abort = new AbortController();
              aborts.push(abort);
              all.push(codeOf(gate.enter(abort.signal).then((release) => inside.push(release))));
            } else if (step === 'release') inside.splice(pick % (inside.length || 1), 1)[0]?.();
            else aborts[pick % (aborts.length || 1)]?.abort(new Error('gone'));
            await Promise.resolve();
            assert.ok(gate.running <= maxProcesses && gate.waiting <= maxQueue);
            assert.ok(
              gate.waiting === 0 || gate.running === maxProcesses,
              'somebody waits beside a free place',
            );
          }
          while (gate.running > 0) {
            await new Promise(setImmediate);
            for (const release of inside.splice(0)) release();
          }
          await Promise.all(all);
          assert.equal(gate.waiting, 0);
        },
      ),
      { numRuns: 100 },
    );
  });
});
