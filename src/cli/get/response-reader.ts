/** An answer as it comes: its bytes go on to where they are wanted, its header is understood. */

import { ResponseHeaderReader } from '../../cgi/response-header.js';
import { BridgeError } from '../../base/errors.js';

/** Where an answer goes; a promise of false says that nobody takes any more of it. */
export interface Sink {
  /** The header as the application wrote it, before the body; or all of an answer without one. */
  header(bytes: Buffer): Promise<boolean>;
  body(bytes: Buffer): Promise<boolean>;
  stderr(bytes: Buffer): void;
}

/** A longer header is not waited for. */
const MAX_HEADER_BYTES = 1 << 20;

export class ResponseReader {
  readonly #sink: Sink;
  readonly #observer = new ResponseHeaderReader(MAX_HEADER_BYTES);
  #held: Buffer[] = [];
  #isBody = false;
  #contentBytes: number | undefined;
  #bodyBytes = 0;
  #stdoutBytes = 0;
  /** The HTTP status, once the header is complete. */
  status: number | undefined;
  firstAt: number | undefined;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  get stdoutBytes(): number {
    return this.#stdoutBytes;
  }

  /** Bytes of the body that were announced and have not come. */
  get missingBytes(): number {
    return Math.max(0, (this.#contentBytes ?? 0) - this.#bodyBytes);
  }

  /** Takes more of standard output; resolves, when it was taken off our hands, to whether more is wanted. */
  async take(bytes: Buffer): Promise<boolean> {
    this.firstAt ??= performance.now();
    this.#stdoutBytes += bytes.length;
    if (this.#isBody) {
      this.#bodyBytes += bytes.length;
      return this.#sink.body(bytes);
    }
    this.#held.push(bytes);
    const head = this.#observe(bytes);
    if (head === undefined) return true;
    const all = this.#release();
    this.status = head.status;
    this.#contentBytes = head.contentBytes;
    this.#bodyBytes = head.body.length;
    const isWanted = await this.#sink.header(all.subarray(0, all.length - head.body.length));
    return isWanted && (head.body.length === 0 || this.#sink.body(head.body));
  }

  async finish(): Promise<void> {
    if (this.#held.length > 0) await this.#sink.header(this.#release());
  }

  #observe(bytes: Buffer): ReturnType<ResponseHeaderReader['push']> {
    try {
      return this.#observer.push(bytes);
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      // Without an end to its header, the rest is as good as a body.
      this.#isBody = true;
      return undefined;
    }
  }

  #release(): Buffer {
    const all = Buffer.concat(this.#held);
    this.#held = [];
    this.#isBody = true;
    return all;
  }
}
