/** Octets on disk, first in, first out: in a temporary file without a name, which is gone with its descriptor. */

import { randomUUID } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { BridgeError, reasonOf } from '../errors.js';
import { carried } from '../young-generation.js';

const PIECE_BYTES = 65_536;

/**
 * Owns its file until `close`. The file is a ring of at most `maxBytes`: what was read makes room, and who has read all
 * begins it anew. One writes and one reads at a time, which may be at the same time.
 */
export class Spool {
  readonly #file: FileHandle;
  readonly #maxBytes: number;
  /** Octets that were written and read, since it was empty. */
  #written = 0;
  #read = 0;

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

  /** Octets that it holds. */
  get bytes(): number {
    return this.#written - this.#read;
  }

  /**
   * Takes a piece, or where that is more than there is room for, nothing of it, and says which.
   *
   * @throws BridgeError `ERR_SPOOL` when the file can't take it; nothing of it was taken then.
   */
  async write(piece: Buffer): Promise<boolean> {
    if (this.bytes === 0) this.#written = this.#read = 0;
    if (this.bytes + piece.length > this.#maxBytes) return false;
    const begin = this.#written;
    try {
      for (let offset = 0; offset < piece.length;) {
        const { position, size } = this.#place(begin + offset, piece.length - offset);
        offset += (await this.#file.write(piece, offset, size, position)).bytesWritten;
      }
    } catch (error) {
      throw spoolError(error);
    }
    this.#written = begin + piece.length;
    return true;
  }

  /** The next octets, at least one; to be called while it holds any. @throws BridgeError `ERR_SPOOL` */
  async read(): Promise<Buffer> {
    const { position, size } = this.#place(this.#read, Math.min(PIECE_BYTES, this.bytes));
    try {
      const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(size), 0, size, position);
      if (bytesRead === 0) throw new Error('the temporary file is shorter than what was written to it');
      this.#read += bytesRead;
      carried(bytesRead);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw spoolError(error);
    }
  }

  /** Gives the disk space back. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }

  /** Where in the file so many octets lie, as far as they lie together. */
  #place(at: number, bytes: number): { readonly position: number; readonly size: number } {
    const position = at % this.#maxBytes;
    return { position, size: Math.min(bytes, this.#maxBytes - position) };
  }
}

function spoolError(cause: unknown): BridgeError {
  const reason = `a request’s body could not be kept in ${tmpdir()}: ${reasonOf(cause)}`;
  return new BridgeError('ERR_SPOOL', reason, { cause });
}
