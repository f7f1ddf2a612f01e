import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';

import type { Worker } from '../../../src/runners/worker/worker.js';
import { WorkerPool, type WorkerPoolOptions } from '../../../src/runners/worker/worker-pool.js';
import { type Clock, mockClock } from '../../helpers/clock.js';
import { isRunning } from '../../helpers/processes.js';
import { temporaryDirectory, withTmpdir } from '../../helpers/temporary.js';
import { makeApplication } from '../../helpers/worker.js';

const never = new AbortController().signal;

/** A shell that does this in a worker's place. */
const shell = (script: string): readonly string[] => ['/bin/sh', '-c', script];

/** Closes the socket, so that nobody can connect, and stays. */
const deaf = shell('exec </dev/null; sleep 1000');

describe('A pool of workers', { timeout: 300_000 }, () => {
  let pool: WorkerPool | undefined;
  /** What the report was told, also as events: `started`, `accepts`, `late`, `ended`, `said`. */
  let told: string[];
  let events: EventEmitter;

  const tell = (event: string, line: string, ...args: readonly unknown[]): void => {
    told.push(line);
    events.emit(event, ...args);
  };

  async function open(
    [file = '', ...args]: readonly string[],
    options: Partial<WorkerPoolOptions> = {},
  ): Promise<WorkerPool> {
    pool = await WorkerPool.open({
      command: { file, args, directory: '/', variables: new Map([['PATH', '/usr/bin:/bin']]) },
      workers: 1,
      maxCrashes: 0,
      maxRequests: 0,
      startTimeoutMs: 0,
      killGraceMs: 5_000,
      report: {
        started: (pid) => {
          tell('started', 'started', pid);
        },
        accepts: (pid) => {
          tell('accepts', 'accepts', pid);
        },
        late: (pid) => {
          tell('late', 'late', pid);
        },
        ended: ({ failed }, requests) => {
          tell('ended', `${failed ? 'failed' : 'ended'} after ${String(requests)}`);
        },
        said: (pid, line) => {
          tell('said', `said ${line}`, pid);
        },
      },
      ...options,
    });
    return pool;
  }

  /** How each worker is, without its process id and age. */
  const states = (): unknown => pool?.status().workers?.running.map(({ state }) => state);

  beforeEach(() => {
    told = [];
    events = new EventEmitter();
  });

  afterEach(async () => {
    await pool?.close();
    pool = undefined;
  });

  it('keeps one more than may have a request, and tells when each accepts', async () => {
    const { command } = await makeApplication();
    await open(command, { workers: 2 });
    for (let count = 0; count < 3; count++) await once(events, 'accepts');
    assert.deepEqual(states(), ['free', 'free', 'free']);
    assert.equal(told.filter((line) => line === 'started').length, 3);
  });

  it('has a directory for their sockets that is nobody else’s, and gone with the last of them', async () => {
    const { command } = await makeApplication();
    const opened = await open(command);
    const { path, pid } = await opened.take(never);
    const directory = dirname(path);
    assert.equal(statSync(directory).mode & 0o777, 0o700);
    await opened.close();
    assert.deepEqual([existsSync(directory), isRunning(pid), states()], [false, false, []]);
  });

  it('binds each socket under the name that it keeps, by which cleaners of /tmp know that it is in use', async () => {
    const { command } = await makeApplication();
    const { path } = await (await open(command)).take(never);
    const bound = readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .map((line) => line.split(' ').at(-1));
    assert.ok(bound.includes(path), path);
    assert.ok(statSync(path).isSocket());
  });

  it('makes that directory again when something has removed it', async () => {
    const { command } = await makeApplication();
    const opened = await open(command);
    const lost = await Promise.all([opened.take(never), opened.take(never)]);
    // With that of the process.
    rmSync(dirname(dirname(lost[0].path)), { recursive: true });
    await Promise.all(lost.map((worker) => opened.dismiss(worker)));
    const [one, other] = await Promise.all([opened.take(never), opened.take(never)]);
    assert.ok(statSync(one.path).isSocket());
    assert.notEqual(dirname(one.path), dirname(lost[0].path));
    assert.equal(dirname(one.path), dirname(other.path));
    await opened.close();
    assert.equal(existsSync(dirname(one.path)), false);
  });

  it('cannot be opened where no such directory can be made', async () => {
    await withTmpdir('/nonexistent', async () => {
      await assert.rejects(open(deaf), { code: 'ERR_START', message: /workers’ sockets .*\/nonexistent/ });
    });
  });

  it('tells the lines that a worker says, on either stream', async () => {
    await open(shell('echo one; echo two >&2; sleep 1000'), { workers: 0 });
    const said = (): string[] => told.filter((line) => line.startsWith('said'));
    while (said().length < 2) await once(events, 'said');
    assert.deepEqual(said().sort(), ['said one', 'said two']);
  });

  it('replaces a worker that has had as many requests as it may; that is no failure', async () => {
    const { command } = await makeApplication();
    const opened = await open(command, { workers: 0, maxRequests: 2 });
    let last: Worker | undefined;
    for (let count = 0; count < 2; count++) {
      last = await opened.take(never);
      opened.give(last, { answered: true });
    }
    await once(events, 'ended');
    assert.notEqual(await opened.take(never), last);
    assert.ok(told.includes('ended after 2'), told.join());
    const { crashes, recycles } = opened.status().workers ?? {};
    assert.deepEqual([crashes, recycles], [0, 1]);
  });

  it('counts a worker that ends by itself before an answer as a failure', async () => {
    const opened = await open(shell('exit 0'), { workers: 0 });
    await once(events, 'ended');
    assert.deepEqual(told.slice(0, 2), ['started', 'failed after 0']);
    assert.equal(opened.status().workers?.crashes, 1);
  });

  it('counts one as a failure, too, that had a request and did not answer it', async () => {
    const loop = 'trap "exit 0" USR1; echo ready; while :; do sleep 0.05; done';
    const opened = await open(shell(loop), { workers: 0 });
    await once(events, 'said');
    const worker = await opened.take(never);
    opened.give(worker, { answered: false });
    process.kill(worker.pid, 'SIGUSR1');
    await once(events, 'ended');
    assert.ok(told.includes('failed after 1'), told.join());
  });

  it('sends those away who wait or come when too many have failed in a row', async () => {
    const opened = await open(shell('exit 3'), { workers: 0, maxCrashes: 2 });
    const holder = await opened.take(never);
    const expected = {
      code: 'ERR_WORKERS',
      message: 'no worker runs: 2 have failed in a row (--max-crashes); the log has what they said',
    };
    await holder.exited;
    const second = await opened.take(never);
    await assert.rejects(opened.take(never), expected);
    assert.equal(isRunning(second.pid), false);
    await assert.rejects(opened.take(never), expected);
  });

  it('ends a worker that can’t be reached and stays', async () => {
    const opened = await open(deaf, { workers: 0 });
    const lost = await opened.take(never);
    await opened.lose(lost);
    await lost.exited;
    assert.equal(isRunning(lost.pid), false);
    assert.ok(told.includes('ended after 0'), told.join());
    assert.notEqual((await opened.take(never)).pid, lost.pid);
  });

  it('has a worker that can’t be reached end as it does, if it does', async () => {
    const opened = await open(deaf, { workers: 0 });
    const lost = await opened.take(never);
    // With the process group that it leads.
    process.kill(-lost.pid, 'SIGKILL');
    await opened.lose(lost);
    await lost.exited;
    assert.ok(told.includes('failed after 0'), told.join());
  });

  it('gives nothing to who does not wait any more', async () => {
    const opened = await open(deaf, { workers: 0 });
    const held = await opened.take(never);
    const leaving = new AbortController();
    const left = opened.take(leaving.signal);
    leaving.abort(new Error('gone'));
    await assert.rejects(left, /gone/);
    await assert.rejects(opened.take(leaving.signal), /gone/);
    opened.give(held, { answered: false });
    assert.equal(await opened.take(never), held);
  });

  it('gives none once it is closed, and sends away who waits', async () => {
    const opened = await open(deaf, { workers: 0 });
    await opened.take(never);
    const waiting = assert.rejects(opened.take(never), { code: 'ERR_WORKERS', message: /is stopping/ });
    const closed = opened.close();
    assert.equal(opened.close(), closed);
    await Promise.all([waiting, closed]);
    await assert.rejects(opened.take(never), { code: 'ERR_WORKERS', message: /is stopping/ });
  });

  describe('whose application hangs while it starts, though it has accepted before', () => {
    let clock: Clock;
    let hang: string;
    let opened: WorkerPool;

    beforeEach(async () => {
      clock = mockClock();
      const { command } = await makeApplication();
      hang = join(await temporaryDirectory(), 'hang');
      const script = 'if [ -e "$0" ]; then echo hangs; exec sleep 1000; fi; exec "$@"';
      opened = await open([...shell(script), hang, ...command], { workers: 0, startTimeoutMs: 1_000 });
      await once(events, 'accepts');
      writeFileSync(hang, '');
      for (const { pid } of opened.status().workers?.running ?? []) process.kill(-pid, 'SIGKILL');
      await once(events, 'ended');
      clock.tick(100);
      await once(events, 'said');
      told = [];
    });

    afterEach(() => {
      clock.restore();
    });

    it('has a request wait no longer than --start-timeout for a worker that never accepts', async () => {
      const message = 'no worker was ready within 1000 ms (--start-timeout); the log has what they said';
      const refused = assert.rejects(opened.take(never), { code: 'ERR_WORKERS', message });
      clock.tick(1_000);
      await refused;
    });

    it('ends a worker that never accepts after --start-timeout as one that has failed', async () => {
      rmSync(hang);
      const ended = once(events, 'ended');
      clock.tick(1_000);
      assert.deepEqual(told, ['late']);
      await ended;
      assert.deepEqual(told, ['late', 'failed after 0']);
      const accepts = once(events, 'accepts');
      clock.tick(200);
      await accepts;
      assert.deepEqual(states(), ['free']);
    });
  });
});
