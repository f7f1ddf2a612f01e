/** The log file as the standard error of a process in the background: even a crash of Node's leaves its trace there. */

import { openSync } from 'node:fs';

import { BridgeError, reasonOf } from '../../errors.js';
import { as, type Identity, makeFor } from '../privileges.js';

/**
 * Opens it with the rights of `identity`, whom root is about to become; /dev/null where there is none. The caller closes
 * it.
 *
 * @throws BridgeError `ERR_LOG_FILE`
 */
export function openLogFile(path = '/dev/null', identity?: Identity): number {
  makeFor(identity, path);
  try {
    return as(identity, () => openSync(path, 'a', 0o640));
  } catch (error) {
    throw new BridgeError('ERR_LOG_FILE', `--log-file ${path} can't be opened: ${reasonOf(error)}`);
  }
}
