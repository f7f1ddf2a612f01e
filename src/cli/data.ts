/** The body of a request, as `--data` names it. */

import { createReadStream, fstatSync, openSync } from 'node:fs';
import type { Readable } from 'node:stream';

import { OptionError, reasonOf } from '../errors.js';

export interface Data {
  /** Undefined where it ends when it ends. */
  readonly length: number | undefined;
  /** Reads it from its beginning. */
  readonly open: () => Readable;
}

/** Opens the file, which stays open: that one is meant, whatever has its name by then. @throws OptionError `ERR_START` */
export function openData(path: string): Data {
  try {
    const fd = openSync(path, 'r');
    return { length: lengthOf(fd), open: () => createReadStream(path, { fd, start: 0, autoClose: false }) };
  } catch (error) {
    throw new OptionError('ERR_START', { option: 'data', value: path, why: reasonOf(error) });
  }
}

/** The size of a regular file; what is none has no length that is known. */
export function lengthOf(fd: number): number | undefined {
  const stats = fstatSync(fd);
  return stats.isFile() ? stats.size : undefined;
}
