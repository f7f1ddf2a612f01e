/** What a run is told, it is told whichever way its process was made: the same table for new processes and warm ones. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { before, describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { ProcessRunner, type StartScript } from '../../../src/runners/process-runner.js';
import type { RunResult, RunLimits } from '../../../src/runners/runner.js';
import { fixture } from '../../helpers/bridge.js';
import { isRunning, vanished } from '../../helpers/processes.js';
import { limits, printed, requestBody } from '../../helpers/run-fixture.js';
import { Collector, SlowReader } from '../../helpers/sinks.js';
import { countedSource, digestOf } from '../../helpers/streams.js';
import { spawned, Warm } from '../../helpers/warm.js';

interface Running {
  readonly stdout: Collector;
  readonly abort: AbortController;
  readonly outcome: Promise<RunResult>;
}

interface Options {
  readonly limits?: Partial<RunLimits>;
  readonly stdin?: Readable;
  readonly stdout?: Collector;
}

const signaled = (signal: string): unknown => ({ kind: 'signaled', signal });
const exited = { kind: 'exited', code: 0 };
const BODY_BYTES = 20_000_000;

for (const script of ['behaves-as-asked.py', 'behaves-as-asked.pl']) {
  for (const way of ['new', 'warm'] as const) {
    describe(`A ${way} process of ${script}`, { timeout: 300_000 }, () => {
      let start: StartScript;

      const invocationOf = (asked: string): Invocation => {
        const file = fromText(fixture(`cgi/${script}`));
        const variables = new Map([
          ['PATH', '/usr/bin:/bin'],
          ['QUERY_STRING', asked],
        ]);
        return { file, args: [], directory: dirname(file), variables };
      };
      const run = (asked: string, options: Options = {}): Running => {
        const { stdin = Readable.from([]), stdout = new Collector() } = options;
        const abort = new AbortController();
        const runner = new ProcessRunner({ ...limits, ...options.limits }, start);
        const streams = { stdin: requestBody(stdin), stdout, stderr: new Collector() };
        const outcome = runner.run(invocationOf(asked), streams, abort.signal);
        // As the end of its request does, which has what the script has written last go out.
        void outcome.then(() => stdout.end());
        return { stdout, abort, outcome };
      };

      before(async () => {
        if (way === 'new') start = spawned;
        else {
          // What is not warm is to fail here.
          const warm = new Warm({ spawn: () => Promise.reject(new Error('nothing was forked')) });
          start = warm.scripts.start;
          assert.equal((await warm.scripts.prepare(invocationOf(''))).kind, 'warm');
        }
      });

      it('is ended at each limit of time', async () => {
        for (const [asked, limit, expected] of [
          ['slow header', { startTimeoutMs: 300 }, [undefined, 'start-timeout', signaled('SIGTERM')]],
          ['stalls', { idleTimeoutMs: 1_000 }, [200, 'idle-timeout', signaled('SIGTERM')]],
          ['goes on', { maxTimeMs: 500 }, [200, 'max-time', signaled('SIGTERM')]],
        ] as const) {
          const { status, endedBy, exit } = await run(asked, { limits: limit }).outcome;
          assert.deepEqual([status, endedBy, exit], expected, asked);
        }
      });

      it('that ignores SIGTERM is killed', async () => {
        const { stdout, abort, outcome } = run('ignores', { limits: { killGraceMs: 100 } });
        await printed(stdout, /ready/);
        abort.abort();
        const { endedBy, exit } = await outcome;
        assert.deepEqual([endedBy, exit], ['abort', signaled('SIGKILL')]);
      });

      it('that is aborted is ended with its whole group', async () => {
        const { stdout, abort, outcome } = run('grandchild');
        const pids = (await printed(stdout, /\n\n(\d+ \d+)\n/)).split(' ').map(Number);
        for (const pid of pids) assert.ok(isRunning(pid));
        abort.abort();
        assert.equal((await outcome).endedBy, 'abort');
        for (const pid of pids) await vanished(pid);
      });

      it('that somebody kills has answered as far as it came', async () => {
        const { stdout, outcome } = run('grandchild');
        const [pid = 0, grandchild = 0] = (await printed(stdout, /\n\n(\d+ \d+)\n/)).split(' ').map(Number);
        process.kill(pid, 'SIGKILL');
        process.kill(grandchild, 'SIGKILL');
        const { status, endedBy, exit } = await outcome;
        assert.deepEqual([status, endedBy, exit], [200, undefined, signaled('SIGKILL')]);
      });

      it('is given a large body to its last octet, and what it makes of it is sent', async () => {
        const { sha256 } = await digestOf(countedSource(BODY_BYTES));
        const { stdout, outcome } = run('echo', { stdin: countedSource(BODY_BYTES) });
        assert.deepEqual((await outcome).exit, exited);
        const octets = stdout.octets.subarray(stdout.octets.indexOf('\n\n') + 2);
        assert.deepEqual(await digestOf(Readable.from([octets])), { bytes: BODY_BYTES, sha256 });
      });

      it('that reads half of its body, or none, has answered', async () => {
        const half = run('half', { stdin: Readable.from([Buffer.from('the body')]) });
        assert.deepEqual((await half.outcome).exit, exited);
        assert.ok(half.stdout.text.endsWith('\n\nthe '));
        const stdin = countedSource(BODY_BYTES);
        assert.deepEqual((await run('', { stdin }).outcome).exit, exited);
        if (!stdin.readableEnded) await once(stdin, 'end');
        const endless = new PassThrough();
        endless.write('the body has no end');
        assert.deepEqual((await run('', { stdin: endless }).outcome).exit, exited);
        endless.destroy();
      });

      it('waits for a web server that reads slowly', async () => {
        const stdout = new SlowReader();
        const streams = { stdin: requestBody(Readable.from([])), stdout, stderr: new Collector() };
        const runner = new ProcessRunner(limits, start);
        const { exit } = await runner.run(invocationOf('large'), streams, new AbortController().signal);
        await new Promise((resolve) => stdout.end(resolve));
        assert.deepEqual(exit, exited);
        assert.ok(stdout.takenBytes > 160 * 65_536);
        assert.ok(stdout.mostWaiting <= 300_000, `${String(stdout.mostWaiting)} octets waited`);
      });
    });
  }
}
