import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Duplex, duplexPair, PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, it } from 'node:test';

import { Requester } from '../../../src/fastcgi/requester.js';
import type { ExitStatus } from '../../../src/process/exit-status.js';
import type { Worker } from '../../../src/runners/worker/worker.js';
import { WorkerRequest } from '../../../src/runners/worker/worker-request.js';
import { record } from '../../helpers/records.js';

/** END_REQUEST with exit status 3. */
const end = (protocolStatus = '\0'): Buffer => record(3, 1, `\0\0\0\x03${protocolStatus}\0\0\0`);

/** ABORT_REQUEST, as a web server sends it. */
const abort = record(2, 1);

/** More than any test takes. */
const LONG_MS = 60_000;

describe('A request to a worker', { timeout: LONG_MS }, () => {
  let near: Duplex;
  let far: Duplex;
  let received: Buffer;
  let killed: number;
  let exits: (exit: ExitStatus) => void;

  /** Begins one; a worker that is killed ends by SIGKILL. */
  function begin({ bodyBytes = 0, mayFinish = false } = {}): WorkerRequest {
    [near, far] = duplexPair();
    received = Buffer.of();
    killed = 0;
    far.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
    });
    const exited = new Promise<ExitStatus>((resolve) => {
      exits = resolve;
    });
    const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
    const worker: Worker = { pid: 7, path: '', exited, ...streams, terminate: () => Promise.resolve() };
    return new WorkerRequest(worker, new Requester(near), new Map([['A', 'B']]), {
      bodyBytes,
      mayFinish: () => mayFinish,
      kill: async () => {
        killed += 1;
        exits({ kind: 'signaled', signal: 'SIGKILL' });
        await exited;
      },
    });
  }

  afterEach(() => {
    far.destroy();
  });

  it('has exited as END_REQUEST says, with all of its answer, and leaves the connection', async () => {
    const request = begin();
    far.write(Buffer.concat([record(6, 1, 'answer'), end()]));
    assert.equal(await text(request.stdout), 'answer');
    assert.deepEqual(await request.exited, { kind: 'exited', code: 3 });
    assert.deepEqual([request.isAnswered, request.hasBegun, request.hasEnded], [true, true, true]);
    assert.deepEqual([near.destroyed, killed], [true, 0]);
  });

  it('has the end of its body sent at once where it has none', async () => {
    const request = begin();
    const endOfBody = record(5, 1);
    while (!received.includes(endOfBody)) await once(far, 'data');
    assert.equal(received.indexOf(endOfBody), received.length - endOfBody.length);
    far.write(end());
    await request.exited;
  });

  it('is not answered by a worker that refuses it', async () => {
    const request = begin();
    far.write(end('\x02'));
    await request.exited;
    assert.deepEqual([request.isAnswered, request.hasBegun], [false, false]);
    assert.equal(request.fault?.code, 'ERR_WORKER_OVERLOADED');
  });

  it('has exited as its worker has, where no END_REQUEST came', async () => {
    const request = begin();
    far.end();
    exits({ kind: 'signaled', signal: 'SIGSEGV' });
    assert.deepEqual(await request.exited, { kind: 'signaled', signal: 'SIGSEGV' });
    assert.deepEqual([request.isAnswered, request.hasEnded], [false, true]);
  });

  it('has exited with status 0, unanswered, where its worker lives on without the connection', async () => {
    const request = begin();
    far.end();
    assert.deepEqual(await request.exited, { kind: 'exited', code: 0 });
    assert.equal(request.isAnswered, false);
  });

  it('is left to its worker when it is ended, if that finishes it within the grace', async () => {
    const request = begin({ bodyBytes: 100, mayFinish: true });
    const ended = request.terminate(LONG_MS);
    assert.equal(request.terminate(0), ended, 'it is ended once');
    while (!received.includes(Buffer.concat([abort, record(5, 1)]))) await once(far, 'data');
    far.write(end());
    await ended;
    assert.deepEqual([request.isAnswered, killed], [true, 0]);
  });

  it('ends its worker when that does not finish it within the grace', async () => {
    const request = begin({ mayFinish: true });
    await request.terminate(1);
    assert.ok(received.includes(abort));
    assert.deepEqual(await request.exited, { kind: 'signaled', signal: 'SIGKILL' });
    assert.equal(killed, 1);
  });

  it('ends its worker at once where that may not finish it, though another holds the connection', async () => {
    const request = begin();
    await request.terminate(LONG_MS);
    assert.equal(received.includes(abort), false);
    assert.deepEqual(await request.exited, { kind: 'signaled', signal: 'SIGKILL' });
    assert.deepEqual([near.destroyed, killed], [true, 1]);
  });

  it('that was answered never ends its worker, whatever its web server does', async () => {
    const request = begin();
    far.write(Buffer.concat([record(6, 1, 'answer'), end()]));
    await request.exited;
    await request.terminate(0);
    assert.deepEqual([request.isAnswered, killed], [true, 0]);
    assert.equal(await text(request.stdout), 'answer');
  });
});
