/** Keeps the beginning of what a program has written, and enough of the rest to tell whether it is the same. */

import { createHash } from 'node:crypto';

import { type ByteString, fromBuffer } from '../../bytes.js';

/** What was written. */
export interface Written {
  /** As much of it as was kept. */
  readonly beginning: ByteString;
  readonly bytes: number;
  /** Of all of it. */
  readonly sha256: string;
}

export class Kept {
  readonly #maxBytes: number;
  readonly #hash = createHash('sha256');
  readonly #pieces: Buffer[] = [];
  #keptBytes = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  take(piece: Buffer): void {
    this.#hash.update(piece);
    this.#bytes += piece.length;
    const kept = piece.subarray(0, this.#maxBytes - this.#keptBytes);
    if (kept.length > 0) this.#pieces.push(kept);
    this.#keptBytes += kept.length;
  }

  /** What it has taken so far. */
  get written(): Written {
    const beginning = fromBuffer(Buffer.concat(this.#pieces));
    return { beginning, bytes: this.#bytes, sha256: this.#hash.copy().digest('hex') };
  }
}
