/** What the access log says of a request that has ended. */

import { type Params, paramText } from '../fastcgi/params.js';
import type { Request } from '../fastcgi/request.js';
import type { Access, RequestEnd } from '../observe/access-log.js';
import type { Ending } from './ending.js';

/** `queueMs` is how long the request has waited for a place, if it came to that. */
export function accessOf(
  id: string,
  { params, account, signal }: Request,
  { end, document, answer, outcome }: Ending,
  queueMs: number | undefined,
): Omit<Access, 'site'> {
  const {
    paramsAt,
    firstOctetAt,
    endedAt = performance.now(),
    stdinBytes,
    stdoutBytes,
    unsentBytes,
  } = account;
  const isTaken = stdoutBytes > 0 && unsentBytes === 0 && outcome?.lost !== true;
  const exit = outcome?.exit;
  return {
    id,
    client: paramText(params, 'REMOTE_ADDR'),
    method: paramText(params, 'REQUEST_METHOD'),
    uri: uriOf(params),
    status: stdoutBytes === 0 ? undefined : (document?.status ?? answer?.status ?? outcome?.status),
    inBytes: stdinBytes,
    outBytes: stdoutBytes,
    queueMs,
    firstMs: firstOctetAt === undefined ? undefined : firstOctetAt - paramsAt,
    totalMs: endedAt - paramsAt,
    pid: outcome?.pid,
    exitStatus: exit?.kind === 'exited' ? exit.code : undefined,
    signal: exit?.kind === 'signaled' ? exit.signal : undefined,
    // A web server may leave once it has a whole answer, but not before.
    end: signal.aborted && !isTaken && mayStillBeLost.has(end) ? 'aborted' : end,
  };
}

/** What it says of a request that was refused before anything of it was read. */
export function accessOfUnread(id: string, status: number, outBytes: number): Omit<Access, 'site'> {
  return {
    ...{ id, client: '', method: '', uri: '', status, inBytes: 0, outBytes },
    ...{ queueMs: undefined, firstMs: undefined, totalMs: 0 },
    ...{ pid: undefined, exitStatus: undefined, signal: undefined, end: 'not-admitted' },
  };
}

/** Ends with which nothing has gone wrong until the answer was on its way. */
const mayStillBeLost: ReadonlySet<RequestEnd> = new Set(['completed', 'refused', 'not-admitted']);

/** What a log shows of a URI, which may be as long as a web server lets it be. */
const MAX_LOGGED_URI = 2_048;

/** What was asked for, as people would say it. */
export function uriOf(params: Params): string {
  const uri = paramText(params, 'REQUEST_URI') || paramText(params, 'SCRIPT_NAME');
  return uri.length > MAX_LOGGED_URI ? `${uri.slice(0, MAX_LOGGED_URI)}…` : uri;
}
