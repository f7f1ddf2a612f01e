/** How commands end: what their exit statuses mean, and where their errors go. */

import { hasStarter, tellFailure } from '../daemon/upgrade/start-again.js';
import { BridgeError, linesOf } from '../base/errors.js';

export const ExitStatus = {
  DONE: 0,
  FAILED: 1,
  /** What was asked for can't be understood. */
  USAGE: 2,
  /** The answer's HTTP status is 4xx. */
  REQUEST_REFUSED: 3,
  /** The answer's HTTP status is 5xx. */
  REQUEST_FAILED: 4,
  /** What answered does not speak FastCGI or CGI. */
  PROTOCOL: 5,
  UNREACHABLE: 6,
  CUT: 7,
  TIMEOUT: 8,
  /** Answers differ that should be the same. */
  DIFFERENT: 9,
  /** There was nothing to compare, or something could not be compared. */
  NOT_COMPARED: 10,
} as const;

/** The one that tells the kind of an HTTP status. */
export function exitStatusOfHttp(status: number): number {
  if (status < 400) return ExitStatus.DONE;
  return status < 500 ? ExitStatus.REQUEST_REFUSED : ExitStatus.REQUEST_FAILED;
}

/**
 * Says why a command has failed, a line for each reason: on standard error, or to the process that has started this one and
 * waits, which has more of an audience. Resolves to the exit status.
 */
export async function reportFailure(error: unknown): Promise<number> {
  if (hasStarter()) await tellFailure(error);
  else for (const line of linesOf(error)) process.stderr.write(`fcgi2cgi: ${line}\n`);
  const known = error instanceof BridgeError ? error : undefined;
  return known?.code === 'ERR_USAGE' ? ExitStatus.USAGE : (known?.exitStatus ?? ExitStatus.FAILED);
}
