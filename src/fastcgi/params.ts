/** Name-value pairs (FastCGI 1.0 §3.4): collected as they come, read and written octet by octet. */

import {
  type ByteBudget,
  type ByteString,
  type NameValues,
  toBuffer,
  toText,
  valueOf,
} from '../base/bytes.js';
import { BridgeError } from '../base/errors.js';

export type Params = NameValues;

/** What a request without params takes of the budget for the params of all: about what its objects take. */
export const REQUEST_BYTES = 4_096;

/** What a param takes beside its octets: two of them can make one, whose objects take about that. */
export const PAIR_BYTES = 128;

export interface ParamsLimits {
  /** Octets of PARAMS content that are kept; a request with more is delivered with `problem` and no params. */
  readonly maxParamsBytes: number;
  /** What all requests have for their params together; one for which it is too little has `problem` and no params. */
  readonly paramsBudget: ByteBudget;
}

const FIRST_CAPACITY = 1_024;

/** Collects the PARAMS of a request, in memory that is proportional to them; its owner `close`s it. */
export class ParamsCollector {
  readonly #limits: ParamsLimits;
  #octets = Buffer.alloc(0);
  #bytes = 0;
  #takenBytes = 0;
  #isKeeping = true;
  #isBeyondBudget = false;

  constructor(limits: ParamsLimits) {
    this.#limits = limits;
  }

  /** Takes a copy: pieces are views of the transport's much larger chunks, and may be one octet each. */
  take(piece: Buffer): void {
    const begin = this.#bytes;
    this.#bytes += piece.length;
    if (!this.#isKeeping) return;
    if (this.#bytes > this.#limits.maxParamsBytes || !this.#takeOfBudget(piece.length)) {
      this.close();
      return;
    }
    if (this.#bytes > this.#octets.length) this.#grow();
    piece.copy(this.#octets, begin);
  }

  /** The pairs of all that came. @throws BridgeError `ERR_MAX_PARAMS_SIZE`, `ERR_MAX_PARAMS_TOTAL`, `ERR_FASTCGI_PARAMS` */
  decoded(): Params {
    const { maxParamsBytes, paramsBudget } = this.#limits;
    if (this.#bytes > maxParamsBytes) {
      throw new BridgeError(
        'ERR_MAX_PARAMS_SIZE',
        `the web server sent ${String(this.#bytes)} octets of params, more than --max-params-size allows (${String(maxParamsBytes)})`,
      );
    }
    const params = decodeParams(this.#octets.subarray(0, this.#bytes));
    if (this.#isBeyondBudget || !this.#takeOfBudget(PAIR_BYTES * params.length)) {
      const most = `--max-params-total (${String(paramsBudget.maxBytes)} bytes)`;
      throw new BridgeError('ERR_MAX_PARAMS_TOTAL', `the params of all requests reach ${most}`);
    }
    this.#octets = Buffer.alloc(0);
    return params;
  }

  /** Keeps nothing of what has come, and nothing of what comes; gives back what it has of the budget. */
  close(): void {
    this.#isKeeping = false;
    this.#octets = Buffer.alloc(0);
    this.#limits.paramsBudget.give(this.#takenBytes);
    this.#takenBytes = 0;
  }

  #takeOfBudget(bytes: number): boolean {
    this.#isBeyondBudget = !this.#limits.paramsBudget.take(bytes);
    if (!this.#isBeyondBudget) this.#takenBytes += bytes;
    return !this.#isBeyondBudget;
  }

  #grow(): void {
    const wanted = Math.max(this.#bytes, 2 * this.#octets.length, FIRST_CAPACITY);
    const larger = Buffer.alloc(Math.min(this.#limits.maxParamsBytes, wanted));
    this.#octets.copy(larger);
    this.#octets = larger;
  }
}

const LONG_LENGTH = 0x80;
const MAX_SHORT_BYTES = 0x7f;

/**
 * The pairs of a whole PARAMS stream or GET_VALUES record.
 *
 * @throws BridgeError `ERR_FASTCGI_PARAMS` where a length points past the end.
 */
export function decodeParams(content: Buffer): Params {
  const pairs: [ByteString, ByteString][] = [];
  let offset = 0;

  const takeLength = (): number => {
    const first = content[offset];
    if (first !== undefined && first < LONG_LENGTH) {
      offset += 1;
      return first;
    }
    if (offset + 4 > content.length) throw truncated(offset, content.length);
    const length = content.readUInt32BE(offset) & 0x7fff_ffff;
    offset += 4;
    return length;
  };
  const takeBytes = (length: number): ByteString => {
    if (offset + length > content.length) throw truncated(offset + length, content.length);
    const bytes: ByteString = content.toString('latin1', offset, offset + length);
    offset += length;
    return bytes;
  };

  while (offset < content.length) {
    const nameBytes = takeLength();
    const valueBytes = takeLength();
    pairs.push([takeBytes(nameBytes), takeBytes(valueBytes)]);
  }
  return pairs;
}

function truncated(wanted: number, had: number): BridgeError {
  return new BridgeError(
    'ERR_FASTCGI_PARAMS',
    `the web server sent a name-value pair whose length points to octet ${String(wanted)} of ${String(had)}`,
  );
}

/** The octets of these pairs, for a PARAMS stream or a GET_VALUES record. */
export function encodeParams(params: Params): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of params) {
    parts.push(encodeLength(name.length), encodeLength(value.length), toBuffer(name), toBuffer(value));
  }
  return Buffer.concat(parts);
}

function encodeLength(length: number): Buffer {
  if (length <= MAX_SHORT_BYTES) return Buffer.of(length);
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE((length | 0x8000_0000) >>> 0);
  return octets;
}

/** A param's value for people: as text, or empty. */
export function paramText(params: Params, name: ByteString): string {
  return toText(valueOf(params, name) ?? '');
}
