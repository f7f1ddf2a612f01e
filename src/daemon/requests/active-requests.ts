/** The requests of a site that have begun and not ended: what is shown of each, and how to cancel one. */

import type { Writable } from 'node:stream';

import { toText } from '../../base/bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import { BridgeError } from '../../base/errors.js';
import { ShortLived } from '../../base/memory.js';
import { type Params, paramText } from '../../fastcgi/params.js';
import type { Request } from '../../fastcgi/request.js';
import type { Access } from '../../observe/access-log.js';
import type { RequestStatus } from '../../observe/status/status.js';
import type { ResultWord } from '../../base/results.js';
import { usageOf } from '../../process/process-group.js';
import type { RequestBody } from '../../runners/request-body.js';
import type { RunStreams } from '../../runners/runner.js';
import type { RequestResult } from './request-result.js';

/**
 * A request on its way to its end, and what its run reads and writes. No literal: V8 makes a class of its own of each that
 * has a getter, and keeps that, with all of the request, until it looks through its whole heap.
 */
export class ActiveRequest implements RunStreams {
  readonly id: string;
  readonly request: Request;
  readonly stdin: RequestBody | undefined;
  readonly stdout: Writable;
  /** What runs for it, once it is clear that something does. */
  invocation: Invocation | undefined;
  /** When it has begun to wait for a slot, by `performance.now()`, and how long it has, once it has one or none. */
  waitsSince: number | undefined;
  queueMs: number | undefined;
  pid: number | undefined;
  cancel: (() => void) | undefined;
  /** Whether the bridge has answered it by a page of its own. */
  isOwnPage = false;
  /** Whether it has ended before its script has. */
  hasAnswered = false;
  /** Settles when it has ended, and its process is gone. */
  response: Promise<void> | undefined;
  /** Who has ended it by hand, and waits. */
  readonly onEnded: ((access: Access) => void)[] = [];

  constructor(id: string, request: Request, stdin: RequestBody | undefined) {
    this.id = id;
    this.request = request;
    this.stdin = stdin;
    this.stdout = request.stdout;
  }

  get stderr(): Writable {
    return this.request.stderr;
  }

  onAnswered(): void {
    this.hasAnswered = true;
    void this.request.end(0);
  }

  get state(): RequestStatus['state'] {
    if (this.request.endedAt !== undefined) return 'answered';
    if (this.queueMs !== undefined) return 'running';
    return this.waitsSince === undefined ? 'preparing' : 'waiting';
  }
}

/** Knows those that have begun and not ended; the handler that answers them adds and deletes them. */
export class ActiveRequests extends ShortLived<ActiveRequest> {
  statuses(site: string): readonly RequestStatus[] {
    const now = performance.now();
    // The asking request itself is no news.
    const others = [...this].filter(({ isOwnPage }) => !isOwnPage);
    return others.map(({ id, request, invocation, pid, state }) => ({
      id,
      site,
      state,
      client: paramText(request.params, 'REMOTE_ADDR'),
      method: paramText(request.params, 'REQUEST_METHOD'),
      uri: uriOf(request.params),
      script: invocation === undefined ? undefined : toText(invocation.script ?? invocation.file),
      pid,
      processes: pid === undefined ? [] : usageOf(pid),
      ageMs: now - request.paramsAt,
      inBytes: request.stdinBytes,
      outBytes: request.stdoutBytes,
    }));
  }

  /** Ends a request; resolves, when it and its process have ended, to what became of it. Undefined for an unknown id. */
  cancel(id: string): Promise<Access> | undefined {
    const active = [...this].find((each) => each.id === id);
    if (active === undefined) return undefined;
    const ended = new Promise<Access>((resolve) => {
      active.onEnded.push(resolve);
    });
    const reason = new BridgeError('ERR_CANCELLED', 'somebody has told the daemon to end it');
    active.request.cancel(reason);
    // Where the web server has left before, nothing hears of that.
    active.cancel?.();
    // Where nothing runs yet that could be ended, it is the body that is waited for.
    if (active.state === 'preparing') active.stdin?.destroy(reason);
    return ended;
  }
}

/** What the access log says of a request that has ended. */
export function accessOf(
  { id, request, queueMs }: ActiveRequest,
  { word, page, run }: RequestResult,
  site: string | undefined,
): Access {
  const { params, paramsAt, firstByteAt, endedAt = performance.now() } = request;
  const { signal, stdinBytes, stdoutBytes, unsentBytes } = request;
  const isTaken = stdoutBytes > 0 && unsentBytes === 0 && run?.lost !== true;
  const exit = run?.exit;
  return {
    id,
    client: paramText(params, 'REMOTE_ADDR'),
    method: paramText(params, 'REQUEST_METHOD'),
    uri: uriOf(params),
    status: stdoutBytes === 0 ? undefined : (page?.status ?? run?.status),
    inBytes: stdinBytes,
    outBytes: stdoutBytes,
    queueMs,
    firstMs: firstByteAt === undefined ? undefined : firstByteAt - paramsAt,
    totalMs: endedAt - paramsAt,
    pid: run?.pid,
    exitStatus: exit?.kind === 'exited' ? exit.code : undefined,
    signal: exit?.kind === 'signaled' ? exit.signal : undefined,
    // A web server may leave once it has a whole answer, but not before.
    end: signal.aborted && !isTaken && mayStillBeLost.has(word) ? 'aborted' : word,
    site,
  };
}

/** The same of a request that was refused before anything of it was read. */
export function accessOfUnread(id: string, status: number, outBytes: number): Omit<Access, 'site'> {
  return {
    ...{ id, client: '', method: '', uri: '', status, inBytes: 0, outBytes },
    ...{ queueMs: undefined, firstMs: undefined, totalMs: 0 },
    ...{ pid: undefined, exitStatus: undefined, signal: undefined, end: 'not-admitted' },
  };
}

/** Results with which nothing has gone wrong until the answer was on its way. */
const mayStillBeLost: ReadonlySet<ResultWord> = new Set(['completed', 'refused', 'not-admitted']);

/** What a log shows of a URI, which may be as long as a web server lets it be. */
const MAX_LOGGED_URI = 2_048;

/** What was asked for, as people would say it. */
export function uriOf(params: Params): string {
  const uri = paramText(params, 'REQUEST_URI') || paramText(params, 'SCRIPT_NAME');
  return uri.length > MAX_LOGGED_URI ? `${uri.slice(0, MAX_LOGGED_URI)}…` : uri;
}
