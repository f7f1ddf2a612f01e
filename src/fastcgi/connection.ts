/** One transport connection from a web server: records in, requests out, answers back (FastCGI 1.0 §3, §4). */

import type { Duplex } from 'node:stream';

import { toText } from '../bytes.js';
import { BridgeError, reasonOf } from '../errors.js';
import {
  BeginRequest,
  KEEP_CONN,
  NULL_REQUEST_ID,
  ProtocolStatus,
  RecordType,
  recordTypeName,
  Role,
} from './constants.js';
import { decodeParams } from './params.js';
import { type RecordEvent, RecordReader } from './record-reader.js';
import { endRequest, getValuesResult, streamEnd, streamRecords, unknownType } from './record-writer.js';
import { Request, type RequestLimits, type RequestTransport } from './request.js';

/** Why a connection takes no further request: as many are active as may be, or it ends after them. */
export type RefusalReason = 'max-requests' | 'draining';

export interface ConnectionOptions extends RequestLimits {
  /** Requests that may be active on this connection; the next one is refused. */
  readonly maxRequests: number;
  /** What GET_VALUES may ask for (FastCGI 1.0 §4.1): `FCGI_MAX_CONNS`, `FCGI_MAX_REQS`. */
  readonly values: Readonly<Record<string, string>>;
  /** Takes a request whose params are complete; must see to it that `request.end` is called. */
  readonly onRequest: (request: Request) => void;
  /**
   * Gives the STDOUT of a request that is refused. FastCGI's own word for it, OVERLOADED (FastCGI 1.0 §5.5), people see
   * as an empty page with status 200 from Apache, 500 from lighttpd, 502 from nginx and Caddy, 504 after its time-out from
   * HAProxy; and even beside a document it makes HAProxy drop the connection with all other requests on it.
   */
  readonly refuse: (why: RefusalReason) => Buffer;
  /** How long the web server may leave unread what it was sent, in milliseconds; 0 for as long as it likes. */
  readonly stallTimeoutMs: number;
  /** Told why a connection is closed on its peer. */
  readonly onProblem: (problem: BridgeError) => void;
}

/** Octets of answers that no writer waits for (END_REQUEST, GET_VALUES_RESULT …) and a peer may leave unread. */
const MAX_UNAWAITED_BYTES = 65_536;

/** How long a connection that we have ended waits for the web server to go on sending or to end it too. */
const LINGER_MS = 5_000;

/** Owns the socket it is given: closes it when the peer, the protocol or `close`/`destroy` says so. */
export class Connection implements RequestTransport {
  /** Resolves when the socket is closed and every request on it has been told. */
  readonly closed: Promise<void>;

  readonly #socket: Duplex;
  readonly #options: ConnectionOptions;
  readonly #reader = new RecordReader();
  readonly #requests = new Map<number, Request>();
  #unawaitedBytes = 0;
  #state: 'open' | 'draining' | 'finishing' | 'closed' = 'open';
  #linger: NodeJS.Timeout | undefined;
  #stall: NodeJS.Timeout | undefined;

  constructor(socket: Duplex, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#lost();
        resolve();
      });
    });
    // What an error means is told by the close that always follows it.
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk);
    });
    // A web server that ends its side has left: none of them half-closes, and nothing else shows that it is gone.
    socket.once('end', () => {
      this.#lost();
      this.#finish();
      this.#lingerOn();
    });
  }

  /** Takes no new work: closes now if idle, else after the last answer of the requests that run. */
  close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'draining';
    this.#finishIfIdle();
  }

  /** Closes at once; every request on it is aborted. */
  destroy(): void {
    this.#socket.destroy();
  }

  send(octets: readonly Buffer[], done?: () => void): void {
    if (this.#state === 'closed') return;
    const sent = done ?? this.#unawaited(octets);
    this.#socket.cork();
    octets.forEach((buffer, index) => {
      // Without a peer the request is aborted by the socket's close: its stream must neither fail nor finish before.
      this.#socket.write(
        buffer,
        index === octets.length - 1
          ? (error) => {
              this.#readByPeer();
              // Node calls back without an error what was waiting when the socket was destroyed.
              if (!error && !this.#socket.destroyed) sent();
            }
          : undefined,
      );
    });
    this.#socket.uncork();
    this.#awaitReading();
  }

  stdinWanted(): void {
    this.#readOnOrPause();
  }

  requestEnded(request: Request): void {
    this.#requests.delete(request.requestId);
    if (!request.keepConn && this.#state === 'open') this.#state = 'draining';
    this.#finishIfIdle();
    this.#readOnOrPause();
  }

  #take(chunk: Buffer): void {
    this.#linger?.refresh();
    try {
      for (const event of this.#isFinished ? [] : this.#reader.read(chunk)) {
        if (event.requestId === NULL_REQUEST_ID) this.#manage(event);
        else this.#dispatch(event);
        // After our last answer on it the connection is only drained (see #finish), whatever the rest of the chunk is.
        if (this.#isFinished) return;
      }
    } catch (error) {
      this.#options.onProblem(
        error instanceof BridgeError ? error : new BridgeError('ERR_FASTCGI_SEQUENCE', reasonOf(error)),
      );
      this.destroy();
      return;
    }
    this.#readOnOrPause();
  }

  #manage(event: RecordEvent): void {
    if (event.kind === 'control' && event.type === RecordType.GET_VALUES) {
      const asked = new Set(decodeParams(event.content).map(([name]) => toText(name)));
      // Each once, however often it is asked for: the answer must fit into one record.
      const known = Object.entries(this.#options.values).filter(([name]) => asked.has(name));
      this.send([getValuesResult(known)]);
    } else if (event.type > RecordType.UNKNOWN_TYPE || event.type === 0) {
      this.send([unknownType(event.type)]);
    } else {
      throw outOfSequence(`${recordTypeName(event.type)} with the null request id (FastCGI 1.0 §3.3)`);
    }
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
    const request = this.#requests.get(requestId);
    // Records of a request that has ended may still be under way (FastCGI 1.0 §3.3: they are ignored).
    if (request === undefined) return;
    if (type === RecordType.PARAMS && event.kind === 'data') {
      request.takeParams(event.data);
    } else if (type === RecordType.PARAMS) {
      request.endParams();
      this.#options.onRequest(request);
    } else if (type === RecordType.STDIN && event.kind === 'data') {
      request.takeStdin(event.data);
    } else if (type === RecordType.STDIN) {
      request.endStdin();
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
    const request = new Request(requestId, keepConn, this, this.#options);
    if (body.role !== Role.RESPONDER) {
      this.send([endRequest(requestId, 0, ProtocolStatus.UNKNOWN_ROLE)]);
    } else if (this.#state === 'draining' || this.#requests.size >= this.#options.maxRequests) {
      const document = this.#options.refuse(this.#state === 'draining' ? 'draining' : 'max-requests');
      this.send([
        ...streamRecords(RecordType.STDOUT, requestId, document),
        streamEnd(RecordType.STDOUT, requestId),
        endRequest(requestId, 0, ProtocolStatus.REQUEST_COMPLETE),
      ]);
    } else {
      this.#requests.set(requestId, request);
      return;
    }
    this.requestEnded(request);
  }

  #abort(requestId: number): void {
    this.#requests
      .get(requestId)
      ?.abort(new BridgeError('ERR_FASTCGI_DISCONNECTED', 'the web server sent ABORT_REQUEST'), {
        answer: true,
      });
  }

  /** Counts what a peer can ask for as often as it likes: too much that it leaves unread stops the reading. */
  #unawaited(octets: readonly Buffer[]): () => void {
    const bytes = octets.reduce((sum, buffer) => sum + buffer.length, 0);
    this.#unawaitedBytes += bytes;
    return () => {
      this.#unawaitedBytes -= bytes;
      this.#readOnOrPause();
    };
  }

  #awaitReading(): void {
    const { stallTimeoutMs, onProblem } = this.#options;
    if (stallTimeoutMs === 0 || this.#socket.destroyed || this.#socket.writableLength === 0) return;
    this.#stall ??= setTimeout(() => {
      const what = `the web server has read nothing for ${String(stallTimeoutMs)} ms (--idle-timeout)`;
      onProblem(new BridgeError('ERR_FASTCGI_DISCONNECTED', what));
      this.destroy();
    }, stallTimeoutMs);
  }

  #readByPeer(): void {
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.#awaitReading();
  }

  #readOnOrPause(): void {
    if (this.#state === 'closed') return;
    const full =
      this.#unawaitedBytes > MAX_UNAWAITED_BYTES ||
      [...this.#requests.values()].some((request) => request.stdinFull);
    if (full !== this.#socket.isPaused()) {
      if (full) this.#socket.pause();
      else this.#socket.resume();
    }
  }

  get #isFinished(): boolean {
    return this.#state === 'finishing' || this.#state === 'closed';
  }

  #finishIfIdle(): void {
    if (this.#state === 'draining' && this.#requests.size === 0) this.#finish();
  }

  /**
   * Ends our side and goes on reading what the web server may still send: closing a socket with unread octets resets
   * it, and the web server would lose the end of the answer. A web server that is slow to read has all its time.
   */
  #finish(): void {
    if (this.#isFinished) return;
    this.#state = 'finishing';
    this.#socket.end(() => {
      this.#lingerOn();
    });
    this.#socket.resume();
  }

  #lingerOn(): void {
    if (this.#socket.destroyed) return;
    this.#linger ??= setTimeout(() => {
      this.destroy();
    }, LINGER_MS);
  }

  #lost(): void {
    if (this.#socket.destroyed) {
      this.#state = 'closed';
      clearTimeout(this.#linger);
      clearTimeout(this.#stall);
    }
    // Most connections end when their requests have: an error costs its stack trace.
    if (this.#requests.size === 0) return;
    const reason = new BridgeError('ERR_FASTCGI_DISCONNECTED', 'the web server closed the connection');
    for (const request of [...this.#requests.values()]) request.abort(reason, { answer: false });
  }
}

function outOfSequence(what: string): BridgeError {
  return new BridgeError('ERR_FASTCGI_SEQUENCE', `the web server sent ${what}`);
}
