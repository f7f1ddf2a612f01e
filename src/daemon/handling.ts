/** The requests that a site has in hand: what each is about, where it is on its way, and how to end one by hand. */

import { toText } from '../bytes.js';
import type { Invocation } from '../cgi/invocation.js';
import { BridgeError } from '../errors.js';
import { paramText } from '../fastcgi/params.js';
import type { Request } from '../fastcgi/request.js';
import type { Access } from '../observe/access-log.js';
import type { RequestStatus } from '../observe/status/status.js';
import type { RequestBody } from '../runners/request-body.js';
import { uriOf } from './account.js';

/** A request on its way to its end. */
export interface Handling {
  readonly id: string;
  readonly request: Request;
  readonly body: RequestBody;
  readonly connection: object;
  /** What runs for it, once it is clear that something does. */
  invocation?: Invocation;
  /** When it has begun to wait for a place, by `performance.now()`, and how long it has, once it has one or none. */
  waitsSince?: number;
  queueMs?: number;
  pid?: number;
  /** Whether the bridge has answered it by a page of its own. */
  isOwnPage?: boolean;
  /** Who has ended it by hand, and waits. */
  onEnded?: ((access: Access) => void)[];
}

/** Knows those that have begun and not ended; they are added and deleted by whoever answers them. */
export class RequestsInHand extends Set<Handling> {
  statuses(site: string): readonly RequestStatus[] {
    const now = performance.now();
    // Whoever asks is no news.
    const others = [...this].filter(({ isOwnPage }) => isOwnPage !== true);
    return others.map(({ id, request, invocation, pid, ...on }) => ({
      id,
      site,
      state: stateOf({ request, ...on }),
      client: paramText(request.params, 'REMOTE_ADDR'),
      method: paramText(request.params, 'REQUEST_METHOD'),
      uri: uriOf(request.params),
      script: invocation === undefined ? undefined : toText(invocation.script ?? invocation.file),
      pid,
      ageMs: now - request.account.paramsAt,
      inBytes: request.account.stdinBytes,
      outBytes: request.account.stdoutBytes,
    }));
  }

  /** Ends a request; resolves, when it and its process have ended, to what became of it. Undefined if there is none. */
  endByHand(id: string): Promise<Access> | undefined {
    const handling = [...this].find((each) => each.id === id);
    if (handling === undefined) return undefined;
    const ended = new Promise<Access>((resolve) => {
      (handling.onEnded ??= []).push(resolve);
    });
    const reason = new BridgeError('ERR_ENDED_BY_HAND', 'somebody has told the daemon to end it');
    handling.request.cancel(reason);
    // Where nothing runs yet that could be ended, it is the body that is waited for.
    if (stateOf(handling) === 'preparing') handling.body.destroy(reason);
    return ended;
  }
}

function stateOf({
  request,
  waitsSince,
  queueMs,
}: Pick<Handling, 'request' | 'waitsSince' | 'queueMs'>): RequestStatus['state'] {
  if (request.account.endedAt !== undefined) return 'answered';
  if (queueMs !== undefined) return 'running';
  return waitsSince === undefined ? 'preparing' : 'waiting';
}
