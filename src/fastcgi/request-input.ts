/** What a request is sent: PARAMS, then STDIN (FastCGI 1.0 §3.3, §5.2, §5.3). */

import { Readable } from 'node:stream';

import { BridgeError, reasonOf } from '../errors.js';
import { Timer } from '../timer.js';
import { OctetCollector } from './octet-collector.js';
import { decodeParams, type Params } from './params.js';

export interface RequestLimits {
  /** Octets of PARAMS content that are kept; a request with more is delivered with `problem` and no params. */
  readonly maxParamsBytes: number;
  /** From BEGIN_REQUEST to the end of PARAMS, in milliseconds, 0 for no limit; then `problem` and no params. */
  readonly paramsTimeoutMs: number;
  /** Octets of STDIN that are kept for a reader that is slower than the web server. */
  readonly stdinBufferBytes: number;
}

export interface InputEvents {
  /** The params are complete, or there is a `problem` with them. */
  readonly onReady: () => void;
  /** STDIN has room again, after it had none. */
  readonly onRoom: () => void;
}

/** Takes a request's input from the connection and keeps it for the request's handler. Owns a timer until `close`. */
export class RequestInput {
  readonly stdin: Readable;
  readonly #requestId: number;
  readonly #limits: RequestLimits;
  readonly #events: InputEvents;
  readonly #paramsOctets: OctetCollector;
  readonly #late: Timer;
  /** Where the web server is; `given-up` is one that has taken too long to get past its params. */
  #at: 'params' | 'stdin' | 'ended' | 'given-up' = 'params';
  #params: Params = [];
  #problem: BridgeError | undefined;
  #paramsAt = performance.now();
  #stdinBytes = 0;
  #isFull = false;

  constructor(requestId: number, limits: RequestLimits, events: InputEvents) {
    this.#requestId = requestId;
    this.#limits = limits;
    this.#events = events;
    this.#paramsOctets = new OctetCollector(limits.maxParamsBytes);
    this.#late = new Timer(limits.paramsTimeoutMs, () => {
      this.#giveUp();
    });
    this.#late.start();
    const hasRoom = (): void => {
      if (!this.#isFull) return;
      this.#isFull = false;
      events.onRoom();
    };
    this.stdin = new Readable({
      highWaterMark: limits.stdinBufferBytes,
      read: hasRoom,
      // A reader that has left wants none of the rest.
      destroy: (error, done) => {
        hasRoom();
        done(error);
      },
    });
  }

  get params(): Params {
    return this.#params;
  }

  /** Why the params can't be used: `ERR_MAX_PARAMS_SIZE`, `ERR_FASTCGI_PARAMS` or `ERR_PARAMS_TIMEOUT`. */
  get problem(): BridgeError | undefined {
    return this.#problem;
  }

  /** When the params were complete, by `performance.now()`. */
  get paramsAt(): number {
    return this.#paramsAt;
  }

  /** Octets of STDIN that have come, read by anybody or not. */
  get stdinBytes(): number {
    return this.#stdinBytes;
  }

  /** Whether STDIN holds as much as it may, so that the connection should read no further. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Takes a PARAMS record's content. @throws BridgeError `ERR_FASTCGI_SEQUENCE` after the stream's end. */
  takeParams(data: Buffer): void {
    if (this.#at === 'given-up') return;
    if (this.#at !== 'params') throw this.#outOfSequence('PARAMS after the end of PARAMS');
    this.#paramsOctets.take(data);
  }

  /** Takes PARAMS' end: from here on the request can be handled. */
  endParams(): void {
    if (this.#at === 'given-up') return;
    if (this.#at !== 'params') throw this.#outOfSequence('a second end of PARAMS');
    this.#at = 'stdin';
    try {
      this.#params = this.#decodedParams();
    } catch (error) {
      this.#problem =
        error instanceof BridgeError ? error : new BridgeError('ERR_FASTCGI_PARAMS', reasonOf(error));
    }
    this.#ready();
  }

  /** Takes a STDIN record's content; a request that has ended forgets it. */
  takeStdin(data: Buffer): void {
    if (this.#at === 'given-up') return;
    if (this.#at === 'params') throw this.#outOfSequence('STDIN before the end of PARAMS');
    if (this.#at === 'ended') throw this.#outOfSequence('STDIN after the end of STDIN');
    if (this.stdin.destroyed) return;
    this.#stdinBytes += data.length;
    // A small piece is copied, since it is a view that keeps the transport's whole chunk.
    const piece = data.length * 16 < data.buffer.byteLength ? Buffer.from(data) : data;
    if (!this.stdin.push(piece)) this.#isFull = true;
  }

  /** Takes STDIN's end; a repeated one says nothing new. */
  endStdin(): void {
    if (this.#at === 'params') throw this.#outOfSequence('STDIN before the end of PARAMS');
    if (this.#at !== 'stdin') return;
    this.#at = 'ended';
    // Nothing more will come that the reader would have to make room for.
    this.#isFull = false;
    if (!this.stdin.destroyed) this.stdin.push(null);
  }

  /** Nobody reads it any more. */
  close(): void {
    this.#late.stop();
    this.stdin.destroy();
  }

  #decodedParams(): Params {
    const { bytes } = this.#paramsOctets;
    const { maxParamsBytes } = this.#limits;
    if (bytes > maxParamsBytes) {
      throw new BridgeError(
        'ERR_MAX_PARAMS_SIZE',
        `the web server sent ${String(bytes)} octets of params, more than --max-params-size allows (${String(maxParamsBytes)})`,
      );
    }
    return decodeParams(this.#paramsOctets.collected());
  }

  #giveUp(): void {
    this.#at = 'given-up';
    const waited = `${String(this.#limits.paramsTimeoutMs)} ms (--idle-timeout)`;
    this.#problem = new BridgeError(
      'ERR_PARAMS_TIMEOUT',
      `the web server has begun a request and not ended its params within ${waited}`,
    );
    this.stdin.push(null);
    this.#ready();
  }

  #ready(): void {
    this.#late.stop();
    this.#paramsAt = performance.now();
    this.#events.onReady();
  }

  #outOfSequence(what: string): BridgeError {
    return new BridgeError(
      'ERR_FASTCGI_SEQUENCE',
      `the web server sent ${what} of request ${String(this.#requestId)} (FastCGI 1.0 §3.3)`,
    );
  }
}
