/** Name-value pairs (FastCGI 1.0 §3.4), read and written octet by octet. */

import { type ByteString, fromBuffer, type NameValues, toBuffer, toText, valueOf } from '../bytes.js';
import { BridgeError } from '../errors.js';

/** The params of a request. */
export type Params = NameValues;

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
    const bytes = fromBuffer(content.subarray(offset, offset + length));
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
