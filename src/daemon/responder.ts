/** Answers requests: asks the site, waits for a place, has the invocation run, and accounts for how it went. */

import { randomBytes } from 'node:crypto';

import { errorResponse } from '../cgi/error-response.js';
import type { Refusal } from '../cgi/invocation.js';
import { BridgeError, reasonOf } from '../errors.js';
import { paramText } from '../fastcgi/params.js';
import type { Request } from '../fastcgi/request.js';
import type { Log } from '../observe/log.js';
import { appStatusOf, describeExit } from '../process/exit-status.js';
import type { EndedBy, Outcome, Runner } from '../runners/runner.js';
import type { Site } from '../sites/site.js';
import type { Admission, Release } from './admission.js';

export interface ResponderOptions {
  readonly site: Site;
  readonly runner: Runner;
  readonly admission: Admission;
  readonly log: Log;
}

/** The appStatus of a request whose script could not be started: a shell's "cannot execute". */
const NOT_STARTED_APP_STATUS = 126;
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
    const { site, runner, admission } = this.#options;
    if (request.problem !== undefined) {
      const status = request.problem.code === 'ERR_MAX_PARAMS_SIZE' ? 431 : 400;
      const { code, message } = request.problem;
      this.#logRefusal(request, id, status, `${code}: ${message}`);
      await this.#refuse(request, id, { status, reason: `The request can’t be handled: ${message}.` });
      return;
    }
    const resolution = await site.resolve(request.params);
    if (resolution.kind === 'refuse') {
      const { refusal } = resolution;
      this.#logRefusal(request, id, refusal.status, refusal.detail ?? refusal.reason);
      await this.#refuse(request, id, refusal);
      return;
    }
    let release: Release;
    try {
      release = await admission.enter(request.signal);
    } catch (error) {
      await this.#notAdmitted(request, id, error);
      return;
    }
    try {
      const outcome = await runner.run(resolution.invocation, request, request.signal);
      await this.#finish(request, id, outcome);
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

  async #finish(request: Request, id: string, outcome: Outcome): Promise<void> {
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
    const appStatus = outcome.exit === undefined ? NOT_STARTED_APP_STATUS : appStatusOf(outcome.exit);
    if (request.signal.aborted) {
      log.info(fields, `request aborted: ${reasonOf(request.signal.reason)}`);
      return;
    }
    if (outcome.status === undefined) {
      const { status, reason, cause } = failure(outcome);
      log.error({ ...fields, status }, `request failed: ${cause}`);
      await this.#refuse(request, id, { status, reason }, appStatus);
      return;
    }
    if (outcome.endedBy !== undefined || outcome.exit?.kind === 'signaled') {
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

  #logRefusal(request: Request, id: string, status: number, why: string): void {
    this.#options.log.info({ id, uri: uriOf(request), status }, `request refused: ${why}`);
  }
}

function uriOf(request: Request): string {
  return paramText(request.params, 'REQUEST_URI') || paramText(request.params, 'SCRIPT_NAME');
}

/** What to tell the person at the browser, and the log, of a run that gave no header. */
function failure(outcome: Outcome): {
  readonly status: number;
  readonly reason: string;
  readonly cause: string;
} {
  if (outcome.startError !== undefined) {
    const { message } = outcome.startError;
    return { status: 500, reason: 'The program could not be started.', cause: message };
  }
  const late = outcome.endedBy && timeoutReasons[outcome.endedBy];
  if (late !== undefined) return { status: 504, reason: late, cause: late };
  if (outcome.endedBy === 'max-header-size') {
    const reason = 'The program wrote a larger header than it may (--max-header-size).';
    return { status: 502, reason, cause: reason };
  }
  if (outcome.exit?.kind === 'signaled') {
    const reason = `The program was ended by ${describeExit(outcome.exit)} before it answered.`;
    return { status: 502, reason, cause: reason };
  }
  const reason = 'The program ended without a complete header (RFC 3875 §6).';
  return { status: 502, reason, cause: reason };
}
