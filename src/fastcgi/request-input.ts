/** What a request is sent: PARAMS, then STDIN (FastCGI 1.0 §3.3, §5.2, §5.3). */

import type { Writable } from 'node:stream';

import { NOTHING } from '../base/bytes.js';
import { BridgeError, reasonOf } from '../base/errors.js';
import { Timer } from '../base/timer.js';
import { decodeParams, PAIR_BYTES, type Params, type ParamsLimits } from './params.js';

export interface RequestLimits extends ParamsLimits {
  /** From BEGIN_REQUEST to the end of PARAMS, in milliseconds, 0 for no limit; then `problem` and no params. */
  readonly idleTimeoutMs: number;
}

const FIRST_CAPACITY = 1_024;

/**
 * Takes a request's input from the connection and keeps it for the request's handler, who changes none of the fields. Owns a
 * timer, and a part of the budget for params, until `close`.
 */
export class RequestInput {
  params: Params = [];
  /**
   * Why the params can't be used: `ERR_MAX_PARAMS_SIZE`, `ERR_MAX_PARAMS_TOTAL`, `ERR_FASTCGI_PARAMS` or
   * `ERR_PARAMS_TIMEOUT`.
   */
  problem: BridgeError | undefined;
  /** When the params were complete, by `performance.now()`. */
  paramsAt = performance.now();
  /** Octets of STDIN that have come, read by anybody or not. */
  stdinBytes = 0;
  readonly #requestId: number;
  readonly #limits: RequestLimits;
  readonly #late: Timer;
  /** What has come of PARAMS, and room for more of them. */
  #octets = NOTHING;
  #paramsBytes = 0;
  /** What it has of the budget for the params of all requests. */
  #takenBytes = 0;
  #isBeyondBudget = false;
  /** Where the web server is; `given-up` is one that has taken too long to get past its params. */
  #at: 'params' | 'stdin' | 'ended' | 'given-up' = 'params';
  #body: Writable | undefined;

  constructor(requestId: number, limits: RequestLimits, onLate: () => void) {
    this.#requestId = requestId;
    this.#limits = limits;
    this.#late = new Timer(limits.idleTimeoutMs, () => {
      this.#at = 'given-up';
      const waited = `${String(limits.idleTimeoutMs)} ms (--idle-timeout)`;
      const why = `the web server has begun a request and not ended its params within ${waited}`;
      this.#refuse(new BridgeError('ERR_PARAMS_TIMEOUT', why));
      onLate();
    });
    this.#late.start();
  }

  get hasEnded(): boolean {
    return this.#at === 'ended';
  }

  /** Whether nothing of STDIN has come, and nothing will: where it ends right behind the params, that is known at once. */
  get isEmpty(): boolean {
    return this.stdinBytes === 0 && (this.#at === 'ended' || this.#at === 'given-up');
  }

  /** Whether STDIN holds as much as it may, so that the connection should read no further. */
  get isFull(): boolean {
    const body = this.#body;
    if (body === undefined || body.destroyed || body.writableEnded) return false;
    return body.writableNeedDrain && body.writableLength > 0;
  }

  /** Says where STDIN goes to, once the params are complete. */
  set body(body: Writable) {
    this.#body = body;
    if (this.#at !== 'stdin') body.end();
  }

  /**
   * Takes a copy of what has come of a PARAMS record: it is a view of the transport's much larger chunk, and may be one octet.
   *
   * @throws BridgeError `ERR_FASTCGI_SEQUENCE` after the stream's end.
   */
  takeParams(data: Buffer): void {
    if (this.#at === 'given-up') return;
    if (this.#at !== 'params') throw this.#outOfSequence('PARAMS after the end of PARAMS');
    const begin = this.#paramsBytes;
    this.#paramsBytes += data.length;
    const { maxParamsBytes, paramsBudget } = this.#limits;
    const isTooLarge = this.#paramsBytes > maxParamsBytes;
    this.#isBeyondBudget ||= !isTooLarge && !paramsBudget.take(data.length);
    if (isTooLarge || this.#isBeyondBudget) {
      this.#forgetParams();
      return;
    }
    this.#takenBytes += data.length;
    if (this.#paramsBytes > this.#octets.length) {
      const wanted = Math.max(this.#paramsBytes, 2 * this.#octets.length, FIRST_CAPACITY);
      const larger = Buffer.alloc(Math.min(maxParamsBytes, wanted));
      this.#octets.copy(larger);
      this.#octets = larger;
    }
    data.copy(this.#octets, begin);
  }

  /** Takes PARAMS' end; returns whether the request can be handled from here on, which it can but once. */
  endParams(): boolean {
    if (this.#at === 'given-up') return false;
    if (this.#at !== 'params') throw this.#outOfSequence('a second end of PARAMS');
    this.#at = 'stdin';
    this.#late.stop();
    const { maxParamsBytes, paramsBudget } = this.#limits;
    try {
      if (this.#paramsBytes > maxParamsBytes) {
        const sent = `${String(this.#paramsBytes)} octets of params, more than --max-params-size allows`;
        throw new BridgeError(
          'ERR_MAX_PARAMS_SIZE',
          `the web server sent ${sent} (${String(maxParamsBytes)})`,
        );
      }
      const params = decodeParams(this.#octets.subarray(0, this.#paramsBytes));
      const pairBytes = PAIR_BYTES * params.length;
      if (this.#isBeyondBudget || !paramsBudget.take(pairBytes)) {
        const most = `--max-params-total (${String(paramsBudget.maxBytes)} bytes)`;
        throw new BridgeError('ERR_MAX_PARAMS_TOTAL', `the params of all requests reach ${most}`);
      }
      this.#takenBytes += pairBytes;
      this.params = params;
      this.#octets = NOTHING;
      this.paramsAt = performance.now();
    } catch (error) {
      this.#refuse(
        error instanceof BridgeError ? error : new BridgeError('ERR_FASTCGI_PARAMS', reasonOf(error)),
      );
    }
    return true;
  }

  /** Takes a STDIN record's content; a request that has ended forgets it. */
  takeStdin(data: Buffer): void {
    if (this.#at === 'given-up') return;
    if (this.#at === 'params') throw this.#outOfSequence('STDIN before the end of PARAMS');
    if (this.#at === 'ended') throw this.#outOfSequence('STDIN after the end of STDIN');
    if (this.#body === undefined || this.#body.destroyed) return;
    this.stdinBytes += data.length;
    // A small piece is copied, since it is a view that keeps the transport's whole chunk.
    const piece = data.length * 16 < data.buffer.byteLength ? Buffer.from(data) : data;
    this.#body.write(piece);
  }

  /** Takes STDIN's end; a repeated one says nothing new. */
  endStdin(): void {
    if (this.#at === 'params') throw this.#outOfSequence('STDIN before the end of PARAMS');
    if (this.#at !== 'stdin') return;
    this.#at = 'ended';
    if (this.#body?.destroyed === false) this.#body.end();
  }

  /** Nobody reads it any more. */
  close(): void {
    this.#late.stop();
    this.#body?.destroy();
    this.#limits.paramsBudget.give(this.#takenBytes);
    this.#takenBytes = 0;
  }

  #refuse(problem: BridgeError): void {
    this.problem = problem;
    this.paramsAt = performance.now();
    this.#forgetParams();
  }

  #forgetParams(): void {
    this.#octets = NOTHING;
    this.#limits.paramsBudget.give(this.#takenBytes);
    this.#takenBytes = 0;
  }

  #outOfSequence(what: string): BridgeError {
    return new BridgeError(
      'ERR_FASTCGI_SEQUENCE',
      `the web server sent ${what} of request ${String(this.#requestId)} (FastCGI 1.0 §3.3)`,
    );
  }
}
