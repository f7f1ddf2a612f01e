/** Why a run has given no header, and what is said of it. */

import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import type { RequestEnd } from '../observe/access-log.js';
import { describeExit, wasOutOfTime } from '../process/exit-status.js';
import type { EndedBy, Outcome } from '../runners/runner.js';
import { whyNotTaken } from './counted-body.js';
import { type ErrorDocument, tryAgain } from './ending.js';

export interface Failure {
  readonly end: RequestEnd;
  /** Its reason is for the person at the browser. */
  readonly document: ErrorDocument;
  /** For the log, where that has more to say. */
  readonly cause?: string;
  readonly code?: string;
}

const timeoutReasons = {
  'start-timeout': 'The program did not begin to answer in time (--start-timeout).',
  'idle-timeout': 'The program made no progress for too long (--idle-timeout).',
  'max-time': 'The program took longer than a request may (--max-time).',
} satisfies Partial<Record<EndedBy, string>>;

/** Finds out why, from what is known of the run. */
export function failure({ startError, headerError, bodyError, endedBy, exit, isWithheld }: Outcome): Failure {
  if (startError?.code === 'ERR_WORKERS') {
    return {
      end: 'start-error',
      document: tryAgain('The application keeps failing'),
      cause: startError.message,
      code: startError.code,
    };
  }
  if (startError !== undefined) {
    const isTooLarge = systemCodeOf(startError.cause) === 'E2BIG';
    return {
      end: 'start-error',
      document: isTooLarge
        ? { status: 431, reason: 'The header fields are larger than the system lets a program be given.' }
        : { status: 500, reason: 'The program could not be started.' },
      cause: startError.message,
      code: startError.code,
    };
  }
  if (endedBy === 'max-header-size') {
    return {
      end: endedBy,
      document: {
        status: 502,
        reason: 'The program wrote a larger header than it may (--max-header-size).',
      },
      code: 'ERR_MAX_HEADER_SIZE',
    };
  }
  if (endedBy === 'max-spool-size' || endedBy === 'spool-error') {
    const error =
      bodyError instanceof BridgeError ? bodyError : new BridgeError('ERR_SPOOL', reasonOf(bodyError));
    return { end: endedBy, document: whyNotTaken(error), cause: error.message, code: error.code };
  }
  if (endedBy === 'invalid-header') {
    return {
      end: endedBy,
      document: {
        status: 502,
        reason:
          'The program wrote a header that is not valid (RFC 3875 §6.3); the server’s log has the details.',
      },
      ...(headerError === undefined ? {} : { cause: headerError.message }),
      code: 'ERR_INVALID_HEADER',
    };
  }
  if (endedBy !== undefined && endedBy !== 'abort') {
    return { end: endedBy, document: { status: 504, reason: timeoutReasons[endedBy] } };
  }
  if (wasOutOfTime(exit)) {
    const reason = 'The program used more processor time than it may (--max-cpu).';
    return { end: 'max-cpu', document: { status: 504, reason } };
  }
  if (isWithheld === true) {
    const how = exit?.kind === 'signaled' ? `was ended by ${describeExit(exit)}` : 'ended';
    const reason = `The program ${how} before its answer was whole.`;
    return { end: 'cut-short', document: { status: 502, reason } };
  }
  const reason =
    exit?.kind === 'signaled'
      ? `The program was ended by ${describeExit(exit)} before it answered.`
      : 'The program ended without a complete header (RFC 3875 §6).';
  return { end: 'no-header', document: { status: 502, reason } };
}
