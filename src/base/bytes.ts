/** Bytes: strings of them from the network, kept byte by byte until code that knows their encoding reads them; and budgets. */

import { isUtf8 } from 'node:buffer';

/**
 * A string each character of which stands for one byte (U+0000 to U+00FF).
 *
 * Params, meta-variables and paths are neither valid UTF-8 nor Latin-1 by any standard (RFC 3875 §4.1): this
 * form loses nothing, compares and splits like any string, and is what a `Map` can be keyed by.
 */
export type ByteString = string;

/** No bytes, as the body of most requests. */
export const NOTHING = Buffer.alloc(0);

/** The bytes that a byte string stands for. */
export function toBuffer(bytes: ByteString): Buffer {
  return Buffer.from(bytes, 'latin1');
}

/** The byte string that stands for these bytes. */
export function fromBuffer(buffer: Uint8Array): ByteString {
  return Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength).toString('latin1');
}

/** The byte string of a text's UTF-8 form. */
export function fromText(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Whether the bytes are valid UTF-8, so that `toText` and a `string` API of Node's lose nothing. */
export function isText(bytes: ByteString): boolean {
  return isUtf8(toBuffer(bytes));
}

/** The bytes read as UTF-8, for people and for Node's `string` APIs; what is not UTF-8 becomes U+FFFD. */
export function toText(bytes: ByteString): string {
  return toBuffer(bytes).toString('utf8');
}

/** Decodes `%XX` to bytes; what is not one stays. */
export function percentDecode(text: ByteString): ByteString {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** Names and values in the order in which they came; names may repeat, values may be empty. */
export type NameValues = readonly (readonly [name: ByteString, value: ByteString])[];

/** The value of a name; where it repeats, the last one, as the environment of a CGI program would have it. */
export function valueOf(pairs: NameValues, name: ByteString): ByteString | undefined {
  let last: ByteString | undefined;
  for (const pair of pairs) if (pair[0] === name) last = pair[1];
  return last;
}

/** Counts bytes; what takes some gives them back. */
export class ByteBudget {
  readonly maxBytes: number;
  #takenBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Takes as much, if there is as much, and says whether there was. */
  take(bytes: number): boolean {
    if (this.#takenBytes + bytes > this.maxBytes) return false;
    this.#takenBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }
}
