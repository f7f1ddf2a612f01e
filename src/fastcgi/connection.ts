/** One connection from a web server: sorts its records to its requests (FastCGI 1.0 §3.3, §4). */

import type { Duplex } from 'node:stream';

import { BridgeError, reasonOf } from '../errors.js';
import { Timer } from '../timer.js';
import {
  BeginRequest,
  KEEP_CONN,
  NULL_REQUEST_ID,
  ProtocolStatus,
  RecordType,
  recordTypeName,
  Role,
} from './constants.js';
import { managementAnswer, outOfSequence } from './management.js';
import { type RecordEvent, RecordReader } from './record-reader.js';
import { endRequest, streamEnd, streamRecords } from './record-writer.js';
import { Request, type RequestTransport } from './request.js';
import type { RequestLimits } from './request-input.js';
import { Transport } from './transport.js';

/** Why a connection takes no further request: as many are active as may be, or it ends after them. */
export type RefusalReason = 'max-requests' | 'draining';

export interface ConnectionOptions extends Omit<RequestLimits, 'paramsTimeoutMs'> {
  /** Requests that may be active on this connection; the next one is refused. */
  readonly maxRequests: number;
  /** What GET_VALUES may ask for (FastCGI 1.0 §4.1): `FCGI_MAX_CONNS`, `FCGI_MAX_REQS`. */
  readonly values: Readonly<Record<string, string>>;
  /** Takes a request that has its params, or a `problem` with them; must read its `stdin` and call `request.end`. */
  readonly onRequest: (request: Request) => void;
  /**
   * Gives the STDOUT of a request that is refused. FastCGI's own word for it, OVERLOADED (FastCGI 1.0 §5.5), people see
   * as an empty page with status 200 from Apache, 500 from lighttpd, 502 from nginx and Caddy, 504 after its time-out from
   * HAProxy; and even beside a document it makes HAProxy drop the connection with all other requests on it.
   */
  readonly refuse: (why: RefusalReason) => Buffer;
  /**
   * How long the web server may leave unread what it was sent, stop in the middle of a record, and take for a request's
   * params, in milliseconds; 0 for as long as it likes. Between requests it may be silent for ever.
   */
  readonly idleTimeoutMs: number;
  /** Ends our side of the socket, if all that was written to it is under way, sooner than Node does. */
  readonly endAtOnce?: () => void;
  /** Told why a connection is closed on its peer. */
  readonly onProblem: (problem: BridgeError) => void;
}

/**
 * How long a connection that is to close waits for one more request. FastCGI can't say that a connection is about to close,
 * and what the web server sends meanwhile would be lost: it is least likely to send anything right after an answer.
 */
const LAST_REQUEST_MS = 1_000;

/** Owns the socket it is given: closes it when the peer, the protocol or `close`/`destroy` says so, unless it is passed on. */
export class Connection implements RequestTransport {
  /** Resolves when the socket is closed or passed on, and every request on it has been told. */
  readonly closed: Promise<void>;

  readonly #options: ConnectionOptions;
  readonly #limits: RequestLimits;
  readonly #transport: Transport;
  readonly #reader = new RecordReader();
  readonly #requests = new Map<number, Request>();
  /** Runs while the rest of a record is due. */
  readonly #restOfRecord: Timer;
  /** Which requests it takes; `last` are those until none runs. */
  #takes: 'all' | 'last' | 'none' = 'all';
  /** Runs while it is to close, and takes requests still. */
  readonly #lastRequest = new Timer(LAST_REQUEST_MS, () => {
    afterReading(() => {
      this.#drain();
    });
  });
  /** Told that the socket is somebody else's. */
  #onPassedOn: (() => void) | undefined;
  /** Whether records of a chunk are still to be looked at. */
  #isTaking = false;

  constructor(socket: Duplex, options: ConnectionOptions) {
    const { idleTimeoutMs, onProblem } = options;
    this.#options = options;
    this.#limits = { ...options, paramsTimeoutMs: idleTimeoutMs };
    this.#transport = new Transport(socket, {
      stallTimeoutMs: idleTimeoutMs,
      onProblem,
      onChunk: (chunk) => {
        this.#take(chunk);
      },
      onLeft: () => {
        this.#left();
      },
      onRead: () => {
        this.#readOnOrPause();
        this.#settle();
      },
    });
    this.#restOfRecord = new Timer(idleTimeoutMs, () => {
      const what = `the web server has sent part of a record, and nothing more for ${String(idleTimeoutMs)} ms (--idle-timeout)`;
      this.#transport.fail(new BridgeError('ERR_FASTCGI_TIMEOUT', what));
    });
    this.closed = this.#transport.closed;
  }

  /**
   * Closes after the last answer of the requests that run; an idle one takes the next, if that comes within a second.
   */
  close(): void {
    this.#onPassedOn = undefined;
    if (this.#takes !== 'all') return;
    this.#takes = 'last';
    this.#lastRequest.start();
  }

  /**
   * Goes on as before, also with new requests, until none runs; then it lets go of the socket, which stays open, and calls
   * `passedOn`. A web server that keeps connections may send a request at any moment, also while we close: it would be lost.
   */
  passOn(passedOn: () => void): void {
    this.#onPassedOn = passedOn;
    this.#settle();
  }

  /** Closes at once; every request on it is aborted. */
  destroy(): void {
    this.#transport.destroy();
  }

  get requestCount(): number {
    return this.#requests.size;
  }

  send(octets: readonly Buffer[], done?: () => void): void {
    this.#transport.send(octets, done);
  }

  requestReady(request: Request): void {
    this.#options.onRequest(request);
  }

  stdinWanted(): void {
    this.#readOnOrPause();
  }

  requestEnded(request: Request): void {
    this.#requests.delete(request.requestId);
    if (!request.keepConn) this.#takes = 'none';
    else if (this.#takes === 'last' && this.#requests.size === 0 && !this.#reader.isWithinRecord) {
      this.#drain();
    }
    this.#readOnOrPause();
    this.#settle();
  }

  #take(chunk: Buffer): void {
    this.#restOfRecord.putOff();
    this.#isTaking = true;
    try {
      for (const event of this.#reader.read(chunk)) {
        if (event.requestId === NULL_REQUEST_ID) this.send([managementAnswer(event, this.#options.values)]);
        else this.#dispatch(event);
        // After our last answer on it the connection is only drained, whatever the rest of the chunk is.
        if (this.#transport.isFinished) return;
      }
    } catch (error) {
      this.#transport.fail(
        error instanceof BridgeError ? error : new BridgeError('ERR_FASTCGI_SEQUENCE', reasonOf(error)),
      );
      return;
    } finally {
      this.#isTaking = false;
    }
    this.#readOnOrPause();
    this.#settle();
  }

  #dispatch(event: RecordEvent): void {
    const { type, requestId } = event;
    if (event.kind === 'control') {
      if (type === RecordType.BEGIN_REQUEST) this.#begin(requestId, event.content);
      else if (type === RecordType.ABORT_REQUEST) this.#abort(requestId);
      else if (type <= RecordType.UNKNOWN_TYPE && type !== 0 && type !== RecordType.GET_VALUES) {
        throw outOfSequence(`${recordTypeName(type)}, which only an application sends (FastCGI 1.0 §3.3)`);
      }
      return;
    }
    // Records of a request that has ended may still be under way (FastCGI 1.0 §3.3: they are ignored).
    const input = this.#requests.get(requestId)?.input;
    if (input === undefined) return;
    if (type === RecordType.PARAMS) {
      if (event.kind === 'data') input.takeParams(event.data);
      else input.endParams();
    } else if (type === RecordType.STDIN) {
      if (event.kind === 'data') input.takeStdin(event.data);
      else input.endStdin();
    } else if (type !== RecordType.DATA) {
      throw outOfSequence(`${recordTypeName(type)}, which only an application sends (FastCGI 1.0 §3.3)`);
    }
  }

  #begin(requestId: number, content: Buffer): void {
    const body = new BeginRequest();
    if (content.length !== body.getSize()) {
      throw new BridgeError(
        'ERR_FASTCGI_LENGTH',
        `the web server sent a BEGIN_REQUEST of ${String(content.length)} octets, not 8 (FastCGI 1.0 §5.1)`,
      );
    }
    body.read(content);
    if (this.#requests.has(requestId)) {
      throw outOfSequence(
        `BEGIN_REQUEST for request ${String(requestId)}, which is active (FastCGI 1.0 §3.3)`,
      );
    }
    const keepConn = (body.flags & KEEP_CONN) !== 0;
    if (body.role !== Role.RESPONDER) {
      this.send([endRequest(requestId, 0, ProtocolStatus.UNKNOWN_ROLE)]);
    } else if (this.#takes === 'none' || this.#requests.size >= this.#options.maxRequests) {
      const document = this.#options.refuse(this.#takes === 'none' ? 'draining' : 'max-requests');
      this.send([
        ...streamRecords(RecordType.STDOUT, requestId, document),
        streamEnd(RecordType.STDOUT, requestId),
        endRequest(requestId, 0, ProtocolStatus.REQUEST_COMPLETE),
      ]);
    } else {
      this.#requests.set(requestId, new Request(requestId, keepConn, this, this.#limits));
      return;
    }
    if (!keepConn) this.#takes = 'none';
    this.#settle();
  }

  #abort(requestId: number): void {
    this.#requests
      .get(requestId)
      ?.abort(new BridgeError('ERR_FASTCGI_DISCONNECTED', 'the web server sent ABORT_REQUEST'), {
        answer: true,
      });
  }

  #readOnOrPause(): void {
    const isFull = [...this.#requests.values()].some(({ input }) => input.isFull);
    const reads = this.#transport.readOn(!isFull);
    if (reads && this.#reader.isWithinRecord && !this.#transport.isFinished) this.#restOfRecord.start();
    else this.#restOfRecord.stop();
  }

  #drain(): void {
    this.#takes = 'none';
    this.#lastRequest.stop();
    this.#settle();
    // The web server may be told of the last answer and send another request before Node would end our side.
    if (this.#transport.isFinished) this.#options.endAtOnce?.();
  }

  /** Without requests, ends as it was told to. */
  #settle(): void {
    if (this.#requests.size > 0) return;
    if (this.#takes === 'none') {
      this.#restOfRecord.stop();
      this.#transport.finish();
      return;
    }
    if (this.#onPassedOn === undefined || this.#isTaking || this.#reader.isWithinRecord) return;
    if (this.#transport.release()) this.#onPassedOn();
  }

  #left(): void {
    this.#restOfRecord.stop();
    this.#lastRequest.stop();
    // Most connections end when their requests have: an error costs its stack trace.
    if (this.#requests.size === 0) return;
    const reason = new BridgeError('ERR_FASTCGI_DISCONNECTED', 'the web server closed the connection');
    for (const request of [...this.#requests.values()]) request.abort(reason, { answer: false });
  }
}

/** Calls `then` when Node has read what has come by now, and has nothing else to do before that. */
function afterReading(then: () => void): void {
  // Node may look for it only after the first of the two, wherever we are now.
  setImmediate(() => {
    setImmediate(then);
  });
}
