/** How a request ends for which a program was run, or could not be started. */

import { paramText } from '../fastcgi/params.js';
import type { Request } from '../fastcgi/request.js';
import { appStatusOf, describeExit, wasOutOfTime } from '../process/exit-status.js';
import type { Outcome } from '../runners/runner.js';
import { aborted, type Ending, notAdmitted } from './ending.js';
import { failure } from './failure.js';

/** The appStatus of a request whose script could not be started: a shell's "cannot execute". */
const NOT_STARTED_APP_STATUS = 126;
/** The appStatus of a response that is cut short by a program that exits with 0: a shell's for SIGTERM. */
const CUT_SHORT_APP_STATUS = 143;

/** `hasAnswered` says that the request had ended before its program has. */
export function ran(
  outcome: Outcome,
  { params, signal }: Pick<Request, 'params' | 'signal'>,
  { hasAnswered }: { hasAnswered: boolean },
): Ending {
  const { status, exit, endedBy, startError } = outcome;
  if (startError?.code === 'ERR_SYSTEM_LIMIT') return { ...notAdmitted(startError, signal), outcome };
  const isHead = paramText(params, 'REQUEST_METHOD') === 'HEAD';
  const isShort = outcome.isShort && !isHead;
  const fields = {
    pid: outcome.pid,
    status,
    ...(exit === undefined ? {} : { exit: describeExit(exit) }),
    ...(endedBy === undefined ? {} : { ended_by: endedBy }),
    ...(outcome.stderrTail === '' ? {} : { stderr: outcome.stderrTail.trimEnd() }),
  };
  const appStatus = appStatusFor(outcome, isShort);
  const common = { outcome, appStatus, fields };
  if (endedBy === 'abort') {
    const { fields: why, document, ...ending } = aborted(signal);
    return {
      ...common,
      ...ending,
      ...(status === undefined && document !== undefined ? { document } : {}),
      fields: { ...fields, ...why },
    };
  }
  if (status === undefined) {
    const { end, document, cause = document.reason, code } = failure(outcome);
    return {
      ...common,
      end,
      document,
      level: 'error',
      message: `request failed: ${cause}`,
      fields: { ...fields, status: document.status, code },
    };
  }
  if (hasAnswered) {
    const message = 'request answered; the script has ended only now';
    return { ...common, end: 'completed', level: 'debug', message };
  }
  if (endedBy !== undefined || exit?.kind === 'signaled' || isShort) {
    const message = `response cut short after ${String(outcome.stdoutBytes)} octets`;
    const end = endedBy ?? (wasOutOfTime(exit) ? 'max-cpu' : 'cut-short');
    return { ...common, end, level: 'error', message };
  }
  const answered = { ...common, end: 'completed' } as const;
  if (appStatus !== 0) {
    return { ...answered, level: 'warn', message: 'script ended with a nonzero status after its response' };
  }
  return outcome.isLong === true && !isHead
    ? {
        ...answered,
        level: 'warn',
        message: 'script wrote more than its status or Content-Length allows; the rest is thrown away',
      }
    : { ...answered, level: 'debug', message: 'request answered' };
}

/** A program may say that all is well though its response is cut short, by us or by itself: nobody else says so. */
function appStatusFor({ exit, endedBy }: Outcome, isShort: boolean): number {
  if (exit === undefined) return NOT_STARTED_APP_STATUS;
  return appStatusOf(exit) || (endedBy === undefined && !isShort ? 0 : CUT_SHORT_APP_STATUS);
}
