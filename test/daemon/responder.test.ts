import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Admission } from '../../src/daemon/admission.js';
import { Responder } from '../../src/daemon/responder.js';
import { BridgeError } from '../../src/errors.js';
import { encodeParams } from '../../src/fastcgi/params.js';
import type { Request } from '../../src/fastcgi/request.js';
import type { Access } from '../../src/observe/access-log.js';
import type { Outcome, Runner } from '../../src/runners/runner.js';
import type { Site } from '../../src/sites/site.js';
import { Peer } from '../helpers/peer.js';
import { begin, record } from '../helpers/records.js';

const invocation = { file: '/bin/true', args: [], directory: '/', variables: new Map<string, string>() };
const answered: Outcome = {
  status: 200,
  pid: 4711,
  exit: { kind: 'exited', code: 0 },
  endedBy: undefined,
  startError: undefined,
  stdinBytes: 0,
  stdoutBytes: 20,
  lost: false,
  isShort: false,
  stderrTail: '',
};

const runs: Site['resolve'] = () => Promise.resolve({ kind: 'run', invocation });

/** A request to a responder whose site and runner are told what to do, and what was logged of it. */
async function respond({
  resolve = runs,
  run = () => Promise.resolve(answered),
  prepare = () => undefined,
}: {
  resolve?: Site['resolve'];
  run?: Runner['run'];
  prepare?: (request: Request, peer: Peer) => void;
}) {
  const accesses: Access[] = [];
  const events: string[] = [];
  const note = (_fields: unknown, message: string): void => void events.push(message);
  const responder = new Responder({
    site: { resolve },
    runner: { run },
    admission: new Admission({ maxProcesses: 1, maxQueue: 0, queueTimeoutMs: 0 }),
    log: { error: note, warn: note, info: note, debug: note },
    body: { bufferBytes: 1_000, maxSpoolBytes: 1_000, idleTimeoutMs: 0 },
    accessLog: { write: (access) => accesses.push(access) },
  });
  const peer = new Peer();
  const params = encodeParams([
    ['SCRIPT_NAME', '/s'],
    ['REMOTE_ADDR', '192.0.2.7'],
  ]);
  const request = await peer.request(begin(1, { flags: 1 }), record(4, 1, params), record(4, 1));
  prepare(request, peer);
  await responder.respond(request, peer);
  assert.equal(accesses.length, 1, 'one line');
  return { access: accesses[0] ?? assert.fail(), events, peer };
}

describe('A responder', () => {
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

  it('gives the place back also when the runner is at fault', async () => {
    const { access } = await respond({ run: () => Promise.reject(new Error('runner')) });
    assert.equal(access.end, 'bridge-error');
    assert.ok(access.queueMs !== undefined);
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

  const leave = (request: Request): void => {
    request.abort(new BridgeError('ERR_FASTCGI_DISCONNECTED', 'left'), { answer: false });
  };

  it('calls a request aborted that was given up before it had a place', async () => {
    const { access, events } = await respond({ prepare: leave });
    assert.deepEqual([access.end, access.status, access.pid], ['aborted', undefined, undefined]);
    assert.deepEqual(events, ['request aborted: left']);
  });

  it('calls a refusal aborted that nobody was there to read', async () => {
    const { access } = await respond({
      resolve: () => Promise.resolve({ kind: 'refuse', refusal: { status: 404, reason: 'not here' } }),
      prepare: leave,
    });
    assert.deepEqual([access.end, access.status, access.outBytes], ['aborted', undefined, 0]);
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
});
