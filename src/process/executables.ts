/** Tells beforehand what the system would not execute, where another program is the one that would find out. */

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';

import { type ByteString, toBuffer } from '../bytes.js';
import type { Command } from './command.js';
import { FirstLines } from './first-lines.js';
import { refuseNul, startError } from './start-error.js';

const MAX_REMEMBERED = 1_000;
/** Interpreters that are scripts themselves: Linux goes no further. */
const MAX_INTERPRETERS = 5;

export class Executables {
  readonly #lines = new FirstLines(MAX_REMEMBERED);

  /**
   * Resolves if the program is there and may be executed, and so may the interpreter that its first line names.
   *
   * @throws BridgeError `ERR_SPAWN` with the system's error as `cause`.
   */
  async require(command: Command): Promise<void> {
    refuseNul(command);
    let file: ByteString | undefined = command.file;
    try {
      for (let depth = 0; file !== undefined && depth <= MAX_INTERPRETERS; depth++) {
        // As the new process would find it, from its own directory.
        const path: ByteString = file.startsWith('/') ? file : `${command.directory}/${file}`;
        await access(toBuffer(path), constants.X_OK);
        file = /^#![ \t]*([^ \t]+)/.exec((await this.#lines.of(path)) ?? '')?.[1];
      }
    } catch (cause) {
      throw startError(command, cause);
    }
  }
}
