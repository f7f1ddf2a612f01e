/** What a connection is told by who makes it. */

import type { Duplex, Writable } from 'node:stream';

import type { BridgeError } from '../base/errors.js';
import type { ParamsLimits } from './params.js';
import type { Request } from './request.js';

/** Why a connection takes no further request: as many are active as may be, here or of all, or it ends after them. */
export type RefusalReason = 'max-requests' | 'max-params-total' | 'draining';

/** What is done with the socket of a connection, and when it is given up. */
export interface SocketOptions {
  /**
   * How long the web server may leave unread what it was sent, stop in the middle of a record, and take for a request's
   * params, in milliseconds; 0 for as long as it likes. Between requests it may be silent for ever.
   */
  readonly idleTimeoutMs: number;
  /** Told why a connection is closed on its peer. */
  readonly onProblem: (problem: BridgeError) => void;
  /** Ends our side, if all that was written is under way, sooner than Node does. */
  readonly endAtOnce?: (socket: Duplex) => void;
  /** Whether the web server has sent something that has not come here yet; undefined where nobody can say. */
  readonly hasUnread?: (socket: Duplex) => boolean | undefined;
}

/** What a request may take; one whose params take longer has a `problem` and none of them. */
export type RequestLimits = ParamsLimits & Pick<SocketOptions, 'idleTimeoutMs'>;

export interface ConnectionOptions extends ParamsLimits, SocketOptions {
  /** Requests that may be active on this connection; the next one is refused. */
  readonly maxRequests: number;
  /** What GET_VALUES may ask for (FastCGI 1.0 §4.1): `FCGI_MAX_CONNS`, `FCGI_MAX_REQS`. */
  readonly values: Readonly<Record<string, string>>;
  /**
   * Takes a request that has its params, or a `problem` with them, and returns what its STDIN is written to, unless there is
   * none or nobody wants it: no faster than that takes it, and it is destroyed at the request's end. Must call `request.end`.
   */
  readonly onRequest: (request: Request) => Writable | undefined;
  /**
   * Gives the STDOUT of a request that is refused. FastCGI's own word for it, OVERLOADED (FastCGI 1.0 §5.5), people see
   * as an empty page with status 200 from Apache, 500 from lighttpd, 502 from nginx and Caddy, 504 after its time-out from
   * HAProxy; and even beside a document it makes HAProxy drop the connection with all other requests on it.
   */
  readonly refuse: (why: RefusalReason) => Buffer;
}
