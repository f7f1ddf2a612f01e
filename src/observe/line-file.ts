/** A file that lines are appended to, each written when the call returns, so that a crash loses none. */

import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';

import { BridgeError, reasonOf, systemCodeOf } from '../base/errors.js';
import { loadLibC } from '../posix/libc.js';

const STANDARD_ERROR = 2;
/** For standard error that somebody has made non-blocking, and whose reader is slow. */
const RETRY_MS = 10;
const MAX_RETRIES = 10;

/** Owns the descriptor of its file; standard error, which it takes for no path, is the process's. */
export class LineFile {
  readonly #option: string;
  #path: string | undefined;
  #descriptor: number;
  #isTorn: boolean;

  /** Opens the file that `option` names. @throws BridgeError `ERR_LOG_FILE` */
  constructor(option: string, path: string | undefined) {
    this.#option = option;
    this.#path = path;
    this.#descriptor = this.#open(path);
    this.#isTorn = path !== undefined && isTorn(path, this.#descriptor);
  }

  /**
   * Appends one line; what can't be written (the disk is full, the reader has left) is lost and costs nothing else. Returns
   * why it was not.
   */
  write(line: string): unknown {
    // A line that was cut off must not swallow the next one.
    const bytes = Buffer.from(`${this.#isTorn ? '\n' : ''}${line}\n`);
    let writtenBytes = 0;
    try {
      while (writtenBytes < bytes.length) {
        writtenBytes += writeSome(this.#descriptor, bytes.subarray(writtenBytes));
      }
      this.#isTorn = false;
      return undefined;
    } catch (error) {
      this.#isTorn ||= writtenBytes > 0;
      return error;
    }
  }

  /**
   * Opens the file again, once somebody has moved the old one away.
   *
   * @throws BridgeError `ERR_LOG_FILE`; lines then go on to where they went before.
   */
  reopen(): void {
    this.moveTo(this.#path);
  }

  /**
   * Goes on in another file, and standard error with it where that is the same file, as of a process in the background.
   *
   * @throws BridgeError `ERR_LOG_FILE`; lines then go on to where they went before.
   */
  moveTo(path: string | undefined): void {
    const old = this.#descriptor;
    this.#descriptor = this.#open(path);
    this.#path = path;
    this.#isTorn = path !== undefined && isTorn(path, this.#descriptor);
    if (old === STANDARD_ERROR) return;
    if (isSameFile(old, STANDARD_ERROR)) moveStandardError(this.#descriptor);
    closeSync(old);
  }

  /** Lets go of the file; nothing may be written any more. */
  close(): void {
    if (this.#descriptor !== STANDARD_ERROR) closeSync(this.#descriptor);
  }

  #open(path: string | undefined): number {
    if (path === undefined) return STANDARD_ERROR;
    try {
      return openSync(path, 'a', 0o640);
    } catch (error) {
      throw new BridgeError('ERR_LOG_FILE', `${this.#option} ${path} can't be opened: ${reasonOf(error)}`);
    }
  }
}

/** What a log says, once lines can be written again, of those that could not be. */
export function lossOf(lines: number, why: unknown): string {
  return `${String(lines)} ${lines === 1 ? 'line was' : 'lines were'} lost: ${reasonOf(why)}`;
}

/** Whether the file ends within a line: a disk that was full has cut it off. */
function isTorn(path: string, descriptor: number): boolean {
  const file = fstatSync(descriptor);
  if (!file.isFile() || file.size === 0) return false;
  const last = Buffer.alloc(1);
  try {
    // Its own descriptor can only be written to.
    const reader = openSync(path, 'r');
    readSync(reader, last, 0, 1, file.size - 1);
    closeSync(reader);
  } catch {
    return false;
  }
  return last.toString() !== '\n';
}

function isSameFile(one: number, other: number): boolean {
  const [a, b] = [fstatSync(one), fstatSync(other)];
  return a.dev === b.dev && a.ino === b.ino;
}

/** Without koffi it stays where it is. */
function moveStandardError(descriptor: number): void {
  const loaded = loadLibC();
  if (loaded.kind === 'loaded') loaded.libc.dup2(descriptor, STANDARD_ERROR);
}

function writeSome(descriptor: number, bytes: Buffer): number {
  for (let retries = 0; ; retries++) {
    try {
      return writeSync(descriptor, bytes);
    } catch (error) {
      if (systemCodeOf(error) !== 'EAGAIN' || retries === MAX_RETRIES) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}
