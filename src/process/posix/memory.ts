/** Strings and vectors of them, as the C library takes them. */

import { type ByteString, toBuffer } from '../../bytes.js';
import type { LibC, Memory } from './libc.js';

/** A string with its end. It must hold no NUL octet. */
export function cString(bytes: ByteString): Memory {
  return toBuffer(`${bytes}\0`);
}

/** A null-terminated vector of pointers to strings, as argv and envp are. Both parts live as long as it is used. */
export interface Vector {
  readonly pointers: Memory;
  readonly strings: Memory;
}

/** The vector of these strings, none of which may hold a NUL octet. */
export function vector(all: readonly ByteString[], { addressOf, pointerBytes }: LibC): Vector {
  const strings = toBuffer(all.map((bytes) => `${bytes}\0`).join(''));
  const pointers = pointerBytes === 8 ? new BigUint64Array(all.length + 1) : new Uint32Array(all.length + 1);
  let address = all.length === 0 ? 0n : addressOf(strings);
  all.forEach((bytes, index) => {
    pointers[index] = pointerBytes === 8 ? address : Number(address);
    address += BigInt(bytes.length + 1);
  });
  return { pointers, strings };
}
