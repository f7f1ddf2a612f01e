/** The end of a command that has failed. */

import { hasStarter, tellFailure } from '../daemon/succession/start-again.js';
import { BridgeError, linesOf } from '../errors.js';
import { ExitStatus } from './exit-status.js';

/**
 * Says why, a line for each reason: on standard error, or to the process that has started this one and waits, and that has
 * more of an audience. Resolves to the exit status.
 */
export async function sayWhy(error: unknown): Promise<number> {
  if (hasStarter()) await tellFailure(error);
  else for (const line of linesOf(error)) process.stderr.write(`fcgi2cgi: ${line}\n`);
  const known = error instanceof BridgeError ? error : undefined;
  return known?.code === 'ERR_USAGE' ? ExitStatus.USAGE : (known?.exitStatus ?? ExitStatus.FAILED);
}
