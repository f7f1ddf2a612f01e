/** One FastCGI request: from its BEGIN_REQUEST to its one END_REQUEST (FastCGI 1.0 §3.3, §5). */

import { once } from 'node:events';
import { Writable } from 'node:stream';

import type { BridgeError } from '../base/errors.js';
import { ProtocolStatus, RecordType } from './constants.js';
import type { Params } from './params.js';
import { endRequest, streamRecords } from './record-writer.js';
import { RequestInput, type RequestLimits } from './request-input.js';
import { Abort, type WaitSignal } from '../base/timer.js';

/** What a request needs of the connection that carries it. */
export interface Carrier {
  /** Sends octets in order, at least one piece; calls `done` when the web server can take more. */
  readonly send: (octets: readonly Buffer[], done?: () => void) => void;
  /** Told that it can be handled, though its params have not come in time: there is a problem with the request. */
  requestReady(request: Request): void;
  /** Told once, when END_REQUEST was handed to the socket or nobody is left to read it. */
  requestEnded(request: Request): void;
  readonly requestCount: number;
}

/** What a request has come to so far; times are those of `performance.now()`. */
export interface RequestAccount {
  readonly paramsAt: number;
  /** When the first octet of STDOUT was handed to the socket. */
  readonly firstByteAt: number | undefined;
  /** When END_REQUEST was handed to the socket, or the web server was found to have left. */
  readonly endedAt: number | undefined;
  readonly stdinBytes: number;
  readonly stdoutBytes: number;
  /** Octets of STDOUT that were still to be sent when the web server gave the request up. */
  readonly unsentBytes: number;
}

/** The appStatus of a request that the web server gave up: what a program ended by SIGTERM would leave in a shell. */
const ABORTED_APP_STATUS = 143;

/** What is left of STDOUT goes out with its end up to this size, which sockets take at once; the transport has to have more. */
const MAX_LAST_BYTES = 65_536;

/**
 * A request as its handler sees it. The connection owns it and feeds its `input`, and through it the body that the handler
 * reads; the handler writes `stdout` and `stderr`, and calls `end` once. When `signal` aborts, these are gone and nobody
 * waits any more, unless it was by `cancel`.
 */
export class Request {
  readonly requestId: number;
  readonly keepConn: boolean;
  readonly input: RequestInput;
  readonly stdout: Writable;
  /** Aborts with a BridgeError when the web server sends ABORT_REQUEST, its connection is lost, or by `cancel`. */
  readonly signal: WaitSignal;

  readonly #carrier: Carrier;
  readonly #aborted = new Abort();
  #state: 'open' | 'ending' | 'ended' = 'open';
  /** Most requests need none. */
  #stderr: Writable | undefined;
  #hasStderr = false;
  /** Whether the streams are just being ended: what comes then was corked, and nothing is under way before it. */
  #isFlushing = false;
  /** What of STDOUT goes out with its end. */
  #last: readonly Buffer[] = [];
  #firstByteAt: number | undefined;
  #endedAt: number | undefined;
  #stdoutBytes = 0;
  #unsentBytes = 0;

  constructor(requestId: number, keepConn: boolean, carrier: Carrier, limits: RequestLimits) {
    this.requestId = requestId;
    this.keepConn = keepConn;
    this.#carrier = carrier;
    this.input = new RequestInput(requestId, limits, () => {
      carrier.requestReady(this);
    });
    this.stdout = new Writable({ writev: this.#writev.bind(this, RecordType.STDOUT) });
    this.signal = this.#aborted;
  }

  get params(): Params {
    return this.input.params;
  }

  /** Why the params can't be used. */
  get problem(): BridgeError | undefined {
    return this.input.problem;
  }

  get stderr(): Writable {
    if (this.#stderr !== undefined) return this.#stderr;
    this.#stderr = new Writable({ writev: this.#writev.bind(this, RecordType.STDERR) });
    return this.#state === 'open' ? this.#stderr : this.#stderr.destroy();
  }

  /** Whether no other request is active on its connection, which waits while this one's STDIN is full. */
  get isAlone(): boolean {
    return this.#carrier.requestCount <= 1;
  }

  get account(): RequestAccount {
    const { paramsAt, stdinBytes } = this.input;
    return {
      paramsAt,
      firstByteAt: this.#firstByteAt,
      endedAt: this.#endedAt,
      stdinBytes,
      stdoutBytes: this.#stdoutBytes,
      unsentBytes: this.#unsentBytes,
    };
  }

  /**
   * Ends the request: STDOUT's end, STDERR's end if there was any, then END_REQUEST, exactly once however often it is
   * called (FastCGI 1.0 §5.5). They go out in one write with what is left of STDOUT, so that a web server has nothing of a
   * small response, or all. Resolves when the octets were handed to the socket or nobody wants them.
   */
  async end(appStatus: number): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'ending';
    this.#isFlushing = true;
    const streams = this.#stderr === undefined ? [this.stdout] : [this.stdout, this.#stderr];
    for (const stream of streams) stream.end();
    this.#isFlushing = false;
    // Each has passed everything on, or was destroyed, when it closes.
    for (const stream of streams) {
      if (!stream.closed) await once(stream, 'close');
    }
    const ends = this.#hasStderr ? [RecordType.STDOUT, RecordType.STDERR] : [RecordType.STDOUT];
    this.#finish([
      ...this.#last,
      endRequest(this.requestId, appStatus, ProtocolStatus.REQUEST_COMPLETE, ends),
    ]);
  }

  /** Gives the request up on the web server's word: END_REQUEST goes out at once if `answer` (FastCGI 1.0 §5.4). */
  abort(reason: BridgeError, { answer }: { answer: boolean }): void {
    if (this.#state === 'ended') return;
    this.#unsentBytes = this.stdout.writableLength;
    this.#aborted.abort(reason);
    this.stdout.destroy();
    this.#stderr?.destroy();
    this.#finish(
      answer ? [endRequest(this.requestId, ABORTED_APP_STATUS, ProtocolStatus.REQUEST_COMPLETE)] : [],
    );
  }

  /** Has its handler give it up, though the web server waits: it is still to be answered and ended. */
  cancel(reason: BridgeError): void {
    this.#aborted.abort(reason);
  }

  set body(body: Writable) {
    if (this.#state === 'ended') body.destroy();
    else this.input.body = body;
  }

  #finish(last: readonly Buffer[]): void {
    // An abort may have come while the streams were flushed.
    if (this.#state === 'ended') return;
    if (last.length > 0) this.#carrier.send(last);
    this.#state = 'ended';
    this.#endedAt = performance.now();
    this.input.close();
    this.#carrier.requestEnded(this);
  }

  /** Sends what was written to the stream of that type, in as few records as that takes. */
  #writev(type: number, chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    const octets: Buffer[] = [];
    let bytes = 0;
    for (const { chunk } of chunks) {
      octets.push(...streamRecords(type, this.requestId, chunk));
      bytes += chunk.length;
    }
    const isStdout = type === RecordType.STDOUT;
    if (isStdout) this.#stdoutBytes += bytes;
    if (isStdout && bytes > 0) this.#firstByteAt ??= performance.now();
    if (!isStdout) this.#hasStderr ||= bytes > 0;
    const isLast = isStdout && this.#isFlushing && bytes <= MAX_LAST_BYTES;
    if (isLast) this.#last = octets;
    // Where nothing was written: a record without content would end the stream.
    if (isLast || bytes === 0) done();
    else this.#carrier.send(octets, done);
  }
}
