import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';

import type { ExitStatus } from '../../../src/process/exit-status.js';
import { Supervisor, type WorkerEnd, type WorkerProcess } from '../../../src/runners/worker/supervisor.js';
import { settled } from '../../helpers/sinks.js';

/** A process that ends when it is told to. */
class Fake implements WorkerProcess {
  readonly exited: Promise<ExitStatus>;
  #exit: (status: ExitStatus) => void = () => undefined;
  terminated = false;

  readonly pid: number;

  constructor(pid: number) {
    this.pid = pid;
    this.exited = new Promise((resolve) => {
      this.#exit = resolve;
    });
  }

  async terminate(): Promise<void> {
    this.terminated = true;
    this.#exit({ kind: 'signaled', signal: 'SIGTERM' });
    await this.exited;
  }

  async exits(code: number): Promise<void> {
    this.#exit({ kind: 'exited', code });
    await settled();
  }

  async dies(): Promise<void> {
    this.#exit({ kind: 'signaled', signal: 'SIGKILL' });
    await settled();
  }
}

/** A supervisor of fakes; its backoff passes by `mock.timers.tick`. */
async function supervise(
  options: {
    workers?: number;
    start?: (pid: number) => Promise<Fake>;
    hasServed?: (process: Fake) => boolean;
  } = {},
) {
  const started: Fake[] = [];
  const ends: WorkerEnd<Fake>[] = [];
  let count = 0;
  const make = (pid: number): Promise<Fake> => Promise.resolve(new Fake(pid));
  const supervisor = new Supervisor<Fake>({
    workers: options.workers ?? 1,
    killGraceMs: 0,
    start: () => (options.start ?? make)(++count),
    ...(options.hasServed && { hasServed: options.hasServed }),
    onStarted: (process) => started.push(process),
    onEnded: (end) => ends.push(end),
  });
  supervisor.start();
  await settled();
  const last = (): Fake => started.at(-1) ?? assert.fail('none was started');
  return { supervisor, started, ends, last, starts: () => count };
}

describe('A supervisor', () => {
  mock.timers.enable({ apis: ['setTimeout'] });

  it('starts as many as are wanted', async () => {
    const { started, supervisor } = await supervise({ workers: 3 });
    assert.equal(started.length, 3);
    await supervisor.stop();
  });

  it('replaces at once what ends on purpose after answers, however often', async () => {
    const { supervisor, started, ends, last } = await supervise();
    for (let times = 0; times < 50; times++) {
      supervisor.answered(last());
      await last().exits(0);
      // These live for no time at all; no more than 50 are started in a second.
      mock.timers.tick(20);
      await settled();
    }
    assert.equal(started.length, 51);
    assert.equal(supervisor.failures, 0);
    assert.ok(ends.every(({ failed, restartMs = Infinity }) => !failed && restartMs <= 20));
    assert.ok(ends.some(({ restartMs = 0 }) => restartMs > 0));
    await supervisor.stop();
  });

  it('waits longer after each failure, until one answers', async () => {
    const { supervisor, started, ends, last } = await supervise();
    for (const [index, delayMs] of [100, 200, 400].entries()) {
      await (index === 1 ? last().exits(0) : index === 2 ? last().exits(3) : last().dies());
      assert.equal(ends.at(-1)?.restartMs, delayMs);
      mock.timers.tick(delayMs - 1);
      await settled();
      assert.equal(started.length, index + 1);
      mock.timers.tick(1);
      await settled();
      assert.equal(started.length, index + 2);
    }
    assert.equal(supervisor.failures, 3);
    supervisor.answered(last());
    assert.equal(supervisor.failures, 0);
    await last().dies();
    assert.deepEqual(
      ends.map(({ failed, failures }) => [failed, failures]),
      [
        [true, 1],
        [true, 2],
        [true, 3],
        [true, 1],
      ],
    );
    assert.equal(ends.at(-1)?.restartMs, 100);
    await supervisor.stop();
  });

  it('waits longer also after those that have accepted, unless one has lasted for five seconds', async () => {
    const { supervisor, ends, last } = await supervise();
    for (const [lifeMs, delayMs] of [
      [0, 100],
      [4_999, 200],
      [5_000, 100],
      [0, 200],
    ] as const) {
      supervisor.accepts(last());
      mock.timers.tick(lifeMs);
      await last().exits(3);
      assert.equal(ends.at(-1)?.restartMs, delayMs);
      mock.timers.tick(delayMs);
      await settled();
    }
    assert.deepEqual(
      ends.map(({ failures }) => failures),
      [1, 2, 1, 2],
    );
    await supervisor.stop();
  });

  it('counts what can’t be started, and tries again', async () => {
    let fails = 2;
    const start = (pid: number): Promise<Fake> =>
      fails-- > 0 ? Promise.reject(new Error('no memory')) : Promise.resolve(new Fake(pid));
    const { supervisor, started, ends } = await supervise({ start });
    mock.timers.tick(100);
    await settled();
    mock.timers.tick(200);
    await settled();
    assert.equal(started.length, 1);
    assert.deepEqual(
      ends.map(({ error, failures }) => [error?.message, failures]),
      [
        ['no memory', 1],
        ['no memory', 2],
      ],
    );
    await supervisor.stop();
  });

  it('takes the word of who knows that a worker has served, where no answer is seen', async () => {
    const { supervisor, ends, last } = await supervise({ hasServed: ({ pid }) => pid === 1 });
    await last().exits(0);
    mock.timers.tick(20);
    await settled();
    await last().exits(0);
    assert.deepEqual(
      ends.map(({ failed }) => failed),
      [false, true],
    );
    await supervisor.stop();
  });

  describe('whose workers end on purpose without an answer that anybody sees', () => {
    let supervised: Awaited<ReturnType<typeof supervise>>;
    let nowMs: number;
    let clock: { readonly mock: { restore(): void } };

    /** The last worker ends after such a life. Returns how long the next one is waited for. */
    async function lives(lifeMs: number): Promise<number | undefined> {
      nowMs += lifeMs;
      await supervised.last().exits(0);
      return supervised.ends.at(-1)?.restartMs;
    }

    const goOn = async (ms: number): Promise<void> => {
      mock.timers.tick(ms);
      await settled();
    };

    beforeEach(async () => {
      nowMs = 0;
      clock = mock.method(performance, 'now', () => nowMs);
      supervised = await supervise({ hasServed: () => true });
    });

    afterEach(async () => {
      await supervised.supervisor.stop();
      clock.mock.restore();
    });

    it('starts none while it is told of an end, so that the event loop hears of other things', async () => {
      assert.equal(await lives(1_000), 0);
      assert.equal(supervised.starts(), 1);
      await goOn(1);
      assert.equal(supervised.starts(), 2);
    });

    it('waits ever longer when many lives in a row are very short, until one is not', async () => {
      const waits: (number | undefined)[] = [];
      for (const lifeMs of [...Array<number>(20).fill(1), 30, 30, 1, 1, 1, 1, 249, 250, 1, 249]) {
        waits.push(await lives(lifeMs));
        await goOn(500);
      }
      const growing = [40, 80, 160, 320, 500, 500, 500];
      assert.deepEqual(waits, [...Array<number>(20).fill(20), ...growing, 0, 20, 0]);
      assert.ok(supervised.ends.every(({ failed }) => !failed));
    });
  });

  it('replaces at once whom it has dismissed, whatever its exit status', async () => {
    const { supervisor, started, ends, last } = await supervise();
    await supervisor.dismiss(last());
    await settled();
    mock.timers.tick(20);
    await settled();
    assert.equal(started.length, 2);
    assert.equal(ends[0]?.failed, false);
    assert.ok((ends[0].restartMs ?? Infinity) <= 20);
    await supervisor.stop();
  });

  it('starts none any more once it was stopped, also none that is due or being started', async () => {
    const crashing = await supervise();
    await crashing.last().dies();
    await crashing.supervisor.stop();
    mock.timers.tick(60_000);
    await settled();
    assert.equal(crashing.starts(), 1);

    let goOn: (process: Fake) => void = () => undefined;
    const slow = new Promise<Fake>((resolve) => {
      goOn = resolve;
    });
    const { supervisor, started } = await supervise({ start: () => slow });
    const stopped = supervisor.stop();
    const late = new Fake(1);
    goOn(late);
    await stopped;
    assert.equal(late.terminated, true);
    assert.deepEqual(started, []);
  });

  it('tells its workers to end as it is told to, and waits for them', async () => {
    const { supervisor, last } = await supervise();
    const told: number[] = [];
    let isOver = false;
    const stopped = supervisor.stop(({ pid }) => told.push(pid)).then(() => (isOver = true));
    await settled();
    assert.deepEqual([told, isOver], [[1], false]);
    await last().exits(0);
    await stopped;
  });
});
