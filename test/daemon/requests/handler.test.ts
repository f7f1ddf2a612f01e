import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { unlessAborted } from '../../../src/base/threads.js';
import type { WaitSignal } from '../../../src/base/timer.js';
import { ByteBudget } from '../../../src/base/bytes.js';
import type { ActiveRequests } from '../../../src/daemon/requests/active-requests.js';
import { Admission } from '../../../src/daemon/requests/admission.js';
import { Handler } from '../../../src/daemon/requests/handler.js';
import { BridgeError } from '../../../src/base/errors.js';
import { encodeParams } from '../../../src/fastcgi/params.js';
import type { Request } from '../../../src/fastcgi/request.js';
import type { Access } from '../../../src/observe/access-log.js';
import type { RequestBody } from '../../../src/runners/request-body.js';
import type { RunResult, Runner } from '../../../src/runners/runner.js';
import type { Site } from '../../../src/sites/site.js';
import { Peer } from '../../helpers/peer.js';
import { until } from '../../helpers/processes.js';
import { begin, record } from '../../helpers/records.js';
import { settled } from '../../helpers/sinks.js';

const invocation = { file: '/bin/true', args: [], directory: '/', variables: new Map<string, string>() };
const answered: RunResult = {
  status: 200,
  pid: 4711,
  exit: { kind: 'exited', code: 0 },
  endedBy: undefined,
  startError: undefined,
  stdoutBytes: 20,
  lost: false,
  isShort: false,
  stderrTail: '',
};

const runs: Site['resolve'] = () => Promise.resolve({ kind: 'run', invocation });

/** A request to a handler whose site and runner are told what to do, and what was logged of it. */
async function respond({
  resolve = runs,
  run = () => Promise.resolve(answered),
  prepare = () => undefined,
  received = () => undefined,
  lookUpTimeoutMs = 1_000,
  maxProcesses = 1,
  admission = new Admission({ maxProcesses, maxQueue: 0, queueTimeoutMs: 0 }),
}: {
  lookUpTimeoutMs?: number;
  maxProcesses?: number;
  resolve?: Site['resolve'];
  run?: (...asked: [...Parameters<Runner['run']>, active: ActiveRequests]) => Promise<RunResult>;
  prepare?: (request: Request, peer: Peer) => void;
  received?: (body: RequestBody, peer: Peer) => void;
  admission?: Admission;
}) {
  const accesses: Access[] = [];
  const events: string[] = [];
  const levels: string[] = [];
  const noteOf =
    (level: string) =>
    (_fields: unknown, message: string): void => {
      events.push(message);
      levels.push(level);
    };
  const handler: Handler = new Handler({
    site: { resolve },
    runner: { run: (...asked) => run(...asked, handler.active) },
    admission,
    lookUpTimeoutMs,
    log: { error: noteOf('error'), warn: noteOf('warn'), info: noteOf('info'), debug: noteOf('debug') },
    body: {
      bufferBytes: 1_000,
      maxSpoolBytes: 1_000,
      spoolBudget: new ByteBudget(1_000),
      idleTimeoutMs: 0,
    },
    accessLog: { write: (access) => accesses.push(access) },
  });
  let begun = (): void => undefined;
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  const peer = new Peer({
    onRequest: (request, to) => {
      begun();
      prepare(request, to);
      const body = handler.handle(request);
      if (body !== undefined) received(body, to);
      return body;
    },
  });
  const params = encodeParams([
    ['SCRIPT_NAME', '/s'],
    ['REMOTE_ADDR', '192.0.2.7'],
  ]);
  peer.send(begin(1, { flags: 1 }), record(4, 1, params), record(4, 1));
  await hasBegun;
  await handler.ended();
  assert.equal(accesses.length, 1, 'one line');
  return { access: accesses[0] ?? assert.fail(), events, levels, peer };
}

describe('A handler', () => {
  it('accounts for its own faults: a 500, a line in the log and one in the access log', async () => {
    const { access, events, peer } = await respond({
      resolve: () => Promise.reject(new Error('no such table')),
    });
    assert.deepEqual(
      [access.end, access.status, access.uri, access.client, access.queueMs],
      ['bridge-error', 500, '/s', '192.0.2.7', undefined],
    );
    assert.deepEqual(events, ['no such table']);
    const answer = (await peer.ask()).join();
    assert.match(answer, /STDOUT 1 Status: 500 .*,END_REQUEST 1 00000001 00/s);
    assert.equal(access.outBytes, /STDOUT 1 (.*?),STDOUT 1 end/s.exec(answer)?.[1]?.length);
  });

  it('writes no page for a fault of its own into a response that has begun', async () => {
    const { access, peer } = await respond({
      run: (_invocation, { stdout }) => {
        stdout.write(Buffer.from('Status: 200 OK\n\nhalf'));
        return Promise.reject(new Error('runner'));
      },
    });
    assert.equal(access.end, 'bridge-error');
    assert.match(
      (await peer.ask()).join(),
      /STDOUT 1 Status: 200 OK\n\nhalf,STDOUT 1 end,END_REQUEST 1 00000001 00/,
    );
  });

  it('gives the place back also when the runner is at fault', async () => {
    const admission = new Admission({ maxProcesses: 1, maxQueue: 0, queueTimeoutMs: 0 });
    const { access } = await respond({ admission, run: () => Promise.reject(new Error('runner')) });
    assert.equal(access.end, 'bridge-error');
    assert.ok(access.queueMs !== undefined);
    (await admission.enter({}, new AbortController().signal))();
  });

  it('measures from the complete params to the first octet and to the end', async () => {
    const { access } = await respond({
      run: async (_invocation, { stdout }) => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        stdout.write(Buffer.from('Status: 200 OK\n\n'));
        await new Promise((resolve) => setTimeout(resolve, 30));
        stdout.write(Buffer.from('more'));
        return answered;
      },
    });
    const { firstMs = 0, totalMs, outBytes, end, pid, exitStatus } = access;
    // A timer may be up to a millisecond early.
    assert.ok(firstMs >= 29 && totalMs >= firstMs + 29, `${String(firstMs)} ${String(totalMs)}`);
    assert.deepEqual([outBytes, end, pid, exitStatus], [20, 'completed', 4711, 0]);
  });

  it('sends the end of a response that a slow web server has not taken when the script has ended, too', async () => {
    const { peer, access } = await respond({
      prepare: (_request, to) => to.far.pause(),
      run: (_invocation, streams) => {
        streams.stdout.write(Buffer.concat([Buffer.from('Status: 200 OK\n\n'), Buffer.alloc(100_000)]));
        streams.stdout.write(Buffer.from('the end'));
        // Both its outputs are closed, and it has lived on for a while.
        streams.onAnswered?.();
        return Promise.resolve(answered);
      },
    });
    peer.far.resume();
    const last = Buffer.concat([
      record(6, 1, Buffer.from('the end')),
      record(6, 1),
      record(3, 1, Buffer.alloc(8)),
    ]);
    await until(() => peer.octets.subarray(-last.length).equals(last));
    assert.equal(access.end, 'completed');
  });

  const leave = (request: Request): void => {
    request.abort(new BridgeError('ERR_FASTCGI_DISCONNECTED', 'left'), { answer: false });
  };

  it('calls a request aborted that was given up before it had a place', async () => {
    const { access, events } = await respond({ prepare: leave });
    assert.deepEqual([access.end, access.status, access.pid], ['aborted', undefined, undefined]);
    assert.deepEqual(events, ['request aborted: left']);
  });

  it('ends by hand what runs on after its response, though its web server has left before', async () => {
    let left = (): void => undefined;
    const { access, events } = await respond({
      prepare: (request) => {
        left = () => {
          leave(request);
        };
      },
      run: async (_invocation, streams, _signal, active) => {
        streams.stdout.write('Content-Length: 0\n\n');
        await settled();
        left();
        const ended = new Promise<RunResult>((resolve) => {
          streams.cancel = () => {
            resolve({ ...answered, endedBy: 'cancelled' });
          };
        });
        for (const { id } of active) void active.cancel(id);
        return ended;
      },
    });
    assert.deepEqual([access.end, access.status], ['cancelled', 200]);
    assert.deepEqual(events, ['request cancelled: somebody has told the daemon to end it']);
  });

  it('says why a response was cut short', async () => {
    for (const [run, why] of [
      [{ isShort: true }, 'The program wrote less than its Content-Length says.'],
      [
        { exit: { kind: 'signaled', signal: 'SIGKILL' } },
        'The program was ended by signal SIGKILL before its answer was whole.',
      ],
      [
        { exit: { kind: 'signaled', signal: 'SIGXCPU' } },
        'The program used more processor time than it may (--max-cpu).',
      ],
      [{ endedBy: 'max-time' }, 'The program took longer than a request may (--max-time).'],
      [
        { endedBy: 'spool-error', bodyError: new BridgeError('ERR_SPOOL', 'the disk is full') },
        'the disk is full',
      ],
    ] as const) {
      const { events } = await respond({ run: () => Promise.resolve({ ...answered, ...run }) });
      assert.deepEqual(events, [`response cut short after 20 bytes: ${why}`]);
    }
  });

  it('calls no response cut short whose script was ended when it had written all that it had announced', async () => {
    const endedLate: RunResult = {
      ...answered,
      exit: { kind: 'signaled', signal: 'SIGTERM' },
      endedBy: 'idle-timeout',
    };
    for (const [isWhole, end] of [
      [true, 'completed'],
      [false, 'idle-timeout'],
    ] as const) {
      const { access } = await respond({
        run: (_invocation, { stdout }) => {
          stdout.write('Content-Length: 0\n\n');
          return Promise.resolve({ ...endedLate, isWhole });
        },
      });
      assert.equal(access.end, end);
    }
  });

  it('says of a whole response what was ended, not that its script has failed', async () => {
    const { events, peer } = await respond({
      run: () => Promise.resolve({ ...answered, endedBy: 'idle-timeout', isWhole: true }),
    });
    assert.match(
      events.join(),
      /^what held the outputs of a whole response open was ended: .*--idle-timeout/,
    );
    assert.match((await peer.ask()).join(), /END_REQUEST 1 00000000 00/);
  });

  it('keeps the slot of a script that runs on, since it runs as another user', async () => {
    const admission = new Admission({ maxProcesses: 1, maxQueue: 0, queueTimeoutMs: 0 });
    let end: (value: unknown) => void = () => undefined;
    const runsOnUntil = new Promise((resolve) => (end = resolve));
    const { status: _, exit: __, ...unanswered } = answered;
    const { access, events } = await respond({
      admission,
      run: () => Promise.resolve({ ...unanswered, endedBy: 'max-time', runsOnUntil }),
    });
    assert.deepEqual([access.end, access.status, admission.running], ['max-time', 504, 1]);
    assert.match(events.join(), /runs as another user/);
    end(undefined);
    await settled();
    assert.equal(admission.running, 0);
  });

  it('warns of a script that had to be ended after it had closed its outputs', async () => {
    for (const [endedBy, level] of [
      [undefined, 'debug'],
      ['max-time', 'warn'],
    ] as const) {
      const { access, levels } = await respond({
        run: (_invocation, streams) => {
          streams.onAnswered?.();
          return Promise.resolve({ ...answered, endedBy });
        },
      });
      assert.deepEqual([access.end, levels], ['completed', [level]]);
    }
  });

  it('calls a refusal aborted that nobody was there to read', async () => {
    const { access } = await respond({
      resolve: () => Promise.resolve({ kind: 'refuse', refusal: { status: 404, reason: 'not here' } }),
      prepare: leave,
    });
    assert.deepEqual([access.end, access.status, access.outBytes], ['aborted', undefined, 0]);
  });

  it('runs nothing for a request whose body was lost while it waited for a place', async () => {
    const admission = new Admission({ maxProcesses: 1, maxQueue: 1, queueTimeoutMs: 0 });
    const release = await admission.enter({}, new AbortController().signal);
    const { access } = await respond({
      admission,
      run: () => assert.fail('it has a place, and no body'),
      received: (body, peer) => {
        // With another request on its connection, the body can't wait there.
        const pieces = Array.from({ length: 3 }, () => record(5, 1, Buffer.alloc(2_000)));
        body.once('close', release);
        setImmediate(() => {
          peer.send(begin(2, { flags: 1 }), ...pieces, record(5, 1));
        });
      },
    });
    assert.deepEqual([access.end, access.status, access.pid], ['refused', 413, undefined]);
  });

  it('has a request whose body is counted wait for a place from then on, however slow its upload was', async () => {
    const admission = new Admission({ maxProcesses: 1, maxQueue: 1, queueTimeoutMs: 200 });
    const release = await admission.enter({}, new AbortController().signal);
    const { access } = await respond({
      admission,
      resolve: () => Promise.resolve({ kind: 'run', invocation: { ...invocation, body: 'with-length' } }),
      received: (_body, peer) => {
        setTimeout(() => {
          peer.send(record(5, 1, Buffer.from('body')), record(5, 1));
          setTimeout(release, 20);
        }, 250);
      },
    });
    assert.deepEqual([access.end, access.pid], ['completed', 4711]);
  });

  for (const lost of [false, true]) {
    it(`calls a request ${lost ? 'aborted' : 'completed'} whose web server has left ${lost ? 'before' : 'when'} it had the whole answer`, async () => {
      let left = (): void => undefined;
      const { access } = await respond({
        prepare: (request) => {
          left = () => {
            leave(request);
          };
        },
        run: async (_invocation, { stdout }) => {
          await new Promise((resolve) => stdout.write(Buffer.from('Content-Length: 0\n\n'), resolve));
          left();
          return { ...answered, lost };
        },
      });
      assert.deepEqual([access.end, access.status], [lost ? 'aborted' : 'completed', 200]);
    });
  }

  it('calls a request aborted whose web server has left while octets waited for it', async () => {
    const { access } = await respond({
      prepare: (request, peer) => {
        // Nothing is read any more.
        peer.far.pause();
        setTimeout(() => {
          leave(request);
        }, 20);
      },
      run: (_invocation, { stdout }) => {
        stdout.write(Buffer.alloc(1_000_000));
        return Promise.resolve(answered);
      },
    });
    assert.deepEqual([access.end, access.status], ['aborted', 200]);
  });

  const never = (_params: unknown, signal?: WaitSignal): Promise<never> =>
    unlessAborted(new Promise(() => undefined), signal ?? new AbortController().signal);

  it('answers 504 where the site does not find out in time what is asked for', async () => {
    for (const resolve of [
      never,
      () => Promise.resolve({ kind: 'defer' as const, resolve: (signal?: WaitSignal) => never([], signal) }),
    ]) {
      const { access, events } = await respond({ resolve, lookUpTimeoutMs: 20 });
      assert.deepEqual([access.end, access.status], ['look-up-timeout', 504]);
      assert.match(
        events.join(),
        /no file system has said what is asked for within 20 ms .*--look-up-timeout/,
      );
    }
  });

  it('tells the site when nobody waits for what it looks up', async () => {
    const { access } = await respond({
      resolve: never,
      prepare: (request) => {
        setImmediate(leave, request);
      },
    });
    assert.equal(access.end, 'aborted');
  });

  it('has what takes long looked up once the request has a place, and no request without one', async () => {
    let lookedUp = 0;
    const resolve: Site['resolve'] = () =>
      Promise.resolve({
        kind: 'defer',
        resolve: () => {
          lookedUp += 1;
          return Promise.resolve({ kind: 'run', invocation });
        },
      });
    const { access } = await respond({ resolve, maxProcesses: 0 });
    assert.deepEqual([access.end, access.status, lookedUp], ['not-admitted', 503, 0]);
    const { access: admitted } = await respond({ resolve });
    assert.deepEqual([admitted.end, admitted.pid, lookedUp], ['completed', 4711, 1]);
  });
});
