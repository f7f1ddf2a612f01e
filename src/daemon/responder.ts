/** Answers requests: asks the site, waits for a place, has the invocation run, and accounts for how it went. */

import { randomBytes } from 'node:crypto';

import { toText } from '../bytes.js';
import { errorResponse } from '../cgi/error-response.js';
import type { Invocation, Refusal } from '../cgi/invocation.js';
import { BridgeError, type ErrorCode, reasonOf } from '../errors.js';
import { paramText } from '../fastcgi/params.js';
import type { Request } from '../fastcgi/request.js';
import type { Log } from '../observe/log.js';
import { appStatusOf, describeExit } from '../process/exit-status.js';
import type { EndedBy, Outcome, Runner, RunStreams } from '../runners/runner.js';
import type { Spool } from '../runners/spool.js';
import type { Site } from '../sites/site.js';
import type { Admission, Release } from './admission.js';
import { countBody, lacksLength, type SpoolLimits, withCountedBody, whyNotCounted } from './counted-body.js';

export interface ResponderOptions {
  readonly site: Site;
  readonly runner: Runner;
  readonly admission: Admission;
  readonly spool: SpoolLimits;
  readonly log: Log;
}

/** The appStatus of a request whose script could not be started: a shell's "cannot execute". */
const NOT_STARTED_APP_STATUS = 126;
/** The appStatus of a program that we have ended and that exits with 0: a shell's for SIGTERM. */
const ENDED_APP_STATUS = 143;
/** What a web server's users are told to wait after a 503. */
const RETRY_AFTER_SECONDS = 5;

const timeoutReasons: Readonly<Partial<Record<EndedBy, string>>> = {
  'start-timeout': 'The program did not begin to answer in time (--start-timeout).',
  'idle-timeout': 'The program made no progress for too long (--idle-timeout).',
  'max-time': 'The program took longer than a request may (--max-time).',
};

export class Responder {
  readonly #options: ResponderOptions;
  /** Request ids are unique across restarts, short, and sort in the order of arrival. */
  readonly #idPrefix = randomBytes(4).toString('hex');
  #idCount = 0;

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** Answers one request. Resolves when END_REQUEST was sent and its process is gone; never rejects. */
  async respond(request: Request): Promise<void> {
    const id = `${this.#idPrefix}-${String(++this.#idCount)}`;
    try {
      await this.#answer(request, id);
    } catch (error) {
      this.#options.log.error(
        { id, stack: error instanceof Error ? error.stack : undefined },
        reasonOf(error),
      );
      await this.#refuse(
        request,
        id,
        { status: 500, reason: 'The bridge failed; its log has the reason.' },
        1,
      );
    }
  }

  async #answer(request: Request, id: string): Promise<void> {
    const { site } = this.#options;
    if (request.problem !== undefined) {
      const status = request.problem.code === 'ERR_MAX_PARAMS_SIZE' ? 431 : 400;
      const { code, message } = request.problem;
      this.#logRefusal(request, { id, status, code }, message);
      await this.#refuse(request, id, { status, reason: `The request can’t be handled: ${message}.` });
      return;
    }
    const resolution = await site.resolve(request.params);
    if (resolution.kind === 'refuse') {
      const { refusal } = resolution;
      this.#logRefusal(request, { id, status: refusal.status }, refusal.detail ?? refusal.reason);
      await this.#refuse(request, id, refusal);
      return;
    }
    const withNul = [...resolution.invocation.variables].find(([, value]) => value.includes('\0'))?.[0];
    if (withNul !== undefined) {
      const reason = `${toText(withNul)} contains a NUL octet, which no variable can hold.`;
      this.#logRefusal(request, { id, status: 400 }, reason);
      await this.#refuse(request, id, { status: 400, reason });
      return;
    }
    if (lacksLength(resolution.invocation)) await this.#runCounted(request, id, resolution.invocation);
    else await this.#run(request, id, resolution.invocation, request);
  }

  /** Takes the whole body in first: an upload, however slow, holds no place that a process could have. */
  async #runCounted(request: Request, id: string, invocation: Invocation): Promise<void> {
    let body: Spool;
    try {
      body = await countBody(request.stdin, this.#options.spool);
    } catch (error) {
      if (request.signal.aborted) {
        this.#options.log.info({ id, uri: uriOf(request) }, 'request aborted while its body arrived');
        return;
      }
      if (!(error instanceof BridgeError)) throw error;
      const refusal = whyNotCounted(error);
      const fields = { id, status: refusal.status, code: error.code, uri: uriOf(request) };
      this.#options.log[refusal.status < 500 ? 'warn' : 'error'](fields, `request refused: ${error.message}`);
      await this.#refuse(request, id, refusal);
      return;
    }
    try {
      const { stdout, stderr } = request;
      const streams = { stdin: body.read(), stdout, stderr, stdinHasArrived: true };
      await this.#run(request, id, withCountedBody(invocation, body), streams);
    } finally {
      await body.close();
    }
  }

  async #run(request: Request, id: string, invocation: Invocation, streams: RunStreams): Promise<void> {
    const { runner, admission } = this.#options;
    let release: Release;
    try {
      release = await admission.enter(request.signal);
    } catch (error) {
      await this.#notAdmitted(request, id, error);
      return;
    }
    try {
      let answered = false;
      const onAnswered = (): void => {
        answered = true;
        void request.end(0);
      };
      const { stdin, stdout, stderr, stdinHasArrived = false } = streams;
      const all = { stdin, stdout, stderr, stdinHasArrived, onAnswered };
      const outcome = await runner.run(invocation, all, request.signal);
      await this.#finish(request, id, outcome, answered);
    } finally {
      release();
    }
  }

  async #notAdmitted(request: Request, id: string, error: unknown): Promise<void> {
    if (request.signal.aborted) return;
    if (!(error instanceof BridgeError)) throw error;
    this.#options.log.warn({ id, code: error.code, uri: uriOf(request) }, error.message);
    await this.#refuse(request, id, {
      status: 503,
      reason: 'The server is busy; please try again in a moment.',
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }

  async #finish(request: Request, id: string, outcome: Outcome, answered: boolean): Promise<void> {
    const { log } = this.#options;
    const fields = {
      id,
      uri: uriOf(request),
      pid: outcome.pid,
      status: outcome.status,
      ...(outcome.exit === undefined ? {} : { exit: describeExit(outcome.exit) }),
      ...(outcome.endedBy === undefined ? {} : { ended_by: outcome.endedBy }),
      ...(outcome.stderrTail === '' ? {} : { stderr: outcome.stderrTail.trimEnd() }),
    };
    const appStatus = appStatusFor(outcome);
    if (outcome.endedBy === 'abort') {
      const reason: unknown = request.signal.reason;
      const code = reason instanceof BridgeError ? reason.code : undefined;
      log.info({ ...fields, code }, `request aborted: ${reasonOf(reason)}`);
      return;
    }
    if (outcome.status === undefined) {
      const { status, reason, cause, code } = failure(outcome);
      log.error({ ...fields, status, code }, `request failed: ${cause}`);
      await this.#refuse(request, id, { status, reason }, appStatus);
      return;
    }
    if (answered) {
      log.debug(fields, 'request answered; the script has ended only now');
    } else if (outcome.endedBy !== undefined || outcome.exit?.kind === 'signaled') {
      log.error(fields, `response cut short after ${String(outcome.stdoutBytes)} octets`);
    } else if (appStatus !== 0) {
      log.warn(fields, 'script ended with a nonzero status after its response');
    } else {
      log.debug(fields, 'request answered');
    }
    await request.end(appStatus);
  }

  async #refuse(
    request: Request,
    id: string,
    refusal: Refusal & { readonly retryAfterSeconds?: number },
    appStatus = 0,
  ): Promise<void> {
    if (!request.stdout.destroyed) request.stdout.write(errorResponse({ ...refusal, id }));
    await request.end(appStatus);
  }

  #logRefusal(request: Request, fields: { id: string; status: number; code?: string }, why: string): void {
    this.#options.log.info({ ...fields, uri: uriOf(request) }, `request refused: ${why}`);
  }
}

function uriOf(request: Request): string {
  return paramText(request.params, 'REQUEST_URI') || paramText(request.params, 'SCRIPT_NAME');
}

/** A program that we have ended may say that all is well; its response is cut short all the same. */
function appStatusFor({ exit, endedBy }: Outcome): number {
  if (exit === undefined) return NOT_STARTED_APP_STATUS;
  return appStatusOf(exit) || (endedBy === undefined ? 0 : ENDED_APP_STATUS);
}

interface Failure {
  readonly status: number;
  /** For the person at the browser. */
  readonly reason: string;
  /** For the log. */
  readonly cause: string;
  readonly code?: ErrorCode;
}

/** What to say of a run that gave no header. */
function failure({ startError, endedBy, exit }: Outcome): Failure {
  const because = (status: number, reason: string, code?: ErrorCode): Failure => {
    return { status, reason, cause: reason, ...(code === undefined ? {} : { code }) };
  };
  if (startError !== undefined) {
    return {
      ...because(500, 'The program could not be started.', startError.code),
      cause: startError.message,
    };
  }
  const late = endedBy && timeoutReasons[endedBy];
  if (late !== undefined) return because(504, late);
  if (endedBy === 'max-header-size') {
    return because(
      502,
      'The program wrote a larger header than it may (--max-header-size).',
      'ERR_MAX_HEADER_SIZE',
    );
  }
  if (exit?.kind === 'signaled') {
    return because(502, `The program was ended by ${describeExit(exit)} before it answered.`);
  }
  return because(502, 'The program ended without a complete header (RFC 3875 §6).');
}
