import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { fewThreads, Threads } from '../../src/base/threads.js';

/** Work on threads that ends when it is told to. */
class Work {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  on(threads: Threads, name: string, signal?: AbortSignal): Promise<string> {
    return threads.run(() => {
      this.begun.push(name);
      return new Promise((resolve) => {
        this.#ends.set(name, () => {
          resolve(name);
        });
      });
    }, signal);
  }

  async end(...names: readonly string[]): Promise<void> {
    for (const name of names) this.#ends.get(name)?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// As many as there are in a process that was not told how many threads it has: two.
describe('A share of threads', () => {
  it('is two at once; what comes then has its turn in the order in which it came', async () => {
    const [work, threads] = [new Work(), new Threads()];
    const asked = ['a', 'b', 'c', 'd'].map((name) => work.on(threads, name));
    assert.deepEqual([work.begun, threads.held], [['a', 'b'], 2]);
    await work.end('b');
    assert.deepEqual([work.begun, threads.held], [['a', 'b', 'c'], 2]);
    await work.end('a', 'c');
    await work.end('d');
    assert.deepEqual(await Promise.all(asked), ['a', 'b', 'c', 'd']);
    assert.equal(threads.held, 0);
  });

  it('leaves some to everybody: who waits longest gets the next, whoever gives it back', async () => {
    const [work, dead, other] = [new Work(), new Threads(), new Threads()];
    const asked = [work.on(dead, 'a'), work.on(dead, 'b'), work.on(other, 'c'), work.on(dead, 'd')];
    assert.deepEqual(work.begun, ['a', 'b']);
    await work.end('a');
    assert.deepEqual(work.begun, ['a', 'b', 'c']);
    await work.end('b', 'c');
    await work.end('d');
    await Promise.all(asked);
  });

  it('is not given back by who leaves, but when the work has come back', async () => {
    const [work, threads] = [new Work(), new Threads()];
    const leaving = new AbortController();
    const asked = ['a', 'b', 'c'].map((name) => work.on(threads, name, leaving.signal));
    leaving.abort(new Error('left'));
    for (const each of asked) await assert.rejects(each, { message: 'left' });
    assert.deepEqual([work.begun, threads.held], [['a', 'b'], 2]);
    const next = work.on(threads, 'd');
    await work.end('a');
    assert.deepEqual([work.begun, threads.held], [['a', 'b', 'd'], 2]);
    await work.end('b', 'd');
    assert.deepEqual([await next, threads.held], ['d', 0]);
    await assert.rejects(work.on(threads, 'e', leaving.signal), { message: 'left' });
  });

  it('is given back by work that fails, and by who leaves in the moment of getting it', async () => {
    const [work, threads] = [new Work(), new Threads()];
    await assert.rejects(
      threads.run(() => Promise.reject(new Error('broken'))),
      { message: 'broken' },
    );
    const first = ['a', 'b'].map((name) => work.on(threads, name));
    const leaving = new AbortController();
    const waits = work.on(threads, 'c', leaving.signal);
    const left = assert.rejects(waits, { message: 'left' });
    await Promise.all([
      work.end('a'),
      Promise.resolve().then(() => {
        leaving.abort(new Error('left'));
      }),
    ]);
    await left;
    await work.end('b', 'c');
    await Promise.all(first);
    assert.equal(threads.held, 0);
  });

  it('is said to be too small for so many sites, but not for one', () => {
    assert.equal(fewThreads(1), undefined);
    assert.match(fewThreads(2) ?? '', /2 sites need 22 threads, and UV_THREADPOOL_SIZE is 4; set it to 22$/);
  });
});
