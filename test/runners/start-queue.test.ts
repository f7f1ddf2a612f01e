import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { PassThrough } from 'node:stream';
import { beforeEach, describe, it } from 'node:test';

import type { Invocation } from '../../src/cgi/invocation.js';
import { BridgeError } from '../../src/base/errors.js';
import { tellShortages } from '../../src/daemon/make-runner.js';
import type { Log } from '../../src/observe/log.js';
import { OwnedProcess } from '../../src/process/owned-process.js';
import type { ExitStatus } from '../../src/process/exit-status.js';
import { StartQueue } from '../../src/runners/start-queue.js';
import { settled } from '../helpers/sinks.js';

const never = new AbortController().signal;
const named = (file: string): Invocation => ({ file, args: [], directory: '/', variables: new Map() });
const failure = (code: string): BridgeError =>
  new BridgeError('ERR_SPAWN', code, { cause: Object.assign(new Error(code), { code }) });

/** No process has this id: it is beyond Linux's largest. */
const PID = 2 ** 22 + 1;

describe('The start queue', { timeout: 300_000 }, () => {
  let tried: string[];
  let said: string[];
  let fails: string | undefined;
  let end: () => void;
  let onTry: () => void;

  /** Says what it tries; works unless `fails` names an error. */
  function start({ file }: Invocation): Promise<OwnedProcess> {
    tried.push(file);
    onTry();
    if (fails !== undefined) return Promise.reject(failure(fails));
    const exited = new Promise<ExitStatus>((resolve) => {
      end = () => {
        resolve({ kind: 'exited', code: 0 });
      };
    });
    const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
    return Promise.resolve(new OwnedProcess({ pid: PID, ...streams, exited }));
  }

  const queue = (timeoutMs = 0): StartQueue =>
    new StartQueue(start, {
      timeoutMs,
      onShortage: () => said.push('short'),
      onRecovered: () => said.push('recovered'),
    });

  beforeEach(() => {
    [tried, said, fails] = [[], [], undefined];
    onTry = () => undefined;
  });

  it('is a start like any other, until the system has nothing left', async () => {
    const { pid } = await queue().start(named('a'), never);
    assert.equal(pid, PID);
    fails = 'ENOENT';
    await assert.rejects(queue().start(named('b'), never), { code: 'ERR_SPAWN', message: 'ENOENT' });
    assert.deepEqual(said, []);
  });

  for (const code of ['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE']) {
    it(`waits after ${code}, in the order of the requests, and says once that it does`, async () => {
      fails = code;
      const { start } = queue();
      const all = ['a', 'b', 'c'].map((file) => start(named(file), never));
      await settled();
      assert.deepEqual([...new Set(tried)], ['a', 'b', 'c']);
      assert.deepEqual(said, ['short']);
      fails = undefined;
      tried = [];
      await Promise.all(all);
      assert.deepEqual(tried, ['a', 'b', 'c']);
      assert.deepEqual(said, ['short', 'recovered']);
    });
  }

  it('has the log tell of shortages that come and go once, and then how many there were', async (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    const note: Log['warn'] = (_, message) => said.push(message);
    const log = { error: note, warn: note, info: note, debug: note };
    const { start: startQueued } = new StartQueue(start, { timeoutMs: 0, ...tellShortages(log) });
    onTry = () => (fails = fails === undefined ? 'EAGAIN' : undefined);
    for (const file of ['a', 'b', 'c']) await startQueued(named(file), never);
    const [short, recovered] = [
      'requests wait until programs can be started again: EAGAIN',
      'programs can be started again',
    ];
    assert.deepEqual(said, [short, recovered]);
    context.mock.timers.tick(10_000);
    assert.deepEqual(said.slice(2), [`2 more within 10 s: ${short}`, `2 more within 10 s: ${recovered}`]);
  });

  it('tries only the first of those that wait, and no newcomer', async () => {
    fails = 'EAGAIN';
    const { start } = queue();
    const first = start(named('first'), never);
    await settled();
    const second = start(named('second'), never);
    while (tried.length < 3) await settled();
    assert.deepEqual(tried, ['first', 'first', 'first']);
    fails = undefined;
    await Promise.all([first, second]);
  });

  it('tries again as soon as a process has ended, whatever the pause', async ({ mock }) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const { start } = queue();
    await start(named('running'), never);
    fails = 'EMFILE';
    const waiting = start(named('waiting'), never);
    await settled();
    mock.timers.tick(50);
    await settled();
    assert.deepEqual(tried, ['running', 'waiting', 'waiting']);
    fails = undefined;
    end();
    await waiting;
  });

  it('tries less and less often, and as often as at first in the next shortage', async ({ mock }) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const { start } = queue();
    for (const file of ['one', 'other']) {
      fails = 'EAGAIN';
      const waiting = start(named(file), never);
      await settled();
      for (const pauseMs of [50, 100, 200]) {
        const before = tried.length;
        mock.timers.tick(pauseMs - 1);
        await settled();
        assert.equal(tried.length, before, `within ${String(pauseMs)} ms`);
        mock.timers.tick(1);
        await settled();
        assert.equal(tried.length, before + 1, `after ${String(pauseMs)} ms`);
      }
      fails = undefined;
      mock.timers.tick(400);
      await waiting;
    }
  });

  it('ends with what the start itself then fails with, and goes on with the next', async () => {
    fails = 'EAGAIN';
    const { start } = queue();
    const one = start(named('one'), never);
    const other = start(named('other'), never);
    await settled();
    fails = 'EACCES';
    await assert.rejects(one, { message: 'EACCES' });
    await assert.rejects(other, { message: 'EACCES' });
  });

  it('gives up after its time, and says once for all of them that there is a shortage', async () => {
    fails = 'EAGAIN';
    const { start } = queue(20);
    for (const file of ['one', 'other']) {
      await assert.rejects(start(named(file), never), {
        code: 'ERR_SYSTEM_LIMIT',
        message: 'the system has let no program be started for 20 ms (--queue-timeout); see ulimit -u and -n',
      });
    }
    assert.deepEqual(said, ['short']);
    fails = undefined;
    await start(named('later'), never);
    assert.deepEqual(said, ['short', 'recovered']);
  });

  it('is given up by a request that is aborted, and leaves no timer or listener', async () => {
    fails = 'EAGAIN';
    const { start } = queue();
    const abort = new AbortController();
    const waiting = start(named('a'), abort.signal);
    await settled();
    abort.abort(new Error('the web server has left'));
    await assert.rejects(waiting, { code: 'ERR_SYSTEM_LIMIT', message: 'the web server has left' });
    assert.equal(getEventListeners(abort.signal, 'abort').length, 0);
    const count = tried.length;
    fails = undefined;
    await start(named('b'), never);
    assert.equal(tried.length, count + 1);
  });

  it('is given up by a request that is aborted while it is tried', async () => {
    fails = 'EAGAIN';
    const abort = new AbortController();
    const waiting = queue(2_000).start(named('a'), abort.signal);
    await settled();
    onTry = () => {
      abort.abort(new Error('the web server has left'));
    };
    await assert.rejects(waiting, { code: 'ERR_SYSTEM_LIMIT', message: 'the web server has left' });
  });
});
