/** Answers requests: asks the site, waits for a place, has the invocation run, and accounts for how it went. */

import { randomBytes } from 'node:crypto';

import { documentOctets } from '../cgi/document-response.js';
import { errorResponse } from '../cgi/error-response.js';
import type { Invocation } from '../cgi/invocation.js';
import type { ErrorCode } from '../errors.js';
import type { RefusalReason } from '../fastcgi/connection.js';
import { paramText } from '../fastcgi/params.js';
import type { Request } from '../fastcgi/request.js';
import type { Access, AccessLog } from '../observe/access-log.js';
import type { Log } from '../observe/log.js';
import { RequestBody } from '../runners/request-body.js';
import type { Runner } from '../runners/runner.js';
import { resolveRequest, type Site } from '../sites/site.js';
import { accessOf, accessOfUnread, uriOf } from './account.js';
import type { Admission, Release } from './admission.js';
import { countBody, lacksLength, withLength } from './counted-body.js';
import {
  answeredBySite,
  bridgeError,
  type Ending,
  notAdmitted,
  notTaken,
  refused,
  unread,
} from './ending.js';
import { type Handling, RequestsInHand } from './handling.js';
import { ran } from './run-ending.js';
import type { OwnPage } from './status/pages.js';

export interface ResponderOptions {
  /** What the access log calls the site, if a daemon has several. */
  readonly name?: string | undefined;
  readonly site: Site;
  readonly runner: Pick<Runner, 'run'>;
  readonly admission: Admission;
  readonly body: BodyLimits;
  readonly log: Log;
  readonly accessLog: AccessLog | undefined;
  /** Pages that the bridge answers by itself, without a place or a process. */
  readonly ownPage?: OwnPage | undefined;
  /** Counts requests that have ended, but for those pages. */
  readonly count?: ((access: Access) => void) | undefined;
}

/** What is kept of a request's body, and for how long none of it may come where all of it is waited for. */
export interface BodyLimits {
  readonly bufferBytes: number;
  readonly maxSpoolBytes: number;
  readonly idleTimeoutMs: number;
}

/** What a problem with the params is answered with, if not with 400. */
const paramsStatus: Readonly<Partial<Record<ErrorCode, number>>> = {
  ERR_MAX_PARAMS_SIZE: 431,
  ERR_PARAMS_TIMEOUT: 408,
};

export class Responder {
  /** Those that have begun and not ended. */
  readonly inHand = new RequestsInHand();
  readonly #options: ResponderOptions;
  /** Request ids are unique across restarts, short, and sort in the order of arrival. */
  readonly #idPrefix = randomBytes(4).toString('hex');
  #idCount = 0;

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /**
   * Answers one request; places are shared out among connections. Resolves when END_REQUEST was sent and its process is
   * gone; never rejects.
   */
  async respond(request: Request, connection: object): Promise<void> {
    const id = this.#nextId();
    // Read from the very first: nothing that the connection brings may wait behind it.
    const body = new RequestBody(request.stdin, {
      ...this.#options.body,
      mayWait: () => request.isAlone,
      onProblem: ({ code, message }) => {
        this.#options.log.warn({ id, code }, `its connection waits until the program reads on: ${message}`);
      },
    });
    const handling: Handling = { id, request, body, connection };
    this.inHand.add(handling);
    const ending = await this.#answer(handling).catch(bridgeError);
    body.destroy();
    await this.#end(handling, ending);
  }

  /** What is said to a request that its connection refuses, before anything of it was read. */
  refuse(why: RefusalReason): Buffer {
    const id = this.#nextId();
    const { document, message, fields } = unread(why);
    this.#options.log.warn({ id, ...fields }, message);
    const response = errorResponse({ ...document, id });
    const { accessLog, count, name } = this.#options;
    const access = { ...accessOfUnread(id, document.status, response.length), site: name };
    accessLog?.write(access);
    count?.(access);
    return response;
  }

  #nextId(): string {
    return `${this.#idPrefix}-${String(++this.#idCount)}`;
  }

  async #answer(handling: Handling): Promise<Ending> {
    const { site, ownPage } = this.#options;
    const { params, problem } = handling.request;
    if (problem !== undefined) {
      const status = paramsStatus[problem.code] ?? 400;
      const reason = `The request can’t be handled: ${problem.message}.`;
      return refused({ status, reason }, problem.message, problem.code);
    }
    const page = ownPage?.(params);
    if (page !== undefined) {
      handling.isOwnPage = true;
      return answeredBySite(await page);
    }
    const resolution = await resolveRequest(site, params);
    if (resolution.kind === 'refuse') {
      const { refusal } = resolution;
      return refused(refusal, refusal.detail ?? refusal.reason);
    }
    if (resolution.kind === 'answer') return answeredBySite(resolution.answer);
    const { invocation } = resolution;
    handling.invocation = invocation;
    return lacksLength(invocation) ? this.#runCounted(handling, invocation) : this.#run(handling, invocation);
  }

  /** Takes the whole body in first: an upload, however slow, holds no place that a process could have. */
  async #runCounted(handling: Handling, invocation: Invocation): Promise<Ending> {
    let bytes: number;
    try {
      bytes = await countBody(handling.body, this.#options.body.idleTimeoutMs);
    } catch (error) {
      return notTaken(error, handling.request.signal);
    }
    return this.#run(handling, withLength(invocation, bytes));
  }

  async #run(handling: Handling, invocation: Invocation): Promise<Ending> {
    const { runner, admission } = this.#options;
    const { request, body, connection } = handling;
    let release: Release;
    const waitsSince = (handling.waitsSince = performance.now());
    try {
      release = await admission.enter(connection, request.signal);
    } catch (error) {
      return notAdmitted(error, request.signal);
    } finally {
      handling.queueMs = performance.now() - waitsSince;
    }
    try {
      let hasAnswered = false;
      const onStarted = (pid: number): void => {
        handling.pid = pid;
      };
      const onAnswered = (): void => {
        hasAnswered = true;
        void request.end(0);
      };
      if (body.errored !== null) return notTaken(body.errored, request.signal);
      const { stdout, stderr } = request;
      const streams = { stdin: body, stdout, stderr, onStarted, onAnswered };
      return ran(await runner.run(invocation, streams, request.signal), request, { hasAnswered });
    } finally {
      release();
    }
  }

  /** Ends a request, whatever became of it, and accounts for it: the one place where that happens. */
  async #end(handling: Handling, ending: Ending): Promise<void> {
    const { id, request, queueMs, isOwnPage } = handling;
    const { name, log, accessLog, count } = this.#options;
    const { document, answer, level, message, fields, appStatus } = ending;
    log[level]({ id, uri: uriOf(request.params), ...fields }, message);
    if (!request.stdout.destroyed) {
      // It goes out with its end.
      request.stdout.cork();
      const headOnly = paramText(request.params, 'REQUEST_METHOD') === 'HEAD';
      if (document !== undefined) request.stdout.write(errorResponse({ ...document, id, headOnly }));
      if (answer !== undefined) request.stdout.write(documentOctets(answer));
    }
    await request.end(appStatus);
    this.inHand.delete(handling);
    const { onEnded } = handling;
    if (accessLog === undefined && count === undefined && onEnded === undefined) return;
    const access = { ...accessOf(id, request, ending, queueMs), site: name };
    accessLog?.write(access);
    if (isOwnPage !== true) count?.(access);
    for (const told of onEnded ?? []) told(access);
  }
}
