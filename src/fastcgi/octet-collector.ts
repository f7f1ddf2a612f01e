/** Collects octets that come in pieces of whatever size, in memory that is proportional to them. */

const FIRST_CAPACITY = 1_024;

/** Keeps up to `maxBytes`; of more it keeps nothing, and only counts. */
export class OctetCollector {
  readonly #maxBytes: number;
  #octets = Buffer.alloc(0);
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** How many octets have come. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a copy: pieces are views of the transport's much larger chunks, and may be one octet each. */
  take(piece: Buffer): void {
    const end = this.#bytes + piece.length;
    if (end > this.#maxBytes) {
      this.#octets = Buffer.alloc(0);
    } else {
      if (end > this.#octets.length) this.#grow(end);
      piece.copy(this.#octets, this.#bytes);
    }
    this.#bytes = end;
  }

  /** What was collected; empty if there were too many. */
  collected(): Buffer {
    return this.#octets.subarray(0, this.#bytes);
  }

  #grow(needed: number): void {
    const capacity = Math.min(this.#maxBytes, Math.max(needed, 2 * this.#octets.length, FIRST_CAPACITY));
    const larger = Buffer.alloc(capacity);
    this.#octets.copy(larger);
    this.#octets = larger;
  }
}
