import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { Admission, type AdmissionOptions, type Release } from '../../src/daemon/admission.js';
import { BridgeError } from '../../src/errors.js';

const never = new AbortController().signal;

/** Who came to an admission, in the order of their names: what became of each. */
class Visitors {
  readonly gate: Admission;
  /** The names of those who were admitted, in the order in which that happened. */
  readonly admitted: string[] = [];
  readonly #inside = new Map<string, Release>();
  readonly #connections = new Map<string, object>();

  constructor(options: Partial<AdmissionOptions> = {}) {
    this.gate = new Admission({ maxProcesses: 1, maxQueue: 10, queueTimeoutMs: 0, ...options });
  }

  /** Somebody comes, whose connection is the name's first letter; says what became of it. */
  async come(name: string, signal: AbortSignal = never): Promise<string> {
    const letter = name.charAt(0);
    const connection = this.#connections.get(letter) ?? {};
    this.#connections.set(letter, connection);
    try {
      const release = await this.gate.enter(connection, signal);
      this.admitted.push(name);
      this.#inside.set(name, release);
      return 'admitted';
    } catch (error) {
      return error instanceof BridgeError ? error.code : String(error);
    }
  }

  get inside(): readonly string[] {
    return [...this.#inside.keys()];
  }

  /** Somebody who is inside leaves; resolves when whoever is next has come in. */
  async leave(name: string): Promise<void> {
    if (!this.#inside.has(name)) await new Promise(setImmediate);
    const release = this.#inside.get(name);
    assert.ok(release, `${name} is not inside`);
    release();
    this.#inside.delete(name);
    await new Promise(setImmediate);
  }

  /** Everybody leaves as soon as they have come in, until nobody is left. */
  async empty(): Promise<void> {
    await new Promise(setImmediate);
    for (let [name] = this.inside; name !== undefined; [name] = this.inside) await this.leave(name);
  }
}

describe('Admission', () => {
  it('lets in as many as there are places, at once', async () => {
    const visitors = new Visitors({ maxProcesses: 3 });
    await Promise.all(['a', 'b', 'c'].map((name) => visitors.come(name)));
    assert.deepEqual(visitors.inside, ['a', 'b', 'c']);
  });

  it('hands a place to the one that has waited longest', async () => {
    const visitors = new Visitors();
    for (const name of ['a', 'b', 'c', 'd']) void visitors.come(name);
    await new Promise(setImmediate);
    assert.deepEqual(visitors.inside, ['a']);
    await visitors.leave('a');
    assert.deepEqual(visitors.inside, ['b']);
    await visitors.empty();
    assert.deepEqual(visitors.admitted, ['a', 'b', 'c', 'd']);
  });

  it('takes turns between connections, each in its own order', async () => {
    const visitors = new Visitors();
    for (const name of ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1']) void visitors.come(name);
    await visitors.empty();
    assert.deepEqual(visitors.admitted, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
  });

  it('lets a connection that comes again wait for those that wait already', async () => {
    const visitors = new Visitors();
    for (const name of ['a1', 'b1', 'c1', 'c2']) void visitors.come(name);
    await visitors.leave('a1');
    assert.deepEqual(visitors.inside, ['b1']);
    void visitors.come('b2');
    await visitors.empty();
    assert.deepEqual(visitors.admitted, ['a1', 'b1', 'c1', 'b2', 'c2']);
  });

  it('lets nobody overtake who comes when a place is handed on', async () => {
    const visitors = new Visitors();
    void visitors.come('first');
    void visitors.come('waited');
    await new Promise(setImmediate);
    const leaving = visitors.leave('first');
    void visitors.come('overtook');
    await leaving;
    assert.deepEqual(visitors.inside, ['waited']);
  });

  it('refuses at once when the queue is full, and says by which limits', async () => {
    const visitors = new Visitors({ maxProcesses: 2, maxQueue: 2 });
    for (const name of ['a1', 'a2', 'a3', 'b1']) void visitors.come(name);
    await assert.rejects(visitors.gate.enter({}, never), {
      code: 'ERR_MAX_QUEUE',
      message: '2 processes run (--max-processes, or --workers) and 2 requests wait (--max-queue)',
    });
    await visitors.empty();
    assert.deepEqual(visitors.admitted, ['a1', 'a2', 'a3', 'b1']);
  });

  it('has no queue when it may hold none', async () => {
    const visitors = new Visitors({ maxQueue: 0 });
    await visitors.come('a');
    assert.equal(await visitors.come('b'), 'ERR_MAX_QUEUE');
    await visitors.leave('a');
    assert.equal(await visitors.come('c'), 'admitted');
  });

  it('gives up after the queue’s time, which leaves the queue to others', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const visitors = new Visitors({ queueTimeoutMs: 500, maxQueue: 2 });
    void visitors.come('first');
    const late = visitors.come('late');
    t.mock.timers.tick(499);
    const later = visitors.come('of another connection');
    assert.equal(await visitors.come('beyond'), 'ERR_MAX_QUEUE');
    t.mock.timers.tick(1);
    assert.equal(await late, 'ERR_QUEUE_TIMEOUT');
    await visitors.leave('first');
    assert.equal(await later, 'admitted');
    t.mock.timers.tick(1000);
    assert.deepEqual(visitors.inside, ['of another connection']);
  });

  it('lets wait for as long as it takes where the time is 0', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const visitors = new Visitors({ queueTimeoutMs: 0 });
    void visitors.come('a');
    const waiting = visitors.come('b');
    t.mock.timers.tick(0x7fff_ffff);
    await new Promise(setImmediate);
    await visitors.leave('a');
    assert.equal(await waiting, 'admitted');
  });

  it('forgets who has gone away while waiting, with the reason', async () => {
    const visitors = new Visitors();
    void visitors.come('a');
    const gone = new AbortController();
    const waiting = visitors.come('b', gone.signal);
    void visitors.come('c');
    gone.abort(new Error('the web server has left'));
    assert.equal(await waiting, 'Error: the web server has left');
    await visitors.empty();
    assert.deepEqual(visitors.admitted, ['a', 'c']);
  });

  it('takes no place for who has gone away before', async () => {
    const visitors = new Visitors({ maxQueue: 0 });
    assert.equal(await visitors.come('a', AbortSignal.abort(new Error('gone'))), 'Error: gone');
    assert.equal(await visitors.come('b'), 'admitted');
  });

  it('takes a place back once, however often it is given back', async () => {
    const { gate } = new Visitors({ maxProcesses: 2, maxQueue: 0 });
    const release = await gate.enter({}, never);
    await gate.enter({}, never);
    release();
    release();
    await gate.enter({}, never);
    await assert.rejects(gate.enter({}, never), { code: 'ERR_MAX_QUEUE' });
    release();
    await assert.rejects(gate.enter({}, never), { code: 'ERR_MAX_QUEUE' });
  });

  it('leaves nothing on the signal of who was let in after waiting', async () => {
    const visitors = new Visitors();
    void visitors.come('a');
    const { signal } = new AbortController();
    const waiting = visitors.come('b', signal);
    await visitors.leave('a');
    await waiting;
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });
});

describe('Admission, whatever happens in whatever order,', () => {
  const steps = fc.array(
    fc.tuple(fc.constantFrom('come', 'come', 'leave', 'abort'), fc.constantFrom('a', 'b', 'c'), fc.nat()),
    { maxLength: 60 },
  );
  const limits = fc.record({ maxProcesses: fc.integer({ min: 1, max: 3 }), maxQueue: fc.nat(5) });

  it('never exceeds its limits and never forgets anybody', async () => {
    await fc.assert(
      fc.asyncProperty(steps, limits, async (steps, { maxProcesses, maxQueue }) => {
        const visitors = new Visitors({ maxProcesses, maxQueue });
        const waiting = new Map<string, AbortController>();
        const all: Promise<void>[] = [];
        for (const [index, [step, connection, pick]] of steps.entries()) {
          if (step === 'come') {
            const [name, abort] = [connection + String(index), new AbortController()];
            const mayWait = visitors.inside.length === maxProcesses && waiting.size < maxQueue;
            if (mayWait) waiting.set(name, abort);
            const fate = visitors.come(name, abort.signal).then((fate) => {
              const isRefused = fate === 'ERR_MAX_QUEUE';
              assert.equal(isRefused, !mayWait && !visitors.admitted.includes(name), `${name}: ${fate}`);
              waiting.delete(name);
            });
            all.push(fate);
          } else if (step === 'leave') {
            const leaving = visitors.inside[pick % (visitors.inside.length || 1)];
            if (leaving !== undefined) await visitors.leave(leaving);
          } else {
            [...waiting.values()][pick % (waiting.size || 1)]?.abort(new Error('gone'));
          }
          await new Promise(setImmediate);
          assert.ok(visitors.inside.length <= maxProcesses && waiting.size <= maxQueue);
          const isFull = visitors.inside.length === maxProcesses;
          assert.ok(waiting.size === 0 || isFull, 'somebody waits beside a free place');
        }
        await visitors.empty();
        await Promise.all(all);
        assert.equal(waiting.size, 0);
      }),
      { numRuns: 100 },
    );
  });

  it('admits nobody twice of one connection while another waits all the time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 40 }),
        fc.nat(10),
        async (connections, early) => {
          const visitors = new Visitors({ maxQueue: 100 });
          const names = connections.map((connection, index) => connection + String(index));
          for (const name of ['x', 'y', ...names.slice(0, early)]) void visitors.come(name);
          await visitors.leave('x');
          for (const name of names.slice(early)) void visitors.come(name);
          // From here on nobody comes: a connection that has somebody waiting later has had so all the time.
          const before = visitors.admitted.length;
          await visitors.empty();
          const order = visitors.admitted.slice(before);
          for (const [index, name] of order.entries()) {
            const turn = name.charAt(0);
            const last = order.slice(0, index).findLastIndex((other) => other.startsWith(turn));
            if (last === -1) continue;
            const since = new Set(order.slice(last + 1, index).map((other) => other.charAt(0)));
            const others = order.slice(index + 1).map((other) => other.charAt(0));
            const passedOver = others.filter((other) => other !== turn && !since.has(other));
            assert.deepEqual(passedOver, [], `${name} was admitted out of turn in ${order.join()}`);
          }
          for (const letter of new Set(connections)) {
            const own = (list: readonly string[]): string[] => list.filter((name) => name.startsWith(letter));
            assert.deepEqual(own(visitors.admitted), own(names), 'each in its own order');
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
