/** The way of making a script's process that always works: a new program, started for the request. */

import type { Invocation } from '../cgi/invocation.js';
import { startProcess } from '../process/child-process.js';
import type { OwnedProcess } from '../process/owned-process.js';

/** Starts an invocation's program. @throws BridgeError `ERR_SPAWN` */
export function spawnScript(invocation: Invocation): Promise<OwnedProcess> {
  return startProcess({ ...invocation, environment: invocation.variables });
}
