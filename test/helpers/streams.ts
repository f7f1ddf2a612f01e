/** Large bodies, made as they are read and checked as they come. */

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';

const PIECE_BYTES = 65_536;

export interface Digest {
  readonly bytes: number;
  readonly sha256: string;
}

/** A stream of so many octets, no two pieces of it the same, and what they are when it was read. */
export function large(bytes: number): { readonly stream: Readable; digest(): Digest } {
  const hash = createHash('sha256');
  let made = 0;
  const stream = new Readable({
    highWaterMark: PIECE_BYTES,
    read: () => {
      if (made === bytes) {
        stream.push(null);
        return;
      }
      const piece = Buffer.alloc(Math.min(PIECE_BYTES, bytes - made), `${String(made)};`);
      made += piece.length;
      hash.update(piece);
      stream.push(piece);
    },
  });
  return { stream, digest: () => ({ bytes: made, sha256: hash.copy().digest('hex') }) };
}

/** Reads a stream to its end; `onPiece` may make it slow. */
export async function digestOf(
  stream: Readable,
  onPiece: (bytes: number) => Promise<void> | void = () => undefined,
): Promise<Digest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of stream) {
    hash.update(piece as Buffer);
    bytes += (piece as Buffer).length;
    await onPiece(bytes);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** A source of `bytes` octets that counts what was asked of it. */
export function countedSource(bytes: number): Readable & { given: number } {
  const source = Object.assign(
    new Readable({
      read: () => {
        const size = Math.min(16_384, bytes - source.given);
        source.given += size;
        source.push(size === 0 ? null : Buffer.alloc(size, `${String(source.given)};`));
      },
    }),
    { given: 0 },
  );
  return source;
}
