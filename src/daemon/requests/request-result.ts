/** Finds what has become of a request: its row in the table of results, and what is known of this one. */

import { documentBytes, type DocumentResponse, errorPage } from '../../cgi/document.js';
import type { Refusal } from '../../cgi/invocation.js';
import { BridgeError, bridgeErrorFrom, reasonOf, systemCodeOf } from '../../base/errors.js';
import { type Params, paramText } from '../../fastcgi/params.js';
import type { Request } from '../../fastcgi/request.js';
import { appStatusOf, describeExit, wasOutOfTime } from '../../process/exit-status.js';
import { type Result, type ResultName, results, type Row } from '../../base/results.js';
import type { RunResult } from '../../runners/runner.js';
import type { Resolution } from '../../sites/site.js';
import type { WaitSignal } from '../../base/timer.js';

/** What is to be said of a request: to the web server, in the log, and in the access log. */
export interface RequestResult extends Pick<Result, 'word' | 'level' | 'message'> {
  /** For the END_REQUEST (FastCGI 1.0 §5.5). */
  readonly appStatus: number;
  /** The bridge's own page, or a site's, where no script has answered. */
  readonly page?: Refusal | DocumentResponse | undefined;
  readonly run?: RunResult | undefined;
  /** The status of a response that is not the script's. */
  readonly status?: number | undefined;
  readonly code?: string | undefined;
  /** Where the bridge itself is at fault. */
  readonly stack?: string | undefined;
  /** Whether the web server gets the message, too, on FCGI_STDERR: a refusal, unless it is for want of room. */
  readonly isToldToWebServer?: boolean;
}

/** What the row does not say. */
interface Known extends Pick<Partial<RequestResult>, 'appStatus' | 'run' | 'code'> {
  readonly why?: string | undefined;
  readonly how?: string;
}

/** The appStatus of a request whose script could not be started: a shell's "cannot execute". */
const NOT_STARTED_APP_STATUS = 126;
/** The appStatus of a response that is cut short by a script that exits with 0: a shell's for SIGTERM. */
const CUT_SHORT_APP_STATUS = 143;

/** The statuses by which a script refuses somebody. */
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

function made(row: Result, known: Known): RequestResult {
  const { word, level, status, retryAfterSeconds } = row;
  const { why, how = '', appStatus = 0, run } = known;
  const code = 'code' in known ? known.code : row.code;
  const reason = row.page?.replace('{why}', () => why ?? '');
  const message = row.message.replace(
    '{why}',
    () => why ?? row.reason?.replace('{how}', how) ?? reason ?? '',
  );
  const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  const page = status === undefined || reason === undefined ? undefined : { status, reason, ...retry };
  const isToldToWebServer = word === 'refused';
  return { word, level, appStatus, message, run, status, code, isToldToWebServer, page };
}

/** What the log says of a request beside the message. */
export function fieldsOf({ run, stack, status = run?.status, code }: RequestResult) {
  return {
    stack,
    pid: run?.pid,
    status,
    exit: run?.exit && describeExit(run.exit),
    ended_by: run?.endedBy,
    stderr: run === undefined || run.stderrTail === '' ? undefined : run.stderrTail.trimEnd(),
    code,
  };
}

/** The connection takes no further request: nobody knows more of it than that it has begun. */
export function resultUnread(name: ResultName): RequestResult {
  return made(results[name], {});
}

/** A site, or the bridge itself, has answered without a script, or refused the request. */
export function resultOfSite(resolution: Exclude<Resolution, { kind: 'run' }>): RequestResult {
  if (resolution.kind === 'answer') {
    const { answer: page } = resolution;
    return { ...made(results.answered, {}), page, status: page.status };
  }
  const { refusal: page } = resolution;
  const why = page.detail ?? page.reason;
  return { ...made(results.refused, { why }), page, status: page.status };
}

/** Nothing was started; for an error that says nothing of the request, since the bridge itself is at fault. */
export function resultUnstarted(error: unknown, signal: WaitSignal): RequestResult {
  if (signal.aborted) return resultAborted(signal, {});
  const row = error instanceof BridgeError ? rowOf(error, 'before') : undefined;
  if (row !== undefined) return made(row, { why: reasonOf(error) });
  const stack = error instanceof Error ? error.stack : undefined;
  return { ...made(results['bridge-error'], { why: reasonOf(error), appStatus: 1 }), stack };
}

/**
 * A script was run, or could not be started. `hasAnswered` says that the request had ended before its script has; `fault`,
 * why it may have written nothing; `doubt`, why it may have refused the request, which counts where it has said that it did.
 */
export function resultOfRun(
  run: RunResult,
  { params, signal }: Pick<Request, 'params' | 'signal'>,
  about: { hasAnswered: boolean; fault?: string | undefined; doubt?: string | undefined },
): RequestResult {
  const { hasAnswered, fault, doubt } = about;
  const { status, exit, endedBy, startError } = run;
  const isShort = run.isShort && !isHead(params);
  const wasEnded = endedBy !== undefined || exit?.kind === 'signaled';
  const isCut = isShort || (wasEnded && run.isWhole !== true);
  // A script may say that all is well though its response is cut short: nobody else says so.
  const exitStatus = exit === undefined ? 0 : appStatusOf(exit);
  const appStatus =
    run.pid === undefined ? NOT_STARTED_APP_STATUS : exitStatus || (isCut ? CUT_SHORT_APP_STATUS : 0);
  const known = { run, appStatus };
  if (endedBy === 'abort' || endedBy === 'cancelled') return resultAborted(signal, known);
  if (startError?.code === 'ERR_SYSTEM_LIMIT' && signal.aborted) return resultAborted(signal, { run });
  if (status === undefined) return made(...unanswered(run, known, fault));
  if (hasAnswered) {
    const early = results['answered-early'];
    return made(endedBy === undefined ? early : { ...early, level: 'warn' }, known);
  }
  if (isCut) {
    const byItself = exit?.kind === 'signaled' ? 'killed-withheld' : 'cut-short';
    const { word, reason = reasonOf(run.bodyError) } =
      results[endedBy ?? (wasOutOfTime(exit) ? 'max-cpu' : byItself)];
    const why = reason.replace('{how}', exit === undefined ? '' : describeExit(exit));
    return made(
      { ...results['cut-short'], word },
      { ...known, why: `${String(run.stdoutBytes)} bytes: ${why}` },
    );
  }
  if (appStatus !== 0) return made(results['nonzero-exit'], known);
  if (endedBy !== undefined) return made(results['held-open'], { ...known, why: results[endedBy].reason });
  if (run.isLong === true && !isHead(params)) return made(results['too-long'], known);

  // The script may say on its standard error that it would not or could not, and why.
  const last = run.stderrTail.trimEnd().split('\n').at(-1) ?? '';
  const fatal = /^fatal: .*$/m.exec(run.stderrTail)?.[0];
  // What somebody asks for in vain is no fault of the script's.
  const isNotThere = status >= 400 && status < 500;
  if (fatal !== undefined && !isNotThere) return made(results['failed-in-script'], { ...known, why: fatal });
  if (status >= 500 && last !== '') return made(results['failed-in-script'], { ...known, why: last });
  if (status !== UNAUTHORIZED && status !== FORBIDDEN) return made(results.answered, known);
  // Where permission is what is missing, the script says so.
  if (last === '') return made(results.answered, known);
  const why = doubt === undefined ? last : `${last}; ${doubt}`;
  const refused = made(results['refused-by-script'], { ...known, why });
  return { ...refused, isToldToWebServer: doubt !== undefined };
}

/** No header was sent: what can be told of why. */
function unanswered(run: RunResult, known: Known, fault?: string): [row: Result, known: Known] {
  const { startError, headerError, bodyError, endedBy, exit } = run;
  if (startError !== undefined) {
    const { message: why, code } = startError;
    const row = rowOf(startError, 'start') ?? results['start-error'];
    return [row, { ...known, why, code, ...(row.word === 'not-admitted' && { appStatus: 0 }) }];
  }
  if (endedBy === 'max-spool-size' || endedBy === 'spool-error') {
    const error = bridgeErrorFrom(bodyError, 'ERR_SPOOL');
    return [rowOf(error, 'run') ?? results[endedBy], { ...known, why: error.message }];
  }
  if (endedBy !== undefined) {
    return [results[endedBy], { ...known, ...(headerError && { why: headerError.message }) }];
  }
  if (wasOutOfTime(exit)) return [results['max-cpu'], known];
  const isKilled = exit?.kind === 'signaled';
  const name: ResultName = run.isWithheld
    ? isKilled
      ? 'killed-withheld'
      : 'withheld'
    : isKilled
      ? 'killed'
      : 'no-header';
  const why = name === 'no-header' ? whyNoHeader(run, fault) : {};
  return [results[name], { ...known, ...why, ...(exit && { how: describeExit(exit) }) }];
}

/** How the output of a script without a header began, or why it has written nothing. */
function whyNoHeader({ firstLine = '' }: RunResult, fault?: string): { readonly why?: string } {
  const found = firstLine === '' ? fault : `its output begins with ${JSON.stringify(firstLine)}`;
  const what = 'the script ended without a complete header (RFC 3875 §6)';
  return found === undefined ? {} : { why: `${what}: ${found}` };
}

/** The web server, or somebody else, does not want the response any more. */
function resultAborted(signal: WaitSignal, known: Known): RequestResult {
  const reason: unknown = signal.aborted ? signal.reason : 'the daemon was told to end it';
  const code = reason instanceof BridgeError ? reason.code : undefined;
  // The web server may have left before.
  const isCancelled = code === 'ERR_CANCELLED' || known.run?.endedBy === 'cancelled';
  const result = isCancelled
    ? made(results.cancelled, known)
    : made(results.abort, { ...known, why: reasonOf(reason), code });
  const status = known.run?.status;
  // What was sent of a response stays as it is.
  return status === undefined ? result : { ...result, page: undefined, status };
}

/** Whether the request’s method is HEAD, so that its response has no body. */
export function isHead(params: Params): boolean {
  return paramText(params, 'REQUEST_METHOD') === 'HEAD';
}

/** The row of an error at a stage: the first of its code, and of its cause where that matters. */
function rowOf(error: BridgeError, stage: Row['stage']): Result | undefined {
  const cause = error.cause === undefined ? 'none' : (systemCodeOf(error.cause) ?? '');
  return Object.values(results).find(
    (row) =>
      row.stage === stage &&
      row.code === error.code &&
      (row.causes === undefined || row.causes.includes(cause)),
  );
}

/** The bridge's own response as bytes of a script's output. */
export function pageBytes(
  page: Refusal | DocumentResponse,
  { id, headOnly }: { id: string; headOnly: boolean },
): Buffer {
  return documentBytes('body' in page ? page : errorPage({ ...page, id }), { headOnly });
}
