/** One connection from a web server: sorts its records to its requests (FastCGI 1.0 §3.3, §4), and ends without losing any. */

import type { Duplex } from 'node:stream';

import { BridgeError, bridgeErrorFrom } from '../base/errors.js';
import { Timer } from '../base/timer.js';
import { BeginRequest, KEEP_CONN, NULL_REQUEST_ID, ProtocolStatus, RecordType, Role } from './constants.js';
import {
  endRequest,
  fromApplication,
  managementAnswer,
  outOfSequence,
  streamRecords,
} from './record-writer.js';
import type { ConnectionOptions, RefusalReason } from './connection-options.js';
import { ConnectionSocket } from './connection-socket.js';
import { REQUEST_BYTES } from './params.js';
import { RecordReader } from './record-reader.js';
import { type Carrier, Request } from './request.js';

/**
 * How long a connection that is to close waits for one more request. FastCGI can't say that a connection is about to close,
 * and what the web server sends meanwhile would be lost: it is least likely to send anything right after a response.
 */
const LAST_REQUEST_MS = 1_000;

/** Owns the socket it is given: closes it when the peer, the protocol or `close`/`destroy` says so, unless it is detached. */
export class Connection implements Carrier {
  /** Resolves when the socket is closed or detached, and every request on it has been told. */
  readonly closed: Promise<void>;
  readonly send: Carrier['send'];
  /** Whether it has ever carried a request; nobody else changes it. */
  hasBegun = false;

  readonly #options: ConnectionOptions;
  readonly #socket: ConnectionSocket;
  readonly #reader = new RecordReader();
  readonly #requests = new Map<number, Request>();
  /** One that has its params, and is handed over with what comes next: as a rule that says that it has no body. */
  #ready: Request | undefined;
  /** Whether records of a chunk are still to be looked at. */
  #isTaking = false;
  /** Which requests it takes; `last` are those until none runs. */
  #takes: 'all' | 'last' | 'none' = 'all';
  #idleSince = performance.now();
  /** Whether more may come of a request that was refused, or that had ended first. */
  #mayFollow = false;
  /** Runs while it is to close, and takes requests still. */
  readonly #lastRequest = new Timer(LAST_REQUEST_MS, () => {
    // What has come by now is read before: Node may look for it only after the first of the two, wherever we are now.
    setImmediate(() => {
      setImmediate(() => {
        this.#drain();
      });
    });
  });
  /** Told that the socket is somebody else's. */
  #onDetached: (() => void) | undefined;

  constructor(socket: Duplex, options: ConnectionOptions) {
    this.#options = options;
    const events = { onChunk: this.#take, onLeft: this.#left, onRead: this.#goOn };
    this.#socket = new ConnectionSocket(socket, options, events);
    this.closed = this.#socket.closed;
    this.send = this.#socket.send;
  }

  /** Closes after the last response of the requests that run; an idle one takes the next, if that comes within a second. */
  close(): void {
    this.#onDetached = undefined;
    if (this.#takes !== 'all') return;
    this.#takes = 'last';
    this.#lastRequest.start();
  }

  /** Since when it has waited for a request, by `performance.now()`; undefined while it has one, and once it is to close. */
  get idleSince(): number | undefined {
    return this.#takes === 'all' && this.#isIdle && this.#socket.state === 'open'
      ? this.#idleSince
      : undefined;
  }

  /** Closes an idle connection, unless the web server has just sent something on it; says whether. */
  retire(): boolean {
    if (this.idleSince === undefined) return false;
    const { hasUnread } = this.#socket;
    if (hasUnread === false) this.#drain();
    else if (hasUnread === undefined) this.close();
    return hasUnread !== true;
  }

  /**
   * Goes on as before, also with new requests, until none runs; then it detaches the socket, which stays open, and calls
   * `detached`. A web server that keeps connections may send a request at any moment, also while we close: it would be lost.
   */
  detach(detached: () => void): void {
    this.#onDetached = detached;
    this.#goOn();
  }

  /** Closes at once; every request on it is aborted. */
  destroy(): void {
    this.#socket.destroy();
  }

  get requestCount(): number {
    return this.#requests.size;
  }

  requestReady(request: Request): void {
    this.#ready = request;
    this.#handOver();
  }

  requestEnded(request: Request): void {
    this.#requests.delete(request.requestId);
    this.#options.paramsBudget.give(REQUEST_BYTES);
    this.#idleSince = performance.now();
    this.#mayFollow ||= !request.stdinHasEnded;
    if (!request.keepConn) this.#takes = 'none';
    else if (this.#takes === 'last' && this.#isIdle) this.#drain();
    this.#goOn();
  }

  get #isIdle(): boolean {
    return this.#requests.size === 0 && !this.#reader.isWithinRecord;
  }

  readonly #take = (chunk: Buffer): void => {
    this.#isTaking = true;
    try {
      for (const event of this.#reader.read(chunk)) {
        const { type, requestId, content } = event;
        const endsBody = type === RecordType.STDIN && content.length === 0;
        if (!endsBody || requestId !== this.#ready?.requestId) this.#handOver();
        const request = this.#requests.get(requestId);
        if (requestId === NULL_REQUEST_ID) this.send([managementAnswer(event, this.#options.values)]);
        else if (event.kind === 'control') this.#takeControl(type, requestId, content);
        // Records of a request that has ended may still be under way (FastCGI 1.0 §3.3: they are ignored).
        else if (request !== undefined) {
          if (type === RecordType.STDIN) request.takeStdin(content);
          else if (type === RecordType.PARAMS)
            this.#ready = request.takeParams(content) ? request : undefined;
          else if (type !== RecordType.DATA) throw fromApplication(type);
        }
        // After our last response on it the connection is only drained, whatever the rest of the chunk is.
        if (this.#socket.state !== 'open') return;
      }
    } catch (error) {
      this.#handOver();
      this.#socket.fail(bridgeErrorFrom(error, 'ERR_FASTCGI_SEQUENCE'));
      return;
    } finally {
      this.#isTaking = false;
    }
    this.#handOver();
    this.#goOn();
  };

  #handOver(): void {
    const request = this.#ready;
    if (request === undefined) return;
    this.#ready = undefined;
    const body = this.#options.onRequest(request);
    if (body === undefined) return;
    body.on('drain', this.#goOn).once('close', this.#goOn);
    request.body = body;
  }

  /** Begins a request, refuses it or aborts it; ignores what a later FastCGI may define. */
  #takeControl(type: number, requestId: number, content: Buffer): void {
    const active = this.#requests.get(requestId);
    if (type === RecordType.ABORT_REQUEST) {
      const why = 'the web server sent ABORT_REQUEST';
      active?.abort(new BridgeError('ERR_FASTCGI_DISCONNECTED', why), { answer: true });
      return;
    }
    if (type !== RecordType.BEGIN_REQUEST) {
      const isKnown = type <= RecordType.UNKNOWN_TYPE && type !== 0;
      if (isKnown && type !== RecordType.GET_VALUES) throw fromApplication(type);
      return;
    }
    const begin = new BeginRequest();
    if (content.length !== begin.getSize()) {
      const octets = `a BEGIN_REQUEST of ${String(content.length)} octets, not 8 (FastCGI 1.0 §5.1)`;
      throw new BridgeError('ERR_FASTCGI_LENGTH', `the web server sent ${octets}`);
    }
    begin.read(content);
    if (active !== undefined) {
      const which = `request ${String(requestId)}, which is active`;
      throw outOfSequence(`BEGIN_REQUEST for ${which} (FastCGI 1.0 §3.3)`);
    }
    const keepConn = (begin.flags & KEEP_CONN) !== 0;
    if (begin.role === Role.RESPONDER) {
      const { maxRequests, paramsBudget, refuse } = this.#options;
      let refusal: RefusalReason;
      if (this.#takes === 'none') {
        refusal = 'draining';
      } else if (this.#requests.size >= maxRequests) {
        refusal = 'max-requests';
      } else if (!paramsBudget.take(REQUEST_BYTES)) {
        refusal = 'max-params-total';
      } else {
        this.hasBegun = true;
        this.#requests.set(requestId, new Request(requestId, keepConn, this, this.#options));
        return;
      }
      this.send([
        ...streamRecords(RecordType.STDOUT, requestId, refuse(refusal)),
        endRequest(requestId, 0, ProtocolStatus.REQUEST_COMPLETE, [RecordType.STDOUT]),
      ]);
    } else {
      this.send([endRequest(requestId, 0, ProtocolStatus.UNKNOWN_ROLE)]);
    }
    this.#mayFollow = true;
    this.#idleSince = performance.now();
    if (!keepConn) this.#takes = 'none';
    this.#goOn();
  }

  /** Reads on or pauses; without requests, ends as it was told to. */
  readonly #goOn = (): void => {
    let isFull = false;
    for (const request of this.#requests.values()) isFull ||= request.isFull;
    this.#socket.readOn(!isFull, this.#reader.isWithinRecord);
    if (this.#requests.size > 0) return;
    const isIdle = this.#isIdle && !this.#isTaking;
    if (this.#takes === 'none') this.#socket.finish(isIdle && this.hasBegun && !this.#mayFollow);
    else if (this.#onDetached !== undefined && isIdle && this.#socket.release()) this.#onDetached();
  };

  #drain(): void {
    this.#takes = 'none';
    this.#lastRequest.stop();
    this.#goOn();
    // The web server may be told of the last response and send another request before Node would end our side.
    this.#socket.endAtOnce();
  }

  readonly #left = (): void => {
    this.#lastRequest.stop();
    // Most connections end when their requests have: an error costs its stack trace.
    if (this.#requests.size === 0) return;
    const reason = new BridgeError('ERR_FASTCGI_DISCONNECTED', 'the web server closed the connection');
    for (const request of [...this.#requests.values()]) request.abort(reason, { answer: false });
  };
}
