/** How commands end: what their exit statuses mean, and where their output and their errors go. */

import { setImmediate } from 'node:timers/promises';

import { hasStarter, tellFailure } from '../daemon/upgrade/start-again.js';
import { BridgeError, linesOf, reasonOf, systemCodeOf } from '../base/errors.js';

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

/** What could not be written to standard output: the reader may leave, or the disk be full. */
let failure: Error | undefined;

/** Notes from now on what can't be written; a reader who has left wants no more, which is no failure. */
export function watchOutput(): void {
  process.stdout.on('error', (cause: Error) => {
    if (systemCodeOf(cause) !== 'EPIPE') failure ??= failureOf(cause);
  });
}

/** Resolves when all is written, once `watchOutput` was called. @throws Error for what could not be */
export async function outputWritten(): Promise<void> {
  await new Promise((resolve) => process.stdout.write('', resolve));
  // The stream tells of its errors after this.
  await setImmediate();
  if (failure !== undefined) throw failure;
}

/** Writes to standard output; resolves, when it was taken, to whether more of it is wanted. */
export function writeOut(data: Buffer | string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, (error) => {
      if (!error) resolve(true);
      else if (systemCodeOf(error) === 'EPIPE') resolve(false);
      else reject(failureOf(error));
    });
  });
}

function failureOf(cause: Error): Error {
  return new Error(`standard output can't be written: ${reasonOf(cause)}`, { cause });
}
