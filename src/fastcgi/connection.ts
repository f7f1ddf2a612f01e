/** One connection from a web server: sorts its records to its requests (FastCGI 1.0 §3.3, §4). */

import type { Duplex, Writable } from 'node:stream';

import { BridgeError, reasonOf } from '../base/errors.js';
import { Timer } from '../base/timer.js';
import { ConnectionLife, type SocketSystem } from './connection-life.js';
import { NULL_REQUEST_ID, ProtocolStatus, RecordType, recordTypeName, Role } from './constants.js';
import { endRequest, managementAnswer, outOfSequence, streamRecords } from './record-writer.js';
import { ConnectionSocket } from './connection-socket.js';
import { type ParamsLimits, REQUEST_BYTES } from './params.js';
import { type RecordEvent, RecordReader } from './record-reader.js';
import { beginOf, type Carrier, Request } from './request.js';
import type { RequestLimits } from './request-input.js';

/** Why a connection takes no further request: as many are active as may be, here or of all, or it ends after them. */
export type RefusalReason = 'max-requests' | 'max-params-total' | 'draining';

export interface ConnectionOptions extends ParamsLimits, SocketSystem {
  /** Requests that may be active on this connection; the next one is refused. */
  readonly maxRequests: number;
  /** What GET_VALUES may ask for (FastCGI 1.0 §4.1): `FCGI_MAX_CONNS`, `FCGI_MAX_REQS`. */
  readonly values: Readonly<Record<string, string>>;
  /**
   * Takes a request that has its params, or a `problem` with them, and returns what its STDIN is written to, unless it has no
   * body: no faster than that takes it, and it is destroyed at the request's end. Must call `request.end`.
   */
  readonly onRequest: (request: Request, connection: Connection) => Writable | undefined;
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
  /** Told why a connection is closed on its peer. */
  readonly onProblem: (problem: BridgeError) => void;
}

/** Owns the socket it is given: closes it when the peer, the protocol or `close`/`destroy` says so, unless it is detached. */
export class Connection implements Carrier {
  /** Resolves when the socket is closed or detached, and every request on it has been told. */
  readonly closed: Promise<void>;
  readonly send: Carrier['send'];

  readonly #options: ConnectionOptions;
  readonly #limits: RequestLimits;
  readonly #socket: ConnectionSocket;
  readonly #life: ConnectionLife;
  readonly #reader = new RecordReader();
  readonly #requests = new Map<number, Request>();
  /** One that has its params, and is handed over with what comes next: as a rule that says that it has no body. */
  #ready: Request | undefined;
  readonly #restOfRecord: Timer;
  #hasBegun = false;

  constructor(socket: Duplex, options: ConnectionOptions) {
    const { idleTimeoutMs, onProblem, maxParamsBytes, paramsBudget } = options;
    this.#options = options;
    this.#limits = { maxParamsBytes, paramsBudget, paramsTimeoutMs: idleTimeoutMs };
    this.#socket = new ConnectionSocket(socket, {
      stallTimeoutMs: idleTimeoutMs,
      onProblem,
      onChunk: this.#take,
      onLeft: this.#left,
      onRead: this.#goOn,
    });
    this.#life = new ConnectionLife(this.#socket, this.#requests, this.#reader, options);
    this.#restOfRecord = new Timer(idleTimeoutMs, () => {
      const what = `the web server has sent part of a record, and nothing more for ${String(idleTimeoutMs)} ms (--idle-timeout)`;
      this.#socket.fail(new BridgeError('ERR_FASTCGI_TIMEOUT', what));
    });
    this.closed = this.#socket.closed;
    this.send = this.#socket.send;
  }

  /**
   * Closes after the last response of the requests that run; an idle one takes the next, if that comes within a second.
   */
  close(): void {
    this.#life.close();
  }

  /** Since when it has waited for a request, by `performance.now()`; undefined while it has one, and once it is to close. */
  get idleSince(): number | undefined {
    return this.#life.idleSince;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Closes an idle connection, unless the web server has just sent something on it; says whether. */
  retire(): boolean {
    return this.#life.retire();
  }

  /**
   * Goes on as before, also with new requests, until none runs; then it detaches the socket, which stays open, and calls
   * `detached`. A web server that keeps connections may send a request at any moment, also while we close: it would be lost.
   */
  detach(detached: () => void): void {
    this.#life.detach(detached);
  }

  /** Closes at once; every request on it is aborted. */
  destroy(): void {
    this.#socket.destroy();
  }

  get requestCount(): number {
    return this.#requests.size;
  }

  /** Hands over a request, whose params are complete or late. */
  requestReady(request: Request): void {
    const body = this.#options.onRequest(request, this);
    if (body === undefined) return;
    body.on('drain', this.#readOnOrPause).once('close', this.#readOnOrPause);
    request.body = body;
  }

  requestEnded(request: Request): void {
    this.#requests.delete(request.requestId);
    this.#limits.paramsBudget.give(REQUEST_BYTES);
    this.#life.requestEnded(request.keepConn, request.input.hasEnded);
    this.#goOn();
  }

  readonly #take = (chunk: Buffer): void => {
    this.#restOfRecord.putOff();
    this.#life.isTaking = true;
    try {
      for (const event of this.#reader.read(chunk)) {
        const endsBody = event.kind === 'end' && event.type === RecordType.STDIN;
        if (!endsBody || event.requestId !== this.#ready?.requestId) this.#handOver();
        if (event.requestId === NULL_REQUEST_ID) this.send([managementAnswer(event, this.#options.values)]);
        else this.#dispatch(event);
        // After our last response on it the connection is only drained, whatever the rest of the chunk is.
        if (this.#socket.isFinished) return;
      }
    } catch (error) {
      this.#handOver();
      this.#socket.fail(
        error instanceof BridgeError ? error : new BridgeError('ERR_FASTCGI_SEQUENCE', reasonOf(error)),
      );
      return;
    } finally {
      this.#life.isTaking = false;
    }
    this.#handOver();
    this.#goOn();
  };

  #handOver(): void {
    const request = this.#ready;
    this.#ready = undefined;
    if (request !== undefined) this.requestReady(request);
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
    const request = this.#requests.get(requestId);
    if (request === undefined) return;
    const { input } = request;
    if (type === RecordType.PARAMS) {
      if (event.kind === 'data') input.takeParams(event.data);
      else if (input.endParams()) this.#ready = request;
    } else if (type === RecordType.STDIN) {
      if (event.kind === 'data') input.takeStdin(event.data);
      else input.endStdin();
    } else if (type !== RecordType.DATA) {
      throw outOfSequence(`${recordTypeName(type)}, which only an application sends (FastCGI 1.0 §3.3)`);
    }
  }

  #begin(requestId: number, content: Buffer): void {
    const { role, keepConn } = beginOf(content);
    if (this.#requests.has(requestId)) {
      throw outOfSequence(
        `BEGIN_REQUEST for request ${String(requestId)}, which is active (FastCGI 1.0 §3.3)`,
      );
    }
    const refusal = role === Role.RESPONDER ? this.#refusal() : undefined;
    if (role !== Role.RESPONDER) {
      this.send([endRequest(requestId, 0, ProtocolStatus.UNKNOWN_ROLE)]);
    } else if (refusal !== undefined) {
      this.send([
        ...streamRecords(RecordType.STDOUT, requestId, this.#options.refuse(refusal)),
        endRequest(requestId, 0, ProtocolStatus.REQUEST_COMPLETE, [RecordType.STDOUT]),
      ]);
    } else {
      this.#hasBegun = true;
      this.#requests.set(requestId, new Request(requestId, keepConn, this, this.#limits));
      return;
    }
    if (!keepConn) this.#life.requestEnded(keepConn);
    this.#life.settle();
  }

  /** Why one more request can't be taken; undefined where its part of the budget is. */
  #refusal(): RefusalReason | undefined {
    if (this.#life.isEnding) return 'draining';
    if (this.#requests.size >= this.#options.maxRequests) return 'max-requests';
    return this.#limits.paramsBudget.take(REQUEST_BYTES) ? undefined : 'max-params-total';
  }

  #abort(requestId: number): void {
    const why = 'the web server sent ABORT_REQUEST';
    this.#requests.get(requestId)?.abort(new BridgeError('ERR_FASTCGI_DISCONNECTED', why), { answer: true });
  }

  readonly #readOnOrPause = (): void => {
    const isFull = [...this.#requests.values()].some(({ input }) => input.isFull);
    const reads = this.#socket.readOn(!isFull);
    if (reads && this.#reader.isWithinRecord && !this.#socket.isFinished) this.#restOfRecord.start();
    else this.#restOfRecord.stop();
  };

  readonly #goOn = (): void => {
    this.#readOnOrPause();
    this.#life.settle();
    if (this.#socket.isFinished) this.#restOfRecord.stop();
  };

  readonly #left = (): void => {
    this.#restOfRecord.stop();
    this.#life.over();
    // Most connections end when their requests have: an error costs its stack trace.
    if (this.#requests.size === 0) return;
    const reason = new BridgeError('ERR_FASTCGI_DISCONNECTED', 'the web server closed the connection');
    for (const request of [...this.#requests.values()]) request.abort(reason, { answer: false });
  };
}
