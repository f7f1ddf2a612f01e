/** Where a command is started: relative paths begin there. */

import { BridgeError } from '../errors.js';

/** @throws BridgeError `ERR_START` where it is gone. */
export function requireWorkingDirectory(): void {
  try {
    process.cwd();
  } catch (cause) {
    const why = 'the directory that this was started in is gone; go to one that is there, such as /';
    throw new BridgeError('ERR_START', why, { cause });
  }
}
