/** What became of a request, and what is to be said of it: to the web server, in the log, and in the access log. */

import type { DocumentResponse } from '../cgi/document-response.js';
import type { Refusal } from '../cgi/invocation.js';
import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import type { RefusalReason } from '../fastcgi/connection.js';
import { paramText } from '../fastcgi/params.js';
import type { Request } from '../fastcgi/request.js';
import type { RequestEnd } from '../observe/access-log.js';
import type { LogLevel } from '../observe/log.js';
import { appStatusOf, describeExit, wasOutOfTime } from '../process/exit-status.js';
import type { EndedBy, Outcome } from '../runners/runner.js';
import { whyNotTaken } from './counted-body.js';

export interface Ending {
  readonly end: RequestEnd;
  /** For the END_REQUEST (FastCGI 1.0 §5.5). */
  readonly appStatus: number;
  /** The answer where no program has given one. */
  readonly document?: Refusal & { readonly retryAfterSeconds?: number };
  /** The answer that a site has given without a program. */
  readonly answer?: DocumentResponse;
  readonly outcome?: Outcome;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** The appStatus of a request whose script could not be started: a shell's "cannot execute". */
const NOT_STARTED_APP_STATUS = 126;
/** The appStatus of a response that is cut short by a program that exits with 0: a shell's for SIGTERM. */
const CUT_SHORT_APP_STATUS = 143;
/** What a web server's users are told to wait after a 503. */
const RETRY_AFTER_SECONDS = 5;

/** Nothing may run for this request. */
export function refused(document: Refusal, why: string, code?: string): Ending {
  return {
    end: 'refused',
    appStatus: 0,
    document,
    level: 'info',
    message: `request refused: ${why}`,
    fields: { status: document.status, ...(code === undefined ? {} : { code }) },
  };
}

/** A site has answered by itself. */
export function answeredBySite(answer: DocumentResponse): Ending {
  const fields = { status: answer.status };
  return { end: 'completed', appStatus: 0, answer, level: 'debug', message: 'request answered', fields };
}

/** `Admission.enter` has rejected. @throws what it rejected with, if that says nothing of the request. */
export function notAdmitted(error: unknown, signal: AbortSignal): Ending {
  if (signal.aborted) return { ...aborted(signal), appStatus: 0 };
  if (!(error instanceof BridgeError)) throw error;
  return {
    end: 'not-admitted',
    appStatus: 0,
    document: {
      status: 503,
      reason: 'Too many requests are being handled; please try again in a moment.',
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    },
    level: 'warn',
    message: error.message,
    fields: { code: error.code },
  };
}

/** The connection takes no further request: nobody knows more of it than that it has begun. */
export function unread(
  why: RefusalReason,
): Pick<Ending, 'message' | 'fields'> & Required<Pick<Ending, 'document'>> {
  const [what, message] =
    why === 'max-requests'
      ? [
          'Too many requests are being handled',
          'too many are active on its connection (--max-requests-per-connection)',
        ]
      : ['The server is being restarted', 'its connection ends when those before it have ended'];
  return {
    document: {
      status: 503,
      reason: `${what}; please try again in a moment.`,
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    },
    message: `request refused: ${message}`,
    fields: why === 'max-requests' ? { status: 503, code: 'ERR_MAX_REQUESTS' } : { status: 503 },
  };
}

/** The request's body could not be taken in. @throws what it was lost with, if that says nothing of the request. */
export function notTaken(error: unknown, signal: AbortSignal): Ending {
  if (signal.aborted) return { ...aborted(signal), appStatus: 0 };
  if (!(error instanceof BridgeError)) throw error;
  const document = whyNotTaken(error);
  const level = document.status < 500 ? 'warn' : 'error';
  return { ...refused(document, error.message, error.code), level };
}

/** The bridge itself is at fault. */
export function bridgeError(error: unknown): Ending {
  return {
    end: 'bridge-error',
    appStatus: 1,
    document: { status: 500, reason: 'The bridge failed; its log has the reason.' },
    level: 'error',
    message: reasonOf(error),
    fields: { stack: error instanceof Error ? error.stack : undefined },
  };
}

/** A program was run, or could not be started; `hasAnswered` says that its request had ended before it has. */
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

function aborted(signal: AbortSignal): Pick<Ending, 'end' | 'level' | 'message' | 'fields' | 'document'> {
  const reason: unknown = signal.aborted ? signal.reason : 'the daemon was told to end it';
  if (reason instanceof BridgeError && reason.code === 'ERR_ENDED_BY_HAND') {
    return {
      end: 'ended-by-hand',
      document: { status: 503, reason: 'The administrator of the server has ended this request.' },
      level: 'warn',
      message: `request ended by hand: ${reason.message}`,
      fields: { code: reason.code },
    };
  }
  return {
    end: 'aborted',
    level: 'info',
    message: `request aborted: ${reasonOf(reason)}`,
    fields: { code: reason instanceof BridgeError ? reason.code : undefined },
  };
}

/** A program may say that all is well though its response is cut short, by us or by itself: nobody else says so. */
function appStatusFor({ exit, endedBy }: Outcome, isShort: boolean): number {
  if (exit === undefined) return NOT_STARTED_APP_STATUS;
  return appStatusOf(exit) || (endedBy === undefined && !isShort ? 0 : CUT_SHORT_APP_STATUS);
}

interface Failure {
  readonly end: RequestEnd;
  /** Its reason is for the person at the browser. */
  readonly document: Refusal & { readonly retryAfterSeconds?: number };
  /** For the log, where that has more to say. */
  readonly cause?: string;
  readonly code?: string;
}

const timeoutReasons = {
  'start-timeout': 'The program did not begin to answer in time (--start-timeout).',
  'idle-timeout': 'The program made no progress for too long (--idle-timeout).',
  'max-time': 'The program took longer than a request may (--max-time).',
} satisfies Partial<Record<EndedBy, string>>;

/** What to say of a run that gave no header. */
function failure({ startError, headerError, bodyError, endedBy, exit, isWithheld }: Outcome): Failure {
  if (startError?.code === 'ERR_WORKERS') {
    const reason = 'The application keeps failing; please try again in a moment.';
    return {
      end: 'start-error',
      document: { status: 503, reason, retryAfterSeconds: RETRY_AFTER_SECONDS },
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
