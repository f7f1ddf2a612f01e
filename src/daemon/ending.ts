/**
 * What became of a request, and what is to be said of it: to the web server, in the log, and in the access log. Those for
 * which nothing was run are made here.
 */

import type { DocumentResponse } from '../cgi/document-response.js';
import type { Refusal } from '../cgi/invocation.js';
import { BridgeError, reasonOf } from '../errors.js';
import type { RefusalReason } from '../fastcgi/connection.js';
import type { RequestEnd } from '../observe/access-log.js';
import type { LogLevel } from '../observe/log.js';
import type { Outcome } from '../runners/runner.js';
import { whyNotTaken } from './counted-body.js';

/** An answer of the bridge's own that says why there is no other. */
export type ErrorDocument = Refusal & { readonly retryAfterSeconds?: number };

export interface Ending {
  readonly end: RequestEnd;
  /** For the END_REQUEST (FastCGI 1.0 §5.5). */
  readonly appStatus: number;
  /** The answer where no program has given one. */
  readonly document?: ErrorDocument;
  /** The answer that a site has given without a program. */
  readonly answer?: DocumentResponse;
  readonly outcome?: Outcome;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

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
    document: tryAgain('Too many requests are being handled'),
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
    document: tryAgain(what),
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

/** The web server, or somebody else, does not want the answer any more. */
export function aborted(
  signal: AbortSignal,
): Pick<Ending, 'end' | 'level' | 'message' | 'fields' | 'document'> {
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

/** What is said to people of what will soon be otherwise. */
export function tryAgain(why: string): ErrorDocument {
  return {
    status: 503,
    reason: `${why}; please try again in a moment.`,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  };
}
