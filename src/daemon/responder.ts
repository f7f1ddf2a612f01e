/** Answers requests: asks the site, waits for a place, has the invocation run, and accounts for how it went. */

import { randomBytes } from 'node:crypto';

import { toText } from '../bytes.js';
import { errorResponse } from '../cgi/error-response.js';
import type { Invocation } from '../cgi/invocation.js';
import type { Request } from '../fastcgi/request.js';
import type { AccessLog } from '../observe/access-log.js';
import type { Log } from '../observe/log.js';
import type { Runner, RunStreams } from '../runners/runner.js';
import type { Spool } from '../runners/spool.js';
import type { Site } from '../sites/site.js';
import { accessOf, uriOf } from './account.js';
import type { Admission, Release } from './admission.js';
import { countBody, lacksLength, type SpoolLimits, withCountedBody } from './counted-body.js';
import { bridgeError, type Ending, notAdmitted, notCounted, ran, refused } from './ending.js';

export interface ResponderOptions {
  readonly site: Site;
  readonly runner: Pick<Runner, 'run'>;
  readonly admission: Admission;
  readonly spool: SpoolLimits;
  readonly log: Log;
  readonly accessLog: AccessLog | undefined;
}

/** A request on its way to its end. */
interface Handling {
  readonly id: string;
  readonly request: Request;
  /** How long it has waited for a place, once it has one or none. */
  queueMs?: number;
}

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
    const handling: Handling = { id: `${this.#idPrefix}-${String(++this.#idCount)}`, request };
    const ending = await this.#answer(handling).catch(bridgeError);
    await this.#end(handling, ending);
  }

  async #answer(handling: Handling): Promise<Ending> {
    const { site } = this.#options;
    const { params, problem } = handling.request;
    if (problem !== undefined) {
      const status = problem.code === 'ERR_MAX_PARAMS_SIZE' ? 431 : 400;
      const reason = `The request can’t be handled: ${problem.message}.`;
      return refused({ status, reason }, problem.message, problem.code);
    }
    const resolution = await site.resolve(params);
    if (resolution.kind === 'refuse') {
      const { refusal } = resolution;
      return refused(refusal, refusal.detail ?? refusal.reason);
    }
    const { invocation } = resolution;
    const withNul = [...invocation.variables].find(([, value]) => value.includes('\0'))?.[0];
    if (withNul !== undefined) {
      const reason = `${toText(withNul)} contains a NUL octet, which no variable can hold.`;
      return refused({ status: 400, reason }, reason);
    }
    return lacksLength(invocation)
      ? this.#runCounted(handling, invocation)
      : this.#run(handling, invocation, handling.request);
  }

  /** Takes the whole body in first: an upload, however slow, holds no place that a process could have. */
  async #runCounted(handling: Handling, invocation: Invocation): Promise<Ending> {
    const { stdin, stdout, stderr, signal } = handling.request;
    let body: Spool;
    try {
      body = await countBody(stdin, this.#options.spool);
    } catch (error) {
      return notCounted(error, signal);
    }
    try {
      const streams = { stdin: body.read(), stdout, stderr, stdinHasArrived: true };
      return await this.#run(handling, withCountedBody(invocation, body), streams);
    } finally {
      await body.close();
    }
  }

  async #run(handling: Handling, invocation: Invocation, streams: RunStreams): Promise<Ending> {
    const { runner, admission } = this.#options;
    const { request } = handling;
    let release: Release;
    const waitsSince = performance.now();
    try {
      release = await admission.enter(request.signal);
    } catch (error) {
      return notAdmitted(error, request.signal);
    } finally {
      handling.queueMs = performance.now() - waitsSince;
    }
    try {
      let hasAnswered = false;
      const onAnswered = (): void => {
        hasAnswered = true;
        void request.end(0);
      };
      const { stdin, stdout, stderr, stdinHasArrived = false } = streams;
      const all = { stdin, stdout, stderr, stdinHasArrived, onAnswered };
      return ran(await runner.run(invocation, all, request.signal), request, { hasAnswered });
    } finally {
      release();
    }
  }

  /** Ends a request, whatever became of it, and accounts for it: the one place where that happens. */
  async #end({ id, request, queueMs }: Handling, ending: Ending): Promise<void> {
    const { log, accessLog } = this.#options;
    const { document, level, message, fields, appStatus } = ending;
    log[level]({ id, uri: uriOf(request.params), ...fields }, message);
    if (document !== undefined && !request.stdout.destroyed) {
      request.stdout.write(errorResponse({ ...document, id }));
    }
    await request.end(appStatus);
    accessLog?.write(accessOf(id, request, ending, queueMs));
  }
}
