/** Bytes on disk, first in, first out: in a temporary file without a name, which is gone with its descriptor. */

import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ByteBudget } from '../base/bytes.js';
import { BridgeError, reasonOf } from '../base/errors.js';
import { noteBytesRead } from '../base/memory.js';
import { SPOOL_SHARE, Threads } from '../base/threads.js';
import { PREFIX } from './private-directory.js';

/** Of Linux, a file that never has a name; Node does not name it either. */
const O_TMPFILE = 0o20_000_000 | constants.O_DIRECTORY;
const PIECE_BYTES = 65_536;

/**
 * Owns its file until `close`. The file is a ring of at most `maxBytes`: what was read makes room, and who has read all
 * begins it again. One writes and one reads at a time, which may be at the same time.
 */
export class Spool {
  /** How many may be open at once: descriptors are those of the whole process. */
  static maxOpen = Infinity;
  static #open = 0;
  /** Where the disk does not answer, those of all requests wait for it, and nothing else does. */
  static readonly #threads = new Threads(SPOOL_SHARE);

  readonly #file: FileHandle;
  readonly #maxBytes: number;
  readonly #budget: ByteBudget;
  /** How large the file has become; it never shrinks. */
  #size = 0;
  /** Bytes that were written and read, since it was empty. */
  #written = 0;
  #read = 0;
  #isClosed = false;

  private constructor(file: FileHandle, maxBytes: number, budget: ByteBudget) {
    this.#file = file;
    this.#maxBytes = maxBytes;
    this.#budget = budget;
  }

  /** @throws BridgeError `ERR_SPOOL`, with the system's error as `cause` or beyond `maxOpen`. */
  static async open(maxBytes: number, budget: ByteBudget): Promise<Spool> {
    if (Spool.#open >= Spool.maxOpen) {
      const reason = `${String(Spool.maxOpen)} requests’ bodies are on disk, as many as ulimit -n leaves descriptors for: raise it`;
      throw new BridgeError('ERR_SPOOL', reason);
    }
    Spool.#open += 1;
    try {
      return new Spool(await Spool.#threads.run(openNameless), maxBytes, budget);
    } catch (error) {
      Spool.#open -= 1;
      throw spoolError(error);
    }
  }

  get bytes(): number {
    return this.#written - this.#read;
  }

  /**
   * Takes a piece, or where that is more than there is room for, nothing of it, and says which.
   *
   * @throws BridgeError `ERR_SPOOL` when the file can't take it, `ERR_MAX_SPOOL_TOTAL` when it is more than the budget
   *   has left; nothing of it was taken then.
   */
  async write(piece: Buffer): Promise<boolean> {
    if (this.bytes === 0) this.#written = this.#read = 0;
    if (this.bytes + piece.length > this.#maxBytes) return false;
    const begin = this.#written;
    this.#grow(Math.min(begin + piece.length, this.#maxBytes));
    try {
      for (let offset = 0; offset < piece.length;) {
        const { position, size } = this.#place(begin + offset, piece.length - offset);
        const written = Spool.#threads.run(() => this.#file.write(piece, offset, size, position));
        offset += (await written).bytesWritten;
      }
    } catch (error) {
      throw spoolError(error);
    }
    this.#written = begin + piece.length;
    return true;
  }

  /** The next bytes, at least one; to be called while it holds any. @throws BridgeError `ERR_SPOOL` */
  async read(): Promise<Buffer> {
    const { position, size } = this.#place(this.#read, Math.min(PIECE_BYTES, this.bytes));
    try {
      const read = Spool.#threads.run(() => this.#file.read(Buffer.allocUnsafe(size), 0, size, position));
      const { buffer, bytesRead } = await read;
      if (bytesRead === 0) throw new Error('the temporary file is shorter than what was written to it');
      this.#read += bytesRead;
      noteBytesRead(bytesRead);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw spoolError(error);
    }
  }

  /** Gives the disk space back. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    Spool.#open -= 1;
    this.#budget.give(this.#size);
    await Spool.#threads.run(() => this.#file.close()).catch(() => undefined);
  }

  #grow(size: number): void {
    const more = Math.max(0, size - this.#size);
    if (!this.#budget.take(more)) {
      const most = `--max-spool-total (${String(this.#budget.maxBytes)} bytes)`;
      throw new BridgeError('ERR_MAX_SPOOL_TOTAL', `the bodies of all requests on disk reach ${most}`);
    }
    this.#size += more;
  }

  /** Where in the file this number of bytes lies, as far as they lie together. */
  #place(at: number, bytes: number): { readonly position: number; readonly size: number } {
    const position = at % this.#maxBytes;
    return { position, size: Math.min(bytes, this.#maxBytes - position) };
  }
}

async function openNameless(): Promise<FileHandle> {
  if (process.platform === 'linux') {
    // Some file systems can't.
    const file = await open(tmpdir(), constants.O_RDWR | O_TMPFILE, 0o600).catch(() => undefined);
    if (file !== undefined) return file;
  }
  const path = join(tmpdir(), `${PREFIX}${randomUUID()}`);
  // `wx+`: nobody can have put a link there before us.
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}

function spoolError(cause: unknown): BridgeError {
  const reason = `a request’s body could not be kept in ${tmpdir()}: ${reasonOf(cause)}`;
  return new BridgeError('ERR_SPOOL', reason, { cause });
}
