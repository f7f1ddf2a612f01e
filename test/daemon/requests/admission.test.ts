import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { availableParallelism } from 'node:os';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { Admission, type AdmissionOptions, type Release } from '../../../src/daemon/requests/admission.js';
import type { Configuration } from '../../../src/daemon/configuration.js';
import { maxOfAll, ProcessTotal } from '../../../src/daemon/requests/process-total.js';
import { BridgeError } from '../../../src/base/errors.js';

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

  it('makes room in a full queue for who has fewer there, and refuses the last of who has most', async () => {
    const visitors = new Visitors({ maxQueue: 4 });
    const became = ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2', 'c2', 'a5'].map((name) => visitors.come(name));
    await visitors.empty();
    assert.deepEqual(visitors.admitted, ['a1', 'a2', 'b1', 'c1', 'a3']);
    assert.equal(await became[3], 'ERR_MAX_QUEUE');
    for (const late of became.slice(6)) assert.equal(await late, 'ERR_MAX_QUEUE');
  });

  it('has no queue when it may hold none', async () => {
    const visitors = new Visitors({ maxQueue: 0 });
    await visitors.come('a');
    assert.equal(await visitors.come('b'), 'ERR_MAX_QUEUE');
    await visitors.leave('a');
    assert.equal(await visitors.come('c'), 'admitted');
  });

  it('gives up after the queue’s time, which leaves the queue to others', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    t.mock.method(performance, 'now', () => 0);
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

  it('counts nobody twice whose time would have been over after they were let in', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    const visitors = new Visitors({ queueTimeoutMs: 500, maxQueue: 1 });
    void visitors.come('first');
    const second = visitors.come('second');
    await visitors.leave('first');
    assert.equal(await second, 'admitted');
    t.mock.timers.tick(500);
    assert.equal(visitors.gate.waiting, 0);
    void visitors.come('third');
    assert.equal(await visitors.come('beyond'), 'ERR_MAX_QUEUE');
  });

  it('lets wait for as long as it takes where the time is 0', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    const visitors = new Visitors({ queueTimeoutMs: 0 });
    void visitors.come('a');
    const waiting = visitors.come('b');
    t.mock.timers.tick(0x7fff_ffff);
    await new Promise(setImmediate);
    await visitors.leave('a');
    assert.equal(await waiting, 'admitted');
  });

  it('lets wait where the time is 0 however slowly the queue moves', async (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const visitors = new Visitors({ maxQueue: 100 });
    const names = Array.from({ length: 20 }, (_, index) => `${String.fromCharCode(97 + index)}1`);
    for (const name of names) void visitors.come(name);
    for (const name of names.slice(0, 10)) {
      now += 60_000;
      await visitors.leave(name);
    }
    const late = visitors.come('late');
    await visitors.empty();
    assert.equal(await late, 'admitted');
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
        const refused: string[] = [];
        /** For each refusal, who may be the one. */
        const due: (string | undefined)[][] = [];
        for (const [index, [step, connection, pick]] of steps.entries()) {
          if (step === 'come') {
            const [name, abort] = [connection + String(index), new AbortController()];
            const isBusy = visitors.inside.length === maxProcesses;
            const of = (letter: string): string[] =>
              [...waiting.keys()].filter((each) => each.startsWith(letter));
            const most = Math.max(...['a', 'b', 'c'].map((letter) => of(letter).length));
            // The last of who has most goes, if that is more than who comes would have.
            const makesRoom = most > of(connection).length + 1;
            const last = ['a', 'b', 'c'].map(of).filter(({ length }) => length === most);
            if (isBusy && waiting.size >= maxQueue)
              due.push(makesRoom ? last.map((all) => all.at(-1)) : [name]);
            if (isBusy && (waiting.size < maxQueue || makesRoom)) waiting.set(name, abort);
            const fate = visitors.come(name, abort.signal).then((fate) => {
              if (fate === 'ERR_MAX_QUEUE') refused.push(name);
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
          assert.equal(refused.length, due.length);
          assert.ok(due.every((any, at) => any.includes(refused[at])));
          const isFull = visitors.inside.length === maxProcesses;
          assert.ok(waiting.size === 0 || isFull, 'somebody waits beside a free place');
        }
        await visitors.empty();
        await Promise.all(all);
        assert.equal(waiting.size, 0);
      }),
      { numRuns: 300 },
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

describe('A queue that moves too slowly', () => {
  it('refuses at once what can’t be served within --queue-timeout at the present rate', async (context) => {
    let now = 0;
    context.mock.method(performance, 'now', () => now);
    const gate = new Admission({ maxProcesses: 1, maxQueue: 100, queueTimeoutMs: 1_000 });
    const signal = new AbortController().signal;
    const enter = (): Promise<Release> => gate.enter({}, signal);
    let release = await enter();
    const waiting = Array.from({ length: 20 }, enter);
    // Nothing is known of the rate until some have had their turn.
    for (let turn = 0; turn < 8; turn++) {
      now += 100;
      release();
      release = (await waiting.shift()) ?? release;
    }
    await assert.rejects(enter(), {
      code: 'ERR_QUEUE_TIMEOUT',
      message:
        'no slot would become free within 1000 ms (--queue-timeout), but after 1300 ms at the present rate',
    });
    // The rest goes faster.
    for (let turn = 0; turn < 6; turn++) {
      now += 10;
      release();
      release = (await waiting.shift()) ?? release;
    }
    waiting.push(enter());
    for (const next of waiting) {
      release();
      release = await next;
    }
    release();
    assert.equal(gate.running, 0);
  });
});

describe('A queue whose slots become free in bursts', () => {
  it('foretells no wait before each of them has', async (context) => {
    let now = 0;
    context.mock.method(performance, 'now', () => now);
    const gate = new Admission({ maxProcesses: 20, maxQueue: 100, queueTimeoutMs: 1_000 });
    const enter = (): Promise<Release> => gate.enter({}, never);
    const running = await Promise.all(Array.from({ length: 20 }, enter));
    const waiting = Array.from({ length: 40 }, enter);
    now = 400;
    for (const release of running.slice(0, 10)) release();
    waiting.push(enter());
    for (const release of running.slice(10)) release();
    waiting.push(enter());
    assert.equal(gate.waiting, 22);
    for (const next of waiting) (await next)();
    assert.equal(gate.running, 0);
  });
});

describe('A queue that turns out to be too slow', () => {
  const options = { maxProcesses: 1, maxQueue: 100, queueTimeoutMs: 6_000 };

  it('refuses at each look what the rest of --queue-timeout will not do for', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    let now = 0;
    context.mock.method(performance, 'now', () => now);
    const gate = new Admission(options);
    let release = await gate.enter({}, never);
    const waiting = Array.from({ length: 60 }, () => gate.enter({}, never));
    for (let turn = 0; turn < 8; turn++) {
      now += 100;
      release();
      release = (await waiting.shift()) ?? release;
    }
    const [first, ...others] = waiting;
    const refused = others.map((each) => assert.rejects(each, { code: 'ERR_QUEUE_TIMEOUT' }));
    for (const [second, left] of [37, 14, 6, 3, 1].entries()) {
      now = (second + 1) * 1_000;
      context.mock.timers.tick(1_000);
      assert.equal(gate.waiting, left);
    }
    await Promise.all(refused);
    release();
    (await first)?.();
  });

  it('foretells nothing while those who came at once are being taken', async (context) => {
    let now = 0;
    context.mock.method(performance, 'now', () => now);
    const gate = new Admission({ ...options, maxQueue: 200, queueTimeoutMs: 12_000 });
    let release = await gate.enter({}, never);
    const waiting = Array.from({ length: 90 }, () => gate.enter({}, never));
    for (let turn = 0; turn < 8; turn++) {
      now += 124;
      release();
      release = (await waiting.shift()) ?? release;
    }
    now = 1_123;
    waiting.push(...Array.from({ length: 18 }, () => gate.enter({}, never)));
    now = 1_124;
    await assert.rejects(gate.enter({}, never), { code: 'ERR_QUEUE_TIMEOUT' });
    assert.equal(gate.waiting, 100);
    for (const next of waiting) {
      release();
      release = await next;
    }
    release();
  });

  it('counts the wait from when it is told that the request came', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    context.mock.method(performance, 'now', () => 10_000);
    const gate = new Admission(options);
    const release = await gate.enter({}, never);
    const refused = assert.rejects(gate.enter({}, never, 8_000), { code: 'ERR_QUEUE_TIMEOUT' });
    context.mock.timers.tick(3_999);
    assert.equal(gate.waiting, 1);
    context.mock.timers.tick(1);
    await refused;
    release();
  });
});

describe('The processes of all sites', () => {
  const options = { maxProcesses: 10, maxQueue: 10, queueTimeoutMs: 0 };
  const signal = new AbortController().signal;

  it('are no more than there may be; a site leaves one to each that has none, and who has fewest is next', async () => {
    const total = new ProcessTotal(6);
    const busy = new Admission(options, total);
    const modest = new Admission(options, total);
    const idle = new Admission(options, total);
    const order: string[] = [];
    const enter = (gate: Admission, name: string): Promise<Release> =>
      gate.enter({}, signal).then((release) => {
        order.push(name);
        return release;
      });
    const running = Array.from({ length: 8 }, () => enter(busy, 'busy'));
    const first = await enter(modest, 'modest');
    assert.deepEqual([busy.running, busy.waiting, modest.running], [4, 4, 1]);
    const second = enter(modest, 'modest');
    await enter(idle, 'idle');
    assert.equal(total.running, 6);
    assert.deepEqual(order.splice(0), ['busy', 'busy', 'busy', 'busy', 'modest', 'idle']);
    (await running[0])?.();
    await second;
    assert.deepEqual(order.splice(0), ['modest']);
    first();
    await running[4];
    assert.deepEqual([busy.running, busy.waiting, modest.running], [4, 3, 1]);
    total.max = 9;
    await running[7];
    assert.deepEqual([busy.running, busy.waiting, total.running], [7, 0, 9]);
  });

  it('are half of them left to sites that have none, however many these are', async () => {
    const total = new ProcessTotal(4);
    const [busy] = Array.from({ length: 10 }, () => new Admission(options, total));
    assert.ok(busy);
    for (let count = 0; count < 4; count++) void busy.enter({}, signal);
    await new Promise(setImmediate);
    assert.deepEqual([busy.running, busy.waiting], [2, 2]);
  });

  it('are left to no site that is there no more', async () => {
    const total = new ProcessTotal(2);
    const [busy, gone] = [new Admission(options, total), new Admission(options, total)];
    await busy.enter({}, signal);
    const second = busy.enter({}, signal);
    await new Promise(setImmediate);
    assert.deepEqual([busy.running, busy.waiting], [1, 1]);
    gone.leaveTotal();
    await second;
    assert.equal(busy.running, 2);
  });

  it('go round the sites that have as many', async () => {
    const total = new ProcessTotal(1);
    const gates = ['a', 'b', 'c'].map((name) => ({ name, gate: new Admission(options, total) }));
    const order: string[] = [];
    const runs = [...gates, ...gates].map(async ({ name, gate }) => {
      const release = await gate.enter({}, signal);
      order.push(name);
      setImmediate(release);
    });
    await Promise.all(runs);
    // The first has had its turn without one.
    assert.deepEqual(order, ['a', 'a', 'b', 'c', 'b', 'c']);
  });

  it('are 16 a core unless that is said, 32 at least, and no fewer than a site may have', () => {
    const usual = Math.max(32, 16 * availableParallelism());
    const of = (maxProcesses: number, maxProcessesTotal?: number): number =>
      maxOfAll({ sites: [{ maxProcesses }], maxProcessesTotal } as unknown as Configuration);
    assert.deepEqual([of(5), of(usual + 1), of(5, 3)], [usual, usual + 1, 3]);
  });

  it('say so where a queue is full for want of them', async () => {
    const total = new ProcessTotal(1);
    const one = new Admission({ ...options, maxQueue: 0 }, total);
    await one.enter({}, signal);
    const other = new Admission({ ...options, maxQueue: 0 }, total);
    await assert.rejects(other.enter({}, signal), {
      code: 'ERR_MAX_QUEUE',
      message: '1 processes run (--max-processes-total) and 0 requests wait (--max-queue)',
    });
  });
});
