/** One FastCGI request: from its BEGIN_REQUEST to its one END_REQUEST (FastCGI 1.0 §3.3, §5). */

import { once } from 'node:events';
import { Writable } from 'node:stream';

import { BridgeError, bridgeErrorFrom } from '../base/errors.js';
import { Abort, Timer, type WaitSignal } from '../base/timer.js';
import type { RequestLimits } from './connection-options.js';
import { ProtocolStatus, RecordType } from './constants.js';
import { type Params, ParamsCollector } from './params.js';
import { endRequest, outOfSequence, streamRecords } from './record-writer.js';

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

/** The appStatus of a request that the web server gave up: what a program ended by SIGTERM would leave in a shell. */
const ABORTED_APP_STATUS = 143;

/** What is left of STDOUT goes out with its end up to this size, which sockets take at once; the transport has to have more. */
const MAX_LAST_BYTES = 65_536;

/**
 * A request as its handler sees it. The connection owns it and feeds it params and STDIN, which goes to the body that the
 * handler reads; the handler writes `stdout` and `stderr`, and calls `end` once. When `signal` aborts, these are gone and
 * nobody waits any more, unless it was by `cancel`. Nobody else changes its fields; times are those of `performance.now()`.
 */
export class Request {
  readonly requestId: number;
  readonly keepConn: boolean;
  /** Its connection, which tells requests of one from those of others. */
  readonly carrier: Carrier;
  readonly stdout: Writable;
  /** Aborts with a BridgeError when the web server sends ABORT_REQUEST, its connection is lost, or by `cancel`. */
  readonly signal: WaitSignal;
  params: Params = [];
  /** Why there are no params: what `ParamsCollector` throws, or `ERR_PARAMS_TIMEOUT`. */
  problem: BridgeError | undefined;
  /** When the params were complete. */
  paramsAt = performance.now();
  /** When the first octet of STDOUT was handed to the socket. */
  firstByteAt: number | undefined;
  /** When END_REQUEST was handed to the socket, or the web server was found to have left. */
  endedAt: number | undefined;
  /** Octets of STDIN that have come, read by anybody or not. */
  stdinBytes = 0;
  stdoutBytes = 0;
  /** Octets of STDOUT that were still to be sent when the web server gave the request up. */
  unsentBytes = 0;

  readonly #aborted = new Abort();
  readonly #collected: ParamsCollector;
  readonly #late: Timer;
  /** Where the web server is; `given-up` is one that has taken too long to get past its params. */
  #at: 'params' | 'stdin' | 'ended' | 'given-up' = 'params';
  #body: Writable | undefined;
  #state: 'open' | 'ending' | 'ended' = 'open';
  /** Most requests need none. */
  #stderr: Writable | undefined;
  #hasStderr = false;
  /** Whether the streams are just being ended: what comes then was corked, and nothing is under way before it. */
  #isFlushing = false;
  /** What of STDOUT goes out with its end. */
  #last: readonly Buffer[] = [];

  constructor(requestId: number, keepConn: boolean, carrier: Carrier, limits: RequestLimits) {
    this.requestId = requestId;
    this.keepConn = keepConn;
    this.carrier = carrier;
    this.#collected = new ParamsCollector(limits);
    this.stdout = new Writable({ writev: this.#writev.bind(this, RecordType.STDOUT) });
    this.signal = this.#aborted;
    this.#late = new Timer(limits.idleTimeoutMs, () => {
      this.#at = 'given-up';
      const waited = `${String(limits.idleTimeoutMs)} ms (--idle-timeout)`;
      const why = `the web server has begun a request and not ended its params within ${waited}`;
      this.problem = new BridgeError('ERR_PARAMS_TIMEOUT', why);
      this.paramsAt = performance.now();
      this.#collected.release();
      carrier.requestReady(this);
    });
    this.#late.start();
  }

  get stderr(): Writable {
    if (this.#stderr !== undefined) return this.#stderr;
    this.#stderr = new Writable({ writev: this.#writev.bind(this, RecordType.STDERR) });
    return this.#state === 'open' ? this.#stderr : this.#stderr.destroy();
  }

  /** Whether no other request is active on its connection, which waits while this one's STDIN is full. */
  get isAlone(): boolean {
    return this.carrier.requestCount <= 1;
  }

  /** Whether all of STDIN has come. */
  get stdinHasEnded(): boolean {
    return this.#at === 'ended';
  }

  /** Whether anything of STDIN has come, or may come: where it ends right behind the params, that is known at once. */
  get hasBody(): boolean {
    return this.stdinBytes > 0 || this.#at === 'params' || this.#at === 'stdin';
  }

  /** Whether STDIN holds as much as it may, so that the connection should read no further. */
  get isFull(): boolean {
    const body = this.#body;
    if (body === undefined || body.destroyed || body.writableEnded) return false;
    return body.writableNeedDrain && body.writableLength > 0;
  }

  /** Says where STDIN goes to, once the params are complete. */
  set body(body: Writable) {
    if (this.#state === 'ended') {
      body.destroy();
      return;
    }
    this.#body = body;
    if (this.#at !== 'stdin') body.end();
  }

  /**
   * Takes a piece of PARAMS, or their end, which is empty; returns whether it can be handled from here on, which it can but
   * once.
   *
   * @throws BridgeError `ERR_FASTCGI_SEQUENCE` after the stream's end.
   */
  takeParams(data: Buffer): boolean {
    const isEnd = data.length === 0;
    if (this.#at === 'given-up') return false;
    if (this.#at !== 'params')
      throw this.#outOfSequence(isEnd ? 'a second end of PARAMS' : 'PARAMS after the end of PARAMS');
    if (!isEnd) {
      this.#collected.add(data);
      return false;
    }
    this.#at = 'stdin';
    this.#late.stop();
    try {
      this.params = this.#collected.decode();
    } catch (error) {
      this.problem = bridgeErrorFrom(error, 'ERR_FASTCGI_PARAMS');
      this.#collected.release();
    }
    this.paramsAt = performance.now();
    return true;
  }

  /** Takes a piece of STDIN, or its end, which is empty and may come again; a request that has ended forgets it. */
  takeStdin(data: Buffer): void {
    const isEnd = data.length === 0;
    if (this.#at === 'given-up' || (this.#at === 'ended' && isEnd)) return;
    if (this.#at === 'params') throw this.#outOfSequence('STDIN before the end of PARAMS');
    if (this.#at === 'ended') throw this.#outOfSequence('STDIN after the end of STDIN');
    if (isEnd) this.#at = 'ended';
    const body = this.#body;
    if (body === undefined || body.destroyed) return;
    this.stdinBytes += data.length;
    // A small piece is copied, since it is a view that keeps the transport's whole chunk.
    if (isEnd) body.end();
    else body.write(data.length * 16 < data.buffer.byteLength ? Buffer.from(data) : data);
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
    this.unsentBytes = this.stdout.writableLength;
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

  #finish(last: readonly Buffer[]): void {
    // An abort may have come while the streams were flushed.
    if (this.#state === 'ended') return;
    if (last.length > 0) this.carrier.send(last);
    this.#state = 'ended';
    this.endedAt = performance.now();
    this.#late.stop();
    this.#body?.destroy();
    this.#collected.release();
    this.carrier.requestEnded(this);
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
    if (isStdout) this.stdoutBytes += bytes;
    if (isStdout && bytes > 0) this.firstByteAt ??= performance.now();
    if (!isStdout) this.#hasStderr ||= bytes > 0;
    const isLast = isStdout && this.#isFlushing && bytes <= MAX_LAST_BYTES;
    if (isLast) this.#last = octets;
    // Where nothing was written: a record without content would end the stream.
    if (isLast || bytes === 0) done();
    else this.carrier.send(octets, done);
  }

  #outOfSequence(what: string): BridgeError {
    return outOfSequence(`${what} of request ${String(this.requestId)} (FastCGI 1.0 §3.3)`);
  }
}
