/** One FastCGI request: from its BEGIN_REQUEST to its one END_REQUEST (FastCGI 1.0 §3.3, §5). */

import { Writable } from 'node:stream';

import { BridgeError } from '../base/errors.js';
import { BeginRequest, KEEP_CONN, ProtocolStatus, RecordType } from './constants.js';
import type { Params } from './params.js';
import { endRequest, streamEnd, streamRecords } from './record-writer.js';
import { RequestInput, type RequestLimits } from './request-input.js';
import { Abort, type WaitSignal } from '../base/timer.js';

/** What a request needs of the connection that carries it. */
export interface Carrier {
  readonly send: Send;
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

/** What BEGIN_REQUEST says (FastCGI 1.0 §5.1). @throws BridgeError `ERR_FASTCGI_LENGTH` */
export function beginOf(content: Buffer): { readonly role: number; readonly keepConn: boolean } {
  const body = new BeginRequest();
  if (content.length !== body.getSize()) {
    const octets = `a BEGIN_REQUEST of ${String(content.length)} octets, not 8 (FastCGI 1.0 §5.1)`;
    throw new BridgeError('ERR_FASTCGI_LENGTH', `the web server sent ${octets}`);
  }
  body.read(content);
  return { role: body.role, keepConn: (body.flags & KEEP_CONN) !== 0 };
}

/** The appStatus of a request that the web server gave up: what a program ended by SIGTERM would leave in a shell. */
const ABORTED_APP_STATUS = 143;

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
  readonly #output: RequestOutput;
  readonly #aborted = new Abort();
  #state: 'open' | 'ending' | 'ended' = 'open';
  #endedAt: number | undefined;
  #unsentBytes = 0;

  constructor(requestId: number, keepConn: boolean, carrier: Carrier, limits: RequestLimits) {
    this.requestId = requestId;
    this.keepConn = keepConn;
    this.#carrier = carrier;
    this.input = new RequestInput(requestId, limits, () => {
      carrier.requestReady(this);
    });
    this.#output = new RequestOutput(requestId, carrier.send);
    this.stdout = this.#output.stdout;
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
    return this.#output.stderr;
  }

  /** Whether no other request is active on its connection, which waits while this one's STDIN is full. */
  get isAlone(): boolean {
    return this.#carrier.requestCount <= 1;
  }

  get account(): RequestAccount {
    const { paramsAt, stdinBytes } = this.input;
    const { firstByteAt, stdoutBytes } = this.#output;
    const [endedAt, unsentBytes] = [this.#endedAt, this.#unsentBytes];
    return { paramsAt, firstByteAt, endedAt, stdinBytes, stdoutBytes, unsentBytes };
  }

  /**
   * Ends the request: STDOUT's end, STDERR's end if there was any, then END_REQUEST, exactly once however often it is
   * called (FastCGI 1.0 §5.5). Resolves when the octets were handed to the socket or nobody wants them.
   */
  async end(appStatus: number): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'ending';
    const last = await this.#output.end();
    this.#finish([...last, endRequest(this.requestId, appStatus, ProtocolStatus.REQUEST_COMPLETE)]);
  }

  /** Gives the request up on the web server's word: END_REQUEST goes out at once if `answer` (FastCGI 1.0 §5.4). */
  abort(reason: BridgeError, { answer }: { answer: boolean }): void {
    if (this.#state === 'ended') return;
    this.#unsentBytes = this.stdout.writableLength;
    this.#aborted.abort(reason);
    this.#output.drop();
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
}

/** What is left of STDOUT goes out with its end up to this size, which sockets take at once; the transport has to have more. */
const MAX_LAST_BYTES = 65_536;

/** Sends octets in order, at least one piece; calls `done` when the transport can take more. */
export type Send = (octets: readonly Buffer[], done?: () => void) => void;

/** Sends what a request's handler writes, who changes none of the fields. */
class RequestOutput {
  readonly stdout: Writable;
  /** When the first octet of STDOUT was handed to the transport, by `performance.now()`. */
  firstByteAt: number | undefined;
  /** Octets of STDOUT that were handed to the transport. */
  stdoutBytes = 0;
  readonly #requestId: number;
  readonly #send: Send;
  /** Most requests need none. */
  #stderr: Writable | undefined;
  #isOver = false;
  #hasStderr = false;
  /** Whether the streams are just being ended: what comes then was corked, and nothing is under way before it. */
  #isEnding = false;
  /** What of STDOUT goes out with its end. */
  #last: readonly Buffer[] = [];

  constructor(requestId: number, send: Send) {
    this.#requestId = requestId;
    this.#send = send;
    this.stdout = this.#stream(RecordType.STDOUT);
  }

  get stderr(): Writable {
    if (this.#stderr !== undefined) return this.#stderr;
    this.#stderr = this.#stream(RecordType.STDERR);
    return this.#isOver ? this.#stderr.destroy() : this.#stderr;
  }

  /**
   * Ends both streams; resolves when the transport has all of what was written, or when they were dropped. Returns what is
   * left of STDOUT, its end, and that of STDERR if there was any: for one write with END_REQUEST, so that a web server has
   * nothing of a small response, or all.
   */
  async end(): Promise<readonly Buffer[]> {
    this.#isEnding = this.#isOver = true;
    const streams = [this.stdout, this.#stderr].flatMap((stream) => (stream ? [flushed(stream)] : []));
    this.#isEnding = false;
    await Promise.all(streams);
    const ends = [streamEnd(RecordType.STDOUT, this.#requestId)];
    if (this.#hasStderr) ends.push(streamEnd(RecordType.STDERR, this.#requestId));
    return [...this.#last, ...ends];
  }

  /** Forgets what the transport has not taken yet. */
  drop(): void {
    this.#isOver = true;
    this.stdout.destroy();
    this.#stderr?.destroy();
  }

  #stream(type: number): Writable {
    return new Writable({
      writev: (chunks, done) => {
        let bytes = 0;
        for (const { chunk } of chunks) bytes += (chunk as Buffer).length;
        const octets = chunks.flatMap(({ chunk }) => streamRecords(type, this.#requestId, chunk as Buffer));
        if (type === RecordType.STDERR) this.#hasStderr ||= bytes > 0;
        else if (bytes > 0) this.firstByteAt ??= performance.now();
        if (type === RecordType.STDOUT) this.stdoutBytes += bytes;
        const isLast = type === RecordType.STDOUT && this.#isEnding && bytes <= MAX_LAST_BYTES;
        if (isLast) this.#last = octets;
        // Where nothing was written: a record without content would end the stream.
        if (isLast || bytes === 0) done();
        else this.#send(octets, done);
      },
    });
  }
}

/** Ends a stream; resolves when it has passed everything on, or was destroyed. */
function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once('close', resolve);
    stream.end();
  });
}
