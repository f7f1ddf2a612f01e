/** Answers requests: asks the site, waits for a slot, has the invocation run, and accounts for how it went. */

import { randomBytes } from 'node:crypto';

import { NOTHING, valueOf } from '../../base/bytes.js';
import { interpreterFault } from '../../base/executable.js';
import { lacksLength, withLength } from '../../cgi/invocation.js';
import type { RefusalReason } from '../../fastcgi/connection-options.js';
import type { Request } from '../../fastcgi/request.js';
import type { AccessLog } from '../../observe/access-log.js';
import { visible } from '../../observe/escape.js';
import { type Log, RepeatedEvents } from '../../observe/log.js';
import { Deadline } from '../../base/timer.js';
import { RequestBody, type RequestBodyOptions } from '../../runners/request-body.js';
import type { Runner, RunLimits } from '../../runners/runner.js';
import { checked, type Site } from '../../sites/site.js';
import { accessOf, accessOfUnread, ActiveRequest, ActiveRequests, uriOf } from './active-requests.js';
import type { Admission, Release } from './admission.js';
import {
  fieldsOf,
  isHead,
  pageBytes,
  type RequestResult,
  resultOfRun,
  resultOfSite,
  resultUnread,
  resultUnstarted,
} from './request-result.js';
import type { Tally } from '../status/collector.js';
import type { OwnPage } from '../status/pages.js';

export interface HandlerOptions {
  /** What the access log calls the site, if a daemon has several. */
  readonly name?: string | undefined;
  readonly site: Site;
  readonly runner: Pick<Runner, 'run'>;
  readonly admission: Admission;
  readonly body: BodyLimits;
  /** How long the site may take for its look-ups; 0 for as long as it takes. */
  readonly lookUpTimeoutMs: number;
  readonly log: Log;
  readonly accessLog: AccessLog | undefined;
  /** Pages that the bridge answers by itself, without a slot or a process. */
  readonly ownPage?: OwnPage | undefined;
  /** Counts requests that have ended, but for those pages. */
  readonly tally?: Tally | undefined;
}

/** What is kept of a request's body, and for how long none of it may come where all of it is waited for. */
type BodyLimits = Pick<RequestBodyOptions, 'bufferBytes' | 'maxSpoolBytes' | 'spoolBudget'> &
  Pick<RunLimits, 'idleTimeoutMs'>;

export class Handler {
  /** Those that have begun and not ended. */
  readonly active = new ActiveRequests();
  /** Called when a request has ended and its process is gone, too. */
  onEnded: (() => void) | undefined;
  readonly #options: HandlerOptions;
  readonly #refusals: RepeatedEvents;
  /** Request ids are unique across restarts, short, and sort in the order of arrival. */
  readonly #idPrefix = randomBytes(4).toString('hex');
  #idCount = 0;

  constructor(options: HandlerOptions) {
    this.#options = options;
    this.#refusals = new RepeatedEvents(options.log);
  }

  /** To be called when no request comes any more. */
  close(): void {
    this.#refusals.close();
  }

  /**
   * Begins to answer a request, whose END_REQUEST is sent in any case; slots are shared out among addresses. Returns what
   * its STDIN is written to, if it has a body.
   */
  readonly handle = (request: Request): RequestBody | undefined => {
    const id = `${this.#idPrefix}-${String(++this.#idCount)}`;
    const body = request.hasBody ? this.#bodyOf(id, request) : undefined;
    const active = new ActiveRequest(id, request, body);
    this.active.add(active);
    active.response = this.#respond(active);
    return body;
  };

  #bodyOf(id: string, request: Request): RequestBody {
    return new RequestBody({
      ...this.#options.body,
      mayWait: () => request.isAlone,
      onProblem: ({ code, message }) => {
        this.#options.log.warn({ id, code }, `its connection waits until the program reads on: ${message}`);
      },
    });
  }

  /** Resolves when those that run now have ended, and their processes are gone. */
  async ended(): Promise<void> {
    await Promise.all([...this.active].flatMap(({ response }) => response ?? []));
  }

  /** What is said to a request that its connection refuses, before anything of it was read. */
  readonly refuse = (why: RefusalReason): Buffer => {
    const id = `${this.#idPrefix}-${String(++this.#idCount)}`;
    const result = resultUnread(why);
    const { level, message, code, page } = result;
    this.#refusals.log(String(code), level, () => ({ id, ...fieldsOf(result) }), message);
    const response = page === undefined ? NOTHING : pageBytes(page, { id, headOnly: false });
    const { accessLog, tally, name } = this.#options;
    const access = { ...accessOfUnread(id, page?.status ?? 503, response.length), site: name };
    accessLog?.write(access);
    tally?.ended(access, result);
    return response;
  };

  /** Answers a request and ends it, whatever became of it, and accounts for it: the one place where that happens. */
  async #respond(active: ActiveRequest): Promise<void> {
    const { id, request, stdin } = active;
    const { name, log, accessLog, tally } = this.#options;
    let result: RequestResult;
    try {
      result = await this.#answer(active);
    } catch (error) {
      result = resultUnstarted(error, request.signal);
      // A page in the middle of a response would be taken for part of it.
      const { stdoutBytes, stdout } = request;
      if (stdoutBytes > 0 || stdout.writableLength > 0) result = { ...result, page: undefined };
    }
    const { level, message, page } = result;
    stdin?.destroy();
    const fields = () => ({ id, uri: uriOf(request.params), ...fieldsOf(result) });
    // Refusals for want of room come in thousands; each has its line in the access log.
    if (result.word === 'not-admitted') this.#refusals.log(String(result.code), level, fields, message);
    else if (log.hears?.(level) !== false) log[level](fields(), message);

    const { stdout, params } = request;
    // A request that was answered before may still be sending: what is corked after its end never goes out.
    if (stdout.writable) {
      // What is written now goes out with the end.
      stdout.cork();
      if (page !== undefined) stdout.write(pageBytes(page, { id, headOnly: isHead(params) }));
      // For its error log, where administrators look first.
      if (result.isToldToWebServer === true)
        request.stderr.write(`fcgi2cgi: ${visible(message)} (request ${id})\n`);
    }
    await request.end(result.appStatus);
    this.active.delete(active);

    const { isOwnPage, onEnded } = active;
    const isLogged = accessLog !== undefined && accessLog.isOpen !== false;
    if (isLogged || tally !== undefined || onEnded.length > 0) {
      const access = accessOf(active, result, name);
      accessLog?.write(access);
      if (!isOwnPage) tally?.ended(access, result);
      for (const told of onEnded) told(access);
    }
    this.onEnded?.();
  }

  /** Asks the site what to run, waits for a slot and runs it. What it throws was met before a script ran, or is our fault. */
  async #answer(active: ActiveRequest): Promise<RequestResult> {
    const { site, ownPage, lookUpTimeoutMs, body, admission, runner, tally } = this.#options;
    const { request, stdin } = active;
    const { params, problem, signal } = request;
    if (problem !== undefined) throw problem;
    const page = ownPage?.(params);
    if (page !== undefined) {
      active.isOwnPage = true;
      return resultOfSite({ kind: 'answer', answer: await page });
    }

    let since = request.paramsAt;
    let found = await site.resolve(params, new Deadline(signal, lookUpTimeoutMs));
    if (found.kind !== 'defer') {
      found = checked(found);
      if (found.kind !== 'run') return resultOfSite(found);
      active.invocation = found.invocation;
      if (lacksLength(found.invocation)) {
        // Before it is admitted: an upload, however slow, holds no slot that a process could have.
        const bytes = (await stdin?.whole(body.idleTimeoutMs)) ?? 0;
        found = { kind: 'run', invocation: withLength(found.invocation, bytes) };
        since = performance.now();
      }
    }

    const waitsSince = (active.waitsSince = performance.now());
    // Slots are shared out among addresses.
    const turn = admission.enter(valueOf(params, 'REMOTE_ADDR') || request.carrier, signal, since);
    tally?.load(admission.running, admission.waiting);
    let release: Release;
    try {
      release = await turn;
    } finally {
      active.queueMs = performance.now() - waitsSince;
      tally?.load(admission.running, admission.waiting);
    }

    let runsOnUntil: Promise<unknown> | undefined;
    try {
      // As much work as a process: there is no more of it at once than of those.
      if (found.kind === 'defer') found = checked(await found.resolve(new Deadline(signal, lookUpTimeoutMs)));
      if (found.kind !== 'run') return resultOfSite(found);
      const { invocation } = found;
      active.invocation = invocation;
      if (stdin?.errored) throw stdin.errored;
      const run = await runner.run(invocation, active, signal);
      const { firstLine, endedBy, exit, pid } = run;
      ({ runsOnUntil } = run);
      if (runsOnUntil !== undefined) {
        const message =
          "the program can't be ended: it runs as another user, or the system keeps it; it keeps its slot";
        this.#options.log.warn({ id: active.id, pid }, message);
      }
      // To find out reads files: only where nothing else says why nothing was written.
      const isUnexplained = firstLine === '' && endedBy === undefined && exit?.kind === 'exited';
      const fault = isUnexplained ? await interpreterFault(invocation.file) : undefined;
      const { hasAnswered } = active;
      return resultOfRun(run, request, { hasAnswered, fault, doubt: invocation.doubt });
    } finally {
      const free = (): void => {
        release();
        tally?.load(admission.running, admission.waiting);
      };
      if (runsOnUntil === undefined) free();
      else void runsOnUntil.then(free);
    }
  }
}
