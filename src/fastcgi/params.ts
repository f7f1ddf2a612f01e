/** Name-value pairs (FastCGI 1.0 §3.4): collected, read and written octet by octet. */

import {
  type ByteBudget,
  type ByteString,
  type NameValues,
  NOTHING,
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

/** What is made room for at first. */
const FIRST_CAPACITY = 1_024;

/** Collects the content of a PARAMS stream. Owns a part of the budget for all requests until `release`. */
export class ParamsCollector {
  readonly #limits: ParamsLimits;
  /** What has come, and room for more. */
  #octets = NOTHING;
  #bytes = 0;
  /** What it has of the budget. */
  #takenBytes = 0;
  #isBeyondBudget = false;

  constructor(limits: ParamsLimits) {
    this.#limits = limits;
  }

  /** Takes a copy of a piece: it is a view of the transport's much larger chunk, and may be one octet. */
  add(data: Buffer): void {
    const begin = this.#bytes;
    this.#bytes += data.length;
    const { maxParamsBytes, paramsBudget } = this.#limits;
    const isTooLarge = this.#bytes > maxParamsBytes;
    this.#isBeyondBudget ||= !isTooLarge && !paramsBudget.take(data.length);
    if (isTooLarge || this.#isBeyondBudget) {
      this.release();
      return;
    }
    this.#takenBytes += data.length;
    if (this.#bytes > this.#octets.length) {
      const wanted = Math.max(this.#bytes, 2 * this.#octets.length, FIRST_CAPACITY);
      const larger = Buffer.alloc(Math.min(maxParamsBytes, wanted));
      this.#octets.copy(larger);
      this.#octets = larger;
    }
    data.copy(this.#octets, begin);
  }

  /** The params, of which all has come. @throws BridgeError `ERR_MAX_PARAMS_SIZE`, `ERR_MAX_PARAMS_TOTAL`, `ERR_FASTCGI_PARAMS` */
  decode(): Params {
    const { maxParamsBytes, paramsBudget } = this.#limits;
    if (this.#bytes > maxParamsBytes) {
      const sent = `${String(this.#bytes)} octets of params, more than --max-params-size allows`;
      throw new BridgeError('ERR_MAX_PARAMS_SIZE', `the web server sent ${sent} (${String(maxParamsBytes)})`);
    }
    const params = decodeParams(this.#octets.subarray(0, this.#bytes));
    const pairBytes = PAIR_BYTES * params.length;
    if (this.#isBeyondBudget || !paramsBudget.take(pairBytes)) {
      const most = `--max-params-total (${String(paramsBudget.maxBytes)} bytes)`;
      throw new BridgeError('ERR_MAX_PARAMS_TOTAL', `the params of all requests reach ${most}`);
    }
    this.#takenBytes += pairBytes;
    this.#octets = NOTHING;
    return params;
  }

  /** Forgets what has come, and gives back what it has taken. */
  release(): void {
    this.#octets = NOTHING;
    this.#limits.paramsBudget.give(this.#takenBytes);
    this.#takenBytes = 0;
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
  while (offset < content.length) {
    const lengths: [number, number] = [0, 0];
    for (let which = 0; which < 2; which++) {
      const first = content[offset] ?? LONG_LENGTH;
      const next = offset + (first < LONG_LENGTH ? 1 : 4);
      if (next > content.length) throw truncated(offset, content.length);
      lengths[which] = first < LONG_LENGTH ? first : content.readUInt32BE(offset) & 0x7fff_ffff;
      offset = next;
    }
    const valueAt = offset + lengths[0];
    const end = valueAt + lengths[1];
    if (end > content.length) throw truncated(end, content.length);
    pairs.push([content.toString('latin1', offset, valueAt), content.toString('latin1', valueAt, end)]);
    offset = end;
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
