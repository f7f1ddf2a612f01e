/** Keeps a request's body on disk: a temporary file without a name, which is gone with its descriptor. */

import { randomUUID } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { BridgeError, reasonOf } from '../errors.js';

const PIECE_BYTES = 65_536;

/** How filling a spool ended: with the source's end, at its bound, or as nobody wants the rest any more. */
export type Filled = 'all' | 'full' | 'unwanted';

/** Owns its file until `close`. */
export class Spool {
  readonly #file: FileHandle;
  readonly #maxBytes: number;
  /** The piece that could not be written, as the disk is full: nothing of a body may be lost. */
  #unwritten: Buffer | undefined;
  #bytes = 0;

  private constructor(file: FileHandle, maxBytes: number) {
    this.#file = file;
    this.#maxBytes = maxBytes;
  }

  /** @throws BridgeError `ERR_SPOOL` with the system's error as `cause`. */
  static async open(maxBytes: number): Promise<Spool> {
    const path = join(tmpdir(), `fcgi2cgi-${randomUUID()}`);
    try {
      // `wx+`: nobody can have put a link there before us.
      const file = await open(path, 'wx+', 0o600);
      await unlink(path);
      return new Spool(file, maxBytes);
    } catch (error) {
      throw spoolError(error);
    }
  }

  /** Octets that it has taken. */
  get bytes(): number {
    return this.#bytes + (this.#unwritten?.length ?? 0);
  }

  /**
   * Takes what comes from `source`, to its end or until it holds more than it may (by one piece at most). `onPiece` is
   * told the octets of each piece, and says whether it is wanted. Where it stops early, the source goes on to wait for a
   * reader, if it has no listener for its data: Node lets one that has flow.
   *
   * @throws BridgeError `ERR_SPOOL` when the file can't take more; what `source` fails with, also if it is destroyed.
   */
  async fill(source: Readable, onPiece: (bytes: number) => boolean): Promise<Filled> {
    for await (const piece of source.iterator({ destroyOnReturn: false })) {
      if (!onPiece((piece as Buffer).length)) return 'unwanted';
      await this.#write(piece as Buffer);
      if (this.#bytes > this.#maxBytes) return 'full';
    }
    return 'all';
  }

  /** What it has taken, from the beginning; to be called once, after `fill`. */
  read(): Readable {
    const octets = Readable.from(this.#pieces(), { objectMode: false, highWaterMark: PIECE_BYTES });
    // Who reads learns of a disk that fails, or of `close`, by an end that is none: the stream is destroyed.
    octets.on('error', () => undefined);
    return octets;
  }

  /** Gives the disk space back. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }

  async #write(piece: Buffer): Promise<void> {
    try {
      for (let offset = 0; offset < piece.length;) {
        const position = this.#bytes + offset;
        const { bytesWritten } = await this.#file.write(piece, offset, piece.length - offset, position);
        offset += bytesWritten;
      }
      this.#bytes += piece.length;
    } catch (error) {
      this.#unwritten = piece;
      throw spoolError(error);
    }
  }

  async *#pieces(): AsyncGenerator<Buffer, void, undefined> {
    for (let position = 0; position < this.#bytes;) {
      const size = Math.min(PIECE_BYTES, this.#bytes - position);
      const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(size), 0, size, position);
      if (bytesRead === 0) throw new Error('the temporary file is shorter than what was written to it');
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    if (this.#unwritten !== undefined) yield this.#unwritten;
  }
}

function spoolError(cause: unknown): BridgeError {
  const reason = `a request’s body could not be kept in ${tmpdir()}: ${reasonOf(cause)}`;
  return new BridgeError('ERR_SPOOL', reason, { cause });
}
